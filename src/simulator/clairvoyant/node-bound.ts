import { unitJobsOnTime, type WindowedWork } from './fluid-bound.js';

/*
 * What nobody can do better with several models on the same cores.
 *
 * Whatever model m does at a rate v it holds at least its own curve's cores for it, k·P̂(v/k), which is at least idle + s·v with s the
 * curve's first slope: the least core-ms that one request of it can cost. All models together hold at most the budget, so at every instant
 *
 *     Σ s_m·v_m  ≤  budget − Σ idle_m
 *
 * A request of m is therefore s_m units of work for one machine that does so many core-ms a ms, and what that machine cannot do in time,
 * preemptive and fluid, nobody can. Models do not meet in anything else, so each one's own bounds hold beside it, and the least core-seconds
 * of a node are at least the sum of those of its models.
 */

export interface NodeDemand {
  /** Of one model; multiplied by service time, as its own bounds take it. */
  readonly work: WindowedWork;
  /** Core-ms of a request of multiplier 1, at least. */
  readonly leastCoreMs: number;
  /** Held at rate 0. */
  readonly idleCores: number;
}

/** An upper bound on how many requests of all models can be answered in time on so many cores. O(n log n). */
export function nodeOnTime(models: readonly NodeDemand[], budgetCores: number): number {
  const idleCores = models.reduce((sum, each) => sum + each.idleCores, 0);
  // Where what rests holds all there is, nothing can run.
  if (budgetCores <= idleCores) return 0;
  return unitJobsOnTime(budgetCores - idleCores, {
    releaseAtMs: concatenated(models, ({ work }) => work.releaseAtMs),
    dueAtMs: concatenated(models, ({ work }) => work.dueAtMs),
    work: concatenated(models, ({ work, leastCoreMs }) => work.work.map((each) => each * leastCoreMs)),
  });
}

function concatenated(models: readonly NodeDemand[], columnOf: (model: NodeDemand) => Float64Array): Float64Array {
  return Float64Array.from(models.flatMap((model) => [...columnOf(model)]));
}
