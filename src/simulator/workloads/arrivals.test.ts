import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prng } from '../../scheduler/random/prng.js';
import { sendInstants, type ArrivalSpec } from './arrivals.js';

const MINUTE_MS = 60_000;
const send = (spec: ArrivalSpec, durationMs: number, seed = 1): number[] => [
  ...sendInstants(spec, durationMs, new Prng(seed)),
];
const countIn = (instants: readonly number[], fromSec: number, toSec: number): number =>
  instants.filter((atMs) => atMs >= fromSec * 1000 && atMs < toSec * 1000).length;
/** Within five standard deviations of a Poisson count. */
const expectPoisson = (count: number, expected: number): void =>
  expect(Math.abs(count - expected), `${count} for ${expected}`).toBeLessThanOrEqual(5 * Math.sqrt(expected));

const SPECS: readonly ArrivalSpec[] = [
  { kind: 'constant', ratePerSec: 12.5 },
  { kind: 'poisson', ratePerSec: 12.5 },
  { kind: 'front-loaded', ratePerSec: 12.5 },
  { kind: 'mmpp', ratePerSec: 12.5, highFactor: 3, lowFactor: 0.5, dwellSec: [2, 6] },
  { kind: 'diurnal', minRatePerSec: 0.5, maxRatePerSec: 30, periodSec: 45 },
  { kind: 'flash-crowd', ratePerSec: 5, peakRatePerSec: 60, atSec: 10, rampSec: 2, holdSec: 3.5, decaySec: 8 },
  { kind: 'rates', ratesPerSec: [3, 0, 12.5, 40], repeat: true },
];

describe.each(SPECS)('$kind arrivals', (spec) => {
  it('are ascending, inside the duration, and repeat from the seed', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.double({ min: 0, max: 30_000, noNaN: true }), (seed, durationMs) => {
        const instants = send(spec, durationMs, seed);
        expect(send(spec, durationMs, seed)).toEqual(instants);
        instants.forEach((atMs, i) => {
          expect(atMs >= 0 && atMs < durationMs && atMs >= (instants[i - 1] ?? 0)).toBe(true);
        });
      }),
    );
  });

  it('refuse a negative or missing rate and an endless duration', () => {
    const rates = Object.keys(spec).filter((key) => /rate|factor/i.test(key));
    for (const rate of rates) {
      const value = rate === 'ratesPerSec' ? [1, -1] : -1;
      expect(() => send({ ...spec, [rate]: value }, 1000), rate).toThrow(RangeError);
    }
    expect(() => send(spec, Infinity)).toThrow(RangeError);
  });
});

describe('constant arrivals', () => {
  it('begin after half a gap and keep the gap', () => {
    expect(send({ kind: 'constant', ratePerSec: 4 }, 1000)).toEqual([125, 375, 625, 875]);
    // A gap of 1000/0.4 = 2500 ms.
    expect(send({ kind: 'constant', ratePerSec: 0.4 }, 6250)).toEqual([1250, 3750]);
    expect(send({ kind: 'constant', ratePerSec: 0 }, 1000)).toEqual([]);
  });
});

describe('Poisson arrivals', () => {
  it('are as many as their rate says, with exponential gaps', () => {
    const instants = send({ kind: 'poisson', ratePerSec: 50 }, 10 * MINUTE_MS);
    expectPoisson(instants.length, 50 * 600);
    // A gap exceeds its mean with probability 1/e.
    const gaps = instants.slice(1).map((atMs, i) => atMs - instants[i]!);
    expectPoisson(gaps.filter((gapMs) => gapMs > 20).length, gaps.length / Math.E);
    expect(send({ kind: 'poisson', ratePerSec: 0 }, MINUTE_MS)).toEqual([]);
  });
});

