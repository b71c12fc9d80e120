import type { Tensor } from '../../src/scheduler/domain/tensor.js';
import { bytesElements, numericElements } from '../system/corpus/tensors.js';

/** Those of ONNX's own test runner (onnx/backend/test/runner): |actual − expected| ≤ 1e-7 + 1e-3 · |expected|. */
export const ONNX_TOLERANCE = { relative: 1e-3, absolute: 1e-7 };
/** Against ONNX Runtime alone: but for the order of additions, the same. */
export const RUNTIME_TOLERANCE = { relative: 1e-5, absolute: 1e-7 };

type Tolerance = typeof ONNX_TOLERANCE;

/** Where answers differ, in one line; null where they agree. */
export function differenceOf(
  expected: readonly Tensor[],
  actual: readonly Tensor[],
  tolerance: Tolerance,
): string | null {
  for (const tensor of expected) {
    const other = actual.find(({ name }) => name === tensor.name);
    if (other === undefined) return `no output ${tensor.name}`;
    const difference = differenceBetween(tensor, other, tolerance);
    if (difference !== null) return difference;
  }
  return null;
}

function differenceBetween(expected: Tensor, actual: Tensor, { relative, absolute }: Tolerance): string | null {
  const { name, datatype, shape } = expected;
  if (actual.datatype !== datatype || actual.shape.join() !== shape.join()) {
    return `${name}: ${actual.datatype} [${actual.shape.join()}] instead of ${datatype} [${shape.join()}]`;
  }
  if (Buffer.from(actual.data).equals(expected.data)) return null;
  if (datatype === 'BYTES') {
    const texts = (tensor: Tensor): string => bytesElements(tensor).join('|').slice(0, 80);
    return `${name}: ${texts(actual)} instead of ${texts(expected)}`;
  }
  const isFloat = datatype === 'FP16' || datatype === 'BF16' || datatype === 'FP32' || datatype === 'FP64';
  const wanted = valuesOf(expected);
  const got = valuesOf(actual);
  const index = wanted.findIndex((value, i) => {
    if (Object.is(value, got[i]) || value === got[i]) return false;
    return !isFloat || !(Math.abs(value - got[i]!) <= absolute + relative * Math.abs(value));
  });
  return index === -1 ? null : `${name}[${index}]: ${got[index]} instead of ${wanted[index]}`;
}

/** 64-bit integers that no number holds were compared by their bytes before. */
function valuesOf(tensor: Tensor): number[] {
  const elements = numericElements(tensor).map(Number);
  if (tensor.datatype === 'FP16') return elements.map(fromHalf);
  if (tensor.datatype === 'BF16') return elements.map((bits) => new Float32Array(Uint16Array.of(0, bits).buffer)[0]!);
  return elements;
}

/** IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 mantissa bits. */
function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const mantissa = bits & 0x3ff;
  if (exponent === 0x1f) return mantissa === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? mantissa * 2 ** -24 : (1 + mantissa / 1024) * 2 ** (exponent - 15));
}
