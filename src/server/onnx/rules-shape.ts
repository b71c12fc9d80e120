import {
  axisOf, broadcast, Coupled, dimensionsOf, freshDimension, freshNumber, intAttribute, intsAttribute, isPlain, numbersOf, tellsBatchSize, Unknown,
  valueOf, type FlowValue, type Sizes,
} from './batch-flow.js'; // prettier-ignore
import { areEqual, BATCH, fixed, isBatchFree, numberOf, ONE, product, quotient, type Dimension } from './dimension.js';
import type { OperatorCall, OperatorRule } from './operator-rule.js';
import { present, refuseSizes } from './rules-elementwise.js';

/*
 * Operators that change where elements are, not what they are: the rows stay together if the batch axis does.
 */

const shape: OperatorRule = ({ node, inputs: [input] }) => {
  const dimensions = dimensionsOf(input!);
  const rank = dimensions.length;
  const bound = (value: number): number => Math.min(rank, Math.max(0, value < 0 ? value + rank : value));
  const listed = dimensions.slice(bound(intAttribute(node, 'start', 0)), bound(intAttribute(node, 'end', rank)));
  return [{ dimensions: [fixed(listed.length)], batchAxis: null, sizes: listed }];
};

const size: OperatorRule = ({ inputs: [input] }) => [
  { dimensions: [], batchAxis: null, sizes: [product(dimensionsOf(input!))] },
];

const reshape: OperatorRule = ({ node, inputs: [input, target] }) => {
  const sizes = target?.sizes ?? intsAttribute(node, 'shape')?.map(fixed) ?? null;
  return [reshaped(input!, sizes, intAttribute(node, 'allowzero', 0) === 1)];
};

const flatten: OperatorRule = ({ node, inputs: [input] }) => {
  const dimensions = dimensionsOf(input!);
  const axis = intAttribute(node, 'axis', 1);
  const at = axis < 0 ? axis + dimensions.length : axis;
  const target = [product(dimensions.slice(0, at)), product(dimensions.slice(at))];
  return [reshaped(input!, target, true)];
};

/**
 * Elements keep their order, so the rows stay rows on an axis that has as much before it as theirs has, and begins with B.
 * @param target 0 for the size that is there already (unless `isZeroMeant`), −1 for what is left
 */
function reshaped(input: FlowValue, target: Sizes | null, isZeroMeant: boolean): FlowValue {
  if (target === null) {
    refuseSizes(input);
    if (input.batchAxis !== null) throw new Unknown('the shape that it gives is not known');
    return { ...valueOf(null), sizes: null };
  }
  if (input.batchAxis === null && input.sizes !== null && target.length <= 1) {
    return { dimensions: target.length === 0 ? [] : [fixed(input.sizes.length)], batchAxis: null, sizes: input.sizes };
  }
  refuseSizes(input);
  if (input.dimensions === null) {
    if (target.includes(null)) throw new Unknown('the shape that it gives is not known');
    return valueOf(target.map((each) => (each === null || (numberOf(each) ?? 1) <= 0 ? freshDimension() : each)));
  }
  const source = input.dimensions;
  const filled = target.map((each, axis) => {
    if (each === null) throw new Unknown('the shape that it gives is not known');
    return numberOf(each) === 0 && !isZeroMeant ? (source[axis] ?? fixed(0)) : each;
  });
  const open = filled.findIndex((each) => numberOf(each) === -1);
  if (open >= 0) {
    const rest = product(filled.filter((_, axis) => axis !== open));
    const left = quotient(product(source), rest);
    if (left === null && (input.batchAxis !== null || !isBatchFree(rest))) {
      throw new Unknown('the shape that it gives is not known');
    }
    filled[open] = left ?? freshDimension();
  }
  if (input.batchAxis === null) {
    if (filled.some((each) => !isBatchFree(each)))
      throw new Coupled('what is the same for all is spread over the rows');
    return valueOf(filled);
  }
  const before = product(source.slice(0, input.batchAxis));
  for (let axis = 0; axis < filled.length; axis++) {
    if (isBatchFree(filled[axis]!)) continue;
    if (filled[axis]!.batchPower > 1 || !areEqual(product(filled.slice(0, axis)), before)) {
      throw new Coupled('rows are cut apart or laid together');
    }
    // What stood behind the rows may have been merged into their axis; what stood before them cannot.
    return valueOf(filled, axis);
  }
  throw new Coupled('rows are laid together: no axis counts them any more');
}

