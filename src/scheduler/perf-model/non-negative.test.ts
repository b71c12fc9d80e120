import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { solveOnSupport } from './cholesky.js';
import { nonNegativeMinimum } from './non-negative.js';

const SIZE = 6;

/** ½·xᵀAx − vᵀx */
function objective(matrix: Float64Array, moments: Float64Array, x: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < SIZE; i++) {
    sum -= moments[i]! * x[i]!;
    for (let j = 0; j < SIZE; j++) sum += 0.5 * x[i]! * matrix[i * SIZE + j]! * x[j]!;
  }
  return sum;
}

/** The best of all 64 splits. */
function byExhaustion(matrix: Float64Array, moments: Float64Array): number {
  let best = 0;
  for (let support = 0; support < 1 << SIZE; support++) {
    const x = solveOnSupport(matrix, moments, support);
    if (x === null || x.some((value) => value < 0)) continue;
    best = Math.min(best, objective(matrix, moments, x));
  }
  return best;
}

describe('the non-negative minimum', () => {
  const numbers = (length: number): fc.Arbitrary<number[]> =>
    fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: length, maxLength: length });

  it('is that of the best of all splits, wherever the search starts, also of nearly dependent unknowns', () => {
    fc.assert(
      fc.property(
        numbers(8 * SIZE),
        numbers(SIZE),
        fc.nat((1 << SIZE) - 1),
        fc.boolean(),
        (rows, seen, start, isTwin) => {
          const matrix = new Float64Array(SIZE * SIZE);
          for (let row = 0; row < 8; row++) {
            const x = rows.slice(row * SIZE, (row + 1) * SIZE);
            if (isTwin) x[1] = x[0]! * 1.001;
            for (let i = 0; i < SIZE; i++) for (let j = 0; j < SIZE; j++) matrix[i * SIZE + j]! += x[i]! * x[j]!;
          }
          for (let i = 0; i < SIZE; i++) matrix[i * SIZE + i]! += 1e-3;
          const moments = Float64Array.from(seen);
          const { x, support } = nonNegativeMinimum(matrix, moments, start);
          expect(x.every((value) => value >= 0)).toBe(true);
          const best = byExhaustion(matrix, moments);
          expect(objective(matrix, moments, x)).toBeLessThanOrEqual(best + 1e-7 * Math.abs(best) + 1e-9);
          // Asked again from there, nothing is exchanged.
          expect(nonNegativeMinimum(matrix, moments, support).x).toEqual(x);
        },
      ),
      { numRuns: 500 },
    );
  });
});
