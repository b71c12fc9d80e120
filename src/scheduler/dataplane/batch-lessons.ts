import type { LatencyModels } from '../perf-model/model-source.js';
import type { Exploration } from './exploration.js';
import type { RunningBatch } from './running-batch.js';
import type { BatchResult } from './worker-pool.js';

/**
 * When the batch really ended, as near as can be told: where the router stood still its result lay unread, and that time is not the
 * model's. Not before what the worker itself measured was over.
 */
export function endedAtMs(
  nowMs: number,
  { startedAtMs }: Pick<RunningBatch, 'startedAtMs'>,
  result: BatchResult,
): number {
  if (result.kind !== 'completed') return nowMs;
  const { unreadMs = 0, computeMs } = result;
  return Math.min(nowMs, Math.max(nowMs - unreadMs, startedAtMs + computeMs));
}

/**
 * What a batch that has ended, at `nowMs`, teaches: the latency model, how long it really took; exploration, that its class was run, and
 * whether the request that it tried could have been in time.
 * @returns actual over predicted; null where that says nothing
 */
export function learnFrom(
  batch: RunningBatch,
  nowMs: number,
  isCompleted: boolean,
  models: LatencyModels,
  exploration: Exploration,
): number | null {
  const { shapeClass, size, usableStartMillicores } = batch;
  const ratio = models.isProvisional ? null : batch.progress(nowMs);
  // A test that was cut short took at least so long; of any other batch that broke nobody knows what it was at.
  const isEvidence = isCompleted || (batch.isExploring && ratio !== null && ratio > 1);
  if (ratio !== null && isEvidence) {
    models.observe({
      shapeClass,
      batchSize: size,
      cpuMillicores: usableStartMillicores,
      actualToPredicted: ratio,
      busyFraction: batch.busyFraction(nowMs),
      missedFraction: isCompleted ? batch.missedFraction(nowMs) : null,
    });
  }
  if (batch.isExploring) {
    const ranMs = nowMs - batch.startedAtMs;
    const [tried] = batch.members;
    const budgetMs = tried!.request.dueAtMs - tried!.admittedAtMs;
    exploration.ended(nowMs, shapeClass.key, ranMs, isCompleted && ranMs <= budgetMs);
  } else exploration.batchEnded(nowMs, shapeClass.key);
  return isCompleted ? ratio : null;
}
