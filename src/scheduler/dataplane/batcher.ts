/*
 * The batcher decides what a free worker does next: run these requests, wait until an instant, or nothing. Third stage of
 * the data plane, after the queue. It sees the head of the queue in queue order, never more than `CANDIDATE_LIMIT`.
 *
 * Invariants: a batch holds one shape class, at most `plan.batchSize` requests (all that memory allows when the plan
 * is infeasible) and at most `maxBatchSize` rows unless one request alone has more; it holds the queue's head unless the head is given up; a request of another class that is skipped does
 * not become late by it.
 */
import type { LatencyModel } from '../domain/latency.js';
import type { Plan } from '../domain/plan.js';
import { requestsPerBatch } from '../domain/request.js';
import { serveMost } from './queue-dp.js';

/** Requests that one decision looks at; the exact overload program is O(n² b), so this also bounds its time. */
export const CANDIDATE_LIMIT = 64;

/**
 * Waiting for batch-mates stops this long before the latest safe start: live timers run up to about 2 ms late (measured
 * on Node 20), and staging the next request takes some tenths of a millisecond.
 */
const WAIT_GUARD_MS = 3;

/** A staged request as the batcher sees it. */
export interface Candidate {
  readonly sequence: number;
  readonly dueAtMs: number;
  /** When it entered the queue. */
  readonly admittedAtMs: number;
  readonly classIndex: number;
  readonly byteCount: number;
  /** Was in a batch that broke, so that a poisonous request fails only itself; or the request's own (`InferRequest`). */
  readonly mustRunAlone: boolean;
}

export interface BatchView {
  /** Staged requests in queue order. */
  readonly candidates: readonly Candidate[];
  /** All that waits, candidates or not. */
  readonly queueDepth: number;
  /** Behind all of them: staged set-aside requests in queue order; run one at a time. */
  readonly setAside: readonly Candidate[];
  /** By class index. */
  readonly models: readonly LatencyModel[];
  /** Rows of one request by class index; one where it is absent. */
  readonly rowCounts?: readonly number[];
  readonly plan: Plan;
  /** In force now. */
  readonly cpuMillicores: number;
  /** The most that memory lets share a batch: rows, and bytes of their inputs. A request of more rows runs alone. */
  readonly maxBatchSize: number;
  readonly maxBatchBytes: number;
  /** Waiting for batch-mates is then what saves CPU. */
  readonly isAllocationFixed: boolean;
}

export type BatchDecision =
  | { readonly kind: 'dispatch'; readonly sequences: readonly number[] }
  | { readonly kind: 'wait'; readonly untilMs: number }
  /** Give these up for overload, and ask again. Our own rules leave that to the plan. */
  | { readonly kind: 'refuse'; readonly sequences: readonly number[] }
  | { readonly kind: 'idle' };

export function decideBatch(nowMs: number, view: BatchView): BatchDecision {
  const head = view.candidates[0];
  if (head === undefined) return decideSetAside(view);
  // A plan of each instance by itself has given up already whom it does without.
  const isOverloaded = view.plan.kind === 'infeasible' && view.plan.allocations === undefined;
  if (isOverloaded) return dispatchMost(nowMs, view, head);

  const members = gatherBatch(nowMs, view, head);
  if (members.length === 0) return dispatchMost(nowMs, view, head);
  if (shouldFill(view, head, members.length)) {
    const untilMs = latestFillMs(view, members.length + 1);
    if (untilMs > nowMs) return { kind: 'wait', untilMs };
  }
  return { kind: 'dispatch', sequences: members };
}

/**
 * The head and the followers of its class, as many as the plan says and as still meet the head's deadline and that of
 * every request of another class that they would overtake. Empty when not even the head alone can be met.
 */