describe('front-loaded arrivals', () => {
  it('leave mostly in the first quarter of the second, the last of twenty at 0.18 s', () => {
    // One second at a time, so that none comes from the second before.
    const seconds = Array.from({ length: 4000 }, (_, seed) =>
      send({ kind: 'front-loaded', ratePerSec: 20 }, 1000, seed),
    );
    const instants = seconds.flat();
    // All but e^-20 of them: later than the second. 1 − e^(−0.25·20) = 0.9933 leave within 250 ms.
    expect(instants.length).toBeGreaterThanOrEqual(4000 * 20 - 2);
    expect(instants.filter((atMs) => atMs < 250).length / instants.length).toBeCloseTo(1 - Math.exp(-5), 2);
    expect(instants.filter((atMs) => atMs < 250).length / instants.length).toBeGreaterThan(0.99);
    // H_20/20 s = 3.5977/20 s = 179.9 ms; standard deviation 50·√1.596 = 63 ms, standard error 1 ms.
    const lastMs = seconds.reduce((sum, second) => sum + second.at(-1)!, 0) / seconds.length;
    expect(Math.abs(lastMs - 179.9)).toBeLessThan(4);
  });

  it('are n each second whatever the seed, but for the few that leave after the end', () => {
    const instants = send({ kind: 'front-loaded', ratePerSec: 20 }, 10 * MINUTE_MS);
    expect(instants.length).toBeGreaterThanOrEqual(600 * 20 - 1);
    expect(instants.length).toBeLessThanOrEqual(600 * 20);
  });

  it('spill into the next second and are dropped at the end', () => {
    // One a second with a mean delay of 1 s: e^-1 of them leave later than their second, in order all the same.
    const instants = send({ kind: 'front-loaded', ratePerSec: 1 }, 1_000_000);
    const secondsWithout = 1000 - new Set(instants.map((atMs) => Math.floor(atMs / 1000))).size;
    expect(secondsWithout).toBeGreaterThan(200);
    const dropped = Array.from({ length: 1000 }, (_, seed) =>
      send({ kind: 'front-loaded', ratePerSec: 1 }, 1000, seed),
    );
    expectPoisson(dropped.filter((second) => second.length === 0).length, 1000 / Math.E);
  });

  it('alternate between whole numbers for a fractional rate', () => {
    // 2.5: 2, 3, 2, 3 …: 25 in ten seconds. A second's mean delay is at most 1/2 s, so all are out five seconds later …
    const begun = send({ kind: 'front-loaded', ratePerSec: 2.5 }, 1_000_000).length;
    expect(begun).toBeGreaterThan(2500 - 8);
    expect(begun).toBeLessThanOrEqual(2500);
  });
});

describe('MMPP arrivals', () => {
  const spec = { kind: 'mmpp', ratePerSec: 30, highFactor: 3, lowFactor: 1, dwellSec: [4, 4] } as const;

  it('have the long-run mean rate', () => {
    const instants = send({ ...spec, dwellSec: [1, 9] }, 200 * MINUTE_MS);
    // 12 000 s in dwells of 5 s: 1200 pairs, each with a difference of (45 − 15)·(dwell difference, sd 3.27 s) / 2 = 49.
    expect(Math.abs(instants.length - 360_000)).toBeLessThan(4 * (Math.sqrt(360_000) + 49 * Math.sqrt(1200)));
  });

  it('alternate between rates in the ratio of the factors', () => {
    // Mean factor (3 + 1)/2 = 2, so base 15: 45 and 15 requests/s, 4 s each, beginning with either.
    const instants = send(spec, 80_000);
    const counts = Array.from({ length: 20 }, (_, dwell) => countIn(instants, 4 * dwell, 4 * dwell + 4));
    const isHighFirst = counts[0]! > 120;
    counts.forEach((count, dwell) => expectPoisson(count, 4 * ((dwell % 2 === 0) === isHighFirst ? 45 : 15)));
    const firsts = Array.from({ length: 200 }, (_, seed) => send(spec, 4000, seed).length > 120);
    expectPoisson(firsts.filter(Boolean).length, 100);
  });

  it('may be silent in between, but need some rate and some dwell', () => {
    // Mean factor 1/2, so base 60.
    const counts = Array.from({ length: 50 }, (_, seed) => send({ ...spec, highFactor: 1, lowFactor: 0 }, 4000, seed));
    expect(new Set(counts.map(({ length }) => length > 0))).toEqual(new Set([true, false]));
    expect(() => send({ ...spec, highFactor: 0, lowFactor: 0 }, 1000)).toThrow(RangeError);
    expect(() => send({ ...spec, dwellSec: [0, 1] }, 1000)).toThrow(RangeError);
    expect(() => send({ ...spec, dwellSec: [2, 1] }, 1000)).toThrow(RangeError);
  });
});

