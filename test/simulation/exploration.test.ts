import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shapeClass } from '../../src/scheduler/domain/request.js';
import { ALONE_MS, believingRun, profileOf, shareInTime, type BelievingRun } from './believing-run.js';

/*
 * Whatever is believed wrongly, feasible requests are served again within two seconds, and putting beliefs to the test costs
 * the others no more than `exploration.ts` says.
 */

const PROFILED = shapeClass('x:FP32[64]', 64, [64]);
const OTHER = shapeClass('x:FP32[640]', 640, [640]);
const RATES = [2, 10, 30];
/** Times what a request takes alone at the largest allocation. */
const BUDGETS = [3, 10, 25];
const SEEDS = [1, 2, 3];
const RECOVERED_WITHIN_MS = 2000;

const everywhere = RATES.flatMap((ratePerSec) => BUDGETS.map((budget) => [ratePerSec, budget] as const));

/** What is true and what is believed from some moment on, with what a profile would have to say then to be right. */
interface Wrong extends Omit<BelievingRun, 'seed'> {
  readonly fromMs: number;
  readonly right: Pick<BelievingRun, 'profile' | 'slownessOf'>;
}

/**
 * Of the requests that one who is right from the beginning answers in time, the share that is answered from two seconds after
 * the belief became wrong on; the mean over the seeds. Above 1 by chance.
 */
function recovered({ fromMs, right, ...run }: Wrong, sender = 0): number {
  const shares = SEEDS.map((seed) => {
    const share = (each: Omit<BelievingRun, 'seed'>): number =>
      shareInTime(believingRun({ ...each, seed }), sender, fromMs + RECOVERED_WITHIN_MS, run.durationMs);
    return share(run) / share({ ...run, ...right });
  });
  return shares.reduce((sum, each) => sum + each, 0) / shares.length;
}

const USUAL = { profile: profileOf(PROFILED, 1), slownessOf: (): number => 1 };

describe.each(everywhere)(
  'at %i requests a second with a budget of %i times the latency alone',
  (ratePerSec, budget) => {
    const sender = { shapeClass: PROFILED, ratePerSec, sloMs: budget * ALONE_MS };
    const atStart = { senders: [sender], slownessOf: () => 1, durationMs: 42_000, fromMs: 0, right: USUAL };

    it('a stored profile that is 30 times too slow refuses for less than two seconds', () => {
      expect(recovered({ ...atStart, profile: profileOf(PROFILED, 30) })).toBeGreaterThan(0.95);
    });

    it('so does one that is twice too slow', () => {
      expect(recovered({ ...atStart, profile: profileOf(PROFILED, 2) })).toBeGreaterThan(0.95);
    });

    it('one that is 30 times too fast, which refuses nothing, is found out as soon', () => {
      expect(recovered({ ...atStart, profile: profileOf(PROFILED, 1 / 30) })).toBeGreaterThan(0.95);
    });

    it('a machine that was too slow for everything, and no longer is, is found out within two seconds', () => {
      // Until then not one request is feasible: twice the budget even alone.
      const slownessOf = (_: string, nowMs: number): number => (nowMs < 20_000 ? 2 * budget : 1);
      expect(recovered({ ...atStart, profile: USUAL.profile, slownessOf, fromMs: 20_000 })).toBeGreaterThan(0.95);
    });

    it('a machine that becomes half as fast, and as fast as before again, goes on serving what is feasible', () => {
      const slownessOf = (_: string, nowMs: number): number => (nowMs >= 10_000 && nowMs < 40_000 ? 2 : 1);
      const slower = { profile: profileOf(PROFILED, 2), slownessOf: () => 2 };
      const run = { ...atStart, profile: USUAL.profile, slownessOf };
      expect(recovered({ ...run, durationMs: 40_000, fromMs: 10_000, right: slower })).toBeGreaterThan(0.95);
      expect(recovered({ ...run, durationMs: 70_000, fromMs: 40_000 })).toBeGreaterThan(0.95);
    });

    it('a first shape that was tiny does not speak for the large ones', () => {
      // Ten times the elements, and no slower: believed to need 170 ms.
      const senders = [{ ...sender, shapeClass: OTHER }];
      const right = { ...USUAL, profile: profileOf(OTHER, 1) };
      expect(recovered({ ...atStart, senders, profile: USUAL.profile, right })).toBeGreaterThan(0.95);
    });

    it('a belief is tested although clients leave before their answers could come', () => {
      const leaving = { ...sender, ratePerSec: 10, leavesAfterMs: 1 };
      const run = { ...atStart, senders: [leaving, sender], profile: profileOf(PROFILED, 300) };
      expect(recovered(run, 1)).toBeGreaterThan(0.95);
    });
  },
);

