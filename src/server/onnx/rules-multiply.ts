import {
  broadcast,
  Coupled,
  dimensionsOf,
  freshDimension,
  intAttribute,
  intsAttribute,
  Unknown,
  valueOf,
  type FlowValue,
} from './batch-flow.js';
import { fixed, isBatchFree, numberOf, ONE, type Dimension } from './dimension.js';
import type { OperatorRule } from './operator-rule.js';
import { isScalar, ownedByModel, present, refuseSizes } from './rules-elementwise.js';
import { onFirstAxis } from './rules-image.js';

/*
 * Operators that multiply by weights, or pool: rows must be neither what is summed over, nor meet each other.
 */

const convolution: OperatorRule = ({ node, inputs: [input, weights, ...rest] }) => {
  refuseSizes(input!);
  ownedByModel([weights, ...rest]);
  if (input!.batchAxis === null) return [valueOf(null)];
  const out = onFirstAxis(input!, dimensionsOf(input!).length).dimensions!;
  const channels = node.operator === 'ConvTranspose' ? null : weights!.dimensions?.[0];
  const spatial = convolvedSizes(node.operator, dimensionsOf(input!), weights!.dimensions, {
    kernel: intsAttribute(node, 'kernel_shape'),
    strides: intsAttribute(node, 'strides'),
    pads: intsAttribute(node, 'pads'),
    dilations: intsAttribute(node, 'dilations'),
    isPaddedBySize: !['', 'NOTSET'].includes(node.attributes.get('auto_pad')?.text ?? ''),
  });
  return [
    valueOf(
      out.map((each, axis) => (axis === 1 ? (channels ?? each) : axis > 1 ? (spatial?.[axis - 2] ?? each) : each)),
      0,
    ),
  ];
};

interface Window {
  readonly kernel: readonly number[] | null;
  readonly strides: readonly number[] | null;
  readonly pads: readonly number[] | null;
  readonly dilations: readonly number[] | null;
  readonly isPaddedBySize: boolean;
}

/** Null where they are not worked out. */
function convolvedSizes(
  operator: string,
  input: readonly Dimension[],
  weights: readonly Dimension[] | null,
  { kernel, strides, pads, dilations, isPaddedBySize }: Window,
): readonly (Dimension | null)[] | null {
  if (operator === 'ConvTranspose' || isPaddedBySize) return null;
  return input.slice(2).map((each, i) => {
    const size = numberOf(each);
    const window = kernel?.[i] ?? (weights?.[i + 2] === undefined ? null : numberOf(weights[i + 2]!));
    if (size === null || window === null) return null;
    const padding = (pads?.[i] ?? 0) + (pads?.[i + input.length - 2] ?? 0);
    const reach = (window - 1) * (dilations?.[i] ?? 1) + 1;
    return fixed(Math.floor((size + padding - reach) / (strides?.[i] ?? 1)) + 1);
  });
}

const pool: OperatorRule = ({ node, inputs: [input] }) => {
  refuseSizes(input!);
  if (input!.batchAxis === null) return [valueOf(null)];
  const dimensions = dimensionsOf(input!);
  const out = onFirstAxis(input!, dimensions.length).dimensions!;
  const spatial =
    intAttribute(node, 'ceil_mode', 0) === 1
      ? null
      : convolvedSizes(node.operator, dimensions, null, {
          kernel: intsAttribute(node, 'kernel_shape'),
          strides: intsAttribute(node, 'strides'),
          pads: intsAttribute(node, 'pads'),
          dilations: intsAttribute(node, 'dilations'),
          isPaddedBySize: !['', 'NOTSET'].includes(node.attributes.get('auto_pad')?.text ?? ''),
        });
  // The second output of MaxPool counts places in the whole tensor, rows before it included.
  if ((node.outputs[1] ?? '') !== '') throw new Coupled('its indices count the rows before');
  return [
    valueOf(
      out.map((each, axis) => (axis === 1 ? dimensions[1]! : axis > 1 ? (spatial?.[axis - 2] ?? each) : each)),
      0,
    ),
  ];
};

const globalPool: OperatorRule = ({ inputs: [input] }) => {
  refuseSizes(input!);
  if (input!.batchAxis === null) return [valueOf(null)];
  const dimensions = dimensionsOf(input!);
  onFirstAxis(input!, dimensions.length);
  return [
    valueOf(
      dimensions.map((each, axis) => (axis < 2 ? each : ONE)),
      0,
    ),
  ];
};

