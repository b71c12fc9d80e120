/** One number of several runs. */
export interface Spread {
  readonly mean: number;
  readonly least: number;
  readonly most: number;
  /** Standard deviation from run to run; 0 of a single one. */
  readonly deviation: number;
}

/** @param values at least one */
export function spreadOf(values: readonly number[]): Spread {
  const mean = meanOf(values);
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return {
    mean,
    least: Math.min(...values),
    most: Math.max(...values),
    deviation: values.length < 2 ? 0 : Math.sqrt(squares / (values.length - 1)),
  };
}

/** 0 of none. */
export function meanOf(values: readonly number[]): number {
  return values.length === 0 ? 0 : sumOf(values) / values.length;
}

export function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
