import { inParallel } from '../../src/simulator/comparison/parallel.js';
import type { FleetResult } from '../../src/simulator/pods/scaling/fleet-simulation.js';
import { startModuleThread } from '../../src/threads/module-thread.js';
import type { Target } from '../planner/target.js';
import { runPodsJob, type PodsJob, type PodsRun, type ScalingJob, type ScalingName } from './pods-jobs.js';

/* What sizing a workload is worth, pods × cores: the same day for every policy, several seeds, pooled. */

const FIRST_SEED = 2001;
const SEEDS = 5;
const DAY_SECONDS = 1800;
const OURS = 'sponge 0.99';

export interface Sized {
  readonly policy: ScalingName;
  readonly sent: number;
  readonly lostFraction: number;
  /** Of all seeds. */
  readonly heldCoreSeconds: number;
  readonly usedCoreSeconds: number;
  readonly meanReplicas: number;
  readonly mostReplicas: number;
  readonly replicaChanges: number;
  readonly resizes: number;
  readonly digests: readonly string[];
}

export interface SizingResults {
  readonly seeds: number;
  readonly daySeconds: number;
  readonly sizing: readonly Sized[];
}

export interface SizingExperimentOptions {
  readonly threads: number;
  /** Of seeds and of the day's length, this share. */
  readonly scale: number;
  readonly onProgress: (fraction: number, now: string) => void;
}

const HPA_TARGETS_MS = [5, 10, 20] as const;
const SIZERS: readonly ScalingName[] = [
  'sponge 0.99',
  'sponge 0.999',
  ...([1, 2] as const).flatMap((cores) => HPA_TARGETS_MS.map((target) => `hpa ${target} ${cores}` as const)),
  // Kinder than what Kubernetes has where nobody says otherwise.
  'hpa 5 2 60',
  'hpa 10 2 60',
  'themis',
  'vpa 4',
  'fixed 14',
];

export async function runSizingExperiment(options: SizingExperimentOptions): Promise<SizingResults> {
  const { threads, scale, onProgress } = options;
  const seeds = Math.max(1, Math.round(SEEDS * scale));
  const daySeconds = Math.max(60, Math.round(DAY_SECONDS * scale));
  const jobs = SIZERS.flatMap((policy) =>
    Array.from({ length: seeds }, (_, index): ScalingJob => ({
      kind: 'scaling',
      seed: FIRST_SEED + index,
      durationSec: daySeconds,
      policy,
    })),
  );
  const runs = await inParallel<PodsJob, PodsRun>({
    jobs,
    threads,
    startThread: () => startModuleThread(import.meta.url, './pods-thread.js'),
    runHere: runPodsJob,
    nameOf: (job) => (job as ScalingJob).policy,
    onProgress,
  });
  const sizing = SIZERS.map((policy, place) =>
    sized(policy, runs.slice(place * seeds, (place + 1) * seeds) as FleetResult[]),
  );
  return { seeds, daySeconds, sizing };
}

function sumOf<Item>(items: readonly Item[], of: (item: Item) => number): number {
  return items.reduce((sum, each) => sum + of(each), 0);
}

function sized(policy: ScalingName, runs: readonly FleetResult[]): Sized {
  const sent = sumOf(runs, (run) => run.sent);
  return {
    policy,
    sent,
    lostFraction: 1 - sumOf(runs, ({ ends }) => ends['on-time']) / sent,
    heldCoreSeconds: sumOf(runs, (run) => run.heldCoreSeconds),
    usedCoreSeconds: sumOf(runs, (run) => run.coreSeconds),
    meanReplicas: sumOf(runs, (run) => run.meanReplicas) / runs.length,
    mostReplicas: Math.max(...runs.map((run) => run.mostReplicas)),
    replicaChanges: sumOf(runs, (run) => run.replicaChanges) / runs.length,
    resizes: sumOf(runs, (run) => run.resizes) / runs.length,
    digests: runs.map(({ digest }) => digest),
  };
}

// ---- what it is held to ----------------------------------------------------------------------------------------------

const MOST_CORES_RATIO = 0.7;

/** The cheapest of the others that lost no more than ours; where there is none, the one that lost least. */
export function rivalOf(ours: Sized, others: readonly Sized[]): Sized {
  const asGood = others.filter(({ lostFraction }) => lostFraction <= ours.lostFraction);
  if (asGood.length > 0)
    return asGood.reduce((best, each) => (each.heldCoreSeconds < best.heldCoreSeconds ? each : best));
  return others.reduce((best, each) => (each.lostFraction < best.lostFraction ? each : best));
}

export function sizingTargets({ sizing }: SizingResults): readonly Target[] {
  const sponge = sizing.find(({ policy }) => policy === OURS)!;
  const rival = rivalOf(
    sponge,
    sizing.filter(({ policy }) => policy.startsWith('hpa')),
  );
  const cores = sponge.heldCoreSeconds / rival.heldCoreSeconds;
  return [
    {
      measure: `a day and a flash crowd: core-seconds, of those of \`${rival.policy}\`, the cheapest autoscaler on queue time that loses no more`,
      least: `≤ ${MOST_CORES_RATIO}`,
      aim: `≤ ${MOST_CORES_RATIO}`,
      measured: cores.toFixed(2),
      isMet: cores <= MOST_CORES_RATIO && sponge.lostFraction <= rival.lostFraction,
      isAimMet: cores <= MOST_CORES_RATIO && sponge.lostFraction <= rival.lostFraction,
    },
  ];
}
