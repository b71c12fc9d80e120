import type { ShapeClass } from '../domain/request.js';

/*
 * What a shape may cost, as numbers: each is 1 for the profiled shape and grows with the sizes, so that a latency that is a
 * non-negative sum of them never falls with a size.
 *
 * - 1: what each row costs whatever its size;
 * - its elements: convolutions, feed-forward layers, copying;
 * - its axes' sizes, by themselves: a text beside an image, a question beside a passage. Three terms; a fourth axis shares with
 *   the first, and so on, so that models of many inputs have no more terms than others;
 * - the squares of elements and of axes: attention over all elements, or along one axis.
 *
 * Axes that never change are in it too and cost nothing there: what they add is a constant.
 */

const AXIS_TERMS = 3;
const FIRST_AXIS_TERM = 2;
export const SHAPE_TERM_COUNT = FIRST_AXIS_TERM + AXIS_TERMS + 2;
export const ELEMENT_TERM = 1;
/** From here on terms are squares. */
export const FIRST_SQUARED_TERM = FIRST_AXIS_TERM + AXIS_TERMS;

/** One number a term, each ≥ 0. */
export type ShapeTerms = Float64Array;

type Sizes = Pick<ShapeClass, 'elementCount' | 'axisSizes'>;

/** @param reference the profiled shape; where its axes are not known, or are others, elements stand for them */
export function shapeTerms(shape: Sizes, reference: Sizes): ShapeTerms {
  const elements = atLeastOne(shape.elementCount) / atLeastOne(reference.elementCount);
  const isComparable = shape.axisSizes.length === reference.axisSizes.length;
  const axes = isComparable
    ? shape.axisSizes.map((size, axis) => size / atLeastOne(reference.axisSizes[axis]!))
    : [elements];
  const terms = new Float64Array(SHAPE_TERM_COUNT).fill(1);
  terms[ELEMENT_TERM] = elements;
  for (let term = 0; term < AXIS_TERMS; term++) {
    const mates = axes.filter((_, axis) => axis % AXIS_TERMS === term);
    if (mates.length > 0) terms[FIRST_AXIS_TERM + term] = mean(mates);
  }
  terms[FIRST_SQUARED_TERM] = elements * elements;
  if (axes.length > 0) terms[FIRST_SQUARED_TERM + 1] = mean(axes.map((ratio) => ratio * ratio));
  return terms;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function atLeastOne(size: number): number {
  return Math.max(1, size);
}
