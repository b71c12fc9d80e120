import {
  axisOf, broadcast, Coupled, dimensionsOf, freshDimension, intAttribute, intsAttribute, numbersOf, OPAQUE, tellsBatchSize, Unknown,
  valueOf, type FlowValue,
} from './batch-flow.js'; // prettier-ignore
import { fixed, isBatchFree, numberOf, ONE, type Dimension } from './dimension.js';
import type { OperatorRule } from './operator-rule.js';
import { present, refuseSizes } from './rules-elementwise.js';
import { onFirstAxis } from './rules-shape.js';

/*
 * Operators that compute along axes: rows stay independent as long as none of these axes is theirs.
 */

const LAID_TOGETHER = 'it computes over the rows of the batch';

/** @param isListed whether the axes are an input from this version of the operator on */
function reduction(axesAreInputFrom: number): OperatorRule {
  return ({ node, opset, inputs: [input, listed] }) => {
    refuseSizes(input!);
    const { dimensions, batchAxis } = input!;
    const axes = opset >= axesAreInputFrom && listed != null ? numbersOf(listed) : intsAttribute(node, 'axes');
    if (opset >= axesAreInputFrom && listed != null && axes === null) throw new Unknown('the axes are not known');
    if (dimensions === null) return [valueOf(null)];
    const isNothing = (axes === null || axes.length === 0) && intAttribute(node, 'noop_with_empty_axes', 0) === 1;
    if (isNothing) return [valueOf(dimensions, batchAxis)];
    const gone = new Set(
      axes === null || axes.length === 0 ? dimensions.keys() : axes.map((axis) => axisOf(axis, dimensions.length)),
    );
    if (batchAxis !== null && gone.has(batchAxis)) throw new Coupled(LAID_TOGETHER);
    return [without(input!, gone, intAttribute(node, 'keepdims', 1) === 1)];
  };
}

function without({ dimensions, batchAxis }: FlowValue, gone: ReadonlySet<number>, isKept: boolean): FlowValue {
  if (isKept)
    return valueOf(
      dimensions!.map((each, axis) => (gone.has(axis) ? ONE : each)),
      batchAxis,
    );
  const kept = [...dimensions!.keys()].filter((axis) => !gone.has(axis));
  return valueOf(
    kept.map((axis) => dimensions![axis]!),
    batchAxis === null ? null : kept.indexOf(batchAxis),
  );
}

const argument: OperatorRule = ({ node, inputs: [input] }) => {
  refuseSizes(input!);
  if (input!.dimensions === null) return [valueOf(null)];
  const axis = axisOf(intAttribute(node, 'axis', 0), input!.dimensions.length);
  if (axis === input!.batchAxis) throw new Coupled(LAID_TOGETHER);
  return [without(input!, new Set([axis]), intAttribute(node, 'keepdims', 1) === 1)];
};

/** Keeps the shape, and works along one axis. */
function along(defaultAxis: number): OperatorRule {
  return ({ node, inputs: [input] }) => {
    refuseSizes(input!);
    const { dimensions, batchAxis } = input!;
    if (batchAxis === null) return [valueOf(dimensions)];
    const axis = axisOf(intAttribute(node, 'axis', defaultAxis), dimensionsOf(input!).length);
    if (axis === batchAxis) throw new Coupled(LAID_TOGETHER);
    return [valueOf(dimensions, batchAxis)];
  };
}

/** Before version 13 it worked on all axes from one on, as if they were one. */
const softmax: OperatorRule = (call) => {
  const { node, opset, inputs } = call;
  if (opset >= 13) return along(-1)(call);
  const [input] = inputs;
  refuseSizes(input!);
  if (input!.batchAxis === null) return [valueOf(input!.dimensions)];
  const axis = axisOf(intAttribute(node, 'axis', 1), dimensionsOf(input!).length);
  if (input!.batchAxis >= axis) throw new Coupled(LAID_TOGETHER);
  return [valueOf(input!.dimensions, input!.batchAxis)];
};

