import type { Datatype, Tensor } from '../../scheduler/domain/tensor.js';

/*
 * The wire format of both connections between router and worker:
 *
 *   uint32 LE  bytes of the body (header + payload)
 *   uint32 LE  bytes of the header, a multiple of 8
 *   header     one JSON object, padded with spaces
 *   payload    the tensors that `header.tensors` declares, each at the next multiple of 8
 *
 * Alignment lets the receiver hand a tensor to ONNX Runtime as it arrived: the body is one buffer of its own, so every
 * tensor in it is aligned for its element type. Large tensors are sent from where they lie and copied once, on arrival.
 * Rejected: a serialiser with a schema (protobuf, structured clone): both would copy tensor bytes on each side.
 */

/** Enough for any tensor the edge lets in; protects the receiver from a broken length, not from its peer. */
const MAX_FRAME_BYTES = 1024 ** 3;
/** What is left for tensors when the header takes as much as it ever will: 1 MiB. */
export const MAX_PAYLOAD_BYTES = MAX_FRAME_BYTES - 1024 ** 2;
const PREFIX_BYTES = 8;
const ALIGNMENT = 8;
/** A payload of at most so much is copied behind its header: several small pieces cost the kernel more than one. */
const MAX_COPIED_BYTES = 16 * 1024;

/** A frame that breaks the format or makes no sense. The connection it came from is not read any further. */
export class FrameError extends Error {
  override readonly name = 'FrameError';
}

/** What a header says of one tensor of its payload. */
export interface TensorLayout {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly byteCount: number;
}

export interface Frame {
  /** A JSON object; its meaning is the connection's (`messages.ts`). */
  readonly header: unknown;
  readonly payload: Uint8Array<ArrayBuffer>;
}

const padding = new Uint8Array(ALIGNMENT);

function alignUp(byteCount: number): number {
  return Math.ceil(byteCount / ALIGNMENT) * ALIGNMENT;
}

/** Bytes that `tensors` take in a payload. */
export function payloadBytes(tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, tensor) => sum + alignUp(tensor.data.byteLength), 0);
}

/**
 * One frame as the chunks to write in order; where the tensors are large, chunks are views of the tensors themselves.
 * @throws FrameError when the frame would be larger than `maxFrameBytes`
 */
export function encodeFrame(
  header: object,
  tensors: readonly Tensor[] = [],
  maxFrameBytes = MAX_FRAME_BYTES,
): Uint8Array[] {
  const layouts: TensorLayout[] = tensors.map(({ name, datatype, shape, data }) => ({
    name,
    datatype,
    shape,
    byteCount: data.byteLength,
  }));
  const json = JSON.stringify(tensors.length === 0 ? header : { ...header, tensors: layouts });
  const jsonBytes = Buffer.byteLength(json);
  const headerBytes = alignUp(jsonBytes);
  const payloadSize = payloadBytes(tensors);
  const bodyBytes = headerBytes + payloadSize;
  if (bodyBytes > maxFrameBytes) throw new FrameError(`frame of ${bodyBytes} bytes exceeds ${maxFrameBytes}`);
  const isCopied = payloadSize <= MAX_COPIED_BYTES;
  const start = Buffer.allocUnsafe(PREFIX_BYTES + headerBytes + (isCopied ? payloadSize : 0));
  start.writeUInt32LE(bodyBytes, 0);
  start.writeUInt32LE(headerBytes, 4);
  start.write(json, PREFIX_BYTES);
  start.fill(' ', PREFIX_BYTES + jsonBytes, PREFIX_BYTES + headerBytes);
  if (isCopied) {
    copyTensors(tensors, start, PREFIX_BYTES + headerBytes);
    return [start];
  }
  const chunks: Uint8Array[] = [start];
  for (const { data } of tensors) {
    chunks.push(data);
    const gap = alignUp(data.byteLength) - data.byteLength;
    if (gap > 0) chunks.push(padding.subarray(0, gap));
  }
  return chunks;
}

function copyTensors(tensors: readonly Tensor[], into: Buffer, offset: number): void {
  for (const { data } of tensors) {
    into.set(data, offset);
    const endOffset = offset + data.byteLength;
    offset += alignUp(data.byteLength);
    into.fill(0, endOffset, offset);
  }
}

