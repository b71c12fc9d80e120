/*
 * Overload decides whom to give up when the plan says that not everyone can be met, even at the largest allocation: the
 * fewest requests such that all the others can be. Not whoever came last.
 *
 * One shape class: exact (`queue-dp.ts`). Several: Moore and Hodgson's rule (1968) on amortised costs: go through the
 * queue in order, and when one would be late, give up the one that costs most so far. Exact for single runs, a heuristic
 * for batches of mixed classes.
 */
import type { LatencyModel } from '../domain/latency.js';
import { shedForOverload } from './queue-dp.js';

export interface OverloadView {
  /** In queue order. */
  readonly work: readonly { readonly sequence: number; readonly dueAtMs: number; readonly classIndex: number }[];
  readonly models: readonly LatencyModel[];
  /** When the worker can start the next batch, at the largest allocation. */
  readonly freeAtMs: number;
  readonly maxMillicores: number;
  readonly maxBatchSize: number;
}

/** Sequences to give up. */
export function decideShedding(view: OverloadView): readonly number[] {
  const { work, models, maxMillicores } = view;
  const [head] = work;
  if (head === undefined) return [];
  const isOneClass = work.every((request) => request.classIndex === head.classIndex);
  if (!isOneClass) return shedMixed(view);
  const model = models[head.classIndex]!;
  const lost = shedForOverload({
    freeAtMs: view.freeAtMs,
    dueAtMs: work.map((request) => request.dueAtMs),
    maxBatchSize: view.maxBatchSize,
    latencyMs: (batchSize) => model.predictedLatencyMs(batchSize, maxMillicores),
  });
  return lost.map((index) => work[index]!.sequence);
}

function shedMixed(view: OverloadView): readonly number[] {
  const costsMs = view.models.map((model) => {
    const batchSize = view.maxBatchSize;
    return model.predictedLatencyMs(batchSize, view.maxMillicores) / batchSize;
  });
  const kept: OverloadView['work'][number][] = [];
  const shed: number[] = [];
  let finishAtMs = view.freeAtMs;
  for (const request of view.work) {
    kept.push(request);
    finishAtMs += costsMs[request.classIndex]!;
    if (finishAtMs <= request.dueAtMs) continue;
    let dearest = 0;
    for (let index = 1; index < kept.length; index++) {
      // Ties go to the latest deadline.
      if (costsMs[kept[index]!.classIndex]! >= costsMs[kept[dearest]!.classIndex]!) dearest = index;
    }
    const [given] = kept.splice(dearest, 1);
    shed.push(given!.sequence);
    finishAtMs -= costsMs[given!.classIndex]!;
  }
  return shed;
}
