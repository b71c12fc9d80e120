/*
 * Overload decides whom to give up when the plan says that not everyone can be met, even at the largest allocation: the
 * fewest requests such that all the others can be. Not whoever came last.
 *
 * Latencies are the typical ones, or less where those are guesses: a shape that nobody has measured is not given up for what it
 * might take. Then nothing may have to be given up though the plan is infeasible; what runs next corrects the guess.
 *
 * One shape class: exact (`queue-dp.ts`). Several: Moore and Hodgson's rule (1968) on amortised costs: go through the
 * queue in order, and when one would be late, give up the one that costs most so far. Exact for single runs, a heuristic
 * for batches of mixed classes.
 *
 * Where that would give up a request of a client that is below its floor (`client-shares.ts`), requests of clients above it
 * are given up instead, of the one served most first, though that may save fewer in all: Moore and Hodgson's rule again, whose
 * choice of the victim is free where all requests cost the same. Deadlines decide the order in which requests are served;
 * they buy no share.
 *
 * Rejected alternative: serving high budgets before low ones under overload (PARD's order flip). It stops EDF from working on
 * what is lost anyway; the program gives that up beforehand, and what is left can be met in EDF order.
 */
import { hopefulLatencyMs, type LatencyModel } from '../domain/latency.js';
import { requestsPerBatch } from '../domain/request.js';
import { latestStarts } from '../perf-model/latest-starts.js';
import { EXACT_LIMIT, shedForOverload } from './queue-dp.js';

export interface OverloadView {
  /** In queue order. */
  readonly work: readonly OverloadedWork[];
  readonly models: readonly LatencyModel[];
  /** When the worker can start the next batch, at the largest allocation. */
  readonly freeAtMs: number;
  readonly maxMillicores: number;
  /** The most rows that may share a batch; rows of one request by class index, one where absent. */
  readonly maxBatchSize: number;
  readonly rowCounts?: readonly number[];
  /** What each client is to have at least, and what it has. */
  readonly floor: number;
  readonly servedOf: (client: string) => number;
}

interface OverloadedWork {
  readonly sequence: number;
  readonly dueAtMs: number;
  readonly classIndex: number;
  readonly client: string;
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
    maxBatchSize: requestsPerBatch(view.maxBatchSize, view.rowCounts?.[head.classIndex]),
    latencyMs: (batchSize) => hopefulLatencyMs(model, batchSize, maxMillicores),
  });
  const isUnfair = work.length <= EXACT_LIMIT && lost.some((index) => view.servedOf(work[index]!.client) < view.floor);
  return isUnfair ? shedFairly(view, model) : lost.map((index) => work[index]!.sequence);
}

/** One shape class. O(n² b) as long as a request given up makes room for another. */
function shedFairly(view: OverloadView, model: LatencyModel): readonly number[] {
  const { freeAtMs, maxMillicores } = view;
  const maxBatchSize = requestsPerBatch(view.maxBatchSize, view.rowCounts?.[view.work[0]!.classIndex]);
  const served = new Map<string, number>();
  const servedOf = (client: string): number => served.get(client) ?? view.servedOf(client);
  const kept: OverloadedWork[] = [];
  const shed: number[] = [];
  const canBeMet = (): boolean => {
    const dueAtMs = kept.map((request) => request.dueAtMs);
    return latestStarts(dueAtMs, model, maxBatchSize, maxMillicores)[0]! >= freeAtMs;
  };
  for (const request of view.work) {
    kept.push(request);
    served.set(request.client, servedOf(request.client) + 1);
    while (!canBeMet()) {
      const victim = leastDeserving(kept, servedOf);
      const [given] = kept.splice(victim, 1);
      shed.push(given!.sequence);
      served.set(given!.client, servedOf(given!.client) - 1);
    }
  }
  return shed;
}

/** Of the client served most, its latest due. */
function leastDeserving(kept: readonly OverloadedWork[], servedOf: (client: string) => number): number {
  let worst = 0;
  for (let index = 1; index < kept.length; index++) {
    if (servedOf(kept[index]!.client) >= servedOf(kept[worst]!.client)) worst = index;
  }
  return worst;
}

function shedMixed(view: OverloadView): readonly number[] {
  const costsMs = view.models.map((model, classIndex) => {
    const batchSize = requestsPerBatch(view.maxBatchSize, view.rowCounts?.[classIndex]);
    return hopefulLatencyMs(model, batchSize, view.maxMillicores) / batchSize;
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