/** @param inputs the two matrices; the rows must not be what is summed over, nor meet each other */
function multiplied(a: FlowValue, b: FlowValue): FlowValue {
  refuseSizes(a);
  refuseSizes(b);
  const isOwn = a.batchAxis === null && b.batchAxis === null;
  if (isOwn && [a, b].some(({ dimensions }) => dimensions === null || dimensions.length < 2)) return valueOf(null);
  const left = dimensionsOf(a);
  const right = dimensionsOf(b);
  if (left.length < 2 || right.length < 2) {
    if (right.length === 1 && b.batchAxis === null && a.batchAxis !== null && a.batchAxis < left.length - 1) {
      return valueOf(left.slice(0, -1), a.batchAxis);
    }
    throw new Coupled('a vector of rows is summed up');
  }
  if (a.batchAxis === left.length - 1 || b.batchAxis === right.length - 2)
    throw new Coupled('it sums over the rows of the batch');
  const isRowOfA = a.batchAxis === left.length - 2;
  const isColumnOfB = b.batchAxis === right.length - 1;
  if ((isRowOfA && b.batchAxis !== null) || (isColumnOfB && a.batchAxis !== null)) {
    throw new Coupled('every row meets every other');
  }
  const stack = broadcast([
    valueOf(left.slice(0, -2), a.batchAxis !== null && !isRowOfA ? a.batchAxis : null),
    valueOf(right.slice(0, -2), b.batchAxis !== null && !isColumnOfB ? b.batchAxis : null),
  ]);
  const dimensions = [...dimensionsOf(stack), left.at(-2)!, right.at(-1)!];
  if (isRowOfA) return valueOf(dimensions, dimensions.length - 2);
  if (isColumnOfB) return valueOf(dimensions, dimensions.length - 1);
  return valueOf(dimensions, stack.batchAxis);
}

const matMul: OperatorRule = ({ inputs: [a, b] }) => [multiplied(a!, b!)];

/** Scales and zeros are the model's; where they scale rows, they are the same for each. */
function scaledAlike(value: FlowValue, parameters: readonly (FlowValue | null | undefined)[]): void {
  ownedByModel(parameters);
  if (value.batchAxis === null) return;
  if (parameters.some((parameter) => parameter != null && !isScalar(parameter))) {
    throw new Coupled('each row has a scale of its own');
  }
}

const matMulInteger: OperatorRule = ({ inputs: [a, b, aZero, bZero] }) => {
  scaledAlike(a!, [aZero]);
  scaledAlike(b!, [bZero]);
  return [multiplied(a!, b!)];
};

/** a, scale, zero point, b, scale, zero point, scale, zero point */
const qLinearMatMul: OperatorRule = ({ inputs: [a, aScale, aZero, b, bScale, bZero, ...others] }) => {
  scaledAlike(a!, [aScale, aZero, ...others]);
  scaledAlike(b!, [bScale, bZero, ...others]);
  return [multiplied(a!, b!)];
};

/** x, scale, zero point, w, … */
const qLinearConv: OperatorRule = (call) => {
  const [input, , , weights] = call.inputs;
  ownedByModel(call.inputs.slice(1));
  return convolution({ ...call, inputs: [input!, weights!] });
};

const gemm: OperatorRule = ({ node, inputs: [a, b, c] }) => {
  const turned = (value: FlowValue, isTurned: boolean): FlowValue => {
    if (!isTurned || value.dimensions === null) return value;
    const { batchAxis } = value;
    return valueOf(
      [...value.dimensions].reverse(),
      batchAxis === null ? null : value.dimensions.length - 1 - batchAxis,
    );
  };
  const result = multiplied(
    turned(a!, intAttribute(node, 'transA', 0) === 1),
    turned(b!, intAttribute(node, 'transB', 0) === 1),
  );
  return [c == null ? result : broadcast([result, c])];
};

const einsum: OperatorRule = ({ node, inputs }) => {
  const values = present(inputs);
  values.forEach(refuseSizes);
  if (values.every(({ batchAxis }) => batchAxis === null)) return [valueOf(null)];
  const equation = (node.attributes.get('equation')?.text ?? '').replaceAll(' ', '');
  const [terms = '', result] = equation.split('->');
  if (result === undefined || equation.includes('.')) throw new Unknown(`its equation, ${equation}, is not followed`);
  const letters = new Set<string>();
  const sizes = new Map<string, Dimension>();
  for (const [i, term] of terms.split(',').entries()) {
    const value = values[i];
    if (value === undefined) throw new Unknown(`its equation, ${equation}, does not fit its inputs`);
    if (new Set(term).size !== term.length) throw new Unknown('it takes a diagonal');
    dimensionsOf(value).forEach((each, axis) => {
      const letter = term[axis]!;
      const known = sizes.get(letter);
      if (known !== undefined && isBatchFree(known) !== isBatchFree(each))
        throw new Coupled('rows meet what has no rows');
      sizes.set(letter, known !== undefined && numberOf(known) !== null ? known : each);
    });
    if (value.batchAxis !== null) letters.add(term[value.batchAxis]!);
  }
  if (letters.size > 1) throw new Coupled('every row meets every other');
  const [letter = ''] = letters;
  const at = result.indexOf(letter);
  if (at < 0) throw new Coupled('it sums over the rows of the batch');
  return [
    valueOf(
      Array.from(result, (each) => sizes.get(each) ?? freshDimension()),
      at,
    ),
  ];
};

export const MULTIPLY_RULES: ReadonlyMap<string, OperatorRule> = new Map<string, OperatorRule>([
  ['Conv', convolution],
  ['ConvTranspose', convolution],
  ['ConvInteger', convolution],
  ['QLinearConv', qLinearConv],
  ['MaxPool', pool],
  ['AveragePool', pool],
  ['LpPool', pool],
  ['GlobalAveragePool', globalPool],
  ['GlobalMaxPool', globalPool],
  ['GlobalLpPool', globalPool],
  ['MatMul', matMul],
  ['MatMulInteger', matMulInteger],
  ['QLinearMatMul', qLinearMatMul],
  ['Gemm', gemm],
  ['Einsum', einsum],
]);
