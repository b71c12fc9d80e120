/*
 * The batching rule of Triton's dynamic batcher with one preferred size (docs.nvidia.com, Triton user guide, "Batchers";
 * `DynamicBatchScheduler::GetDynamicBatch` in triton-inference-server/core `src/dynamic_batch_scheduler.cc`).
 *
 * A free worker takes a batch of the preferred size as soon as so many wait, and a smaller one once the oldest request in
 * it has waited for the longest delay. The batch is what stands at the head of the queue without a gap: where the next
 * request has another shape, what stands before it can not grow any more and goes at once. While all workers are busy
 * nothing is formed, so after a long batch the delay has mostly passed already.
 *
 * Simplified: the preferred size is the largest size too, and there is one. Triton's `timeout` of requests and its levels of
 * priority are not part of the rule: the first is what `isDeadlineAware` is about, the second is the queue's.
 */
import type { BatchView, Candidate } from '../batcher.js';
import { batchLimit, serveSetAside, type BatchingRule } from './fill-batch.js';

export interface DelayOptions {
  /** `max_queue_delay_microseconds`, in ms; 0 dispatches whatever waits. */
  readonly maxQueueDelayMs: number;
}

export function delay({ maxQueueDelayMs }: DelayOptions): BatchingRule {
  return (nowMs, view) => {
    if (view.candidates.length === 0) return serveSetAside(view);
    const { members, canGrow } = batchAtHead(view);
    const oldestAtMs = Math.min(...members.map((member) => member.admittedAtMs));
    const untilMs = oldestAtMs + maxQueueDelayMs;
    if (canGrow && untilMs > nowMs) return { kind: 'wait', untilMs };
    return { kind: 'dispatch', sequences: members.map((member) => member.sequence) };
  };
}

/** What stands at the head of the queue and fits into one batch, and whether one more could still join it there. */
function batchAtHead(view: BatchView): { readonly members: readonly Candidate[]; readonly canGrow: boolean } {
  const head = view.candidates[0]!;
  if (head.mustRunAlone) return { members: [head], canGrow: false };
  const limit = batchLimit(view, head);
  let byteCount = head.byteCount;
  let size = 1;
  while (size < limit) {
    const next = view.candidates[size];
    if (next === undefined) return { members: view.candidates, canGrow: byteCount < view.maxBatchBytes };
    byteCount += next.byteCount;
    const isMate = next.classIndex === head.classIndex && !next.mustRunAlone;
    if (!isMate || byteCount > view.maxBatchBytes) break;
    size += 1;
  }
  return { members: view.candidates.slice(0, size), canGrow: false };
}
