import type { Event } from '../../scheduler/domain/event.js';
import type { DurationStat, ModelStatistics } from '../../protocol/service.js';

/*
 * The cumulative statistics of one model in the shape of Triton's statistics extension, summed from the event stream.
 *
 * Where a duration is taken from, since our path is not Triton's:
 * - success, queue: completed requests; received → outcome, and admission → dispatch.
 * - fail: all other requests, cancelled ones included; received → outcome.
 * - inference_count: rows, as Triton counts them: a request that a client batched by itself is several inferences.
 * - compute_infer: inside the model, measured by the worker. compute_output: the rest of dispatch → reply, which is the
 *   link both ways and the splitting of outputs. Of completed batches, the whole of its batch's for each request, as Triton has it;
 *   once per execution in `batch_stats`, by rows.
 * - compute_input: 0. Inputs are staged in the worker while their request is queued, so that time is in `queue` already.
 */

const NS_PER_MS = 1_000_000;

class DurationSum {
  count = 0;
  totalMs = 0;

  add(durationMs: number, count = 1): void {
    this.count += count;
    this.totalMs += durationMs * count;
  }

  toStat(): DurationStat {
    return { count: this.count, ns: Math.round(this.totalMs * NS_PER_MS) };
  }
}

type BatchEnded = Extract<Event, { kind: 'batch-ended' }>;

interface BatchSums {
  readonly infer: DurationSum;
  readonly output: DurationSum;
}

export class InferenceStatistics {
  readonly success = new DurationSum();
  readonly fail = new DurationSum();
  readonly queue = new DurationSum();
  readonly computeInfer = new DurationSum();
  readonly computeOutput = new DurationSum();
  inferenceCount = 0;
  executionCount = 0;
  private readonly byBatchSize = new Map<number, BatchSums>();
  private lastInferenceUnixMs = 0;
  private readonly readUnixMs: () => number;

  /** @param readUnixMs wall time, for `last_inference` only */
  constructor(readUnixMs: () => number) {
    this.readUnixMs = readUnixMs;
  }

  observe(event: Event): void {
    if (event.kind === 'request-finished') {
      const totalMs = event.atMs - event.request.receivedAtMs;
      if (event.outcome.kind === 'completed') {
        this.success.add(totalMs);
        this.queue.add(event.outcome.service.queuedMs);
      } else {
        this.fail.add(totalMs);
      }
    } else if (event.kind === 'batch-ended' && event.result === 'completed') {
      this.addExecution(event, Math.max(0, event.latencyMs - event.computeMs));
    }
  }

  toModelStatistics(name: string, version: string): ModelStatistics {
    return {
      name,
      version,
      lastInference: this.lastInferenceUnixMs,
      inferenceCount: this.inferenceCount,
      executionCount: this.executionCount,
      inferenceStats: {
        success: this.success.toStat(),
        fail: this.fail.toStat(),
        queue: this.queue.toStat(),
        compute_input: { count: this.computeInfer.count, ns: 0 },
        compute_infer: this.computeInfer.toStat(),
        compute_output: this.computeOutput.toStat(),
      },
      batchStats: [...this.byBatchSize]
        .sort(([a], [b]) => a - b)
        .map(([batchSize, { infer, output }]) => ({
          batchSize,
          computeInput: { count: infer.count, ns: 0 },
          computeInfer: infer.toStat(),
          computeOutput: output.toStat(),
        })),
    };
  }

  private addExecution({ batchSize, rowCount, computeMs }: BatchEnded, outputMs: number): void {
    this.inferenceCount += rowCount;
    this.executionCount += 1;
    this.computeInfer.add(computeMs, batchSize);
    this.computeOutput.add(outputMs, batchSize);
    let sums = this.byBatchSize.get(rowCount);
    if (sums === undefined) {
      sums = { infer: new DurationSum(), output: new DurationSum() };
      this.byBatchSize.set(rowCount, sums);
    }
    sums.infer.add(computeMs);
    sums.output.add(outputMs);
    this.lastInferenceUnixMs = Math.floor(this.readUnixMs());
  }
}
