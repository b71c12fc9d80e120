import { ELEMENT_BYTES, elementCount, shapeText, type Tensor, type TensorSpec } from '../scheduler/domain/tensor.js';
import { Prng } from '../scheduler/random/prng.js';

/**
 * Inputs for a model of which only the metadata is known: seeded noise in [0, 1) for floats, zeros for all else, which are
 * valid for every type (an empty string is four zero bytes). The same every time.
 * @param shapes by input; where one is missing, the declared shape with a batch of one, or nothing where the input may be
 * left out
 * @throws Error, one line, where an input's shape is open and not given
 */
export function noiseInputs(
  specs: readonly TensorSpec[],
  shapes: Readonly<Record<string, readonly number[]>>,
): readonly Tensor[] {
  const unknown = Object.keys(shapes).find((name) => !specs.some((spec) => spec.name === name));
  if (unknown !== undefined) {
    throw new Error(
      `--shape ${unknown}=…: the model has no such input; it has ${specs.map(({ name }) => name).join(', ')}`,
    );
  }
  const prng = new Prng(1);
  const sent = specs.filter(({ name, isOptional }) => isOptional !== true || name in shapes);
  return sent.map(({ name, datatype, shape: declared }): Tensor => {
    const shape = shapes[name] ?? declared?.map((size, axis) => (size === -1 && axis === 0 ? 1 : size));
    if (shape === undefined || shape.includes(-1)) {
      const place = `input ${name} is ${shapeText(declared)}`;
      throw new Error(`${place}: say which shape to send, e.g. --shape ${name}=${suggestion(declared)}`);
    }
    const length = elementCount(shape);
    const uniform = (): number => prng.uniform();
    if (datatype === 'FP32') return { name, datatype, shape, data: bytesOf(Float32Array.from({ length }, uniform)) };
    if (datatype === 'FP64') return { name, datatype, shape, data: bytesOf(Float64Array.from({ length }, uniform)) };
    const elementBytes = datatype === 'BYTES' ? 4 : ELEMENT_BYTES[datatype];
    return { name, datatype, shape, data: new Uint8Array(length * elementBytes) };
  });
}

/** [-1, 3, -1, 320] → "1,3,…,320". */
function suggestion(declared: readonly number[] | null): string {
  return (declared ?? [-1, -1]).map((size, axis) => (size !== -1 ? size : axis === 0 ? 1 : '…')).join(',');
}

function bytesOf(values: Float32Array | Float64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
