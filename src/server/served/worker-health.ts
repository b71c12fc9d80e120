import type { Event } from '../../scheduler/domain/event.js';

/*
 * Whether a model's worker can be sent requests, for load balancers: not while it restarts, nor while it dies again and again with
 * nothing completed in between. Between two of those deaths it is up for a moment, which is no time to begin. One that serves between its
 * crashes is no such case.
 */

const LOSSES_IN_A_ROW = 3;
/** Up for so long without dying: nothing is sent where it is not ready, so that nothing can be completed either. */
const STABLE_AFTER_MS = 5000;

export class WorkerHealth {
  /** Why there is none, '' while there is. During restarts each that fails is a loss as well. */
  #loss = '';
  #losses = 0;
  #readyAtMs = -Infinity;

  observe(event: Event): void {
    if (event.kind === 'worker-lost') {
      const wasStable = this.#loss === '' && event.atMs - this.#readyAtMs >= STABLE_AFTER_MS;
      this.#losses = wasStable ? 1 : this.#losses + 1;
      this.#loss = event.message;
    } else if (event.kind === 'worker-ready') {
      this.#loss = '';
      this.#readyAtMs = event.atMs;
    } else if (event.kind === 'batch-ended' && event.result === 'completed') this.#losses = 0;
  }

  /** '' while it is ready. */
  reasonNotReady(nowMs: number): string {
    if (this.#loss !== '') return `the worker is restarting: ${this.#loss}`;
    const isLooping = this.#losses >= LOSSES_IN_A_ROW && nowMs - this.#readyAtMs < STABLE_AFTER_MS;
    return isLooping ? `the worker died ${this.#losses} times, and nothing was served in between` : '';
  }
}
