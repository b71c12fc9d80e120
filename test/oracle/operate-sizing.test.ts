import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { capacityTable } from '../../src/operate/capacity.js';
import { USUAL_RULES } from '../../src/operate/observation.js';
import { cheapest, costMillicores, leastLevelOf, type Load } from '../../src/operate/sizing.js';
import { exactLatency } from '../../src/scheduler/domain/latency.js';
import { cheapestOfAll, isMet, type SizingCase } from './exhaustive-sizing.js';

const STEP = 500;

/** Latencies that rise with the batch and fall with cores; budgets and rates that no sum of them meets exactly, so that nothing hangs on the last bit. */
const cases: fc.Arbitrary<SizingCase> = fc
  .record({
    sizes: fc.integer({ min: 1, max: 4 }),
    steps: fc.integer({ min: 1, max: 5 }),
    cells: fc.array(fc.integer({ min: 4, max: 60 }), { minLength: 20, maxLength: 20 }),
    budgetsMs: fc.array(fc.integer({ min: 8, max: 400 }), { minLength: 1, maxLength: 3 }),
    ratePerSec: fc.integer({ min: 1, max: 400 }),
    minReplicas: fc.integer({ min: 1, max: 2 }),
    extraReplicas: fc.integer({ min: 0, max: 6 }),
    podMillicores: fc.constantFrom(0, 130, 250, 1000),
  })
  .map(({ sizes, steps, cells, extraReplicas, ...whole }) => {
    const budgetsMs = whole.budgetsMs.map((each) => each + 0.37);
    const rest = { ...whole, budgetsMs, ratePerSec: whole.ratePerSec + Math.SQRT2 / 100 };
    const tables = Array.from({ length: steps }, (_, step) => cells.slice(step * 4, step * 4 + sizes));
    for (let step = steps - 1; step >= 0; step--)
      for (let size = 0; size < sizes; size++)
        tables[step]![size] = Math.max(
          tables[step]![size]!,
          tables[step]![size - 1] ?? 0,
          tables[step + 1]?.[size] ?? 0,
        );
    const millicores = tables.map((_, step) => STEP * (step + 1));
    return { ...rest, tables, millicores, maxReplicas: rest.minReplicas + extraReplicas };
  });

function loadOf({ tables, millicores, budgetsMs, ratePerSec }: SizingCase): Load {
  const latency = exactLatency((size, each) => tables[millicores.indexOf(each)]![size - 1]!);
  const table = capacityTable(
    { latency, maxBatchSize: tables[0]!.length, instances: 1, budgetsMs },
    limitsOf(millicores),
  );
  const rate = { meanPerSec: ratePerSec, spreadPerSec: 1 };
  return { models: [{ table, rate }], deviations: 0, balancing: 'even' };
}

function limitsOf(millicores: readonly number[]): {
  minMillicores: number;
  maxMillicores: number;
  stepMillicores: number;
} {
  return { minMillicores: STEP, maxMillicores: millicores.at(-1)!, stepMillicores: STEP };
}

describe('the cheapest replicas × cores', () => {
  it('are those that looking at all of them finds', () => {
    let feasible = 0;
    fc.assert(
      fc.property(cases, (of) => {
        const rules = { ...USUAL_RULES, ...of, limits: limitsOf(of.millicores), growAtFraction: 1 };
        const expected = cheapestOfAll(of);
        const found = cheapest(loadOf(of), rules);
        if (expected !== null) feasible += 1;
        expect(found === null).toBe(expected === null);
        if (found === null || expected === null) return;
        const [ours, theirs] = [found, expected].map((each) => costMillicores(each, of.podMillicores));
        expect(ours).toBe(theirs);
        expect(
          isMet(of.tables[of.millicores.indexOf(found.cpuMillicores)]!, of.budgetsMs, of.ratePerSec / found.replicas),
        ).toBe(true);
      }),
      { numRuns: 3000 },
    );
    expect(feasible).toBeGreaterThan(500);
  });

  it('cost no less for more load', () => {
    fc.assert(
      fc.property(cases, fc.integer({ min: 1, max: 300 }), (of, more) => {
        const rules = { ...USUAL_RULES, ...of, limits: limitsOf(of.millicores), growAtFraction: 1 };
        const costAt = (ratePerSec: number): number => {
          const found = cheapest(loadOf({ ...of, ratePerSec }), rules);
          return found === null ? Infinity : costMillicores(found, of.podMillicores);
        };
        expect(costAt(of.ratePerSec + more)).toBeGreaterThanOrEqual(costAt(of.ratePerSec));
      }),
    );
  });

  it('of pods that cannot have it all are the least with which their parts add up', () => {
    fc.assert(
      fc.property(cases, fc.array(fc.nat(4), { minLength: 1, maxLength: 4 }), (of, places) => {
        const { millicores } = of;
        const reach = places.map((place) => millicores[Math.min(place, millicores.length - 1)]!);
        const load: Load = { ...loadOf(of), balancing: 'by-room' };
        const found = leastLevelOf(load, reach, limitsOf(millicores));
        const tableOf = (each: number): readonly number[] => of.tables[millicores.indexOf(each)]!;
        const doneAt = (level: number): number =>
          reach.reduce((sum, each) => sum + mostOf(tableOf(Math.min(level, each)), of.budgetsMs), 0);
        const levels = millicores.filter((each) => each <= Math.max(...reach));
        const enough = levels.filter((each) => doneAt(each) >= of.ratePerSec * (1 - 1e-5));
        const surely = levels.filter((each) => doneAt(each) >= of.ratePerSec * (1 + 1e-5));
        if (found === null) expect(surely).toEqual([]);
        else {
          expect(enough).toContain(found);
          expect(found).toBeLessThanOrEqual(surely[0] ?? Infinity);
        }
      }),
    );
  });
});

/** The highest rate that is met, by halving. */
function mostOf(latenciesMs: readonly number[], budgetsMs: readonly number[]): number {
  let [low, high] = [0, 2000];
  for (let halving = 0; halving < 40; halving++) {
    const middle = (low + high) / 2;
    if (isMet(latenciesMs, budgetsMs, middle)) low = middle;
    else high = middle;
  }
  return low;
}
