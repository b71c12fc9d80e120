/*
 * The queue as planners see it: who of the window can still be saved, in order of the deadlines to keep to, and the marks behind it.
 */
import { hopefulLatencyMs } from '../domain/latency.js';
import type { QueueMark, QueueSnapshot } from '../domain/queue-snapshot.js';
import { slowdownBeside } from '../perf-model/interference.js';
import type { PlannerView } from './planner.js';
import type { BatchQuestion } from './pricing.js';

/**
 * Timer lateness, the link, the phase of the quota period, and the way to a client on the same busy machine (answers were seen
 * there 8 ms after the router had them). Clockwork (OSDI '20) plans with 5 ms. Costs a thousandth of the CPU.
 */
const MARGIN_MS = 10;
/** An overdue batch is expected to need this share of its prediction still. */
const OVERDUE_FRACTION = 0.05;

/** In order of deadline. */
export interface PlannedQueue extends Pick<
  BatchQuestion,
  'dueAtMs' | 'classIndexes' | 'behind' | 'models' | 'maxBatchSize' | 'rowCounts'
> {
  /** Where in the snapshot each of it is; null where that is the same place. */
  readonly indexes: readonly number[] | null;
}

/**
 * Null where nobody waits in the window but these.
 * @param freeAtMs when the first of it can start
 */
export function queueOf(view: PlannerView, without: readonly number[], freeAtMs: number): PlannedQueue | null {
  const { snapshot, models } = view;
  const { work, maxBatchSize } = snapshot;
  if (work.length === without.length) return null;
  const rowCounts = snapshot.classes.map((each) => each.rowCount);
  // The margin is a preference, and so is the planned latency: who can only just be met is not given up for them.
  const aloneAtMs = models.map((model) => freeAtMs + model.plannedLatencyMs(1, mostMillicores(view)));
  const targetAtMs: number[] = [];
  let isInOrder = true;
  for (let index = 0; index < work.length; index++) {
    const { dueAtMs, classIndex } = work[index]!;
    const atMs = Math.max(dueAtMs - MARGIN_MS, aloneAtMs[classIndex]!);
    isInOrder &&= index === 0 || targetAtMs[index - 1]! <= atMs;
    targetAtMs.push(atMs);
  }
  const behind = marksOf(snapshot, without.length);
  if (isInOrder && without.length === 0 && models.length === 1) {
    return { dueAtMs: targetAtMs, classIndexes: null, behind, models, maxBatchSize, rowCounts, indexes: null };
  }
  const skipped = new Set(without);
  const indexes = targetAtMs.map((_, index) => index).filter((index) => !skipped.has(index));
  // Under another order than EDF too, each batch is held to the earliest deadline that may be in it.
  indexes.sort((a, b) => targetAtMs[a]! - targetAtMs[b]!);
  return {
    dueAtMs: indexes.map((index) => targetAtMs[index]!),
    classIndexes: models.length === 1 ? null : indexes.map((index) => work[index]!.classIndex),
    behind,
    models,
    maxBatchSize,
    rowCounts,
    indexes,
  };
}

/** With the same margin; so many before them are not counted. */
function marksOf({ behind }: QueueSnapshot, withoutCount: number): readonly QueueMark[] {
  if (behind.length === 0) return behind;
  return behind.map(({ place, dueAtMs }) => ({ place: place - withoutCount, dueAtMs: dueAtMs - MARGIN_MS }));
}

/**
 * Requests that no allocation can save: late even alone, next, at the largest one, by the typical latency or, where that is a
 * guess, by what they surely take.
 * @returns their places in the window
 */
export function unsalvageableOf(view: PlannerView, freeAtMs: number): number[] {
  const { snapshot } = view;
  if (snapshot.work.length === 0) return [];
  const finishAtMs = view.models.map((model) => freeAtMs + hopefulLatencyMs(model, 1, mostMillicores(view)));
  const unsalvageable: number[] = [];
  for (let index = 0; index < snapshot.work.length; index++) {
    const { dueAtMs, classIndex } = snapshot.work[index]!;
    if (finishAtMs[classIndex]! > dueAtMs) unsalvageable.push(index);
  }
  return unsalvageable;
}

/** The whole window was given up, and others wait behind it. */
export function isWindowUnsalvageable({ snapshot }: PlannerView, unsalvageable: readonly number[]): boolean {
  return snapshot.behind.length > 0 && unsalvageable.length === snapshot.work.length;
}

/** The largest allocation that one instance can have: the others keep their floors. */
function mostMillicores({ limits, instances, restingMillicores }: PlannerView): number {
  const floors = (instances.length - 1) * restingMillicores;
  return Math.max(limits.minMillicores, limits.maxMillicores - floors);
}

/**
 * Typical time that a running batch still needs at an allocation, within the threads that it was started with.
 * @param index which of those that run
 */
export function remainingMs({ snapshot, runningModels }: PlannerView, index: number, cpuMillicores: number): number {
  const { threadCount, progress, batchSize } = snapshot.running[index]!;
  const usableMillicores = Math.min(cpuMillicores, threadCount * 1000);
  const remainingFraction = Math.max(OVERDUE_FRACTION, 1 - progress);
  return remainingFraction * runningModels[index]!.predictedLatencyMs(batchSize, usableMillicores);
}

/** What own batches run on, where instances have an allocation each. */
export function runningMillicores({ snapshot, instances }: PlannerView): number {
  return snapshot.running.reduce((sum, { instance }) => sum + instances[instance]!.requestedMillicores, 0);
}

/** When the first batch that runs is expected to end; Infinity where none does. */
export function nextFreeAtMs(view: PlannerView): number {
  return Math.min(...busyUntilMs(view));
}

/** When each batch that runs is expected to end, where instances have an allocation each. */
export function busyUntilMs(view: PlannerView): number[] {
  const { snapshot, instances, interference, busyBesideMillicores } = view;
  const busyMillicores = busyBesideMillicores + runningMillicores(view);
  return snapshot.running.map(({ instance }, index) => {
    const { requestedMillicores } = instances[instance]!;
    const slowdown = slowdownBeside(interference, busyMillicores - requestedMillicores);
    return view.nowMs + slowdown * remainingMs(view, index, requestedMillicores);
  });
}

/** So long after they were due, requests that wait behind all others of their model come before what is due then at others. */
const SET_ASIDE_PATIENCE_MS = 10_000;

/** Of those that wait for a batch; Infinity where nobody does. */
export function firstDueAtMs({ work, setAsideDueAtMs }: QueueSnapshot): number {
  return work[0]?.dueAtMs ?? setAsideDueAtMs + SET_ASIDE_PATIENCE_MS;
}
