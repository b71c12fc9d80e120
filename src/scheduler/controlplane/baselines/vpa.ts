/*
 * A controller that looks at CPU use and nothing else, as the Kubernetes Vertical Pod Autoscaler's recommender does
 * (kubernetes/autoscaler `vertical-pod-autoscaler/pkg/recommender/`, constants by the names of its flags): the 90th
 * percentile of the use in a histogram that forgets half in 24 h, and 15 % on top, once a minute.
 *
 * What it cannot see is its point: use never exceeds the allocation, so what is throttled looks like what is content, and a
 * model that does not use all its CPU even when it is always busy looks like one with CPU to spare. It can grow by the margin
 * (and a bucket) a minute, and knows neither deadlines nor how many wait.
 *
 * Kinder than upstream: every reading of 15 s counts, where upstream's recommender sees one of four; and the target is applied
 * in place each minute, where upstream's updater leaves a pod younger than 12 h alone as long as its request is within the
 * recommended bounds, which are very wide in the first hours. Memory, several containers and checkpoints have no
 * meaning here. The batch size is the largest: it does not know of any.
 */
import type { PlanBound } from '../../domain/plan-bound.js';
import type { Planner, PlannerView } from '../planner.js';
import { CORE_MILLICORES, grantable } from './allocations.js';
import { DecayingHistogram } from './decaying-histogram.js';
import { timedPlanner } from './observing-planner.js';

/** metrics-server `--metric-resolution`. */
const READING_MS = 15_000;
/** A tick that is less late than the one before is no reason to skip it. */
const TIMER_TOLERANCE_MS = 100;
/** `--recommender-interval`. */
const RECOMMENDATION_MS = 60_000;
/** `--target-cpu-percentile`. */
const TARGET_QUANTILE = 0.9;
/** `--recommendation-margin-fraction`. */
const MARGIN_FRACTION = 0.15;
/** `--pod-recommendation-min-cpu-millicores`. */
const LEAST_MILLICORES = 25;
/** `aggregations_config.go`: buckets from 0.01 core on, each 5 % wider than the one before, up to 1000 cores. */
const HISTOGRAM = { firstBucketSize: 0.01, ratio: 1.05, maxValue: 1000, halfLifeMs: 24 * 3_600_000 };
/** `minSampleWeight`, in cores; else a sample weighs what was requested, so that a raise makes what came before count less. */
const LEAST_WEIGHT = 0.1;

interface Reading {
  readonly atMs: number;
  readonly usedSeconds: number;
}

/** Where the platform has no counters of CPU use, the allocation stays what it was at the start. */
export function vpaPlanner(): Planner {
  const histogram = new DecayingHistogram(HISTOGRAM);
  let lastReading: Reading | null = null;
  let recommendedAtMs: number | null = null;
  let cpuMillicores: number | null = null;

  /** Cores used since the last reading; null where there is none to compare with. */
  function readUse({ nowMs, readCounters }: PlannerView): number | null {
    if (lastReading !== null && nowMs - lastReading.atMs < READING_MS - TIMER_TOLERANCE_MS) return null;
    const counters = readCounters();
    if (counters === null) return null;
    const before = lastReading;
    lastReading = { atMs: nowMs, usedSeconds: counters.usedSeconds };
    // A counter that went back began anew: the worker was replaced.
    if (before === null || counters.usedSeconds < before.usedSeconds) return null;
    return ((counters.usedSeconds - before.usedSeconds) * 1000) / (nowMs - before.atMs);
  }

  return timedPlanner('vpa', READING_MS, (view) => {
    const { nowMs, limits, snapshot } = view;
    cpuMillicores ??= grantable(view.current.cpuMillicores, limits);
    recommendedAtMs ??= nowMs;
    const usedCores = readUse(view);
    if (usedCores !== null) histogram.add(usedCores, Math.max(LEAST_WEIGHT, cpuMillicores / CORE_MILLICORES), nowMs);
    const isDue = nowMs - recommendedAtMs >= RECOMMENDATION_MS - TIMER_TOLERANCE_MS;
    const highUse = histogram.quantile(TARGET_QUANTILE);
    if (isDue && highUse > 0) {
      recommendedAtMs = nowMs;
      const target = Math.ceil(highUse * (1 + MARGIN_FRACTION) * CORE_MILLICORES);
      cpuMillicores = grantable(Math.max(LEAST_MILLICORES, target), limits);
    }
    const boundBy: PlanBound = highUse > 0 ? { kind: 'cpu-use', cores: highUse } : { kind: 'start' };
    return {
      plan: { kind: 'feasible', instances: 1, cpuMillicores, batchSize: snapshot.maxBatchSize, boundBy },
      unsalvageable: [],
    };
  });
}
