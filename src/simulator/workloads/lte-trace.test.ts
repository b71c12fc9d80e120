import { describe, expect, it } from 'vitest';
import { Prng } from '../../scheduler/random/prng.js';
import { lteBandwidth } from './lte-trace.js';

const RUN_SEC = 600;
const runs = Array.from({ length: 400 }, (_, seed) => lteBandwidth(new Prng(seed), { seconds: RUN_SEC }));
const pooled = Float64Array.from(runs.flatMap((run) => [...run])).sort();

const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((sum, x) => sum + x, 0) / values.length;
const deviation = (values: ArrayLike<number>): number => {
  const middle = mean(values);
  return Math.sqrt(mean(Array.from(values, (x) => (x - middle) ** 2)));
};
const quantile = (probability: number): number => pooled[Math.floor(probability * pooled.length)]!;

function autocorrelation(series: readonly Float64Array[], lag: number, middle: number, variance: number): number {
  const products = series.flatMap((run) =>
    Array.from(run.subarray(lag), (x, second) => (x - middle) * (run[second]! - middle)),
  );
  return mean(products) / variance;
}

/** 400 runs of 600 s: the mean has a standard error of 1294·√(17.4/240 000) = 11 bytes/ms, 0.3 %. */
describe('LTE bandwidth over many seeds', () => {
  it.each([
    ['median', 0.5, 3355, 0.03],
    ['1st percentile', 0.01, 886, 0.05],
    ['5th percentile', 0.05, 1328, 0.05],
    ['95th percentile', 0.95, 5801, 0.05],
  ])('has the published %s', (_, probability, published, tolerance) => {
    expect(Math.abs(quantile(probability) / published - 1)).toBeLessThan(tolerance);
  });

  it('has the published mean and coefficient of variation, within the published extremes', () => {
    expect(Math.abs(mean(pooled) / 3450 - 1)).toBeLessThan(0.02);
    expect(Math.abs(deviation(pooled) / mean(pooled) - 0.375)).toBeLessThan(0.02);
    expect(pooled[0]).toBeGreaterThanOrEqual(432);
    expect(pooled.at(-1)).toBeLessThanOrEqual(6999);
  });

  it.each([
    [1, 0.746, 0.03],
    [2, 0.63, 0.05],
    [3, 0.52, 0.05],
    [5, 0.436, 0.05],
    [10, 0.155, 0.05],
    [30, 0.063, 0.05],
  ])('at lag %d s has the published autocorrelation %d', (lag, published, tolerance) => {
    const found = autocorrelation(runs, lag, mean(pooled), deviation(pooled) ** 2);
    expect(Math.abs(found - published)).toBeLessThan(tolerance);
  });
});

describe('LTE bandwidth over one run of 600 s', () => {
  it('scatters around the published statistics as a process with this memory does', () => {
    // Correlation counts for 17.4 s (the sum of the autocorrelation over all lags), so a run is worth 600/17.4 = 34
    // independent seconds: its mean has a standard deviation of 1294/√34 = 222.
    const means = runs.map(mean);
    expect(deviation(means)).toBeGreaterThan(222 * 0.85);
    expect(deviation(means)).toBeLessThan(222 * 1.15);
    for (const value of means) expect(Math.abs(value - 3450)).toBeLessThan(4.5 * 222);
    for (const run of runs) {
      const variation = deviation(run) / mean(run);
      expect(variation > 0.25 && variation < 0.52, `coefficient of variation ${variation}`).toBe(true);
      const memory = autocorrelation([run], 1, mean(run), deviation(run) ** 2);
      expect(memory > 0.5 && memory < 0.88, `autocorrelation ${memory}`).toBe(true);
    }
  });

  it('repeats from its seed, differs between seeds, and begins a longer run', () => {
    const run = lteBandwidth(new Prng(7), { seconds: 50 });
    expect(lteBandwidth(new Prng(7), { seconds: 50 })).toEqual(run);
    expect(lteBandwidth(new Prng(8), { seconds: 50 })).not.toEqual(run);
    expect(lteBandwidth(new Prng(7), { seconds: 80 }).subarray(0, 50)).toEqual(run);
    expect(lteBandwidth(new Prng(7), { seconds: 0 })).toHaveLength(0);
  });

  it('scales as a whole', () => {
    const run = lteBandwidth(new Prng(7), { seconds: 50 });
    expect(lteBandwidth(new Prng(7), { seconds: 50, meanScale: 0.5 })).toEqual(run.map((x) => x * 0.5));
  });
});

describe('deep fades', () => {
  const seconds = 36_000;
  const fades = { perMinute: 1, durationSec: [2, 8], bytesPerMs: [200, 500] } as const;
  const base = lteBandwidth(new Prng(7), { seconds });
  const faded = lteBandwidth(new Prng(7), { seconds, fades });

  it('lower some seconds to their levels and leave the series elsewhere as it was', () => {
    let changedSec = 0;
    faded.forEach((value, second) => {
      if (value === base[second]) return;
      changedSec += 1;
      expect(value).toBeLessThan(base[second]!);
      expect(value >= 200 && value <= 500).toBe(true);
    });
    // One a minute of 5 s on average covers a second with probability 1 − e^(−5/60) = 0.080: 2878 of 36 000, less the few
    // that were deeper already; standard error about √(600·25) = 125.
    expect(Math.abs(changedSec - 2878)).toBeLessThan(4 * 125);
  });

  it('change nothing that the generator draws afterwards', () => {
    const next = (options: { fades?: typeof fades }): number => {
      const prng = new Prng(7);
      lteBandwidth(prng, { seconds: 60, ...options });
      return prng.uint32();
    };
    expect(next({ fades })).toBe(next({}));
  });

  it('last as long as they are told to, where they do not overlap', () => {
    const rare = { perMinute: 0.02, durationSec: [3, 3], bytesPerMs: [0, 0] } as const;
    const series = [...lteBandwidth(new Prng(9), { seconds, fades: rare })];
    // 36 000 s with one in 3000 s: about 12, whose overlap is unlikely.
    const lengths = series
      .map((x) => (x === 0 ? '0' : ' '))
      .join('')
      .split(' ')
      .filter(Boolean);
    expect(lengths.length).toBeGreaterThan(4);
    expect(new Set(lengths)).toEqual(new Set(['000']));
  });

  it('are none at a rate of 0, and refused where they make no sense', () => {
    expect(lteBandwidth(new Prng(7), { seconds, fades: { ...fades, perMinute: 0 } })).toEqual(base);
    for (const bad of [
      { ...fades, perMinute: -1 },
      { ...fades, durationSec: [0, 2] as const },
      { ...fades, durationSec: [3, 2] as const },
      { ...fades, durationSec: [1.5, 2] as const },
      { ...fades, bytesPerMs: [-1, 2] as const },
      { ...fades, bytesPerMs: [3, 2] as const },
    ]) {
      expect(() => lteBandwidth(new Prng(7), { seconds, fades: bad })).toThrow(RangeError);
    }
    expect(() => lteBandwidth(new Prng(7), { seconds: 1.5 })).toThrow(RangeError);
    expect(() => lteBandwidth(new Prng(7), { seconds, meanScale: 0 })).toThrow(RangeError);
  });
});
