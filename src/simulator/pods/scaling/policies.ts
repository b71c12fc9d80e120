/*
 * Who sizes the workload: fixed, the Horizontal Pod Autoscaler on queue time, the Vertical Pod Autoscaler once a minute, growing in place while
 * pods start (after Themis), and ours.
 */
import { USUAL_RULES } from '../../../operate/observation.js';
import { WorkloadSizer } from '../../../operate/workload-sizer.js';
import { DecayingHistogram } from '../../../scheduler/controlplane/baselines/decaying-histogram.js';
import { DelayedScaleDown } from '../../../scheduler/controlplane/baselines/delayed-scale-down.js';
import {
  fewestReplicas,
  leastBatchSize,
  type ReplicaDemand,
} from '../../../scheduler/controlplane/baselines/replicas.js';
import { latencyModelOf } from '../pod-machine.js';
import { resizeAll, type FleetBounds, type FleetObservation, type ScalingPolicy } from './scaling-policy.js';

export function fixedPolicy(replicas: number): ScalingPolicy {
  return { decide: () => ({ replicas, resizes: [] }) };
}

/** `--horizontal-pod-autoscaler-sync-period`, and how often Prometheus scrapes. */
const HPA_SYNC_MS = 15_000;
/** A metric is the mean of two scrapes: with less there is nothing to take a rate of. */
const HPA_WINDOW_MS = 30_000;
/** `--horizontal-pod-autoscaler-tolerance`. */
const HPA_TOLERANCE = 0.1;
/** `behavior.scaleDown.stabilizationWindowSeconds` and `scaleUp.policies`, as Kubernetes has them where nobody says otherwise. */
const HPA_DOWN_WINDOW_MS = 300_000;
const HPA_UP_PODS = 4;

/**
 * Pods of one size, as many as keep the mean queue time at a target (`nv_inference_queue_duration_us` over requests, which Triton's own
 * chart scales by). In every sync: replicas × metric ÷ target unless that is within a tenth; up by four or by as many as there are, whichever
 * is more; down to the most that was wanted in the last five minutes.
 */
export function hpaOnQueueTime(
  targetMs: number,
  bounds: FleetBounds,
  downWindowMs = HPA_DOWN_WINDOW_MS,
): ScalingPolicy {
  const { minReplicas, maxReplicas } = bounds;
  let seen: { readonly atMs: number; readonly begun: number; readonly queuedMs: number }[] = [];
  let wanted: { readonly atMs: number; readonly replicas: number }[] = [];
  let syncAtMs = -Infinity;
  return {
    decide: ({ nowMs, pods, replicasWished, begun, queuedMs }) => {
      seen = [...seen.filter(({ atMs }) => atMs > nowMs - HPA_WINDOW_MS), { atMs: nowMs, begun, queuedMs }];
      if (nowMs < syncAtMs + HPA_SYNC_MS) return { replicas: replicasWished, resizes: [] };
      syncAtMs = nowMs;
      const count = seen.reduce((sum, each) => sum + each.begun, 0);
      const meanMs = count === 0 ? 0 : seen.reduce((sum, each) => sum + each.queuedMs, 0) / count;
      const ratio = meanMs / targetMs;
      // Pods that are not ready are taken to use none of the metric, and what is ready would be too few.
      const ready = Math.max(1, pods.filter(({ phase }) => phase === 'warm').length);
      const desired = Math.abs(ratio - 1) <= HPA_TOLERANCE ? replicasWished : Math.ceil(ready * ratio);
      const mostUp = Math.max(replicasWished + HPA_UP_PODS, 2 * replicasWished);
      // While pods start fewer are not asked for than were.
      const raised = ratio > 1 ? Math.max(desired, replicasWished) : desired;
      const bounded = Math.min(maxReplicas, mostUp, Math.max(minReplicas, raised));
      wanted = [...wanted.filter(({ atMs }) => atMs > nowMs - downWindowMs), { atMs: nowMs, replicas: bounded }];
      const replicas = bounded >= replicasWished ? bounded : Math.min(replicasWished, mostOf(wanted));
      return { replicas, resizes: [] };
    },
  };
}

function mostOf(wanted: readonly { readonly replicas: number }[]): number {
  return Math.max(...wanted.map(({ replicas }) => replicas));
}

/** `--metric-resolution`, `--recommender-interval`, `--target-cpu-percentile`, `--recommendation-margin-fraction`. */
const VPA_READING_MS = 15_000;
const VPA_RECOMMENDATION_MS = 60_000;
const VPA_QUANTILE = 0.9;
const VPA_MARGIN = 1.15;

