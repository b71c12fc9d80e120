import { describe, expect, it } from 'vitest';
import { runJob, type JobResult } from '../../src/simulator/comparison/simulate.js';
import type { SeedResult } from '../../src/simulator/comparison/run-seed.js';
import { evaluationJobs, PAPER_SETTING, POLICIES, type EvaluationJob } from './evaluation-jobs.js';
import { paperPercentOf, runEvaluation, type EvaluationResult } from './evaluation-run.js';
import { latencyFits } from './latency-fits.js';
import { networkSource } from './network-source.js';
import { YOLOV5S } from './published.js';
import { replayReleased } from './replay.js';
import { sumOf } from './spread.js';

const DURATION_SEC = 40;
const SEED = 2;
const network = networkSource();
const jobs = evaluationJobs({ seeds: [SEED], durationSec: DURATION_SEC, network });

function job(policy: string, setting: Partial<EvaluationJob['setting']> = {}): EvaluationJob {
  const wanted = JSON.stringify(sorted({ service: 'fit', ...PAPER_SETTING, ...setting }));
  return jobs.find((each) => each.policy === policy && JSON.stringify(sorted(each.setting)) === wanted)!;
}

function sorted(value: object): unknown {
  return Object.entries(value).sort(([a], [b]) => a.localeCompare(b));
}

function run(policy: string, setting: Partial<EvaluationJob['setting']> = {}): EvaluationResult {
  return runEvaluation(job(policy, setting), () => undefined);
}

/** The same by `sponge simulate`. */
function simulated({ file, seed, spec }: EvaluationJob): SeedResult {
  const result: JobResult = runJob({ kind: 'policy', file, seed, policy: spec }, () => undefined);
  return result as SeedResult;
}

describe('the jobs', () => {
  it('are every policy in every setting, and the released rule on YOLOv5n', () => {
    // 2 services · 4 worlds · (10 policies with idle CPU kept + 9 given back), and 2 services of YOLOv5n.
    expect(jobs).toHaveLength(2 * 4 * (POLICIES.length + POLICIES.length - 1) + 2);
    expect(new Set(jobs.map((each) => JSON.stringify(each))).size).toBe(jobs.length);
  });

  it('are the authors’ scenario with what the setting says', () => {
    const { scenario } = job('fa2-slow', {
      service: 'table',
      arrivals: 'poisson',
      delay: 'applied',
      releasesIdle: true,
    }).file;
    expect(scenario).toMatchObject({
      durationSec: DURATION_SEC,
      profile: 'yolov5s',
      service: 'table',
      arrivals: { kind: 'poisson', ratePerSec: 20 },
      payloads: [{ bytes: 303_600, sloMs: 1000 }],
      network: { mode: 'applied' },
      cpu: { idleRelease: true, maxBatch: 8 },
      coldStartSec: 12,
    });
  });
});

describe('a run of the evaluation', () => {
  it.each(['released', 'fa2', 'static-8', 'sponge', 'best-static'])(
    'is what the simulator makes of it: %s',
    (policy) => {
      const ours = run(policy);
      const theirs = simulated(job(policy));
      for (const count of ['sent', 'onTime', 'late', 'expired', 'rejectedInfeasible', 'rejectedOverload'] as const) {
        expect(ours[count], count).toBe(theirs[count]);
      }
      expect(ours.violationPercent).toBeCloseTo(100 * theirs.violationRate, 12);
      expect(ours.meanCores).toBeCloseTo(theirs.coreSeconds / theirs.durationSec, 12);
      expect(ours.violatedBySecond).toEqual(theirs.violatedBySecond);
      expect(ours.chosen).toBe(theirs.chosen ?? null);
    },
  );

  it('decides as the replay over the same bandwidth', () => {
    const { decisions } = run('released');
    const { coefficients } = latencyFits()[0]!;
    const replay = replayReleased(network.bytesPerMs(SEED, DURATION_SEC), coefficients, YOLOV5S);
    expect(decisions).toMatchObject({
      count: DURATION_SEC,
      meanCores: replay.meanCores,
      infeasible: replay.infeasibleSec,
      coreChanges: replay.coreChanges,
      byBatchSize: replay.secByBatchSize,
    });
    expect(decisions!.tickAtMs).toBeGreaterThanOrEqual(0);
    expect(decisions!.tickAtMs).toBeLessThan(1000);
    expect(run('static-8').decisions).toBeNull();
  });

  it('counts late requests whose batch waited for the next second, of which greedy batches have none', () => {
    const released = run('released');
    expect(released.lateCarriedOver).toBeGreaterThan(0);
    expect(released.lateCarriedOver).toBeLessThanOrEqual(released.late);
    expect(run('released-greedy').lateCarriedOver).toBe(0);
  });

  it('has the paper’s measure of every second, more of it with the lower drop limit', () => {
    const result = run('static-8');
    const { limit3s, limit1s } = result.paperBySecond;
    expect(limit3s).toHaveLength(DURATION_SEC);
    limit3s.forEach((count, second) => expect(limit1s[second]).toBeGreaterThanOrEqual(count));
    expect(paperPercentOf(result, 'limit3s', 20)).toBeCloseTo((100 * sumOf(limit3s)) / (DURATION_SEC * 20), 9);
    // At a utilisation of 1.03 the last of a second's 20 requests soon takes more than 1 s, and none 3 s within 40 s.
    expect(sumOf(limit3s)).toBeGreaterThan(20);
    expect(Math.max(...limit3s)).toBe(1);
  });

  it('repeats bit for bit', () => {
    expect(run('released')).toEqual(run('released'));
  });
});
