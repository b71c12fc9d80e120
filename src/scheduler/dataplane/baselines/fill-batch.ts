/*
 * What the batching rules of other servers have in common here: the hard bounds of a batch, which are memory's and not the
 * rule's, and what happens to requests that are set aside, which those servers do not have.
 */
import { CANDIDATE_LIMIT, rowLimit, type BatchDecision, type BatchView, type Candidate } from '../batcher.js';

/** Half of a dispatch policy: what a free worker does next. The candidates may be in any queue order. */
export type BatchingRule = (nowMs: number, view: BatchView) => BatchDecision;

/** The most requests that one batch with this one may hold now; never more than a rule can see. */
export function batchLimit(view: BatchView, first: Candidate): number {
  return Math.min(view.plan.batchSize, rowLimit(view, first), CANDIDATE_LIMIT);
}

/**
 * The first of these and, in their order, those of its class that fit into one batch with it. Other classes, and requests
 * that must run alone, are passed over.
 * @param candidates at least one
 */
export function fillBatch(view: BatchView, candidates: readonly Candidate[]): number[] {
  const first = candidates[0]!;
  const limit = first.mustRunAlone ? 1 : batchLimit(view, first);
  const members: number[] = [];
  let byteCount = 0;
  for (const candidate of candidates) {
    if (members.length === limit) break;
    const isMate = candidate.classIndex === first.classIndex && !candidate.mustRunAlone;
    if (candidate !== first && !isMate) continue;
    byteCount += candidate.byteCount;
    if (members.length > 0 && byteCount > view.maxBatchBytes) break;
    members.push(candidate.sequence);
  }
  return members;
}

/** When nothing else waits: no rule makes a request that is set aside wait for batch-mates. */
export function serveSetAside(view: BatchView): BatchDecision {
  if (view.setAside.length === 0) return { kind: 'idle' };
  return { kind: 'dispatch', sequences: fillBatch(view, view.setAside) };
}
