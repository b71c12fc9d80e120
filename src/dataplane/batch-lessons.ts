import type { LatencyModels } from '../perf-model/model-source.js';
import type { Exploration } from './exploration.js';
import type { RunningBatch } from './running-batch.js';

/**
 * What a batch that has ended teaches: the latency model, how long it really took; exploration, that its class was run, and
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
