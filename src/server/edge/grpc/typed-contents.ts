/*
 * `InferTensorContents` on the wire → the binary layout, without a JavaScript value per element in between.
 *
 * Read here rather than by the generated codec for three reasons: 64-bit integers stay exact; a hostile message costs
 * memory in proportion to the tensor it describes (one empty `bytes` element is 2 bytes on the wire and about a hundred
 * as an object); and packed floats already are the binary layout, so that they are not copied at all.
 *
 * Wire format: protobuf.dev/programming-guides/encoding. A repeated number may come packed or element by element, and a
 * message may come in several parts that count as concatenated.
 */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { ELEMENT_BYTES } from '../../../scheduler/domain/tensor.js';
import type { Datatype } from '../../../scheduler/domain/tensor.js';
import { OipFailure } from '../../../protocol/service.js';

/** Where each datatype's elements are. FP16 has no field of its own: it can only be sent raw. */
const CONTENT_FIELDS = {
  BOOL: { number: 1, name: 'bool_contents' },
  INT8: { number: 2, name: 'int_contents' },
  INT16: { number: 2, name: 'int_contents' },
  INT32: { number: 2, name: 'int_contents' },
  INT64: { number: 3, name: 'int64_contents' },
  UINT8: { number: 4, name: 'uint_contents' },
  UINT16: { number: 4, name: 'uint_contents' },
  UINT32: { number: 4, name: 'uint_contents' },
  UINT64: { number: 5, name: 'uint64_contents' },
  FP32: { number: 6, name: 'fp32_contents' },
  FP64: { number: 7, name: 'fp64_contents' },
  BYTES: { number: 8, name: 'bytes_contents' },
} as const satisfies Record<Exclude<Datatype, 'FP16' | 'BF16'>, { number: number; name: string }>;

type TypedDatatype = keyof typeof CONTENT_FIELDS;

const LAST_CONTENT_FIELD = 8;

/** Elements sent one by one, which takes about 0.1 µs each; packed floats are not bounded but by their bytes. */
const MAX_RUNS = 1 << 20;
/** Packed integers, which are read one by one too, in some 15 ns each. */
const MAX_VARINTS = 1 << 21;

/** Bytes of a BYTES element's length prefix in the binary layout. */
const LENGTH_PREFIX_BYTES = 4;

/**
 * @param parts the encoded `InferTensorContents`, in the order they came; none for an input without contents
 * @param maxBytes of the result
 * @returns the elements in the binary layout; as many as were sent, which need not be what the shape calls for
 * @throws OipFailure `invalid` for elements in another field than the datatype's, or beyond its range; `too_large`
 * @throws Error for a malformed message
 */
export function decodeTypedContents(
  tensorName: string,
  datatype: Datatype,
  parts: readonly Uint8Array[],
  maxBytes: number,
): Uint8Array {
  if (datatype === 'FP16' || datatype === 'BF16') {
    throw new OipFailure(
      'invalid',
      `tensor '${tensorName}': ${datatype} has no typed contents, send it in raw_input_contents`,
    );
  }
  const byteCount = measure(tensorName, datatype, parts);
  if (byteCount > maxBytes) {
    throw new OipFailure(
      'too_large',
      `tensor '${tensorName}': ${byteCount} bytes, more than are left of the limit, ${maxBytes}`,
    );
  }
  return datatype === 'FP32' || datatype === 'FP64'
    ? joinRuns(parts, datatype, byteCount)
    : writeElements(tensorName, parts, datatype, byteCount);
}

/** Bytes that the elements take in the binary layout; checks that they are all in the datatype's field. */
function measure(tensorName: string, datatype: TypedDatatype, parts: readonly Uint8Array[]): number {
  const field = CONTENT_FIELDS[datatype];
  let byteCount = 0;
  let runCount = 0;
  let varintCount = 0;
  forEachRun(parts, ({ bytes, reader, fieldNumber, end }) => {
    runCount += 1;
    if (runCount > MAX_RUNS) {
      const cause = `more than ${MAX_RUNS} elements sent one by one`;
      throw new OipFailure('too_large', `tensor '${tensorName}': ${cause}, send it in raw_input_contents`);
    }
    if (fieldNumber !== field.number) {
      throw new OipFailure('invalid', `tensor '${tensorName}': ${datatype} elements belong in ${field.name}`);
    }
    if (datatype === 'BYTES') byteCount += LENGTH_PREFIX_BYTES + (end - reader.pos);
    else if (datatype === 'FP32' || datatype === 'FP64') byteCount += end - reader.pos;
    else {
      const count = countVarints(bytes, reader.pos, end);
      varintCount += count;
      if (varintCount > MAX_VARINTS) {
        const cause = `more than ${MAX_VARINTS} integers in ${field.name}`;
        throw new OipFailure('too_large', `tensor '${tensorName}': ${cause}, send it in raw_input_contents`);
      }
      byteCount += count * ELEMENT_BYTES[datatype];
    }
    reader.pos = end;
  });
  return byteCount;
}

/** Little-endian floats on the wire are the binary layout: one run, the usual case, is returned in place. */
function joinRuns(parts: readonly Uint8Array[], datatype: 'FP32' | 'FP64', byteCount: number): Uint8Array {
  let joined: Uint8Array = new Uint8Array(0);
  let offset = 0;
  forEachRun(parts, ({ bytes, reader, end }) => {
    if ((end - reader.pos) % ELEMENT_BYTES[datatype] !== 0) throw new Error('packed field is cut short');
    const run = bytes.subarray(reader.pos, end);
    reader.pos = end;
    if (run.length === byteCount) {
      joined = run;
      return;
    }
    if (offset === 0 && run.length > 0) joined = new Uint8Array(byteCount);
    joined.set(run, offset);
    offset += run.length;
  });
  return joined;
}

