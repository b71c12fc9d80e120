/**
 * The quantile of ascending values by linear interpolation between ranks: position q·(n − 1), counted from 0 (R's type 7).
 * With 20 values p99 lies at position 18.81, so it is nearly the largest: per-cell p99 of so few runs is an indication, and
 * planning pools the residuals of all cells instead.
 * @param ascending at least one value
 * @param q in [0, 1]
 */
export function quantile(ascending: ArrayLike<number>, q: number): number {
  const position = q * (ascending.length - 1);
  const below = Math.floor(position);
  const low = ascending[below]!;
  const high = ascending[Math.min(below + 1, ascending.length - 1)]!;
  return low + (position - below) * (high - low);
}
