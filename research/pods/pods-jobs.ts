import type { Balancing } from '../../src/simulator/pods/fronts.js';
import { mostOnTime } from '../../src/simulator/pods/central-bound.js';
import { capacityPerSec, SMALL_MODEL } from '../../src/simulator/pods/pod-machine.js';
import type { PodsResult } from '../../src/simulator/pods/pods-ledger.js';
import { runPods, type PodFailure } from '../../src/simulator/pods/pods-simulation.js';
import { podsWorkload } from '../../src/simulator/pods/pods-workload.js';
import { runFleet, type FleetResult } from '../../src/simulator/pods/scaling/fleet-simulation.js';
import {
  fixedPolicy,
  hpaOnQueueTime,
  spongeSizer,
  themisLike,
  vpaEachMinute,
} from '../../src/simulator/pods/scaling/policies.js';
import type { FleetBounds, ScalingPolicy } from '../../src/simulator/pods/scaling/scaling-policy.js';
import { scalingRates } from './scaling-load.js';

/* One run each, from plain data, so that it may be another thread's. */

export interface RoutingJob {
  readonly kind: 'routing';
  readonly seed: number;
  readonly podKind: 'scheduled' | 'listed';
  readonly podCount: number;
  /** In turn over the pods. */
  readonly sizes: readonly number[];
  /** Of what all can do in the batches that do most. */
  readonly load: number;
  readonly durationMs: number;
  readonly budgetsMs: readonly number[];
  readonly balancing: Balancing | 'central';
  readonly reportEveryMs: number;
  readonly reportOnBatch: boolean;
  readonly frontCount: number;
  readonly retries: number;
  readonly trouble: Trouble;
}

/**
 * `processes`, `nodes`: an eighth of the pods die one after another and are back after ten seconds; of a node's death nobody is told, and it is
 * noticed after three seconds. `slow`: an eighth take 1.5 times what they believe.
 */
export type Trouble = 'none' | 'processes' | 'nodes' | 'slow';

export interface RoutingRun extends PodsResult {
  /** That anybody could have answered in time. */
  readonly mostOnTime: number;
}

const REPORT_ON_BATCH_MS = 10;
const WAY_MS = 1;
/** Before the first request. */
const WARM_UP_MS = 100;

function runRouting(job: RoutingJob): RoutingRun {
  const { seed, podCount, sizes, load, durationMs, budgetsMs, balancing, reportOnBatch, podKind, trouble } = job;
  const millicores = Array.from({ length: podCount }, (_, index) => sizes[index % sizes.length]!);
  const ratePerSec = load * millicores.reduce((sum, each) => sum + capacityPerSec(SMALL_MODEL, each), 0);
  const workload = podsWorkload({ arrivals: { kind: 'poisson', ratePerSec }, durationMs, budgetsMs }, seed);
  const result = runPods({
    seed,
    machine: SMALL_MODEL,
    millicores,
    kind: podKind,
    balancing,
    workload,
    wayMs: WAY_MS,
    reportEveryMs: job.reportEveryMs,
    ...(reportOnBatch ? { reportOnBatchMs: REPORT_ON_BATCH_MS } : {}),
    frontCount: job.frontCount,
    retries: job.retries,
    slowness: millicores.map((_, index) => (trouble === 'slow' && index % 8 === 0 ? 1.5 : 1)),
    failures: failuresOf(trouble, podCount, durationMs),
  });
  const { leastFactor } = result;
  return {
    ...result,
    mostOnTime: mostOnTime({ machine: SMALL_MODEL, millicores, workload, wayMs: WAY_MS, leastFactor }),
  };
}

function failuresOf(trouble: Trouble, podCount: number, durationMs: number): readonly PodFailure[] {
  if (trouble !== 'processes' && trouble !== 'nodes') return [];
  const count = Math.ceil(podCount / 8);
  return Array.from({ length: count }, (_, index) => ({
    pod: 8 * index,
    atMs: WARM_UP_MS + (durationMs * (index + 1)) / (count + 1),
    noticedAfterMs: 3000,
    isSilent: trouble === 'nodes',
    backAfterMs: 10_000,
  }));
}

// ---- scaling ---------------------------------------------------------------------------------------------------------

export interface ScalingJob {
  readonly kind: 'scaling';
  readonly seed: number;
  readonly durationSec: number;
  readonly policy: ScalingName;
}

/** `hpa <target ms> <cores of a pod> [seconds of the window]`, `fixed <pods>`, `sponge <attainment>`. */
export type ScalingName =
  | `sponge ${number}`
  | `hpa ${number} ${number}`
  | `hpa ${number} ${number} ${number}`
  | `vpa ${number}`
  | `fixed ${number}`
  | 'themis';

const SCALING_BUDGETS_MS = [250, 500, 1000, 2000];
const COLD_START_MS = [12_000, 30_000] as const;
const START_REPLICAS = 4;

function runScaling({ seed, durationSec, policy }: ScalingJob): FleetResult {
  const ratesPerSec = scalingRates(durationSec);
  const arrivals = { kind: 'rates', ratesPerSec, repeat: false } as const;
  const spec = { arrivals, durationMs: 1000 * durationSec, budgetsMs: SCALING_BUDGETS_MS };
  const bounds = boundsOf(policy);
  return runFleet({
    seed,
    bounds,
    workload: podsWorkload(spec, seed),
    policy: policyOf(policy, bounds),
    startReplicas: START_REPLICAS,
    coldStartMs: COLD_START_MS,
  });
}

function boundsOf(name: ScalingName): FleetBounds {
  const [kind, , cores] = name.split(' ');
  return {
    machine: SMALL_MODEL,
    budgetsMs: SCALING_BUDGETS_MS,
    limits: { minMillicores: 500, maxMillicores: 4000, stepMillicores: 250 },
    minReplicas: 2,
    maxReplicas: 40,
    firstMillicores: kind === 'hpa' ? 1000 * Number(cores) : kind === 'vpa' ? 2000 : 1000,
    podMillicores: 250,
  };
}

function policyOf(name: ScalingName, bounds: FleetBounds): ScalingPolicy {
  const [kind, first, , windowSec] = name.split(' ');
  const value = Number(first);
  switch (kind) {
    case 'hpa':
      return hpaOnQueueTime(value, bounds, windowSec === undefined ? undefined : 1000 * Number(windowSec));
    case 'vpa':
      return vpaEachMinute(value, bounds);
    case 'fixed':
      return fixedPolicy(value);
    case 'themis':
      return themisLike(bounds);
    default:
      return spongeSizer(bounds, value);
  }
}

// ---- either ----------------------------------------------------------------------------------------------------------

export type PodsJob = RoutingJob | ScalingJob;
export type PodsRun = RoutingRun | FleetResult;

export function runPodsJob(job: PodsJob): PodsRun {
  return job.kind === 'routing' ? runRouting(job) : runScaling(job);
}
