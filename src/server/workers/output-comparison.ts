import type { Datatype, Tensor } from '../../scheduler/domain/tensor.js';

/*
 * Whether one request was answered alike in two batches. Each output is measured by its own magnitude: a faint one beside a loud
 * mate is not excused by the mate's.
 */

/**
 * Of the output's largest magnitude. Kernels sum in another order for another batch size, which moves float32 results of deep
 * networks by about 1e-6 to 1e-4; outputs that depend on batch-mates differ in the first digits. FP16 has 11 significant bits,
 * BF16 8.
 */
const TOLERANCE_FRACTION: Partial<Record<Datatype, number>> = { FP16: 2e-2, BF16: 5e-2, FP32: 1e-3, FP64: 1e-6 };
/**
 * Of the difference that mates make which are all alike: rounding, as this model makes more of it. A model whose rows are coupled
 * answers among its copies differently too, so that no more than this is taken for rounding.
 */
const ROUNDING_FACTOR = 20;
const MOST_ROUNDING = 30;

/**
 * Where they differ by more than rounding, in one line; null where they agree.
 * @param rounded the same request again, among mates that are copies of itself
 */
export function differenceBetween(
  alone: readonly Tensor[],
  together: readonly Tensor[],
  rounded: readonly Tensor[] = alone,
): string | null {
  for (const [i, tensor] of alone.entries()) {
    const other = together[i];
    if (other?.name !== tensor.name || other.shape.join() !== tensor.shape.join()) {
      return `output '${tensor.name}' has the shape [${other?.shape.join(', ') ?? ''}], not [${tensor.shape.join(', ')}]`;
    }
    const tolerance = TOLERANCE_FRACTION[tensor.datatype];
    const agree =
      tolerance === undefined
        ? Buffer.compare(tensor.data, other.data) === 0
        : areClose(floatsOf(tensor), floatsOf(other), floatsOf(rounded[i] ?? tensor), tolerance);
    if (!agree) return `output '${tensor.name}' depends on its batch-mates`;
  }
  return null;
}

/** NaN agrees with NaN only, and an infinity with itself. */
function areClose(alone: Float64Array, together: Float64Array, rounded: Float64Array, fraction: number): boolean {
  const finite = (value: number): number => (Number.isFinite(value) ? Math.abs(value) : 0);
  let largest = 0;
  let rounding = 0;
  for (let i = 0; i < alone.length; i++) {
    largest = Math.max(largest, finite(alone[i]!));
    rounding = Math.max(rounding, finite(alone[i]! - (rounded[i] ?? alone[i]!)));
  }
  const tolerance = fraction * largest + Math.min(ROUNDING_FACTOR * rounding, MOST_ROUNDING * fraction * largest);
  return alone.every((value, i) => Object.is(value, together[i]) || Math.abs(value - together[i]!) <= tolerance);
}

function floatsOf({ datatype, data }: Tensor): Float64Array {
  const elementBytes = { FP64: 8, FP32: 4, FP16: 2, BF16: 2 }[datatype as 'FP32'];
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return Float64Array.from({ length: data.byteLength / elementBytes }, (_, i) => {
    switch (datatype) {
      case 'FP16':
        return halfToNumber(view.getUint16(i * 2, true));
      case 'BF16':
        return bfloatToNumber(view.getUint16(i * 2, true));
      case 'FP32':
        return view.getFloat32(i * 4, true);
      default:
        return view.getFloat64(i * 8, true);
    }
  });
}

/** IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 mantissa bits. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const mantissa = bits & 0x3ff;
  if (exponent === 0x1f) return mantissa === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** The high half of a float32. */
function bfloatToNumber(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint16(2, bits, true);
  return view.getFloat32(0, true);
}
