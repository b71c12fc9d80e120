/* ModelStatistics: Triton's statistics extension. */
import type { InferenceService, ModelStatistics } from '../../../protocol/service.js';
import { unary } from './answers.js';
import type { AnswerContext } from './answers.js';
import { GRPCInferenceServiceDefinition } from '../../../protocol/grpc/generated/open_inference.js';
import type {
  ModelStatistics as ModelStatisticsMessage,
  ModelStatisticsResponse,
} from '../../../protocol/grpc/generated/open_inference.js';
import { versionOf } from './versions.js';

/** Answers are not cached. */
const NEVER = { count: 0, ns: 0 };

export function statisticsHandlers(service: InferenceService, context: AnswerContext) {
  return {
    modelStatistics: unary(
      context,
      GRPCInferenceServiceDefinition.methods.modelStatistics,
      async ({ name, version }): Promise<ModelStatisticsResponse> => {
        const statistics = await service.statistics(name === '' ? undefined : name, versionOf(version));
        return { modelStats: statistics.map(statisticsMessage) };
      },
    ),
  };
}

function statisticsMessage(statistics: ModelStatistics): ModelStatisticsMessage {
  const { success, fail, queue, compute_input, compute_infer, compute_output } = statistics.inferenceStats;
  return {
    name: statistics.name,
    version: statistics.version,
    lastInference: statistics.lastInference,
    inferenceCount: statistics.inferenceCount,
    executionCount: statistics.executionCount,
    inferenceStats: {
      success,
      fail,
      queue,
      computeInput: compute_input,
      computeInfer: compute_infer,
      computeOutput: compute_output,
      cacheHit: NEVER,
      cacheMiss: NEVER,
    },
    batchStats: statistics.batchStats.map((batch) => ({ ...batch })),
  };
}
