import {
  axisOf,
  Coupled,
  dimensionsOf,
  freshDimension,
  intAttribute,
  numbersOf,
  tellsBatchSize,
  Unknown,
  valueOf,
} from './batch-flow.js';
import { areEqual } from './dimension.js';
import type { OperatorRule } from './operator-rule.js';
import { ownedByModel, present, refuseSizes } from './rules-elementwise.js';

/*
 * Operators that pick elements by their places or ranks: from within a row, never from among the rows.
 */

const LAID_TOGETHER = 'it computes over the rows of the batch';

const gather: OperatorRule = ({ node, inputs: [data, indices] }) => {
  const axis = intAttribute(node, 'axis', 0);
  if (data!.sizes !== null && data!.dimensions?.length === 1) {
    const taken = numbersOf(indices!);
    if (taken !== null) {
      const sizes = taken.map((each) => data!.sizes!.at(each) ?? null);
      return [{ dimensions: indices!.dimensions, batchAxis: null, sizes }];
    }
    if (tellsBatchSize(data!)) throw new Unknown('which sizes it takes is not known');
  }
  refuseSizes(data!);
  refuseSizes(indices!);
  const isOwn = data!.batchAxis === null && indices!.batchAxis === null;
  if (isOwn && (data!.dimensions === null || indices!.dimensions === null)) return [valueOf(null)];
  const from = dimensionsOf(data!);
  const at = axisOf(axis, from.length);
  const taken = dimensionsOf(indices!);
  if (data!.batchAxis !== null && indices!.batchAxis !== null) throw new Coupled('every row takes from every other');
  if (at === data!.batchAxis) throw new Coupled('it takes some of the rows');
  const dimensions = [...from.slice(0, at), ...taken, ...from.slice(at + 1)];
  if (isOwn) return [valueOf(dimensions)];
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
    const { batchAxis } = value;
    if (
      batchAxis === null ||
      batchAxis !== first!.batchAxis ||
      dimensionsOf(value).length !== dimensionsOf(first!).length
    ) {
      throw new Coupled('rows meet what has no rows');
    }
    if (batchAxis === axis) throw new Coupled('it takes some of the rows');
    const [rows, others] = [first!, value].map((each) => dimensionsOf(each)[batchAxis]!);
    if (!areEqual(rows!, others!)) throw new Unknown('rows of different sizes meet');
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

export const SELECT_RULES: ReadonlyMap<string, OperatorRule> = new Map<string, OperatorRule>([
  ['Gather', gather],
  ['GatherElements', gatherElements],
  ['ScatterElements', gatherElements],
  ['TopK', topK],
  ['CumSum', cumulativeSum],
  ['OneHot', oneHot],
  ['Trilu', triangular],
]);
