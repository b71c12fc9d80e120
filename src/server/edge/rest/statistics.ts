import type { FastifyInstance } from 'fastify';
import type { ModelStatistics } from '../../../protocol/service.js';
import { onModelPaths } from './context.js';
import type { RestContext } from './context.js';

/** Answers are not cached. */
const NEVER = { count: 0, ns: 0 };

/** Triton's statistics extension. */
export function registerStatistics(app: FastifyInstance, { service }: RestContext): void {
  const answer = async (name?: string, version?: string): Promise<object> => ({
    model_stats: (await service.statistics(name, version)).map(modelStatisticsJson),
  });
  app.get('/v2/models/stats', () => answer());
  onModelPaths(app, 'GET', '/stats', (request, reply) => {
    const { model, version } = request.params;
    answer(model, version).then(
      (json) => reply.send(json),
      (error: unknown) => reply.send(error),
    );
    return undefined;
  });
}

function modelStatisticsJson(statistics: ModelStatistics): Record<string, unknown> {
  return {
    name: statistics.name,
    version: statistics.version,
    last_inference: statistics.lastInference,
    inference_count: statistics.inferenceCount,
    execution_count: statistics.executionCount,
    inference_stats: { ...statistics.inferenceStats, cache_hit: NEVER, cache_miss: NEVER },
    batch_stats: statistics.batchStats.map((batch) => ({
      batch_size: batch.batchSize,
      compute_input: batch.computeInput,
      compute_infer: batch.computeInfer,
      compute_output: batch.computeOutput,
    })),
    // Of decoupled models, which answer one request several times; there are none here.
    response_stats: {},
    // What a backend reports of its devices; Triton's for ONNX Runtime reports nothing either.
    memory_usage: [],
  };
}
