import { solveOnSupport } from './cholesky.js';

/*
 * Weighted least squares in the four terms of l(b, c) = γ·b/c + ε/c + δ·b + η, free or with coefficients ≥ 0.
 *
 * Four unknowns have sixteen sets of terms ("supports"), so the non-negative optimum is found exactly by trying them all:
 * it is the best plain least-squares solution among the supports whose solution has no negative coefficient. Supports
 * with linearly dependent columns are skipped, which loses nothing: some optimum always has independent columns. That
 * is also what makes degenerate grids (one batch size, one allocation) fit what they can instead of failing. An
 * active-set method would save time only with many more terms.
 */

export const TERM_COUNT = 4;
const ALL_TERMS = (1 << TERM_COUNT) - 1;

/** The four terms of each point, row by row: `[point, term]`, terms in the order b/c, 1/c, b, 1 (c in cores). */
export type DesignMatrix = Float64Array;

/** XᵀWX (`[term, term]`) and XᵀWy of a weighted problem. */
interface NormalEquations {
  readonly gram: Float64Array;
  readonly moments: Float64Array;
}

/**
 * Minimises Σ weight·(y − x·coefficients)² subject to coefficients ≥ 0.
 * @param weights ≥ 0, one a point; a point of weight 0 is not there
 * @returns four coefficients; all 0 when nothing non-negative fits better than nothing
 */
export function nonNegativeLeastSquares(design: DesignMatrix, y: Float64Array, weights: Float64Array): Float64Array {
  const equations = normalEquations(design, y, weights);
  let best: Float64Array = new Float64Array(TERM_COUNT);
  let bestReduction = 0;
  for (let support = ALL_TERMS; support > 0; support--) {
    const solution = solveOnSupport(equations.gram, equations.moments, support);
    if (solution === null || solution.some((coefficient) => coefficient < 0)) continue;
    // The unconstrained optimum is non-negative: nothing can beat it.
    if (support === ALL_TERMS) return solution;
    // At the optimum of a support the sum of squares has fallen by coefficients·XᵀWy.
    let reduction = 0;
    for (let term = 0; term < TERM_COUNT; term++) reduction += solution[term]! * equations.moments[term]!;
    if (reduction > bestReduction) {
      best = solution;
      bestReduction = reduction;
    }
  }
  return best;
}

/** Minimises Σ (y − x·coefficients)², coefficients of any sign. Null when the points do not determine all four. */
export function leastSquares(design: DesignMatrix, y: Float64Array): Float64Array | null {
  const { gram, moments } = normalEquations(design, y, new Float64Array(y.length).fill(1));
  return solveOnSupport(gram, moments, ALL_TERMS);
}

function normalEquations(design: DesignMatrix, y: Float64Array, weights: Float64Array): NormalEquations {
  const gram = new Float64Array(TERM_COUNT * TERM_COUNT);
  const moments = new Float64Array(TERM_COUNT);
  for (let point = 0; point < y.length; point++) {
    const weight = weights[point]!;
    if (weight === 0) continue;
    for (let i = 0; i < TERM_COUNT; i++) {
      const weighted = weight * design[point * TERM_COUNT + i]!;
      moments[i]! += weighted * y[point]!;
      for (let j = 0; j <= i; j++) gram[i * TERM_COUNT + j]! += weighted * design[point * TERM_COUNT + j]!;
    }
  }
  return { gram, moments };
}
