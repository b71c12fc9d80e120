import type { MetricSet } from './metric-set.js';

/** The CPU limit of the pod that this process runs in, and resizes. */
export interface PodReport {
  readonly inForceMillicores: number;
  readonly wishedMillicores: number;
  readonly neededMillicores: number;
  readonly reachableMillicores: number;
  /** Why no more can be had; null while it can. */
  readonly trouble: string | null;
  /** Of resizes so far, by what came of them. */
  readonly counts: Readonly<Record<string, number>>;
  /** What resizes took that ended since the last call, ms. */
  takeTookMs(): readonly number[];
}

/** Nothing without a pod. */
export function publishPod(metrics: MetricSet, pod: PodReport | null): void {
  if (pod === null) return;
  metrics.podLimit.of({ of: 'in-force' }).value = pod.inForceMillicores;
  metrics.podLimit.of({ of: 'wished' }).value = pod.wishedMillicores;
  metrics.podLimit.of({ of: 'needed' }).value = pod.neededMillicores;
  metrics.podLimit.of({ of: 'reachable' }).value = pod.reachableMillicores;
  for (const [result, count] of Object.entries(pod.counts)) metrics.podResizes.of({ result }).value = count;
  metrics.podResizeBlocked.remove({});
  if (pod.trouble !== null) metrics.podResizeBlocked.of({ reason: pod.trouble }).value = 1;
  for (const tookMs of pod.takeTookMs()) metrics.podResizeSeconds.of({}).observe(tookMs / 1000);
}
