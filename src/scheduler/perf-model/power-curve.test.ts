import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coresAt, powerCurve, replicatedPowerCurve, upToCores, type PowerCurve } from './power-curve.js';

/** 100/c + 20 ms for one: 1/120, 1/70 and 1/45 per ms on one, two and four cores. */
const CURVE = powerCurve({
  latencyMs: (batchSize, cpuMillicores) => batchSize * (100_000 / cpuMillicores + 20),
  maxBatchSize: 1,
  allocations: [1000, 2000, 4000],
  idleMillicores: 100,
});

function vertices({ ratesPerMs, cores }: PowerCurve): readonly (readonly [ratePerMs: number, cores: number])[] {
  return Array.from(ratesPerMs, (rate, index) => [rate, cores[index]!] as const);
}

describe('the part of a curve that so many cores allow', () => {
  it('is all of it where there are enough', () => {
    expect(upToCores(CURVE, 4)).toEqual(CURVE);
    expect(upToCores(CURVE, 99)).toEqual(CURVE);
  });

  it('ends in the middle of a piece where the cores are used up', () => {
    const three = upToCores(CURVE, 3);
    // Half of the way from 2 to 4 cores
    const last = (1 / 70 + 1 / 45) / 2;
    expect(vertices(three).slice(0, -1)).toEqual(vertices(CURVE).slice(0, -1));
    expect(three.ratesPerMs.at(-1)).toBeCloseTo(last, 12);
    expect(three.cores.at(-1)).toBe(3);
    expect(three.idleCores).toBe(0.1);
    expect(coresAt(three, last * (1 + 1e-9))).toBeNull();
  });

  it('ends at a vertex where that uses them up', () => {
    expect(vertices(upToCores(CURVE, 2))).toEqual(vertices(CURVE).slice(0, 3));
    expect(vertices(upToCores(CURVE, 0.1))).toEqual([[0, 0.1]]);
  });

  it('is none where not even idling is allowed', () => {
    expect(() => upToCores(CURVE, 0.05)).toThrow('0.05 cores are less than the 0.1 that are held at rate 0');
  });

  it('is of several instances what they can do together', () => {
    const two = replicatedPowerCurve(CURVE, 2, 2);
    // Two on two cores each: 2/70. Without a limit: 2/45, on eight.
    const shared = upToCores(two, 4);
    expect(shared.ratesPerMs.at(-1)).toBeCloseTo(2 / 70, 12);
    expect(two.ratesPerMs.at(-1)).toBeCloseTo(2 / 45, 12);
    // Floors of both
    expect(shared.idleCores).toBeCloseTo(0.2, 12);
  });

  it('is the curve up to its last rate, convex and within the cores, for any curve', () => {
    const latencies = fc.array(fc.double({ min: 0.5, max: 500, noNaN: true }), { minLength: 8, maxLength: 8 });
    const millicores = fc.integer({ min: 101, max: 7000 });
    const at = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(latencies, millicores, at, (latenciesMs, most, at) => {
        const allocations = [500, 1000, 2000, 6000];
        const curve = powerCurve({
          latencyMs: (size, millicores) => latenciesMs[(size - 1) * 4 + allocations.indexOf(millicores)]!,
          maxBatchSize: 2,
          allocations,
          idleMillicores: 100,
        });
        const cores = most / 1000;
        const part = upToCores(curve, cores);
        const top = part.ratesPerMs.at(-1)!;
        expect(part.cores.at(-1)).toBeLessThanOrEqual(cores);
        const rate = at * top;
        // Where two vertices' rates differ by rounding the curve between them is as good as upright.
        const same = coresAt(part, rate)!;
        expect(same).toBeGreaterThan(coresAt(curve, rate * (1 - 1e-12))! - 1e-9);
        expect(same).toBeLessThan((coresAt(curve, rate * (1 + 1e-12)) ?? Number.POSITIVE_INFINITY) + 1e-9);
        // Nothing that the cores allow is left out.
        const beyond = coresAt(curve, top * (1 + 1e-6));
        if (beyond !== null) expect(beyond).toBeGreaterThan(cores * (1 - 1e-9));
        for (let vertex = 1; vertex < part.cores.length; vertex++) {
          // Of two that differ by rounding either may be left.
          expect(part.ratesPerMs[vertex]!).toBeGreaterThan(part.ratesPerMs[vertex - 1]! * (1 - 1e-9));
          expect(part.cores[vertex]!).toBeGreaterThanOrEqual(part.cores[vertex - 1]!);
        }
      }),
      {
        examples: [
          // Rates that differ by one unit in the last place.
          [
            [
              0.5000000000000002, 0.5000000000000002, 0.5000000000000002, 0.5, 1.0000000000000004, 1.0000000000000004,
              1.0000000000000004, 0.9999989095038534,
            ],
            587,
            0.999999999962021,
          ],
        ],
      },
    );
  });
});
