import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MessageReader } from './message-reader.js';

function framed(message: Uint8Array, flag = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix[0] = flag;
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** All messages that these chunks hold, each pushed once those before it are read. */
function readAll(reader: MessageReader, chunks: readonly Buffer[]): { bytes: number[]; isCompressed: boolean }[] {
  const messages: { bytes: number[]; isCompressed: boolean }[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let result = reader.read(); result.kind === 'message'; result = reader.read()) {
      messages.push({ bytes: [...result.message.bytes], isCompressed: result.message.isCompressed });
    }
  }
  return messages;
}

describe('messages of a stream', () => {
  it('come out as they went in, wherever the stream was cut', () => {
    const sent = fc.array(fc.tuple(fc.uint8Array({ maxLength: 300 }), fc.boolean()), { maxLength: 6 });
    fc.assert(
      fc.property(sent, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (messages, cuts) => {
        const stream = Buffer.concat(messages.map(([bytes, isCompressed]) => framed(bytes, isCompressed ? 1 : 0)));
        const chunks: Buffer[] = [];
        for (let at = 0, n = 0; at < stream.length; n++) {
          const size = cuts[n % cuts.length]!;
          chunks.push(stream.subarray(at, at + size));
          at += size;
        }
        const reader = new MessageReader(300);
        expect(readAll(reader, chunks)).toEqual(
          messages.map(([bytes, isCompressed]) => ({ bytes: [...bytes], isCompressed })),
        );
        expect(reader.isWithinMessage).toBe(false);
      }),
    );
  });

  it('wait, several in a chunk, until they are asked for', () => {
    const reader = new MessageReader(10);
    reader.push(Buffer.concat([framed(Buffer.of(1)), framed(Buffer.of(2)), framed(Buffer.of(3)).subarray(0, 2)]));
    expect(reader.read()).toMatchObject({ message: { bytes: Buffer.of(1) } });
    expect(reader.isWithinMessage).toBe(true);
    expect(reader.read()).toMatchObject({ message: { bytes: Buffer.of(2) } });
    expect(reader.read()).toEqual({ kind: 'incomplete' });
    expect(reader.isWithinMessage).toBe(true);
    reader.push(framed(Buffer.of(3)).subarray(2));
    expect(reader.read()).toMatchObject({ message: { bytes: Buffer.of(3) } });
    expect(reader.isWithinMessage).toBe(false);
  });

  it('are refused by their prefix: too large, or a flag that there is not', () => {
    const large = new MessageReader(10);
    large.push(framed(Buffer.alloc(11)).subarray(0, 5));
    expect(large.read()).toEqual({ kind: 'too-large', announcedBytes: 11 });
    const flagged = new MessageReader(10);
    flagged.push(framed(Buffer.alloc(1), 2));
    expect(flagged.read()).toEqual({ kind: 'malformed' });
  });

  it('get room of their own when an eighth of them is there, and not by what they claim', () => {
    const reader = new MessageReader(1 << 30);
    const chunk = Buffer.alloc(65_536);
    const before = process.memoryUsage().arrayBuffers;
    const gibibyte = framed(chunk).fill(0, 0, 1);
    gibibyte.writeUInt32BE(1 << 30, 1);
    reader.push(gibibyte);
    expect(reader.read()).toEqual({ kind: 'incomplete' });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
  });

  it('that one chunk holds stay where they are, but for a small one in a large chunk', () => {
    const reader = new MessageReader(1 << 20);
    const chunk = Buffer.from(new Uint8Array(framed(Buffer.alloc(1000))).buffer);
    reader.push(chunk);
    expect(reader.read()).toMatchObject({ message: { bytes: { buffer: chunk.buffer } } });
    const wide = Buffer.concat([framed(Buffer.of(7)), framed(Buffer.alloc(5000))]);
    reader.push(wide);
    const small = reader.read();
    if (small.kind !== 'message') throw new Error(small.kind);
    expect(small.message.bytes).toEqual(Buffer.of(7));
    expect(small.message.bytes.buffer.byteLength).toBe(1);
  });

  it('are let go of', () => {
    const reader = new MessageReader(1 << 20);
    reader.push(framed(Buffer.alloc(100)).subarray(0, 50));
    expect(reader.read()).toEqual({ kind: 'incomplete' });
    reader.clear();
    expect(reader.isWithinMessage).toBe(false);
  });

  it('are read into the place that is found for their beginning, unless they are compressed; it is given back if they never end', () => {
    let asked: (string | number)[] = [];
    let releases = 0;
    const place = { bytes: new Uint8Array(400).subarray(300), release: () => void (releases += 1) };
    const reader = new MessageReader(1 << 20, (beginning, byteCount) => {
      asked = [Buffer.from(beginning).toString(), byteCount];
      return place;
    });
    const text = Buffer.alloc(100, '0123456789');
    const sent = (flag: number, ...cuts: number[]): unknown => {
      const whole = framed(text, flag);
      const results = cuts.map((cut, index) => {
        reader.push(whole.subarray(index === 0 ? 0 : cuts[index - 1], cut));
        return reader.read();
      });
      return results.at(-1);
    };
    // 12 of 100 bytes are less than an eighth, 13 are more.
    expect(sent(0, 17)).toEqual({ kind: 'incomplete' });
    expect(asked).toEqual([]);
    reader.clear();
    expect(sent(0, 18, 60, 105)).toMatchObject({ kind: 'message', message: { bytes: text, place } });
    expect(asked).toEqual(['0123456789012', 100]);
    expect(Buffer.from(place.bytes)).toEqual(text);
    expect(releases).toBe(0);
    expect(sent(1, 18, 105)).toMatchObject({ kind: 'message', message: { bytes: text, place: null } });
    sent(0, 18, 60);
    reader.clear();
    expect(releases).toBe(1);
  });
});