function gatherBatch(nowMs: number, view: BatchView, head: Candidate): number[] {
  const model = view.models[head.classIndex]!;
  const limit = head.mustRunAlone ? 1 : sizeLimit(view, head);
  const members: number[] = [];
  let mustFinishByMs = head.dueAtMs;
  let byteCount = 0;
  for (const candidate of view.candidates) {
    if (members.length >= limit) break;
    if (candidate.classIndex !== head.classIndex || (candidate.mustRunAlone && candidate !== head)) {
      const aloneMs = view.models[candidate.classIndex]!.plannedLatencyMs(1, view.cpuMillicores);
      mustFinishByMs = Math.min(mustFinishByMs, candidate.dueAtMs - aloneMs);
      continue;
    }
    byteCount += candidate.byteCount;
    if (members.length > 0 && byteCount > view.maxBatchBytes) break;
    // Alone, what may just make it is tried; company must not cost it its chance.
    const quantile = members.length === 0 ? 'predictedLatencyMs' : 'plannedLatencyMs';
    if (nowMs + model[quantile](members.length + 1, view.cpuMillicores) > mustFinishByMs) break;
    members.push(candidate.sequence);
  }
  return members;
}

/** At least the head and as many on time as possible: the exact program over the head's class. */
function dispatchMost(nowMs: number, view: BatchView, head: Candidate): BatchDecision {
  if (head.mustRunAlone) return { kind: 'dispatch', sequences: [head.sequence] };
  const model = view.models[head.classIndex]!;
  const sameClass = view.candidates.filter(
    (candidate) => candidate.classIndex === head.classIndex && !candidate.mustRunAlone,
  );
  const { firstBatch } = serveMost({
    freeAtMs: nowMs,
    dueAtMs: sameClass.map((candidate) => candidate.dueAtMs),
    maxBatchSize: Math.min(rowLimit(view, head), fittingCount(view, sameClass)),
    latencyMs: (batchSize) => model.plannedLatencyMs(batchSize, view.cpuMillicores),
  });
  // None can be met any more by the planned latency: try the head, the plan is deliberately pessimistic.
  if (firstBatch.length === 0) return { kind: 'dispatch', sequences: [head.sequence] };
  return { kind: 'dispatch', sequences: firstBatch.map((index) => sameClass[index]!.sequence) };
}

/** The most requests of its class that may share a batch with this one. */
export function rowLimit({ maxBatchSize, rowCounts }: BatchView, { classIndex }: Candidate): number {
  return requestsPerBatch(maxBatchSize, rowCounts?.[classIndex]);
}

/** The same, and no more than the plan says. */
function sizeLimit(view: BatchView, head: Candidate): number {
  return Math.min(view.plan.batchSize, rowLimit(view, head));
}

/** How many of these fit into a batch's bytes, whichever they are; at least one. */
function fittingCount(view: BatchView, candidates: readonly Candidate[]): number {
  const largest = Math.max(1, ...candidates.map((candidate) => candidate.byteCount));
  return Math.max(1, Math.floor(view.maxBatchBytes / largest));
}

function decideSetAside(view: BatchView): BatchDecision {
  const next = view.setAside[0];
  if (next === undefined) return { kind: 'idle' };
  const members = [next.sequence];
  if (next.mustRunAlone) return { kind: 'dispatch', sequences: members };
  let byteCount = next.byteCount;
  for (const candidate of view.setAside.slice(1, sizeLimit(view, next))) {
    byteCount += candidate.byteCount;
    const isMate = candidate.classIndex === next.classIndex && !candidate.mustRunAlone;
    if (!isMate || byteCount > view.maxBatchBytes) break;
    members.push(candidate.sequence);
  }
  return { kind: 'dispatch', sequences: members };
}

/** Waiting pays only where the allocation is fixed; with a resizable one, starting now and running slower is cheaper. */
function shouldFill(view: BatchView, head: Candidate, size: number): boolean {
  const isWholeQueue = size === view.candidates.length;
  const canGrow = size < sizeLimit(view, head);
  return view.isAllocationFixed && isWholeQueue && canGrow && !head.mustRunAlone;
}

/** The last instant at which a batch of this size still meets the head's deadline. */
function latestFillMs(view: BatchView, batchSize: number): number {
  const head = view.candidates[0]!;
  const model = view.models[head.classIndex]!;
  return head.dueAtMs - model.plannedLatencyMs(batchSize, view.cpuMillicores) - WAIT_GUARD_MS;
}