const transpose: OperatorRule = ({ node, inputs: [input] }) => {
  const { dimensions, batchAxis } = input!;
  if (dimensions === null) return [valueOf(null)];
  const order = intsAttribute(node, 'perm') ?? [...dimensions.keys()].reverse();
  const isPermutation = order.length === dimensions.length && dimensions.every((_, axis) => order.includes(axis));
  if (!isPermutation) throw new Unknown('it does not name each axis once');
  refuseSizes(input!);
  const moved = order.map((axis) => dimensions[axis] ?? freshDimension());
  return [valueOf(moved, batchAxis === null ? null : order.indexOf(batchAxis))];
};

const unsqueeze: OperatorRule = ({ node, inputs: [input, listed] }) => {
  const axes = listed == null ? intsAttribute(node, 'axes') : numbersOf(listed);
  if (axes === null) throw new Unknown('the axes that it adds are not known');
  if (input!.dimensions === null) return [valueOf(null)];
  const rank = input!.dimensions.length + axes.length;
  const added = new Set(axes.map((axis) => (axis < 0 ? axis + rank : axis)));
  if (rank > 1) refuseSizes(input!);
  const old = [...input!.dimensions.entries()];
  let batchAxis: number | null = null;
  const dimensions = Array.from({ length: rank }, (_, axis) => {
    if (added.has(axis)) return ONE;
    const [from, size] = old.shift() ?? [-1, ONE];
    if (from === input!.batchAxis) batchAxis = axis;
    return size;
  });
  return [{ dimensions, batchAxis, sizes: rank <= 1 ? input!.sizes : null }];
};

const squeeze: OperatorRule = ({ node, inputs: [input, listed] }) => {
  const { dimensions, batchAxis, sizes } = input!;
  if (dimensions === null) return [valueOf(null)];
  const axes = listed == null ? intsAttribute(node, 'axes') : numbersOf(listed);
  if (axes === null && (listed != null || batchAxis !== null)) throw new Coupled('a batch of one row loses its axis');
  const gone = new Set(
    axes?.map((axis) => axisOf(axis, dimensions.length)) ??
      [...dimensions.keys()].filter((axis) => numberOf(dimensions[axis]!) === 1),
  );
  if (axes === null && dimensions.some((each) => numberOf(each) === null)) return [valueOf(null)];
  if (batchAxis !== null && gone.has(batchAxis)) throw new Coupled('it takes the axis of the rows away');
  const kept = [...dimensions.keys()].filter((axis) => !gone.has(axis));
  return [
    {
      dimensions: kept.map((axis) => dimensions[axis]!),
      batchAxis: batchAxis === null ? null : kept.indexOf(batchAxis),
      sizes,
    },
  ];
};

const concat: OperatorRule = ({ node, inputs }) => {
  const values = present(inputs);
  const axis = intAttribute(node, 'axis', 0);
  const lists = values.map(listOf);
  if (values.some(({ sizes }) => sizes !== null) && !lists.includes(null)) {
    const sizes = lists.flatMap((list) => list!);
    return [{ dimensions: [fixed(sizes.length)], batchAxis: null, sizes }];
  }
  values.forEach(refuseSizes);
  const first = values.find(({ batchAxis }) => batchAxis !== null) ?? values[0]!;
  if (first.batchAxis === null && values.some(({ dimensions }) => dimensions === null)) return [valueOf(null)];
  const dimensions = dimensionsOf(first);
  const at = axisOf(axis, dimensions.length);
  if (at === first.batchAxis) throw new Coupled('rows are put behind other rows');
  for (const value of values) {
    if (value.batchAxis !== first.batchAxis) throw new Coupled('what has no rows is put beside rows');
    if (first.batchAxis !== null && !areEqual(dimensionsOf(value)[first.batchAxis]!, dimensions[first.batchAxis]!)) {
      throw new Unknown('rows of different sizes meet');
    }
  }
  const lengths = values.map((value) => numberOf(dimensionsOf(value)[at]!));
  const length = lengths.includes(null) ? freshDimension() : fixed(lengths.reduce<number>((a, b) => a + b!, 0));
  return [valueOf(dimensions.with(at, length), first.batchAxis)];
};

/** Sizes of a list; of whole numbers of which only the count is known, as many that are not. */
function listOf({ dimensions, batchAxis, sizes }: FlowValue): Sizes | null {
  if (dimensions?.length !== 1 || batchAxis !== null) return null;
  const length = numberOf(dimensions[0]!);
  return sizes ?? (length === null || length > MOST_SIZES ? null : Array.from({ length }, freshNumber));
}

