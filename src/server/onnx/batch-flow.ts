import { areEqual, BATCH, fixed, isBatchFree, numberOf, unknown, type Dimension } from './dimension.js';
import type { GraphNode, GraphTensor } from './model-graph.js';

/*
 * What is known of a value in a graph that runs on a batch: its sizes, which axis counts the batch's rows, and its content
 * where it is a list of sizes.
 *
 * The invariant that everything here keeps: of a value with a batch axis, the part of each row is a function of that row's
 * inputs alone; of a value without, all is the same whatever the batch. An operator of which that cannot be said ends the
 * analysis.
 */

/** Content of a list of sizes: a size, or null for a whole number that is not known and may depend on the batch's size. */
export type Sizes = readonly (Dimension | null)[];

export interface FlowValue {
  /** Null where not even the rank is known. */
  readonly dimensions: readonly Dimension[] | null;
  /**
   * The axis of the rows; null for a value that is the same for every batch. Its size is B, or B times what was merged into it
   * behind each row.
   */
  readonly batchAxis: number | null;
  /** Of a one-dimensional or scalar tensor of whole numbers. */
  readonly sizes: Sizes | null;
  /** Of a constant that is small and has fractions. */
  readonly numbers?: readonly number[] | null;
}

/** Rows influence each other, or their number is part of the result. */
export class Coupled extends Error {
  override readonly name = 'Coupled';
}

/** Nothing can be said. */
export class Unknown extends Error {
  override readonly name = 'Unknown';
}

let symbolCount = 0;

/** A size that nothing is known of but that it does not depend on the batch. */
export function freshDimension(): Dimension {
  return unknown(`?${symbolCount++}`);
}

/** A whole number that nothing is known of but that it does not depend on the batch. */
export function freshNumber(): Dimension {
  return unknown(`(${symbolCount++})`);
}

export function constant({ shape, numbers, isInteger }: GraphTensor): FlowValue {
  return {
    dimensions: shape.map(fixed),
    batchAxis: null,
    sizes: isInteger && shape.length <= 1 ? (numbers?.map(fixed) ?? null) : null,
    numbers,
  };
}

/** A value that does not depend on the batch and of which no more is known. */
export const OPAQUE: FlowValue = { dimensions: null, batchAxis: null, sizes: null };

export function valueOf(dimensions: readonly Dimension[] | null, batchAxis: number | null = null): FlowValue {
  return { dimensions, batchAxis, sizes: null };
}

/** Whether its numbers (not its shape) say how large the batch is. */
export function tellsBatchSize({ sizes }: FlowValue): boolean {
  return sizes?.some((size) => size === null || !isBatchFree(size)) ?? false;
}

/** Sizes of a value that has a batch axis. @throws Unknown */
export function dimensionsOf(value: FlowValue): readonly Dimension[] {
  if (value.dimensions === null) throw new Unknown('the rank of one of its inputs is not known');
  return value.dimensions;
}

/** −1 is the last axis. @throws Unknown for an axis that does not exist */
export function axisOf(axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank : axis;
  if (positive < 0 || positive >= Math.max(1, rank)) throw new Unknown(`it has no axis ${axis}`);
  return positive;
}

/** The batch axis counts rows alone: nothing has been merged into it. */
export function isPlain(value: FlowValue): boolean {
  return value.batchAxis !== null && value.dimensions !== null && areEqual(value.dimensions[value.batchAxis]!, BATCH);
}

export function intAttribute(node: GraphNode, name: string, otherwise: number): number {
  return node.attributes.get(name)?.int ?? otherwise;
}

export function intsAttribute(node: GraphNode, name: string): readonly number[] | null {
  return node.attributes.get(name)?.ints ?? null;
}

/** Content as numbers; null where it is not known. */
export function numbersOf(value: FlowValue | null): readonly number[] | null {
  const numbers = value?.sizes?.map((size) => (size === null ? null : numberOf(size)));
  return numbers === undefined || numbers.includes(null) ? null : (numbers as number[]);
}

/**
 * Elements meet as NumPy broadcasts them: shapes aligned at their ends.
 * @throws Coupled where rows would meet other rows, or something that has a size of its own in the place of the rows
 */
export function broadcast(values: readonly FlowValue[]): FlowValue {
  for (const value of values) {
    if (tellsBatchSize(value)) throw new Coupled('it computes with the number of rows');
  }
  if (values.every(({ batchAxis }) => batchAxis === null)) return valueOf(broadcastDimensions(values), null);
  const fromEnd = new Set<number>();
  for (const value of values) {
    if (value.batchAxis !== null) fromEnd.add(dimensionsOf(value).length - value.batchAxis);
  }
  const [place, ...others] = fromEnd;
  if (place === undefined || others.length > 0) throw new Coupled('rows meet each other: they are on different axes');
  for (const value of values) {
    if (value.batchAxis !== null) continue;
    const dimensions = dimensionsOf(value);
    const meeting = dimensions[dimensions.length - place];
    if (meeting !== undefined && numberOf(meeting) !== 1) {
      throw new Coupled('rows meet a value that has a size of its own in their place');
    }
  }
  const dimensions = broadcastDimensions(values)!;
  return valueOf(dimensions, dimensions.length - place);
}

/** Null where a rank is not known. */
function broadcastDimensions(values: readonly FlowValue[]): readonly Dimension[] | null {
  const shapes = values.map(({ dimensions }) => dimensions);
  if (shapes.includes(null)) return null;
  const known = shapes as readonly (readonly Dimension[])[];
  const rank = Math.max(0, ...known.map(({ length }) => length));
  return Array.from({ length: rank }, (_, axis) => {
    const meeting = known.flatMap((shape) => shape[axis - (rank - shape.length)] ?? []);
    const [carrying, ...alike] = meeting.filter((size) => !isBatchFree(size));
    if (carrying !== undefined) {
      if (!alike.every((size) => areEqual(size, carrying))) throw new Unknown('rows of different sizes meet');
      return carrying;
    }
    const sized = meeting.filter((size) => numberOf(size) !== 1);
    const [first = fixed(1)] = sized;
    // A number beats a size that is not known: they are equal, or the other is 1.
    return (
      sized.find((size) => numberOf(size) !== null) ??
      (sized.every((size) => areEqual(size, first)) ? first : freshDimension())
    );
  });
}