describe('diurnal arrivals', () => {
  it('start at the minimum and follow the sinusoid', () => {
    const spec = { kind: 'diurnal', minRatePerSec: 10, maxRatePerSec: 90, periodSec: 3600 } as const;
    const instants = send(spec, 3_600_000);
    // Over [a, b]: 50·(b − a) − 40·(3600/2π)·(sin 2πb/3600 − sin 2πa/3600).
    const integral = (a: number, b: number): number =>
      50 * (b - a) -
      40 * (3600 / (2 * Math.PI)) * (Math.sin((2 * Math.PI * b) / 3600) - Math.sin((2 * Math.PI * a) / 3600));
    for (let fromSec = 0; fromSec < 3600; fromSec += 300) {
      expectPoisson(countIn(instants, fromSec, fromSec + 300), integral(fromSec, fromSec + 300));
    }
    expectPoisson(countIn(instants, 0, 60), 10 * 60);
    expect(() => send({ ...spec, maxRatePerSec: 5 }, 1000)).toThrow(RangeError);
    expect(() => send({ ...spec, periodSec: 0 }, 1000)).toThrow(RangeError);
  });
});

describe('flash-crowd arrivals', () => {
  const spec = {
    kind: 'flash-crowd',
    ratePerSec: 100,
    peakRatePerSec: 500,
    atSec: 60,
    rampSec: 20,
    holdSec: 40,
    decaySec: 80,
  } as const;

  it('climb in a line, stay, fall in a line, and go on as before', () => {
    const instants = send(spec, 300_000);
    expectPoisson(countIn(instants, 0, 60), 100 * 60);
    expectPoisson(countIn(instants, 60, 70), 200 * 10); // 100 → 300
    expectPoisson(countIn(instants, 70, 80), 400 * 10); // 300 → 500
    expectPoisson(countIn(instants, 80, 120), 500 * 40);
    expectPoisson(countIn(instants, 120, 160), 400 * 40); // 500 → 300
    expectPoisson(countIn(instants, 160, 200), 200 * 40); // 300 → 100
    expectPoisson(countIn(instants, 200, 300), 100 * 100);
  });

  it('may jump', () => {
    const instants = send({ ...spec, rampSec: 0, decaySec: 0 }, 200_000);
    expectPoisson(countIn(instants, 0, 60), 100 * 60);
    expectPoisson(countIn(instants, 60, 100), 500 * 40);
    expectPoisson(countIn(instants, 100, 200), 100 * 100);
    expect(() => send({ ...spec, rampSec: -1 }, 1000)).toThrow(RangeError);
  });
});

describe('arrivals at listed rates', () => {
  it('have the rate of each second and begin the list again', () => {
    const instants = send({ kind: 'rates', ratesPerSec: [1000, 0, 2500.5], repeat: true }, 7000);
    [1000, 0, 2500.5, 1000, 0, 2500.5, 1000].forEach((rate, second) => {
      expectPoisson(countIn(instants, second, second + 1), rate);
    });
  });

  it('fall silent after a list that is not repeated', () => {
    const instants = send({ kind: 'rates', ratesPerSec: [1000, 500], repeat: false }, 7000);
    expectPoisson(countIn(instants, 0, 1), 1000);
    expectPoisson(countIn(instants, 1, 2), 500);
    expect(countIn(instants, 2, 7)).toBe(0);
    expect(() => send({ kind: 'rates', ratesPerSec: [], repeat: true }, 1000)).toThrow(RangeError);
  });
});
