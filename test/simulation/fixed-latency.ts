import { exactLatency, type LatencyModel } from '../../src/scheduler/domain/latency.js';
import type { InferRequest } from '../../src/scheduler/domain/request.js';
import type { LatencyModels } from '../../src/scheduler/perf-model/model-source.js';
import { aRequest } from '../fixtures/events.js';

/* A model whose arithmetic is done in one's head, and requests by their deadline. */

/** l(b, c) = 10·b / c ms, c in cores: 10 ms a request at 1000 millicores. */
export function tenMsEach(batchSize: number, cpuMillicores: number): number {
  return (10 * batchSize * 1000) / cpuMillicores;
}

/** Predicted and planned alike. */
export const TEN_MS_EACH: LatencyModel = exactLatency(tenMsEach);

/** One model for every class, which learns nothing. */
export function modelsOf(model: LatencyModel): LatencyModels {
  return { isProvisional: false, forClass: () => model, observe: () => undefined };
}

export function dueAt(sequence: number, dueAtMs: number, fields: Partial<InferRequest> = {}): InferRequest {
  return aRequest({ sequence, sloMs: dueAtMs, networkDelayMs: 0, dueAtMs, ...fields });
}
