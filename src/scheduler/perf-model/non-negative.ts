import { solveOnSupport, type SymmetricMatrix } from './cholesky.js';

/*
 * Minimises ½·xᵀAx − vᵀx subject to x ≥ 0, for a positive definite A of a dozen unknowns, by principal pivoting: the unknowns
 * are split into free ones and zeros; where the split is wrong (a free one is negative, or a zero would rather grow), those are
 * exchanged, all at once as long as that makes fewer of them wrong, and else the last one only, which always ends (Júdice and
 * Pires, "A block principal pivoting algorithm for large-scale strictly monotone linear complementarity problems", 1994).
 * Started from the split of a moment ago it mostly takes one solve.
 */

/** Exchanges of one at a time are tried this often before the best so far is taken; a dozen unknowns take a few. */
const MOST_EXCHANGES = 200;
/** Relative; what rounding leaves of a zero. */
const TOLERANCE = 1e-9;

export interface NonNegativeSolution {
  readonly x: Float64Array;
  /** The free unknowns, a bit each: where to start from next time. */
  readonly support: number;
}

/** @param start a split to begin with */
export function nonNegativeMinimum(matrix: SymmetricMatrix, moments: Float64Array, start: number): NonNegativeSolution {
  const size = moments.length;
  let support = start;
  let fewest = size + 1;
  for (let exchange = 0; exchange < MOST_EXCHANGES; exchange++) {
    const x = solveOnSupport(matrix, moments, support);
    if (x === null) throw new Error('non-negative minimum: the matrix is not positive definite');
    const wrong = wrongUnknowns(matrix, moments, x, support);
    if (wrong.length === 0) return { x, support };
    const isProgress = wrong.length < fewest;
    if (isProgress) fewest = wrong.length;
    for (const unknown of isProgress ? wrong : wrong.slice(-1)) support ^= 1 << unknown;
  }
  const x = solveOnSupport(matrix, moments, support)!;
  return { x: x.map((value) => Math.max(0, value)), support };
}

function wrongUnknowns(matrix: SymmetricMatrix, moments: Float64Array, x: Float64Array, support: number): number[] {
  const size = moments.length;
  const wrong: number[] = [];
  for (let unknown = 0; unknown < size; unknown++) {
    if ((support >> unknown) & 1) {
      if (x[unknown]! < 0) wrong.push(unknown);
      continue;
    }
    let slope = -moments[unknown]!;
    let scale = Math.abs(slope);
    for (let other = 0; other < size; other++) {
      const part = matrix[unknown * size + other]! * x[other]!;
      slope += part;
      scale += Math.abs(part);
    }
    if (slope < -TOLERANCE * scale) wrong.push(unknown);
  }
  return wrong;
}