/** Normalises over all axes from one on. */
const layerNormalization: OperatorRule = ({ node, inputs: [input, ...parameters] }) => {
  refuseSizes(input!);
  ownedByModel(parameters);
  if (input!.batchAxis === null) return [valueOf(input!.dimensions), OPAQUE, OPAQUE];
  const dimensions = dimensionsOf(input!);
  const axis = axisOf(intAttribute(node, 'axis', -1), dimensions.length);
  if (input!.batchAxis >= axis) throw new Coupled(LAID_TOGETHER);
  const statistics = valueOf(
    dimensions.map((each, at) => (at < axis ? each : ONE)),
    input!.batchAxis,
  );
  return [valueOf(dimensions, input!.batchAxis), statistics, statistics];
};

const batchNormalization: OperatorRule = ({ node, inputs: [input, ...parameters] }) => {
  refuseSizes(input!);
  ownedByModel(parameters);
  if (intAttribute(node, 'training_mode', 0) === 1 && input!.batchAxis !== null) throw new Coupled(LAID_TOGETHER);
  if (input!.batchAxis !== null && input!.batchAxis !== 0) throw new Coupled('the rows are not on its first axis');
  return [valueOf(input!.dimensions, input!.batchAxis)];
};

/** Each image by itself: rows on the first axis, all else within them; the shape stays. */
const eachImage: OperatorRule = ({ inputs: [input, ...parameters] }) => {
  refuseSizes(input!);
  ownedByModel(parameters);
  if (input!.batchAxis !== null && input!.batchAxis !== 0) throw new Coupled('the rows are not on its first axis');
  return [valueOf(input!.dimensions, input!.batchAxis)];
};

const overAxes: OperatorRule = ({ node, inputs: [input] }) => {
  refuseSizes(input!);
  if (input!.batchAxis === null) return [valueOf(input!.dimensions)];
  const rank = dimensionsOf(input!).length;
  const axes = (intsAttribute(node, 'axes') ?? [0, 2, 3]).map((axis) => axisOf(axis, rank));
  if (axes.includes(input!.batchAxis)) throw new Coupled(LAID_TOGETHER);
  return [valueOf(input!.dimensions, input!.batchAxis)];
};

/** Weights and the like, which have to be the model's own: of the rows they would mix them. */
function ownedByModel(parameters: readonly (FlowValue | null | undefined)[]): void {
  for (const parameter of parameters) {
    if (parameter == null) continue;
    if (parameter.batchAxis !== null) throw new Coupled('its weights depend on the rows');
    refuseSizes(parameter);
  }
}

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
  if (a.batchAxis === null && b.batchAxis === null) return valueOf(null);
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

const matMulInteger: OperatorRule = ({ inputs: [a, b, ...zeroPoints] }) => {
  ownedByModel(zeroPoints);
  return [multiplied(a!, b!)];
};

