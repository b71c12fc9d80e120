import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StepKind } from '../../src/operate/workload-sizer.js';
import { Walk, WALK_RULES, type WalkOptions } from './operated-workload.js';

function walk(options: WalkOptions): Walk {
  return new Walk(options).run();
}

function firstOf(of: Walk, kind: StepKind): number {
  return of.seconds.find(({ decision }) => decision.steps.some((step) => step.kind === kind))?.second ?? Infinity;
}

function reasonsOf(of: Walk, kind: StepKind): readonly string[] {
  return of.seconds.flatMap(({ decision }) =>
    decision.steps.filter((step) => step.kind === kind).map(({ reason }) => reason),
  );
}

/** Pods that were asked for after one had been sent away. */
function returnsOf({ changes }: Walk): number {
  const firstGone = changes.findIndex(({ by }) => by < 0);
  return firstGone === -1 ? 0 : changes.slice(firstGone).filter(({ by }) => by > 0).length;
}

const DAY = (second: number): number => 150 - 130 * Math.cos((2 * Math.PI * second) / 900);

describe('a steady load', () => {
  it('has no pod come or go, seldom a resize, and all requests met', () => {
    const of = walk({ seconds: 900, rate: () => 60 });
    expect(of.changes).toEqual([]);
    expect(of.seconds.flatMap(({ decision }) => decision.resizes).length).toBeLessThan(10);
    expect(of.missed).toBe(0);
  });

  it('of nothing is the least there may be', () => {
    const of = walk({ seconds: 400, rate: () => 0, replicas: 3, rules: { minReplicas: 2 } });
    const { replicas, millicores } = of.seconds.at(-1)!;
    expect([replicas, ...millicores]).toEqual([2, 250, 250]);
  });
});

describe('a day', () => {
  it('is followed: in place first, pods before they are needed, one at a time back, nothing missed', () => {
    const of = walk({ seconds: 1800, rate: DAY });
    expect(of.missedFraction).toBeLessThan(0.001);
    expect(firstOf(of, 'grow')).toBeLessThan(firstOf(of, 'add'));
    expect(of.changes.filter(({ by }) => by < 0).every(({ by }) => by === -1)).toBe(true);
    // Two crests: pods come for each, and go after it.
    expect(of.changes.length).toBeLessThanOrEqual(10);
    const most = Math.max(...of.seconds.map(({ millicores }) => millicores.reduce((sum, each) => sum + each, 0)));
    expect(of.coreSeconds).toBeLessThan(0.7 * (most / 1000) * 1800);
  });
});

describe('a flash crowd', () => {
  const flash = (second: number): number => (second > 100 && second <= 250 ? 400 : 40);

  it('has all cores and the pods asked for in the second that it comes, and they stay for a while', () => {
    const of = walk({ seconds: 600, rate: flash });
    const at = of.seconds[100]!;
    expect(at.decision.steps.map(({ kind }) => kind)).toEqual(['grow', 'add']);
    expect(at.decision.resizes).toEqual([{ pod: 'pod-0', cpuMillicores: WALK_RULES.limits.maxMillicores }]);
    expect(at.replicas).toBeGreaterThanOrEqual(3);
    // Once the pods are warm and have grown, nobody is missed.
    expect(of.seconds.filter(({ second, missed }) => second > 124 && missed > 0)).toEqual([]);
    // One shrinks only when a new one is warm and has its cores.
    const warmAt = of.seconds.find(({ warm }) => warm > 1)!.second;
    expect(
      of.seconds.slice(100, warmAt).every(({ millicores, second }) => second <= 101 || millicores[0] === 4000),
    ).toBe(true);
    expect(Math.min(...of.changes.filter(({ by }) => by < 0).map(({ second }) => second))).toBeGreaterThan(250);
  });

  it('again and again does not send pods away between', () => {
    const of = walk({ seconds: 900, rate: (second) => (second % 60 > 40 ? 300 : 40), seed: 3 });
    expect(returnsOf(of)).toBe(0);
    expect(of.changes.length).toBeLessThanOrEqual(2);
  });

  it('that comes up to what pods may be is told to be too much', () => {
    const of = walk({ seconds: 200, rate: () => 5000, rules: { maxReplicas: 3 } });
    expect(of.replicas).toBe(3);
    expect(reasonsOf(of, 'short').at(-1)).toMatch(
      /^\d+ requests\/s need more than 3 warm pods can do, and there may be 3 pods at most$/,
    );
    expect(of.seconds.at(-1)!.millicores).toEqual([4000, 4000, 4000]);
  });
});

describe('a pod that is lost', () => {
  it('is made up for by the others in place, in the same second', () => {
    const of = walk({
      seconds: 300,
      replicas: 3,
      millicores: 1000,
      rate: () => 150,
      rules: { minReplicas: 3 },
      onSecond: (second, own) => {
        if (second === 200) own.lose(0);
      },
    });
    const [before, at, after] = [of.seconds[198]!, of.seconds[199]!, of.seconds[200]!];
    expect([before.warm, at.warm]).toEqual([3, 2]);
    expect(at.decision.steps.map(({ kind }) => kind)).toContain('grow');
    expect(Math.min(...after.millicores)).toBeGreaterThan(Math.max(...before.millicores));
    expect(of.seconds.at(-1)!.warm).toBe(3);
  });
});

