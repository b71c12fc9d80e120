import { unitJobsOnTime } from '../clairvoyant/fluid-bound.js';
import { leastMsEach, typicalMs, type PodMachine } from './pod-machine.js';
import type { PodsWorkload } from './pods-workload.js';

/*
 * What no balancing can do better, not even one queue over all pods that knows the future: a true upper bound, not an optimum.
 *
 * A request that is answered in time shares a batch that lies in its window, from its being there to its deadline. Of a pod's time it takes at least the
 * share that the best batch has for each, times the least that any batch took of what it was believed to. So all pods together, as one
 * machine that does so many requests a ms and may interrupt and divide them at will, could answer it in time as well. And one
 * that the largest pod cannot answer alone is answered by nobody.
 */

export interface CentralQuestion {
  readonly machine: PodMachine;
  /** Of each pod. */
  readonly millicores: readonly number[];
  readonly workload: PodsWorkload;
  /** From its being sent to its being at a pod. */
  readonly wayMs: number;
  /** Of all batches, the least that one took of what it was believed to. */
  readonly leastFactor: number;
}

/** At most so many requests can be answered in time. */
export function mostOnTime({ machine, millicores, workload, wayMs, leastFactor }: CentralQuestion): number {
  const aloneMs = leastFactor * typicalMs(machine, 1, Math.max(...millicores));
  const { sentAtMs, budgetsMs, budgetIndexes } = workload;
  const releaseAtMs: number[] = [];
  const dueAtMs: number[] = [];
  for (const [index, atMs] of sentAtMs.entries()) {
    const budgetMs = budgetsMs[budgetIndexes[index]!]!;
    if (wayMs + aloneMs > budgetMs) continue;
    releaseAtMs.push(atMs + wayMs);
    dueAtMs.push(atMs + budgetMs);
  }
  const ratePerMs = millicores.reduce((sum, each) => sum + 1 / leastMsEach(machine, each), 0);
  return unitJobsOnTime(ratePerMs, {
    releaseAtMs: Float64Array.from(releaseAtMs),
    dueAtMs: Float64Array.from(dueAtMs),
    work: new Float64Array(releaseAtMs.length).fill(leastFactor),
  });
}