describe('what a test may cost the others', () => {
  /** Feasible requests, and ones that are not, at any rates, of another class. */
  const arbitrary = fc.record({
    seed: fc.nat(10_000),
    otherRatePerSec: fc.double({ min: 1, max: 25, noNaN: true }),
    refusedRatePerSec: fc.double({ min: 1, max: 200, noNaN: true }),
    refusedClasses: fc.integer({ min: 1, max: 4 }),
    /** Times the usual latency that the refused classes take. */
    slowness: fc.double({ min: 5, max: 100, noNaN: true }),
    budget: fc.double({ min: 3, max: 20, noNaN: true }),
  });

  it('failed tests take at most 5 % of the time that others are served in, and one run, whatever is believed and true', () => {
    fc.assert(
      fc.property(arbitrary, ({ seed, otherRatePerSec, refusedRatePerSec, refusedClasses, slowness, budget }) => {
        const durationMs = 60_000;
        const served = { shapeClass: PROFILED, ratePerSec: otherRatePerSec, sloMs: budget * ALONE_MS };
        const refused = Array.from({ length: refusedClasses }, (_, index) => ({
          // Never in time: its budget is less than half of what it takes.
          shapeClass: shapeClass(`slow ${index}`, 64 * slowness, [64 * slowness]),
          ratePerSec: refusedRatePerSec / refusedClasses,
          sloMs: (slowness * ALONE_MS) / 2.5,
        }));
        const report = believingRun({
          seed,
          profile: USUAL.profile,
          slownessOf: (key) => (key === PROFILED.key ? 1 : slowness),
          senders: [served, ...refused],
          durationMs,
        });
        const tests = report.explorings.filter(
          (each) => each.classKey !== PROFILED.key && each.startedAtMs < durationMs,
        );
        const lengths = tests.map(({ startedAtMs, endedAtMs }) => endedAtMs - startedAtMs);
        const total = lengths.reduce((sum, each) => sum + each, 0);
        // Two seconds after the last of the others each ms without a test pays for one.
        const gapsMs = quietMs(
          report.answers.filter(({ sender }) => sender === 0).map(({ sentAtMs }) => sentAtMs),
          durationMs,
        );
        expect(total).toBeLessThanOrEqual(0.05 * durationMs + gapsMs + Math.max(0, ...lengths) + 1e-6);
        for (let index = 1; index < tests.length; index++) {
          expect(tests[index]!.startedAtMs).toBeGreaterThanOrEqual(tests[index - 1]!.endedAtMs);
        }
        // Each class is tested all the same, and again.
        expect(tests.length).toBeGreaterThan(0);
      }),
      { numRuns: 15 },
    );
  });

  it('what it costs others in answers is as little', () => {
    const served = { shapeClass: PROFILED, ratePerSec: 10, sloMs: 10 * ALONE_MS };
    const slow = { shapeClass: shapeClass('slow', 64 * 30, [64 * 30]), ratePerSec: 20, sloMs: 5 * ALONE_MS };
    for (const seed of SEEDS) {
      const run = { seed, profile: USUAL.profile, durationMs: 120_000 };
      const slownessOf = (key: string): number => (key === 'slow' ? 30 : 1);
      const alone = shareInTime(believingRun({ ...run, slownessOf, senders: [served] }), 0, 0);
      const beside = shareInTime(believingRun({ ...run, slownessOf, senders: [served, slow] }), 0, 0);
      // Those that come during a test, and the wait after it: twice 5 %.
      expect(beside).toBeGreaterThan(alone - 0.1);
    }
  });
});

/** Time that lies more than two seconds after the request before it, and all before the first: nobody asks. */
function quietMs(sentAtMs: readonly number[], durationMs: number): number {
  let quiet = 0;
  let last = -2000;
  for (const atMs of [...sentAtMs].sort((a, b) => a - b).concat(durationMs)) {
    quiet += Math.max(0, atMs - last - 2000);
    last = atMs;
  }
  return quiet;
}
