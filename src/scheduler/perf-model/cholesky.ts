/*
 * Symmetric positive definite systems of a few unknowns, by Cholesky, on a subset of them. Scaling an unknown changes nothing
 * but rounding, so terms of very different sizes need no preparation.
 */

/** A pivot this small beside its own diagonal means that the column depends on those before it. */
const DEPENDENT_PIVOT = 1e-11;

/** Row by row, `[unknown, unknown]`; only the lower triangle is read. */
export type SymmetricMatrix = Float64Array;

/** The unknowns whose bit is set in `support`, ascending. */
function termsOf(support: number): number[] {
  const terms: number[] = [];
  for (let term = 0; support >> term > 0; term++) if ((support >> term) & 1) terms.push(term);
  return terms;
}

/**
 * The lower factor of the rows and columns in `support`, row by row over those alone.
 * @param size unknowns of the whole matrix, at most 30
 * @returns null when they are dependent
 */
export function choleskyFactor(matrix: SymmetricMatrix, size: number, support: number): Float64Array | null {
  const terms = termsOf(support);
  const count = terms.length;
  const lower = new Float64Array(count * count);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[terms[i]! * size + terms[j]!]!;
      for (let k = 0; k < j; k++) sum -= lower[i * count + k]! * lower[j * count + k]!;
      if (i !== j) {
        lower[i * count + j] = sum / lower[j * count + j]!;
      } else {
        if (!(sum > DEPENDENT_PIVOT * matrix[terms[i]! * size + terms[i]!]!)) return null;
        lower[i * count + i] = Math.sqrt(sum);
      }
    }
  }
  return lower;
}

/**
 * Solves matrix·x = moments on the unknowns in `support`; the others are 0.
 * @returns null when their columns are dependent
 */
export function solveOnSupport(matrix: SymmetricMatrix, moments: Float64Array, support: number): Float64Array | null {
  const terms = termsOf(support);
  const count = terms.length;
  const lower = choleskyFactor(matrix, moments.length, support);
  if (lower === null) return null;
  const x = Float64Array.from(terms, (term) => moments[term]!);
  solveLower(lower, x);
  for (let i = count - 1; i >= 0; i--) {
    let sum = x[i]!;
    for (let k = i + 1; k < count; k++) sum -= lower[k * count + i]! * x[k]!;
    x[i] = sum / lower[i * count + i]!;
  }
  const solution = new Float64Array(moments.length);
  for (let i = 0; i < count; i++) solution[terms[i]!] = x[i]!;
  return solution;
}

/** Replaces x by lower⁻¹·x. */
export function solveLower(lower: Float64Array, x: Float64Array): void {
  const count = x.length;
  for (let i = 0, row = 0; i < count; i++, row += count) {
    let sum = x[i]!;
    for (let k = 0; k < i; k++) sum -= lower[row + k]! * x[k]!;
    x[i] = sum / lower[row + i]!;
  }
}