function writeElements(
  tensorName: string,
  parts: readonly Uint8Array[],
  datatype: Exclude<TypedDatatype, 'FP32' | 'FP64'>,
  byteCount: number,
): Uint8Array {
  const data = new Uint8Array(byteCount);
  const writeRun = runWriter(tensorName, datatype, data);
  forEachRun(parts, (run) => {
    writeRun(run);
    if (run.reader.pos !== run.end) throw new Error('packed field is cut short');
  });
  return data;
}

type RunWriter = (run: Run) => void;

/** Writes run after run into `data`, through typed arrays: hosts of ONNX Runtime's Node binding are little-endian. */
function runWriter(
  tensorName: string,
  datatype: Exclude<TypedDatatype, 'FP32' | 'FP64'>,
  data: Uint8Array<ArrayBuffer>,
): RunWriter {
  const { buffer } = data;
  switch (datatype) {
    case 'BOOL':
      return elementWriter(data, (reader) => (reader.bool() ? 1 : 0));
    case 'INT8':
      return elementWriter(new Int8Array(buffer), (reader) => inRange(reader.int32(), -128, 127));
    case 'INT16':
      return elementWriter(new Int16Array(buffer), (reader) => inRange(reader.int32(), -32_768, 32_767));
    case 'INT32':
      return elementWriter(new Int32Array(buffer), (reader) => reader.int32());
    case 'UINT8':
      return elementWriter(data, (reader) => inRange(reader.uint32(), 0, 255));
    case 'UINT16':
      return elementWriter(new Uint16Array(buffer), (reader) => inRange(reader.uint32(), 0, 65_535));
    case 'UINT32':
      return elementWriter(new Uint32Array(buffer), (reader) => reader.uint32());
    case 'INT64':
      return elementWriter(new BigInt64Array(buffer), (reader) => BigInt(reader.int64()));
    case 'UINT64':
      return elementWriter(new BigUint64Array(buffer), (reader) => BigInt(reader.uint64()));
    case 'BYTES':
      return bytesWriter(data);
  }

  function inRange(value: number, min: number, max: number): number {
    if (value >= min && value <= max) return value;
    throw new OipFailure('invalid', `tensor '${tensorName}': ${value} is not ${datatype}, from ${min} to ${max}`);
  }
}

function elementWriter<Element>(
  elements: { [index: number]: Element; readonly length: number },
  read: (reader: BinaryReader) => Element,
): RunWriter {
  let index = 0;
  return ({ reader, end }) => {
    while (reader.pos < end) elements[index++] = read(reader);
  };
}

function bytesWriter(data: Uint8Array): RunWriter {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let offset = 0;
  return ({ bytes, reader, end }) => {
    view.setUint32(offset, end - reader.pos, true);
    data.set(bytes.subarray(reader.pos, end), offset + LENGTH_PREFIX_BYTES);
    offset += LENGTH_PREFIX_BYTES + (end - reader.pos);
    reader.pos = end;
  };
}

/** Consecutive elements of one content field: a packed field, an element sent by itself, or one `bytes` element. */
interface Run {
  readonly bytes: Uint8Array;
  /** Over `bytes`; stands at the first element. Whoever takes the run moves it to `end`. */
  readonly reader: BinaryReader;
  readonly fieldNumber: number;
  readonly end: number;
}

/** Calls `take` once per run, in order; unknown fields are skipped. */
function forEachRun(parts: readonly Uint8Array[], take: (run: Run) => void): void {
  for (const bytes of parts) {
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      const [fieldNumber, wireType] = reader.tag();
      if (fieldNumber > LAST_CONTENT_FIELD) reader.skip(wireType, fieldNumber);
      else take({ bytes, reader, fieldNumber, end: endOfRun(reader, fieldNumber, wireType) });
    }
  }
}

/** Moves the reader to the first byte of the run; returns where it ends. */
function endOfRun(reader: BinaryReader, fieldNumber: number, wireType: WireType): number {
  if (wireType === WireType.LengthDelimited) {
    const end = reader.uint32() + reader.pos;
    if (end > reader.len) throw new Error('field is cut short');
    return end;
  }
  if (wireType !== elementWireType(fieldNumber)) throw new Error(`field ${fieldNumber} has wire type ${wireType}`);
  const start = reader.pos;
  reader.skip(wireType, fieldNumber);
  const end = reader.pos;
  reader.pos = start;
  return end;
}

function elementWireType(fieldNumber: number): WireType {
  if (fieldNumber === CONTENT_FIELDS.FP32.number) return WireType.Bit32;
  if (fieldNumber === CONTENT_FIELDS.FP64.number) return WireType.Bit64;
  return fieldNumber === CONTENT_FIELDS.BYTES.number ? WireType.LengthDelimited : WireType.Varint;
}

/** A varint's last byte is the one without the continuation bit. */
function countVarints(bytes: Uint8Array, start: number, end: number): number {
  let count = 0;
  for (let i = start; i < end; i++) if (bytes[i]! < 0x80) count += 1;
  return count;
}
