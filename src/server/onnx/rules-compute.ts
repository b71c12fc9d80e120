import {
  axisOf, broadcast, Coupled, dimensionsOf, freshDimension, intAttribute, intsAttribute, numbersOf, OPAQUE, tellsBatchSize, Unknown,
  valueOf, type FlowValue,
} from './batch-flow.js'; // prettier-ignore
import { ONE, product, type Dimension } from './dimension.js';
import type { OperatorRule } from './operator-rule.js';
import { ownedByModel, present, refuseSizes } from './rules-elementwise.js';

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

/** Sizes are multiplied as they are followed. */
const reduceProduct: OperatorRule = (call) => {
  const [list] = call.inputs;
  const isKept = intAttribute(call.node, 'noop_with_empty_axes', 0) === 1;
  if (list?.sizes == null || list.sizes.includes(null) || list.dimensions?.length !== 1 || isKept) {
    return reduction(18)(call);
  }
  const dimensions = intAttribute(call.node, 'keepdims', 1) === 1 ? [ONE] : [];
  return [{ dimensions, batchAxis: null, sizes: [product(list.sizes as readonly Dimension[])] }];
};

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
  // ONNX Runtime takes weights of more axes than it normalises over too.
  broadcast([input!, ...present(parameters)]);
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
  const stateCount = node.operator === 'LSTM' ? 2 : 1;
  const [peepholes, ...others] = states.splice(stateCount);
  if (others.length > 0) throw new Unknown('its inputs are not followed');
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

const eachElement: OperatorRule = ({ inputs: [input] }) => [broadcast([input!])];

const mixing =
  (reason: string): OperatorRule =>
  ({ node, inputs }) => {
    if (present(inputs).every((input) => input.batchAxis === null && !tellsBatchSize(input)))
      return node.outputs.map(() => OPAQUE);
    throw new Coupled(reason);
  };

const REDUCTIONS = 'ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceSumSquare';

export const COMPUTE_RULES: ReadonlyMap<string, OperatorRule> = new Map<string, OperatorRule>([
  ...REDUCTIONS.split(' ').map((name): [string, OperatorRule] => [name, reduction(18)]),
  ['ReduceProd', reduceProduct],
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
export const TABULAR_RULES: ReadonlyMap<string, OperatorRule> = new Map<string, OperatorRule>([
  ...'Imputer LinearClassifier LinearRegressor Normalizer SVMClassifier SVMRegressor Scaler TreeEnsembleClassifier TreeEnsembleRegressor'
    .split(' ')
    .map((name): [string, OperatorRule] => [name, tabular]),
  ['Binarizer', eachElement],
  ['LabelEncoder', eachElement],
]);