/** a, scale, zero point, b, scale, zero point, scale, zero point */
const qLinearMatMul: OperatorRule = ({ inputs: [a, aScale, aZero, b, ...others] }) => {
  ownedByModel([aScale, aZero, ...others]);
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

const gather: OperatorRule = ({ node, inputs: [data, indices] }) => {
  const axis = intAttribute(node, 'axis', 0);
  if (data!.sizes !== null && data!.dimensions?.length === 1) {
    const taken = numbersOf(indices!);
    if (taken === null) throw new Unknown('which sizes it takes is not known');
    const sizes = taken.map((each) => data!.sizes!.at(each) ?? null);
    return [{ dimensions: indices!.dimensions, batchAxis: null, sizes }];
  }
  refuseSizes(data!);
  refuseSizes(indices!);
  if (data!.batchAxis === null && indices!.batchAxis === null) return [valueOf(null)];
  const from = dimensionsOf(data!);
  const at = axisOf(axis, from.length);
  const taken = dimensionsOf(indices!);
  if (data!.batchAxis !== null && indices!.batchAxis !== null) throw new Coupled('every row takes from every other');
  if (at === data!.batchAxis) throw new Coupled('it takes some of the rows');
  const dimensions = [...from.slice(0, at), ...taken, ...from.slice(at + 1)];
  if (indices!.batchAxis !== null) return [valueOf(dimensions, at + indices!.batchAxis)];
  const moved = data!.batchAxis! < at ? data!.batchAxis! : data!.batchAxis! + taken.length - 1;
  return [valueOf(dimensions, moved)];
};

/** Data and indices of the same shape but along one axis. */
const gatherElements: OperatorRule = ({ node, inputs }) => {
  const values = present(inputs);
  values.forEach(refuseSizes);
  const [first] = values;
  if (values.every(({ batchAxis }) => batchAxis === null)) return [valueOf(null)];
  const axis = axisOf(intAttribute(node, 'axis', 0), dimensionsOf(first!).length);
  for (const value of values) {
    if (value.batchAxis !== first!.batchAxis || dimensionsOf(value).length !== dimensionsOf(first!).length) {
      throw new Coupled('rows meet what has no rows');
    }
    if (value.batchAxis === axis) throw new Coupled('it takes some of the rows');
  }
  const last = node.operator === 'GatherElements' ? values[1]! : first!;
  return [valueOf(dimensionsOf(last), last.batchAxis)];
};

const topK: OperatorRule = ({ node, inputs: [input, k] }) => {
  refuseSizes(input!);
  if (k != null) ownedByModel([k]);
  if (input!.batchAxis === null) return [valueOf(null), valueOf(null)];
  const dimensions = dimensionsOf(input!);
  const axis = axisOf(intAttribute(node, 'axis', -1), dimensions.length);
  if (axis === input!.batchAxis) throw new Coupled('rows are ranked against each other');
  const result = valueOf(dimensions.with(axis, freshDimension()), input!.batchAxis);
  return [result, result];
};

const cumulativeSum: OperatorRule = ({ inputs: [input, axis] }) => {
  refuseSizes(input!);
  if (input!.batchAxis === null) return [valueOf(input!.dimensions)];
  const [listed] = numbersOf(axis!) ?? [];
  if (listed === undefined) throw new Unknown('the axis is not known');
  if (axisOf(listed, dimensionsOf(input!).length) === input!.batchAxis) throw new Coupled(LAID_TOGETHER);
  return [valueOf(input!.dimensions, input!.batchAxis)];
};

const oneHot: OperatorRule = ({ node, inputs: [indices, depth, values] }) => {
  refuseSizes(indices!);
  ownedByModel([depth, values]);
  if (indices!.batchAxis === null) return [valueOf(null)];
  const dimensions = dimensionsOf(indices!);
  const rank = dimensions.length + 1;
  const axis = axisOf(intAttribute(node, 'axis', -1), rank);
  return [
    valueOf(
      [...dimensions.slice(0, axis), freshDimension(), ...dimensions.slice(axis)],
      indices!.batchAxis < axis ? indices!.batchAxis : indices!.batchAxis + 1,
    ),
  ];
};

const triangular: OperatorRule = ({ inputs: [input, k] }) => {
  refuseSizes(input!);
  ownedByModel([k]);
  if (input!.batchAxis === null) return [valueOf(input!.dimensions)];
  if (input!.batchAxis >= dimensionsOf(input!).length - 2)
    throw new Coupled('what is kept of a row depends on its place');
  return [valueOf(input!.dimensions, input!.batchAxis)];
};

const quantizedOnTheFly: OperatorRule = ({ inputs: [input] }) => {
  if (input!.batchAxis === null) return [OPAQUE, OPAQUE, OPAQUE];
  throw new Coupled('its scale is that of the largest number in the whole batch');
};

/** x [length, rows, …] with layout 0; W, R, B belong to the model. */
const recurrent: OperatorRule = ({ node, inputs: [x, w, r, b, lengths, ...states] }) => {
  refuseSizes(x!);
  ownedByModel([w, r, b]);
  if (x!.batchAxis === null) return [OPAQUE, OPAQUE, OPAQUE];
  if (intAttribute(node, 'layout', 0) !== 0) throw new Unknown('its layout is not followed');
  const dimensions = dimensionsOf(x!);
  if (x!.batchAxis !== 1) throw new Coupled('rows follow each other in its sequence');
  const peepholes = node.operator === 'LSTM' ? states.pop() : undefined;
  if (states.length > (node.operator === 'LSTM' ? 2 : 1)) throw new Unknown('its inputs are not followed');
  ownedByModel([peepholes]);
  if (lengths != null && lengths.batchAxis !== 0) throw new Coupled('its lengths are not those of the rows');
  for (const state of states) {
    if (state != null && state.batchAxis !== 1) throw new Coupled('its first state is not that of the rows');
  }
  const rows = dimensions[1]!;
  const state = valueOf([freshDimension(), rows, freshDimension()], 1);
  return [valueOf([dimensions[0]!, freshDimension(), rows, freshDimension()], 2), state, state];
};

/** Tables: rows on the first axis, features within them; what it gives has the rows first too. */
const tabular: OperatorRule = ({ node, inputs: [input, ...parameters] }) => {
  refuseSizes(input!);
  ownedByModel(parameters);
  if (input!.batchAxis === null) return node.outputs.map(() => OPAQUE);
  if (input!.batchAxis !== 0 || dimensionsOf(input!).length !== 2)
    throw new Coupled('the rows are not on its first axis');
  const [rows] = dimensionsOf(input!);
  const scores = valueOf([rows!, freshDimension()], 0);
  return node.operator.endsWith('Classifier') ? [valueOf([rows!], 0), scores] : [scores];
};

const mixing =
  (reason: string): OperatorRule =>
  ({ node, inputs }) => {
    if (present(inputs).every((input) => input.batchAxis === null && !tellsBatchSize(input)))
      return node.outputs.map(() => OPAQUE);
    throw new Coupled(reason);
  };

const REDUCTIONS =
  'ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSumSquare';

export const COMPUTE_RULES: ReadonlyMap<string, OperatorRule> = new Map<string, OperatorRule>([
  ...REDUCTIONS.split(' ').map((name): [string, OperatorRule] => [name, reduction(18)]),
  ['ReduceSum', reduction(13)],
  ['ArgMax', argument],
  ['ArgMin', argument],
  ['Softmax', softmax],
  ['LogSoftmax', softmax],
  ['Hardmax', softmax],
  ['LpNormalization', along(-1)],
  ['LayerNormalization', layerNormalization],
  ['RMSNormalization', layerNormalization],
  ['BatchNormalization', batchNormalization],
  ['InstanceNormalization', eachImage],
  ['GroupNormalization', eachImage],
  ['LRN', eachImage],
  ['MeanVarianceNormalization', overAxes],
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
  ['Gather', gather],
  ['GatherElements', gatherElements],
  ['ScatterElements', gatherElements],
  ['TopK', topK],
  ['CumSum', cumulativeSum],
  ['OneHot', oneHot],
  ['Trilu', triangular],
  ['DynamicQuantizeLinear', quantizedOnTheFly],
  ['LSTM', recurrent],
  ['GRU', recurrent],
  ['RNN', recurrent],
  ['NonZero', mixing('how much it gives depends on all rows')],
  ['Unique', mixing('rows are compared with each other')],
  ['Compress', mixing('how much it gives depends on all rows')],
  ['NonMaxSuppression', mixing('how much it gives depends on all rows')],
  ['EyeLike', mixing('what it gives a row depends on its place')],
]);

/** `ai.onnx.ml` */
export const TABULAR_RULES: ReadonlyMap<string, OperatorRule> = new Map(
  'Imputer LinearClassifier LinearRegressor Normalizer SVMClassifier SVMRegressor Scaler TreeEnsembleClassifier TreeEnsembleRegressor'
    .split(' ')
    .map((name) => [name, tabular]),
);
