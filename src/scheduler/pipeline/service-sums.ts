import type { ServiceRecord } from '../domain/outcome.js';

/*
 * What can be told of how a request was served that went through several steps: of the batches of its models, what stands for them.
 */
export class ServiceSums {
  #last: ServiceRecord | null = null;
  #largestBatch = 1;
  #mostMillicores = 0;
  #plannedMs = 0;
  #runMs = 0;

  /** @param service of a part; null of one that no model ran */
  add(service: ServiceRecord | null): void {
    if (service === null) return;
    // Parts of one batch ran together.
    if (service.batchId !== this.#last?.batchId || service.latencyMs !== this.#last.latencyMs) {
      this.#plannedMs += service.plannedLatencyMs;
      this.#runMs += service.latencyMs;
    }
    this.#last = service;
    this.#largestBatch = Math.max(this.#largestBatch, service.batchSize);
    this.#mostMillicores = Math.max(this.#mostMillicores, service.cpuMillicores);
  }

  /**
   * @param totalMs from the door to the end
   * @param slackMs what was left then
   */
  record(totalMs: number, slackMs: number): ServiceRecord {
    const latencyMs = Math.min(totalMs, this.#runMs);
    return {
      queuedMs: totalMs - latencyMs,
      slackAtDispatchMs: slackMs,
      batchId: this.#last?.batchId ?? 0,
      batchSize: this.#largestBatch,
      cpuMillicores: this.#mostMillicores,
      threadCount: this.#last?.threadCount ?? 1,
      plannedLatencyMs: this.#plannedMs,
      latencyMs,
    };
  }
}
