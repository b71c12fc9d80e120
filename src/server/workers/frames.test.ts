import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DATATYPES, type Tensor } from '../../scheduler/domain/tensor.js';
import { encodeFrame, FrameDecoder, FrameError, readTensors, type Frame, type TensorLayout } from './frames.js';

const tensors = fc.array(
  fc.record({
    name: fc.string(),
    datatype: fc.constantFrom(...DATATYPES),
    shape: fc.array(fc.nat(5), { maxLength: 3 }),
    data: fc.uint8Array({ maxLength: 40 }),
  }),
  { maxLength: 4 },
);
const message = fc.record({ header: fc.record({ kind: fc.string(), sequence: fc.nat() }), tensors });

function decode(stream: Uint8Array, cuts: readonly number[], maxFrameBytes?: number): Frame[] {
  const frames: Frame[] = [];
  const decoder = new FrameDecoder((frame) => frames.push(frame), maxFrameBytes);
  const edges = [0, ...cuts.map((cut) => cut % (stream.byteLength + 1)).sort((a, b) => a - b), stream.byteLength];
  for (let i = 1; i < edges.length; i++) decoder.push(stream.subarray(edges[i - 1], edges[i]));
  return frames;
}

function tensorsOf({ header, payload }: Frame): Tensor[] {
  return readTensors((header as { tensors?: TensorLayout[] }).tensors ?? [], payload);
}

/** A frame with any prefix and body. */
function rawFrame(bodyBytes: number, headerBytes: number, body: string): Uint8Array {
  const prefix = Buffer.alloc(8);
  prefix.writeUInt32LE(bodyBytes, 0);
  prefix.writeUInt32LE(headerBytes, 4);
  return Buffer.concat([prefix, Buffer.from(body)]);
}

describe('frames', () => {
  it('come out as they went in, however the stream is cut', () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 4 }), fc.array(fc.nat(), { maxLength: 12 }), (messages, cuts) => {
        const stream = Buffer.concat(messages.flatMap((sent) => encodeFrame(sent.header, sent.tensors)));
        const frames = decode(stream, cuts);
        expect(frames.map(({ header }) => header)).toEqual(
          messages.map((sent) => expect.objectContaining(sent.header) as unknown),
        );
        expect(frames.map((frame) => tensorsOf(frame).map((t) => ({ ...t, data: [...t.data] })))).toEqual(
          messages.map((sent) => sent.tensors.map((t) => ({ ...t, data: [...t.data] }))),
        );
      }),
    );
  });

  it('put each tensor at a multiple of 8 in a buffer of their own', () => {
    const sent: Tensor[] = [1, 3, 8].map((length) => {
      return { name: `t${length}`, datatype: 'UINT8', shape: [length], data: new Uint8Array(length) };
    });
    const [frame] = decode(Buffer.concat(encodeFrame({ kind: 'k' }, sent)), []);
    const received = tensorsOf(frame!);
    expect(received.map(({ data }) => data.byteOffset % 8)).toEqual([0, 0, 0]);
    expect(received[0]!.data.buffer.byteLength).toBe(frame!.payload.byteOffset + frame!.payload.byteLength);
  });

  it('send a large tensor from where it lies', () => {
    const data = new Uint8Array(1_000_000);
    expect(encodeFrame({}, [{ name: 'x', datatype: 'UINT8', shape: [1_000_000], data }])).toContain(data);
  });

  it('beyond the limit are refused by sender and receiver, the latter before it reserves memory', () => {
    const tensor: Tensor = { name: 'x', datatype: 'UINT8', shape: [100], data: new Uint8Array(100) };
    expect(() => encodeFrame({}, [tensor], 64)).toThrow(FrameError);
    expect(() => decode(rawFrame(0xffff_ffff, 8, ''), [])).toThrow('frame of 4294967295 bytes exceeds 1073741824');
    // The limit itself is allowed: 8 bytes of header and nothing else.
    expect(decode(rawFrame(8, 8, '{}      '), [], 8)).toHaveLength(1);
    expect(() => decode(rawFrame(16, 8, '{}      '), [], 8)).toThrow(FrameError);
  });

  it.each([
    ['no header', rawFrame(8, 0, '{}      ')],
    ['a header longer than the body', rawFrame(8, 16, '{}      ')],
    ['an unaligned header', rawFrame(8, 7, '{}      ')],
    ['a header that is not JSON', rawFrame(8, 8, '{]      ')],
    ['a header that is not an object', rawFrame(8, 8, '[1]     ')],
  ])('with %s are malformed', (_, stream) => {
    expect(() => decode(stream, [])).toThrow(FrameError);
  });

  it('whose tensors do not fill the payload exactly are malformed', () => {
    const layout = (byteCount: number): TensorLayout => ({
      name: 'x',
      datatype: 'UINT8',
      shape: [byteCount],
      byteCount,
    });
    expect(() => readTensors([layout(9)], new Uint8Array(8))).toThrow(FrameError);
    expect(() => readTensors([layout(1)], new Uint8Array(16))).toThrow(FrameError);
    expect(readTensors([layout(1)], new Uint8Array(8))).toHaveLength(1);
  });
});
