import type { Clock, Timer } from '../clock/clock.js';
import type { RunningBatch } from './running-batch.js';

/** A batch may take this many times its prediction before it counts as hung; one bad scheduling stall is not a hang. */
const HANG_PROGRESS = 20;
/** Timeouts that a batch without any prediction is given: the first run of a large model may be slow. */
const UNPREDICTED_TIMEOUTS = 6;

/** Gives up on a batch that runs far beyond its prediction: a run cannot be aborted, so its process is replaced. */
export class HangWatch {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #onHang: (message: string) => void;
  readonly #timers = new Map<number, Timer>();

  constructor(clock: Clock, timeoutMs: number, onHang: (message: string) => void) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#onHang = onHang;
  }

  watch(batch: RunningBatch): void {
    const atMs = batch.startedAtMs + Math.max(this.#timeoutMs, batch.plannedLatencyMs);
    this.#timers.set(
      batch.batchId,
      this.#clock.schedule(atMs, () => this.#check(batch)),
    );
  }

  forget(batch: RunningBatch): void {
    this.#timers.get(batch.batchId)?.cancel();
    this.#timers.delete(batch.batchId);
  }

  /** Gives up watching: the process is about to end with the server. */
  stop(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  #check(batch: RunningBatch): void {
    const nowMs = this.#clock.nowMs();
    const progress = batch.progress(nowMs);
    const elapsedMs = nowMs - batch.startedAtMs;
    // Before anything was measured there is no prediction, and progress stays 0.
    const isHung = progress === 0 ? elapsedMs >= UNPREDICTED_TIMEOUTS * this.#timeoutMs : progress >= HANG_PROGRESS;
    if (isHung) {
      const seconds = (elapsedMs / 1000).toFixed(1);
      this.#onHang(`batch ${batch.batchId} hung: still running after ${seconds} s`);
      return;
    }
    this.#timers.set(
      batch.batchId,
      this.#clock.schedule(nowMs + this.#timeoutMs, () => this.#check(batch)),
    );
  }
}