describe('a node that has no more', () => {
  it('has pods asked for as soon as a resize is put off, and its wish taken back once less does', () => {
    const of = walk({
      seconds: 500,
      rate: (second) => (second < 30 ? 30 : 110),
      nodeMillicores: () => 1500,
    });
    const deferredAt = of.seconds.find(({ decision }) =>
      decision.resizes.some(({ cpuMillicores }) => cpuMillicores > 1500),
    )!.second;
    const added = of.changes.find(({ by }) => by > 0)!;
    expect(added.second - deferredAt).toBeLessThanOrEqual(1);
    expect(reasonsOf(of, 'add').join()).toContain('a node has no more cores');
    expect(of.seconds.at(-1)!.missed).toBe(0);
    expect(of.pods.every(({ blocked }) => blocked === null)).toBe(true);
  });

  it('nor place for pods: nothing more is asked for, and it is told', () => {
    const of = walk({ seconds: 400, rate: () => 300, coldStartSeconds: 100_000, rules: { maxReplicas: 6 } });
    const asked = of.replicas;
    expect(of.changes.filter(({ second }) => second > 200)).toEqual([]);
    expect(reasonsOf(of, 'short').at(-1)).toMatch(/of the pods asked for do not come$/);
    expect(asked).toBeLessThan(6);
  });
});

describe('a model that is slower than it says', () => {
  it('is given more until it misses no more than it may', () => {
    const of = walk({ seconds: 600, rate: () => 80, slowness: 2.2 });
    expect(Math.max(...of.seconds.map(({ decision }) => decision.boost))).toBeGreaterThan(1.05);
    const late = of.seconds.slice(300);
    expect(late.reduce((sum, { missed }) => sum + missed, 0)).toBeLessThan(0.02 * 80 * 300);
  });
});

describe('where nobody says anything', () => {
  it('nothing is changed', () => {
    const of = walk({ seconds: 300, rate: () => 100, isBlind: (second) => second > 50 && second < 200 });
    const blind = of.seconds.filter(({ second }) => second > 50 && second < 200);
    expect(blind.flatMap(({ decision }) => [...decision.resizes])).toEqual([]);
    expect(new Set(blind.map(({ replicas }) => replicas)).size).toBe(1);
  });
});

describe('whatever comes', () => {
  const anyLoad = fc.record({
    seed: fc.integer({ min: 1, max: 1e6 }),
    levels: fc.array(fc.integer({ min: 0, max: 600 }), { minLength: 1, maxLength: 12 }),
    node: fc.constantFrom(1000, 2000, 4000, 8000),
    cold: fc.integer({ min: 1, max: 90 }),
    minReplicas: fc.integer({ min: 1, max: 3 }),
    balancing: fc.constantFrom('even' as const, 'by-room' as const),
  });

  it('stays within its limits, takes pods back one at a time, and says why', () => {
    fc.assert(
      fc.property(anyLoad, ({ seed, levels, node, cold, minReplicas, balancing }) => {
        const of = walk({
          seed,
          seconds: 50 * levels.length,
          rate: (second) => levels[Math.floor((second - 1) / 50)]!,
          coldStartSeconds: cold,
          nodeMillicores: (pod) => (pod % 2 === 0 ? node : 4000),
          rules: { minReplicas, maxReplicas: 6, balancing },
        });
        for (const { decision, replicas } of of.seconds) {
          expect(replicas).toBeGreaterThanOrEqual(minReplicas);
          expect(replicas).toBeLessThanOrEqual(6);
          for (const { cpuMillicores } of decision.resizes) {
            expect(cpuMillicores).toBeGreaterThanOrEqual(250);
            expect(cpuMillicores).toBeLessThanOrEqual(4000);
          }
          expect(decision.steps.length).toBeGreaterThan(0);
          for (const { reason } of decision.steps) expect(reason).toMatch(/^[^\n]{10,250}$/);
        }
        expect(of.changes.every(({ by, second }) => by >= -1 || second === 1)).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  it('does not flap: of a load that stays, no pod comes back once one has gone', () => {
    fc.assert(
      fc.property(
        fc.record({
          seed: fc.integer({ min: 1, max: 1e6 }),
          rate: fc.integer({ min: 1, max: 500 }),
          replicas: fc.integer({ min: 1, max: 6 }),
        }),
        ({ seed, rate, replicas }) => {
          const of = walk({ seed, seconds: 900, rate: () => rate, replicas });
          expect(returnsOf(of)).toBe(0);
          // And cores by chance only.
          const late = of.seconds.slice(450).flatMap(({ decision }) => [...decision.resizes]);
          expect(late.length).toBeLessThan(20 * of.replicas);
        },
      ),
      { numRuns: 12 },
    );
  });
});
