/*
 * How many requests came, second by second, and what that says of those to come: their rate, how much it varies by chance, and whether it
 * is rising.
 */

const KEPT_MS = 60_000;
const MOST_KEPT = 256;
const LONGEST_WINDOW_MS = KEPT_MS;
/**
 * Longest first: each counts where its count differs from what those before it say by more than so many standard deviations. The shorter, the more
 * often it is looked at before something is known to have changed.
 */
const WINDOWS = [
  { windowMs: 10_000, deviations: 3 },
  { windowMs: 3000, deviations: 3.5 },
  { windowMs: 1000, deviations: 4 },
] as const;
const TREND_DEVIATIONS = 3;
const TREND_MS = 40_000;
const LEAST_FOR_TREND = 20;
const LEAST_FOR_SPREAD = 20;
/** One difference in ten is left out, the largest: a jump of the rate. Of χ² with one degree of freedom the others' mean is this. */
const KEPT_FRACTION = 0.9;
const MEAN_OF_KEPT = 0.623;
/** Beyond it the windows show it as a change. */
const MOST_DISPERSION = 16;

interface Span {
  readonly endMs: number;
  readonly spanMs: number;
  readonly count: number;
}

export class RateHistory {
  #spans: Span[] = [];

  observe(nowMs: number, count: number, spanMs: number): void {
    this.#spans.push({ endMs: nowMs, spanMs, count });
    const fromMs = nowMs - KEPT_MS;
    const first = this.#spans.findIndex(({ endMs }) => endMs > fromMs);
    this.#spans = this.#spans.slice(Math.max(first, this.#spans.length - MOST_KEPT));
  }

  /** Of the minute, or of as much of it as is like the last moments. */
  ratePerSec(nowMs: number): number {
    const dispersion = this.dispersion();
    let ratePerSec = this.#within(nowMs, LONGEST_WINDOW_MS)?.ratePerSec ?? 0;
    for (const { windowMs, deviations } of WINDOWS) {
      const window = this.#within(nowMs, windowMs);
      if (window === null) continue;
      const seconds = window.spanMs / 1000;
      const chance = deviations * Math.sqrt(dispersion * Math.max(1, ratePerSec * seconds));
      if (Math.abs(window.ratePerSec - ratePerSec) * seconds > chance) ratePerSec = window.ratePerSec;
    }
    return ratePerSec;
  }

  /** Variance of a second's count ÷ its mean, at least 1, which it is of random arrivals. By differences of neighbours: a change of the rate is no spread. */
  dispersion(): number {
    const spans = this.#spans;
    if (spans.length < LEAST_FOR_SPREAD) return 1;
    const total = spans.reduce((sum, { count }) => sum + count, 0);
    const totalMs = spans.reduce((sum, { spanMs }) => sum + spanMs, 0);
    if (total === 0) return 1;
    const perMs = total / totalMs;
    const squares = spans.slice(1).map(({ count, spanMs }, index) => {
      const before = spans[index]!;
      const ofOne = (count / spanMs - before.count / before.spanMs) ** 2;
      return ofOne / (perMs / spanMs + perMs / before.spanMs);
    });
    squares.sort((a, b) => a - b);
    const kept = squares.slice(0, Math.ceil(KEPT_FRACTION * squares.length));
    const mean = kept.reduce((sum, each) => sum + each, 0) / kept.length;
    return Math.min(MOST_DISPERSION, Math.max(1, mean / MEAN_OF_KEPT));
  }

  /**
   * By how much the rate grows each second, where both halves of the last 40 s show it, by the lesser of them: one jump is no trend. Never
   * negative: whoever falls is known to when it has fallen.
   */
  risePerSec2(nowMs: number): number {
    const recent = this.#spans.filter(({ endMs }) => endMs > nowMs - TREND_MS);
    if (recent.length < LEAST_FOR_TREND) return 0;
    const whole = slopeOf(recent);
    const half = recent.length >> 1;
    const halves = [slopeOf(recent.slice(0, half)), slopeOf(recent.slice(half))];
    if (whole.slope <= TREND_DEVIATIONS * whole.error) return 0;
    return Math.max(0, Math.min(whole.slope, ...halves.map(({ slope }) => slope)));
  }

  #within(nowMs: number, windowMs: number): { readonly ratePerSec: number; readonly spanMs: number } | null {
    let count = 0;
    let spanMs = 0;
    for (const span of this.#spans) {
      // Whoever looks once a second does so a little sooner or later.
      if (span.endMs <= nowMs - windowMs + span.spanMs / 2) continue;
      count += span.count;
      spanMs += span.spanMs;
    }
    return spanMs === 0 ? null : { ratePerSec: (1000 * count) / spanMs, spanMs };
  }
}

/** Least squares of rates (per second) on time (seconds). */
function slopeOf(spans: readonly Span[]): { readonly slope: number; readonly error: number } {
  const points = spans.map(
    ({ endMs, spanMs, count }) => [(endMs - spanMs / 2) / 1000, (1000 * count) / spanMs] as const,
  );
  const n = points.length;
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / n;
  const xx = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const xy = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  if (xx === 0 || n < 3) return { slope: 0, error: Infinity };
  const slope = xy / xx;
  const residual = points.reduce((sum, [x, y]) => sum + (y - meanY - slope * (x - meanX)) ** 2, 0);
  return { slope, error: Math.sqrt(residual / (n - 2) / xx) };
}