const split: OperatorRule = ({ node, inputs: [input, listed] }) => {
  const count = node.outputs.length;
  const { dimensions, batchAxis, sizes } = input!;
  if (dimensions === null) return Array.from({ length: count }, () => valueOf(null));
  const axis = axisOf(intAttribute(node, 'axis', 0), dimensions.length);
  if (axis === batchAxis) throw new Coupled('rows are split from each other');
  if (listed != null && (listed.batchAxis !== null || tellsBatchSize(listed))) {
    throw new Coupled('where it splits depends on the batch');
  }
  const lengths = listed == null ? intsAttribute(node, 'split') : numbersOf(listed);
  if (sizes !== null) {
    if (lengths === null) throw new Unknown('how it splits sizes is not known');
    let from = 0;
    return lengths.map((length) => {
      const part = sizes.slice(from, (from += length));
      return { dimensions: [fixed(length)], batchAxis: null, sizes: part };
    });
  }
  const whole = numberOf(dimensions[axis]!);
  const even = listed == null && whole !== null && whole % count === 0 ? fixed(whole / count) : null;
  return Array.from({ length: count }, (_, i) => {
    const length = lengths?.[i];
    return valueOf(dimensions.with(axis, length === undefined ? (even ?? freshDimension()) : fixed(length)), batchAxis);
  });
};

/** Ends from here on mean "to the end": exporters write 10⁹ or the largest whole numbers, and no axis is so long. */
const TO_THE_END = 1e9;

const slice: OperatorRule = ({ node, opset, inputs: [input, starts, ends, axes, steps] }) => {
  const isAttribute = opset < 10;
  const listOf = (value: FlowValue | null | undefined, name: string): readonly number[] | null =>
    isAttribute ? intsAttribute(node, name) : numbersOf(value ?? null);
  const from = listOf(starts, 'starts');
  const to = listOf(ends, 'ends');
  const { dimensions, batchAxis, sizes } = input!;
  if (dimensions === null) return [valueOf(null)];
  const count = from?.length ?? to?.length ?? starts?.sizes?.length ?? numberOf(starts?.dimensions?.[0] ?? ONE) ?? 0;
  const isGiven = isAttribute ? intsAttribute(node, 'axes') !== null : axes != null;
  const listed = isGiven ? listOf(axes, 'axes') : Array.from({ length: count }, (_, i) => i);
  if (listed === null) throw new Unknown('the axes that it cuts are not known');
  const step = isAttribute || steps == null ? listed.map(() => 1) : numbersOf(steps);
  if (sizes !== null && dimensions.length === 1) {
    if (from === null || to === null || step === null) throw new Unknown('which sizes it takes is not known');
    if (step[0] !== 1) throw new Unknown('it takes sizes with steps');
    const part = sizes.slice(from[0], to[0]);
    return [{ dimensions: [fixed(part.length)], batchAxis: null, sizes: part }];
  }
  refuseSizes(input!);
  let cut = dimensions;
  for (const [i, axis] of listed.entries()) {
    const at = axisOf(axis, dimensions.length);
    const isWhole = from?.[i] === 0 && (to?.[i] ?? 0) >= TO_THE_END && (step?.[i] ?? 0) === 1;
    if (isWhole) continue;
    if (at === batchAxis) throw new Coupled('it takes some of the rows');
    cut = cut.with(at, freshDimension());
  }
  // Where to cut must be the same for all rows.
  for (const bound of [starts, ends, steps]) {
    if (bound != null && (bound.batchAxis !== null || tellsBatchSize(bound))) {
      throw new Coupled('where it cuts depends on the batch');
    }
  }
  return [valueOf(cut, batchAxis)];
};

const expand: OperatorRule = ({ inputs: [input, target] }) => {
  const sizes = target!.sizes;
  if (sizes === null) {
    if (input!.batchAxis !== null || target!.batchAxis !== null)
      throw new Unknown('the shape that it gives is not known');
    return [valueOf(null)];
  }
  if (sizes.includes(null)) throw new Unknown('the shape that it gives is not known');
  return [spread(input!, sizes as readonly Dimension[])];
};

/** Broadcast to a shape: what is the same for all rows is given to each of them. */
function spread(input: FlowValue, target: readonly Dimension[]): FlowValue {
  refuseSizes(input);
  const batchAxes = [...target.keys()].filter((axis) => !isBatchFree(target[axis]!));
  if (batchAxes.length > 1) throw new Coupled('rows meet each other: two axes count them');
  const [axis = null] = batchAxes;
  if (axis !== null && !areEqual(target[axis]!, BATCH)) throw new Unknown('it repeats rows');
  // As if it met a value of that shape whose rows are all alike.
  return broadcast([input, valueOf(target, axis)]);
}

