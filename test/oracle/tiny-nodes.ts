/*
 * What several instances of one model, or of several, on one node can do at best, by exhaustive search over tiny nodes: every batch, every allocation that the
 * budget leaves, every start that matters. Shares no code and no types with `src/`.
 *
 * A batch keeps its allocation until it ends, and waiting costs nothing, so one that starts as soon as its members, an instance
 * and the cores are there is never worse: starts are at arrivals and at ends of batches.
 */

export interface TinyNode {
  readonly requests: readonly { readonly releaseAtMs: number; readonly dueAtMs: number }[];
  readonly instanceCount: number;
  readonly budgetMillicores: number;
  /** Of an instance that rests. */
  readonly idleMillicores: number;
  /** That a batch may run on. */
  readonly allocations: readonly number[];
  readonly maxBatchSize: number;
  readonly latencyMs: (batchSize: number, cpuMillicores: number) => number;
}

export interface NodeOptimum {
  readonly mostOnTime: number;
  /** Least core-ms, beside those of idling, at which all are on time; null where they cannot be. */
  readonly leastAddedCoreMs: number | null;
}

interface Batch {
  readonly endAtMs: number;
  readonly cpuMillicores: number;
  readonly model: number;
}

/** Of one model; what is left out of it is the node's. */
export type TinyModel = Pick<TinyNode, 'requests' | 'instanceCount' | 'maxBatchSize' | 'latencyMs'>;

export interface TinyModels extends Pick<TinyNode, 'budgetMillicores' | 'idleMillicores' | 'allocations'> {
  readonly models: readonly TinyModel[];
}

export function nodeOptimum(node: TinyNode): NodeOptimum {
  return modelsOptimum({ ...node, models: [node] });
}

/** Of models that share the cores. Those that are not met in time are never started. */
export function modelsOptimum(node: TinyModels): NodeOptimum {
  const { models, budgetMillicores, idleMillicores, allocations } = node;
  const requests = models.flatMap(({ requests: own }, model) => own.map((each) => ({ ...each, model })));
  const instanceCount = models.reduce((sum, each) => sum + each.instanceCount, 0);
  let mostOnTime = 0;
  let leastAddedCoreMs: number | null = null;

  const search = (
    nowMs: number,
    left: number,
    running: readonly Batch[],
    onTime: number,
    addedCoreMs: number,
  ): void => {
    mostOnTime = Math.max(mostOnTime, onTime);
    if (left === 0) {
      leastAddedCoreMs = Math.min(leastAddedCoreMs ?? Infinity, addedCoreMs);
      return;
    }
    const resting = instanceCount - running.length - 1;
    const held = running.reduce((sum, { cpuMillicores }) => sum + cpuMillicores, resting * idleMillicores);
    for (let batch = left; batch > 0; batch = (batch - 1) & left) {
      const members = requests.filter((_, index) => (batch >> index) & 1);
      const { model } = members[0]!;
      const { maxBatchSize, latencyMs, instanceCount: ofModel } = models[model]!;
      if (running.filter((each) => each.model === model).length >= ofModel) continue;
      if (members.length > maxBatchSize || members.some((each) => each.releaseAtMs > nowMs || each.model !== model)) {
        continue;
      }
      for (const cpuMillicores of allocations) {
        const tookMs = latencyMs(members.length, cpuMillicores);
        const endAtMs = nowMs + tookMs;
        if (held + cpuMillicores > budgetMillicores || members.some(({ dueAtMs }) => endAtMs > dueAtMs)) continue;
        const added = ((cpuMillicores - idleMillicores) / 1000) * tookMs;
        const next = [...running, { endAtMs, cpuMillicores, model }];
        search(nowMs, left & ~batch, next, onTime + members.length, addedCoreMs + added);
      }
    }
    const arrivals = requests.flatMap(({ releaseAtMs }, index) => ((left >> index) & 1 ? [releaseAtMs] : []));
    const later = [...arrivals, ...running.map(({ endAtMs }) => endAtMs)].filter((atMs) => atMs > nowMs);
    if (later.length === 0) return;
    const nextAtMs = Math.min(...later);
    const still = running.filter(({ endAtMs }) => endAtMs > nextAtMs);
    search(nextAtMs, left, still, onTime, addedCoreMs);
  };

  search(0, (1 << requests.length) - 1, [], 0, 0);
  return { mostOnTime, leastAddedCoreMs };
}

/**
 * Whether list scheduling meets everyone, all being there at 0, each instance on an equal share: whoever is due first next, on the
 * instance that is free first, with as many more as still meet that deadline.
 */
export function isMetOnEqualShares(node: TinyNode): boolean {
  const { requests, instanceCount, budgetMillicores, idleMillicores, allocations, maxBatchSize, latencyMs } = node;
  const share = allocations.findLast((each) => each * instanceCount <= budgetMillicores);
  if (share === undefined || idleMillicores > share) return false;
  const due = requests.map(({ dueAtMs }) => dueAtMs).sort((a, b) => a - b);
  const freeAtMs = Array.from({ length: instanceCount }, () => 0);
  while (due.length > 0) {
    freeAtMs.sort((a, b) => a - b);
    let size = Math.min(maxBatchSize, due.length);
    while (size > 0 && freeAtMs[0]! + latencyMs(size, share) > due[0]!) size -= 1;
    if (size === 0) return false;
    freeAtMs[0]! += latencyMs(size, share);
    due.splice(0, size);
  }
  return true;
}
