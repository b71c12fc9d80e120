/*
 * Reads what the tests need out of an ONNX file, straight from the bytes: github.com/onnx/onnx, `onnx/onnx.proto`.
 * Shares nothing with the writer.
 */

export interface OnnxFile {
  readonly irVersion: number;
  readonly operatorSet: number;
  /** FP32 constants by name. */
  readonly weights: ReadonlyMap<string, Weight>;
}

export interface Weight {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

export function readOnnx(file: Uint8Array): OnnxFile {
  const model = fieldsOf(file);
  const graph = fieldsOf(bytesOf(model, 7));
  const weights = new Map<string, Weight>();
  for (const initializer of graph.filter(({ field }) => field === 5)) {
    const tensor = fieldsOf(initializer.bytes);
    if (integerOf(tensor, 2) !== 1) continue; // not FP32
    weights.set(new TextDecoder().decode(bytesOf(tensor, 8)), {
      shape: tensor.filter(({ field }) => field === 1).map(({ integer }) => Number(integer)),
      values: new Float32Array(bytesOf(tensor, 9).slice().buffer),
    });
  }
  return { irVersion: integerOf(model, 1), operatorSet: integerOf(fieldsOf(bytesOf(model, 8)), 2), weights };
}

/** One field of a protobuf message. */
export interface Field {
  readonly field: number;
  /** 0 where the field is not a varint. */
  readonly integer: bigint;
  /** Empty where the field is not length-delimited. */
  readonly bytes: Uint8Array;
}

export function fieldsOf(message: Uint8Array): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.byteLength) {
    const key = Number(varint());
    const field = key >> 3;
    switch (key & 7) {
      case 0:
        fields.push({ field, integer: varint(), bytes: new Uint8Array() });
        break;
      case 2: {
        const length = Number(varint());
        fields.push({ field, integer: 0n, bytes: message.subarray(at, at + length) });
        at += length;
        break;
      }
      default:
        throw new Error(`wire type ${key & 7} of field ${field} is not expected here`);
    }
  }
  return fields;
}

function only(fields: readonly Field[], wanted: number): Field {
  const found = fields.filter(({ field }) => field === wanted);
  if (found.length !== 1) throw new Error(`field ${wanted} occurs ${found.length} times`);
  return found[0]!;
}

const bytesOf = (fields: readonly Field[], wanted: number): Uint8Array => only(fields, wanted).bytes;
const integerOf = (fields: readonly Field[], wanted: number): number => Number(only(fields, wanted).integer);
