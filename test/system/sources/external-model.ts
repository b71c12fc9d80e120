import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/* A model that adds four weights to its input; the weights are in a file beside it. Field numbers are those of onnx.proto. */

type Field = readonly [field: number, value: Uint8Array | string | number];

function message(...fields: readonly Field[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const [field, value] of fields) {
    if (typeof value === 'number') writer.tag(field, WireType.Varint).int64(value);
    else writer.tag(field, WireType.LengthDelimited).bytes(typeof value === 'string' ? Buffer.from(value) : value);
  }
  return writer.finish();
}

const FLOAT = 1;
const EXTERNAL = 1;

const entry = (key: string, value: string): Uint8Array => message([1, key], [2, value]);

/** `[batch, 4]` */
function value(name: string): Uint8Array {
  const shape = message([1, message([2, 'batch'])], [1, message([1, 4])]);
  return message([1, name], [2, message([1, message([1, FLOAT], [2, shape])])]);
}

/** @param location of the weights, from the model's folder */
export function externalModel(location: string): { readonly model: Uint8Array; readonly weights: Uint8Array } {
  const weights = message(
    ...([
      [1, 4],
      [2, FLOAT],
      [8, 'w'],
      [13, entry('location', location)],
    ] as const),
    ...([
      [13, entry('offset', '0')],
      [13, entry('length', '16')],
      [14, EXTERNAL],
    ] as const),
  );
  const add = message([1, 'x'], [1, 'w'], [2, 'y'], [4, 'Add']);
  const graph = message([1, add], [2, 'external'], [5, weights], [11, value('x')], [12, value('y')]);
  return {
    model: message([1, 8], [7, graph], [8, message([2, 17])]),
    weights: new Uint8Array(Float32Array.of(10, 20, 30, 40).buffer),
  };
}
