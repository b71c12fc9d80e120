import { describe, expect, it } from 'vitest';
import { Prng } from '../../../scheduler/random/prng.js';
import { SMALL_MODEL } from '../pod-machine.js';
import { violationRate } from '../pods-ledger.js';
import { podsWorkload } from '../pods-workload.js';
import { kubeletResizeMs, runFleet, type FleetResult } from './fleet-simulation.js';
import { fixedPolicy, hpaOnQueueTime, spongeSizer, themisLike, vpaEachMinute } from './policies.js';
import type { FleetBounds, FleetObservation, FleetWish, ScalingPolicy } from './scaling-policy.js';

const BUDGETS_MS = [250, 500, 1000, 2000];
const BOUNDS: FleetBounds = {
  machine: SMALL_MODEL,
  budgetsMs: BUDGETS_MS,
  limits: { minMillicores: 500, maxMillicores: 4000, stepMillicores: 250 },
  minReplicas: 2,
  maxReplicas: 20,
  firstMillicores: 1000,
  podMillicores: 250,
};

function observed(nowMs: number, replicas: number, fields: Partial<FleetObservation> = {}): FleetObservation {
  return {
    nowMs,
    spanMs: 1000,
    replicasWished: replicas,
    pods: Array.from({ length: replicas }, (_, index) => ({
      id: String(index),
      phase: 'warm' as const,
      inForceMillicores: 1000,
      wishedMillicores: 1000,
    })),
    arrived: 10,
    ended: 10,
    missed: 0,
    heldRequests: 0,
    begun: 10,
    queuedMs: 0,
    usedCoreSeconds: 1,
    ...fields,
  };
}

/** So many seconds of the same, what it asks for carried out at once. @returns replicas after each second */
function walk(
  policy: ScalingPolicy,
  seconds: number,
  startReplicas: number,
  queueMs: (second: number) => number,
): number[] {
  let replicas = startReplicas;
  return Array.from({ length: seconds }, (_, second) => {
    const wish: FleetWish = policy.decide(observed(1000 * second, replicas, { queuedMs: 10 * queueMs(second) }));
    return (replicas = wish.replicas);
  });
}

describe('an autoscaler on queue time', () => {
  it('looks every 15 s: in proportion, by four or as many again at once', () => {
    const replicas = walk(hpaOnQueueTime(10, BOUNDS), 46, 4, () => 100);
    // 4 × 10 would be 40; twice what is there, up to all that there may be.
    expect([0, 14, 15, 30, 45].map((second) => replicas[second])).toEqual([8, 8, 16, 20, 20]);
  });

  it('leaves what is within a tenth', () => {
    expect(new Set(walk(hpaOnQueueTime(10, BOUNDS), 60, 4, () => 10.9))).toEqual(new Set([4]));
    expect(walk(hpaOnQueueTime(10, BOUNDS), 1, 4, () => 11.5)).toEqual([5]);
  });

  it('gives up what was not wanted for five minutes, and not before', () => {
    const replicas = walk(hpaOnQueueTime(10, BOUNDS), 400, 4, (second) => (second < 10 ? 20 : 1));
    expect(replicas[0]).toBe(8);
    // The mean of the first 16 s: (10 × 20 + 6 × 1) / 16 = 12.9, and ⌈8 × 1.29⌉ = 11.
    expect(replicas[15]).toBe(11);
    expect(replicas[314]).toBe(11);
    expect(replicas.at(-1)).toBeLessThan(8);
  });
});

describe('the vertical autoscaler', () => {
  it('recommends each minute what was used, and a sixth more', () => {
    const policy = vpaEachMinute(2, BOUNDS);
    const wishes = Array.from({ length: 61 }, (_, second) =>
      policy.decide(observed(1000 * second, 2, { usedCoreSeconds: 4 })),
    );
    expect(wishes.slice(0, 60).every(({ resizes }) => resizes.length === 0)).toBe(true);
    // Two cores each, and the bucket's end is a twentieth and its first width more at the most: 2 × 1.15 to 2.11 × 1.15.
    const asked = wishes[60]!.resizes.map(({ cpuMillicores }) => cpuMillicores);
    expect(asked).toHaveLength(2);
    expect(asked[0]).toBeGreaterThanOrEqual(2300);
    expect(asked[0]).toBeLessThanOrEqual(2427);
  });
});

describe('after Themis', () => {
  it('grows what is warm while pods start, and is back on one core when they are', () => {
    const policy = themisLike(BOUNDS);
    const asked = policy.decide(observed(0, 2, { arrived: 200 }));
    expect(asked.replicas).toBeGreaterThan(4);
    expect(asked.resizes.every(({ cpuMillicores }) => cpuMillicores > 1000)).toBe(true);
    const later = policy.decide(observed(1000, asked.replicas, { arrived: 200 }));
    expect(later).toEqual({ replicas: asked.replicas, resizes: [] });
  });
});

describe('a workload that is sized', () => {
  const SECONDS = 240;

  function run(policy: ScalingPolicy, startReplicas = 4, seed = 1): FleetResult {
    const ratesPerSec = Array.from({ length: SECONDS }, (_, second) => (second >= 100 && second < 160 ? 200 : 60));
    const arrivals = { kind: 'rates', ratesPerSec, repeat: false } as const;
    const workload = podsWorkload({ arrivals, durationMs: 1000 * SECONDS, budgetsMs: BUDGETS_MS }, seed);
    return runFleet({ seed, bounds: BOUNDS, workload, policy, startReplicas, coldStartMs: [15_000, 25_000] });
  }

  it('is charged what its pods hold', () => {
    // 4 × (1 + 0.25) cores for 240 s.
    expect(run(fixedPolicy(4)).heldCoreSeconds).toBeCloseTo(1200, 6);
  });

  it('repeats from the seed', () => {
    const [one, other] = [1, 1].map((seed) => run(spongeSizer(BOUNDS, 0.99), 4, seed));
    expect(one).toEqual(other);
  });

  it('by us meets what is asked for, with seven tenths of the cores of whatever target of queue time does', () => {
    const ours = run(spongeSizer(BOUNDS, 0.99));
    expect(violationRate(ours)).toBeLessThanOrEqual(0.01);
    const theirs = ([5, 10, 20, 40] as const).map((targetMs) => run(hpaOnQueueTime(targetMs, BOUNDS)));
    const met = theirs.filter((each) => violationRate(each) <= 0.01);
    expect(met.length).toBeGreaterThan(0);
    for (const { heldCoreSeconds } of met) expect(ours.heldCoreSeconds).toBeLessThanOrEqual(0.7 * heldCoreSeconds);
  });

  it('has new pods after their cold start, charged from the moment they are asked for', () => {
    let isAsked = false;
    const { heldCoreSeconds, mostReplicas } = run({
      decide: ({ nowMs, replicasWished }) => {
        isAsked ||= nowMs >= 200_000;
        return { replicas: isAsked ? 5 : replicasWished, resizes: [] };
      },
    });
    expect(mostReplicas).toBe(5);
    expect(heldCoreSeconds).toBeCloseTo(1200 + 40 * 1.25, 6);
  });

  it('has resizes in force as late as a kubelet has them', () => {
    const prng = new Prng(1);
    const delays = Array.from({ length: 10_001 }, () => kubeletResizeMs(prng)).sort((a, b) => a - b);
    expect(delays[0]).toBeGreaterThanOrEqual(26);
    expect(delays.at(-1)).toBeLessThanOrEqual(95);
    expect(delays[5000]).toBeCloseTo(31, 0);
  });
});