/** As many pods as ever, each with the 90th percentile of what they used and 15 % more, once a minute, in place. */
export function vpaEachMinute(replicas: number, { limits }: FleetBounds): ScalingPolicy {
  const histogram = new DecayingHistogram({
    firstBucketSize: 0.01,
    ratio: 1.05,
    maxValue: 1000,
    halfLifeMs: 24 * 3_600_000,
  });
  let usedCoreSeconds = 0;
  let readAtMs: number | null = null;
  let recommendedAtMs: number | null = null;
  return {
    decide: ({ nowMs, spanMs, pods, usedCoreSeconds: used }) => {
      readAtMs ??= nowMs - spanMs;
      recommendedAtMs ??= nowMs;
      usedCoreSeconds += used;
      if (nowMs - readAtMs >= VPA_READING_MS && pods.length > 0) {
        const cores = (usedCoreSeconds * 1000) / (nowMs - readAtMs) / pods.length;
        histogram.add(cores, Math.max(0.1, pods[0]!.inForceMillicores / 1000), nowMs);
        [readAtMs, usedCoreSeconds] = [nowMs, 0];
      }
      if (nowMs - recommendedAtMs < VPA_RECOMMENDATION_MS) return { replicas, resizes: [] };
      recommendedAtMs = nowMs;
      const target = Math.ceil(1000 * VPA_MARGIN * histogram.quantile(VPA_QUANTILE));
      return {
        replicas,
        resizes: resizeAll(pods, Math.min(limits.maxMillicores, Math.max(limits.minMillicores, target))),
      };
    },
  };
}

const THEMIS_DOWN_MS = 10_000;
const THEMIS_RATE_MS = 5_000;
const CORE_MILLICORES = 1000;

/**
 * After Themis (arXiv 2407.14843): with the rate of the busiest of the last five seconds, the fewest pods of one core that sustain it, fewer only
 * after ten seconds in which they were too many; until they are warm, the warm ones get the fewest whole cores that do. It plans with
 * the tightest budget.
 */
export function themisLike({ machine, budgetsMs, limits, minReplicas, maxReplicas }: FleetBounds): ScalingPolicy {
  const model = latencyModelOf(machine);
  const scaleDown = new DelayedScaleDown(THEMIS_DOWN_MS, minReplicas);
  let rates: { readonly atMs: number; readonly ratePerSec: number }[] = [];
  const budgetMs = Math.min(...budgetsMs);
  return {
    decide: ({ nowMs, spanMs, arrived, pods }) => {
      rates = [
        ...rates.filter(({ atMs }) => atMs > nowMs - THEMIS_RATE_MS),
        { atMs: nowMs, ratePerSec: (1000 * arrived) / spanMs },
      ];
      const demand: ReplicaDemand = {
        model,
        arrivalRatePerSec: Math.max(...rates.map(({ ratePerSec }) => ratePerSec)),
        budgetMs,
        maxBatchSize: machine.maxBatchSize,
      };
      const steady = fewestReplicas(demand, CORE_MILLICORES)?.instances ?? maxReplicas;
      const replicas = scaleDown.next(nowMs, Math.min(maxReplicas, Math.max(minReplicas, steady)));
      const warm = Math.max(1, pods.filter(({ phase }) => phase === 'warm').length);
      let cpuMillicores = CORE_MILLICORES;
      while (
        cpuMillicores < limits.maxMillicores &&
        leastBatchSize(demand, cpuMillicores, Math.min(warm, replicas)) === null
      )
        cpuMillicores += CORE_MILLICORES;
      const each = Math.min(cpuMillicores, limits.maxMillicores);
      return {
        replicas,
        resizes: resizeAll(
          pods.filter(({ phase }) => phase === 'warm'),
          each,
        ),
      };
    },
  };
}

/** `sponge operate`'s own decision. @param attainment asked for */
export function spongeSizer(bounds: FleetBounds, attainment: number): ScalingPolicy {
  const { machine, budgetsMs, limits, minReplicas, maxReplicas, podMillicores } = bounds;
  const latency = latencyModelOf(machine);
  const rules = { ...USUAL_RULES, limits, minReplicas, maxReplicas, podMillicores, attainment };
  const sizer = new WorkloadSizer({ ...rules, balancing: 'by-room' });
  return {
    decide: ({ nowMs, spanMs, replicasWished, pods, arrived, ended, missed, heldRequests }: FleetObservation) =>
      sizer.decide(nowMs, {
        spanMs,
        replicasWished,
        pods: pods.map((pod) => ({ ...pod, blocked: null, resizesItself: false, nodeFreeMillicores: null })),
        models: [
          {
            name: 'm',
            arrived,
            ended,
            missed,
            heldRequests,
            budgetsMs,
            latency,
            maxBatchSize: machine.maxBatchSize,
            instances: 1,
          },
        ],
      }),
  };
}
