/** Linear interpolation between the two nearest ranks. @param fraction in [0, 1] @throws on an empty list */
export function quantile(values: readonly number[], fraction: number): number {
  if (values.length === 0) throw new Error('no values to take a quantile of');
  const sorted = [...values].sort((a, b) => a - b);
  const rank = fraction * (sorted.length - 1);
  const low = sorted[Math.floor(rank)]!;
  const high = sorted[Math.ceil(rank)]!;
  return low + (high - low) * (rank - Math.floor(rank));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Cuts a list into this many runs of equal length, in order; what is left over belongs to none. */
export function chunks<T>(values: readonly T[], count: number): readonly (readonly T[])[] {
  const size = Math.floor(values.length / count);
  return Array.from({ length: count }, (_, index) => values.slice(index * size, (index + 1) * size));
}
