/** Round values at equal steps that enclose [low, high], about `count` of them. @param high > low, or one step is made around it */
export function roundTicks(low: number, high: number, count: number): number[] {
  const span = high > low ? high - low : Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(span / count));
  const step = [1, 2, 2.5, 5, 10].map((multiple) => multiple * power).find((each) => span / each <= count)!;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(first + 1, Math.ceil(high / step - 1e-9));
  return Array.from({ length: last - first + 1 }, (_, index) => Number(((first + index) * step).toPrecision(12)));
}

/** From 0, those that do not pass `high`. @param high ≥ 0 */
export function ticksWithin(high: number, count: number): number[] {
  return high > 0 ? roundTicks(0, high, count).filter((tick) => tick <= high) : [0];
}
