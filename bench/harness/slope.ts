/*
 * The trend of a measurement over time. Neighbouring samples are alike, so they are first made into means of a few long blocks: a
 * line through those (least squares) has errors that are nearly independent, which its interval presumes.
 */

export interface Sample {
  readonly atMs: number;
  readonly value: number;
}

export interface Slope {
  readonly perHour: number;
  /** Half of the 95 % confidence interval. */
  readonly halfWidth: number;
}

const BLOCKS = 10;
/** Student's t, 95 % two-sided, for 10 blocks less the 2 parameters of a line. */
const T_8 = 2.306;
const HOUR_MS = 3_600_000;

/** @throws RangeError with fewer samples than blocks */
export function slopeOf(samples: readonly Sample[]): Slope {
  if (samples.length < BLOCKS) throw new RangeError(`a slope takes ${BLOCKS} samples, got ${samples.length}`);
  const blocks = Array.from({ length: BLOCKS }, (_, i) => {
    const from = Math.floor((i * samples.length) / BLOCKS);
    return samples.slice(from, Math.floor(((i + 1) * samples.length) / BLOCKS));
  });
  const times = blocks.map((block) => mean(block.map(({ atMs }) => atMs)) / HOUR_MS);
  const values = blocks.map((block) => mean(block.map(({ value }) => value)));
  const middle = mean(times);
  const spread = sum(times.map((time) => (time - middle) ** 2));
  const level = mean(values);
  const perHour = sum(times.map((time, i) => (time - middle) * (values[i]! - level))) / spread;
  const residual = sum(times.map((time, i) => (values[i]! - level - perHour * (time - middle)) ** 2));
  return { perHour, halfWidth: T_8 * Math.sqrt(residual / (BLOCKS - 2) / spread) };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}