const constantOfShape: OperatorRule = ({ node, inputs: [target] }) => {
  const sizes = target!.sizes;
  if (sizes === null) {
    if (target!.batchAxis !== null) throw new Coupled('its shape depends on the rows');
    return [valueOf(null)];
  }
  if (sizes.includes(null)) throw new Unknown('the shape that it gives is not known');
  const length = sizes.length === 1 ? numberOf(sizes[0]!) : null;
  const filling = node.attributes.get('value')?.tensor;
  const value = filling?.isInteger === true ? filling.numbers?.[0] : undefined;
  if (length !== null && length <= MOST_SIZES && value !== undefined) {
    const filled = Array.from({ length }, () => fixed(value));
    return [{ dimensions: [fixed(length)], batchAxis: null, sizes: filled }];
  }
  return [spread(valueOf([]), sizes as readonly Dimension[])];
};

/** No tensor has more axes. */
const MOST_SIZES = 64;

const tile: OperatorRule = ({ inputs: [input, repeats] }) => {
  const { dimensions, batchAxis } = input!;
  refuseSizes(input!);
  if (dimensions === null) return [valueOf(null)];
  const counts = repeats!.sizes;
  if (counts === null) throw new Unknown('how often it repeats is not known');
  const repeated = dimensions.map((each, axis) => {
    const times = counts[axis] ?? null;
    if (times === null) throw new Unknown('how often it repeats is not known');
    if (axis === batchAxis && numberOf(times) !== 1) throw new Coupled('rows are repeated');
    return product([each, times]);
  });
  const carrying = repeated.findIndex((each) => !isBatchFree(each));
  if (batchAxis === null && carrying >= 0) {
    // One value for all, given to each row.
    if (numberOf(dimensions[carrying]!) !== 1) throw new Coupled('what is the same for all is spread over the rows');
    return [valueOf(repeated, carrying)];
  }
  return [valueOf(repeated, batchAxis)];
};

const range: OperatorRule = ({ inputs }) => {
  for (const input of present(inputs)) {
    if (input.batchAxis !== null || tellsBatchSize(input)) throw new Coupled('it numbers the rows');
  }
  return [valueOf([freshDimension()])];
};

const pad: OperatorRule = ({ node, opset, inputs: [input, pads, value, axes] }) => {
  const { dimensions, batchAxis } = input!;
  if (dimensions === null) return [valueOf(null)];
  for (const parameter of [pads, value]) {
    if (parameter != null && (parameter.batchAxis !== null || tellsBatchSize(parameter))) {
      throw new Coupled('how it pads depends on the batch');
    }
  }
  const amounts =
    opset < 11 ? (intsAttribute(node, 'pads') ?? intsAttribute(node, 'paddings')) : numbersOf(pads ?? null);
  const listed =
    axes == null ? [...dimensions.keys()] : numbersOf(axes)?.map((axis) => axisOf(axis, dimensions.length));
  if (batchAxis !== null) {
    if (amounts === null || listed == null) throw new Unknown('where it pads is not known');
    const place = listed.indexOf(batchAxis);
    if (place >= 0 && (amounts[place] !== 0 || amounts[place + listed.length] !== 0)) {
      throw new Coupled('rows are added');
    }
  }
  return [
    valueOf(
      dimensions.map((each, axis) => {
        if (axis === batchAxis) return each;
        const place = listed?.indexOf(axis) ?? -1;
        const known = numberOf(each);
        if (place < 0) return each;
        if (known === null || amounts === null) return freshDimension();
        return fixed(known + amounts[place]! + amounts[place + listed!.length]!);
      }),
      batchAxis,
    ),
  ];
};

export const SHAPE_RULES: ReadonlyMap<string, OperatorRule> = new Map(
  Object.entries({
    Shape: shape,
    Size: size,
    Reshape: reshape,
    Flatten: flatten,
    Transpose: transpose,
    Unsqueeze: unsqueeze,
    Squeeze: squeeze,
    Concat: concat,
    Split: split,
    Slice: slice,
    Expand: expand,
    ConstantOfShape: constantOfShape,
    Tile: tile,
    Range: range,
    Pad: pad,
  } satisfies Record<string, (call: OperatorCall) => readonly FlowValue[]>),
);

export function isPlainOutput(value: FlowValue): boolean {
  return value.batchAxis === 0 && isPlain(value);
}
