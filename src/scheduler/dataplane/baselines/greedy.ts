import type { BatchDecision, BatchView } from '../batcher.js';
import { fillBatch, serveSetAside } from './fill-batch.js';

/**
 * Whatever waits, up to the plan's batch size, as soon as the worker is free. It neither waits for batch-mates nor asks
 * whether anybody will be on time; what a controller's rule assumes that speaks of batches and says nothing of forming them.
 */
export function greedy(_nowMs: number, view: BatchView): BatchDecision {
  if (view.candidates.length === 0) return serveSetAside(view);
  return { kind: 'dispatch', sequences: fillBatch(view, view.candidates) };
}
