import { describe, expect, it } from 'vitest';
import type { Balancing } from './fronts.js';
import { capacityPerSec, SMALL_MODEL } from './pod-machine.js';
import { violationRate, type PodsResult } from './pods-ledger.js';
import { runPods, type PodFailure, type PodsOptions } from './pods-simulation.js';
import { podsWorkload } from './pods-workload.js';

const BUDGETS_MS = [250, 500, 1000, 2000];

function run(
  balancing: Balancing | 'central',
  { podCount = 16, load = 0.9, seed = 1, ...fields }: Partial<PodsOptions> & { podCount?: number; load?: number } = {},
): PodsResult {
  const millicores = fields.millicores ?? new Array<number>(podCount).fill(500);
  const ratePerSec = load * millicores.reduce((sum, each) => sum + capacityPerSec(SMALL_MODEL, each), 0);
  const spec = { arrivals: { kind: 'poisson', ratePerSec }, durationMs: 8000, budgetsMs: BUDGETS_MS } as const;
  const workload = podsWorkload(spec, seed);
  const kind = 'listed';
  return runPods({ seed, machine: SMALL_MODEL, millicores, kind, balancing, workload, reportOnBatchMs: 10, ...fields });
}

/** Over seeds, so that it is no accident. */
function lost(balancing: Balancing, fields: Parameters<typeof run>[1] = {}): number {
  return [1, 2, 3].reduce((sum, seed) => sum + violationRate(run(balancing, { ...fields, seed })), 0) / 3;
}

/** The second pod, in the middle of it. */
const DEATH: PodFailure = { pod: 1, atMs: 4000, noticedAfterMs: 1000, isSilent: false, backAfterMs: Infinity };

describe('many pods', () => {
  it('repeat from the seed, bit for bit, and differ with another', () => {
    const digests = [1, 1, 2].map((seed) => run('picker', { seed, frontCount: 2 }).digest);
    expect(digests[0]).toBe(digests[1]);
    expect(digests[0]).not.toBe(digests[2]);
  });

  it('behind the picker lose at most half of what they lose by requests under way, whichever way', () => {
    const ours = lost('picker');
    expect(ours).toBeLessThanOrEqual(lost('least-request') / 2);
    expect(ours).toBeLessThanOrEqual(lost('random-of-two') / 2);
  });

  it('of three sizes lose a tenth, and nearly nothing', () => {
    const millicores = Array.from({ length: 15 }, (_, index) => [200, 500, 800][index % 3]!);
    const ours = lost('picker', { millicores });
    expect(ours).toBeLessThanOrEqual(lost('random-of-two', { millicores }) / 10);
    expect(ours).toBeLessThan(0.003);
  });

  it('are worse off by two in a hundred at most where more is asked than they can do', () => {
    expect(lost('picker', { load: 1.1 })).toBeLessThanOrEqual(lost('random-of-two', { load: 1.1 }) + 0.02);
  });

  it('lose with a pod what it had and what is sent there before that is noticed, unless it is tried elsewhere', () => {
    const alone = run('round-robin', { load: 0.5, failures: [DEATH] });
    // A sixteenth of the requests of a second, and what waited there.
    const expected = (alone.sent / 8 / 16) * 1;
    expect(alone.ends.lost).toBeGreaterThan(0.5 * expected);
    expect(alone.ends.lost).toBeLessThan(2 * expected + 16);
    const tried = run('round-robin', { load: 0.5, failures: [DEATH], retries: 2 });
    expect(tried.ends.lost).toBe(0);
    expect(tried.retries).toBeGreaterThanOrEqual(alone.ends.lost);
  });

  it('lose less where the picker hears that a connection has ended', () => {
    const fields = { load: 0.5, failures: [DEATH] };
    expect(run('picker', fields).ends.lost).toBeLessThan(run('round-robin', fields).ends.lost / 2);
  });

  it('lose what is sent to a node that is gone until that is noticed: nobody is told in time to try elsewhere', () => {
    const silent = { ...DEATH, isSilent: true, noticedAfterMs: 3000 };
    const result = run('round-robin', { load: 0.5, failures: [silent], retries: 2 });
    expect(result.ends.lost).toBeGreaterThan(run('round-robin', { load: 0.5, failures: [DEATH] }).ends.lost);
  });

  it('are used again once they are back', () => {
    const back = { ...DEATH, backAfterMs: 2000 };
    for (const balancing of ['picker', 'least-request'] as const) {
      const [gone, returned] = [[DEATH], [back]].map((failures) =>
        run(balancing, { podCount: 2, load: 0.6, failures, retries: 2 }),
      );
      expect(violationRate(returned!)).toBeLessThan(violationRate(gone!));
    }
  });

  it('that are slow are given less by the picker', () => {
    const slowness = [1.5];
    expect(lost('picker', { load: 0.7, slowness })).toBeLessThanOrEqual(lost('round-robin', { load: 0.7, slowness }));
  });

  it('are refused once by each pod that is tried, and no more often than that', () => {
    const { retries, ends } = run('random-of-two', { podCount: 2, load: 2, retries: 1 });
    expect(retries).toBeGreaterThan(0);
    expect(ends['refused-by-pod']).toBeGreaterThan(0);
  });
});
