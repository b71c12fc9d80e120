/*
 * The planning program solved the slow, obvious way, for comparison: every allocation, every batch size, and a queue that
 * is really emptied batch by batch. Shares no code and no types with `src/`.
 */

/** One decision, small enough to enumerate. Latencies are tables so that any monotone shape can be tried. */
export interface PlanInstance {
  readonly nowMs: number;
  /** EDF order. */
  readonly queue: readonly { readonly dueAtMs: number; readonly classIndex: number }[];
  readonly minMillicores: number;
  readonly stepMillicores: number;
  readonly maxMillicores: number;
  readonly maxBatchSize: number;
  /** `latencyMs(classIndex, batchSize, cpuMillicores)` */
  readonly latencyMs: (classIndex: number, batchSize: number, cpuMillicores: number) => number;
  readonly inFlightMs: (cpuMillicores: number) => number;
  readonly arrivalRatePerSec: number;
  readonly arrivalClassIndex: number;
}

export type PlanAnswer =
  | {
      readonly kind: 'feasible';
      readonly cpuMillicores: number;
      readonly batchSize: number;
      readonly boundBy: string;
      readonly unsalvageable: readonly number[];
    }
  | { readonly kind: 'infeasible'; readonly reason: string; readonly unsalvageable: readonly number[] };

export function allocationsOf(instance: PlanInstance): readonly number[] {
  const allocations: number[] = [];
  for (let cpu = instance.minMillicores; cpu < instance.maxMillicores; cpu += instance.stepMillicores) {
    allocations.push(cpu);
  }
  return [...allocations, instance.maxMillicores];
}

export function unsalvageableOf(instance: PlanInstance): readonly number[] {
  const largest = instance.maxMillicores;
  const startAtMs = instance.nowMs + instance.inFlightMs(largest);
  return instance.queue.flatMap((request, index) =>
    startAtMs + instance.latencyMs(request.classIndex, 1, largest) > request.dueAtMs ? [index] : [],
  );
}

/** Queue indices in the order in which they would finish too late; empty when all are in time. */
export function lateRequests(instance: PlanInstance, cpuMillicores: number, batchSize: number): readonly number[] {
  const unsalvageable = unsalvageableOf(instance);
  let waiting = instance.queue
    .map((request, index) => ({ ...request, index }))
    .filter((request) => !unsalvageable.includes(request.index));
  const late: number[] = [];
  let clockMs = instance.nowMs + instance.inFlightMs(cpuMillicores);
  while (waiting.length > 0) {
    const classIndex = waiting[0]!.classIndex;
    const batch = waiting.filter((request) => request.classIndex === classIndex).slice(0, batchSize);
    clockMs += instance.latencyMs(classIndex, batch.length, cpuMillicores);
    for (const member of batch) if (clockMs > member.dueAtMs) late.push(member.index);
    waiting = waiting.filter((request) => !batch.includes(request));
  }
  return late;
}

function keepsUp(instance: PlanInstance, cpuMillicores: number, batchSize: number): boolean {
  const latencyMs = instance.latencyMs(instance.arrivalClassIndex, batchSize, cpuMillicores);
  return batchSize * 1000 >= instance.arrivalRatePerSec * latencyMs;
}

export function planByEnumeration(instance: PlanInstance): PlanAnswer {
  const allocations = allocationsOf(instance);
  const unsalvageable = unsalvageableOf(instance);
  for (const [step, cpuMillicores] of allocations.entries()) {
    for (let batchSize = 1; batchSize <= instance.maxBatchSize; batchSize++) {
      if (!keepsUp(instance, cpuMillicores, batchSize)) continue;
      if (lateRequests(instance, cpuMillicores, batchSize).length > 0) continue;
      return { kind: 'feasible', cpuMillicores, batchSize, boundBy: boundBy(instance, step, batchSize), unsalvageable };
    }
  }
  for (let batchSize = 1; batchSize <= instance.maxBatchSize; batchSize++) {
    if (lateRequests(instance, instance.maxMillicores, batchSize).length === 0) {
      return { kind: 'infeasible', reason: 'arrival-rate', unsalvageable };
    }
  }
  return { kind: 'infeasible', reason: 'deadlines', unsalvageable };
}

/** What the same batch size would have broken one allocation lower. */
function boundBy(instance: PlanInstance, step: number, batchSize: number): string {
  if (step === 0) return 'floor';
  const late = lateRequests(instance, allocationsOf(instance)[step - 1]!, batchSize)[0];
  return late === undefined ? 'arrival-rate' : `deadline of ${late}`;
}