/**
 * The tensors of a payload, as views of it.
 * @throws FrameError when the layouts do not fill the payload exactly
 */
export function readTensors(layouts: readonly TensorLayout[], payload: Uint8Array<ArrayBuffer>): Tensor[] {
  let offset = 0;
  const tensors = layouts.map(({ name, datatype, shape, byteCount }) => {
    const data = payload.subarray(offset, offset + byteCount);
    if (data.byteLength !== byteCount) throw new FrameError(`tensor '${name}' reaches beyond its frame`);
    offset += alignUp(byteCount);
    return { name, datatype, shape, data };
  });
  if (offset !== payload.byteLength) throw new FrameError(`payload of ${payload.byteLength} bytes, ${offset} declared`);
  return tensors;
}

/** Cuts a byte stream into frames, however it is chunked. Each frame's body is a buffer of its own. */
export class FrameDecoder {
  readonly #maxFrameBytes: number;
  readonly #onFrame: (frame: Frame) => void;
  readonly #prefix = Buffer.alloc(PREFIX_BYTES);
  #prefixFilled = 0;
  #body: Buffer<ArrayBuffer> | null = null;
  #bodyFilled = 0;

  constructor(onFrame: (frame: Frame) => void, maxFrameBytes = MAX_FRAME_BYTES) {
    this.#onFrame = onFrame;
    this.#maxFrameBytes = maxFrameBytes;
  }

  /**
   * Takes the next bytes of the stream, of which it keeps none; calls back for each frame they complete.
   * @throws FrameError on a frame that is too large or malformed
   */
  push(chunk: Uint8Array): void {
    let offset = 0;
    while (offset < chunk.byteLength) {
      offset += this.#body === null ? this.#fillPrefix(chunk, offset) : this.#fillBody(this.#body, chunk, offset);
    }
  }

  #fillPrefix(chunk: Uint8Array, offset: number): number {
    const taken = Math.min(PREFIX_BYTES - this.#prefixFilled, chunk.byteLength - offset);
    this.#prefix.set(chunk.subarray(offset, offset + taken), this.#prefixFilled);
    this.#prefixFilled += taken;
    if (this.#prefixFilled < PREFIX_BYTES) return taken;
    const bodyBytes = this.#prefix.readUInt32LE(0);
    const headerBytes = this.#prefix.readUInt32LE(4);
    if (bodyBytes > this.#maxFrameBytes) {
      throw new FrameError(`frame of ${bodyBytes} bytes exceeds ${this.#maxFrameBytes}`);
    }
    if (headerBytes === 0 || headerBytes > bodyBytes || headerBytes % ALIGNMENT !== 0) {
      throw new FrameError(`header of ${headerBytes} bytes in a frame of ${bodyBytes}`);
    }
    // Not pooled: tensors must lie aligned in it, and what lives long must not keep others.
    this.#body = Buffer.allocUnsafeSlow(bodyBytes);
    this.#bodyFilled = 0;
    return taken;
  }

  #fillBody(body: Buffer<ArrayBuffer>, chunk: Uint8Array, offset: number): number {
    const taken = Math.min(body.byteLength - this.#bodyFilled, chunk.byteLength - offset);
    body.set(chunk.subarray(offset, offset + taken), this.#bodyFilled);
    this.#bodyFilled += taken;
    if (this.#bodyFilled === body.byteLength) {
      this.#body = null;
      this.#prefixFilled = 0;
      this.#onFrame(parseBody(body, this.#prefix.readUInt32LE(4)));
    }
    return taken;
  }
}

function parseBody(body: Buffer<ArrayBuffer>, headerBytes: number): Frame {
  let header: unknown;
  try {
    header = JSON.parse(body.toString('utf8', 0, headerBytes));
  } catch {
    throw new FrameError('header is not JSON');
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw new FrameError('header is not a JSON object');
  }
  return { header, payload: new Uint8Array(body.buffer, body.byteOffset + headerBytes, body.byteLength - headerBytes) };
}
