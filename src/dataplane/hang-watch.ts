import type { Clock } from '../clock/clock.js';
import { EarliestTimer } from '../clock/earliest-timer.js';
import type { RunningBatch } from './running-batch.js';

/** A batch may take this many times its prediction before it counts as hung; one bad scheduling stall is not a hang. */
const HANG_PROGRESS = 20;
/** Timeouts that a batch without any prediction is given: the first run of a large model may be slow. */
const UNPREDICTED_TIMEOUTS = 6;

interface Watched {
  readonly batch: RunningBatch;
  /** When to look at it next. */
  checkAtMs: number;
}

/**
 * Gives up on a batch that runs far beyond its prediction: a run cannot be aborted, so its process is replaced.
 *
 * One timer for all batches, which outlives them: batches end within milliseconds and are looked at after seconds.
 */
export class HangWatch {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #onHang: (message: string, batchId: number) => void;
  /** Null where none is: no more places than ever ran side by side, and none made anew for each batch. */
  readonly #places: (Watched | null)[] = [];
  readonly #timer: EarliestTimer;

  constructor(clock: Clock, timeoutMs: number, onHang: (message: string, batchId: number) => void) {
    this.#clock = clock;
    this.#timer = new EarliestTimer(clock, () => this.#lookAtDue());
    this.#timeoutMs = timeoutMs;
    this.#onHang = onHang;
  }

  watch(batch: RunningBatch): void {
    const checkAtMs = batch.startedAtMs + Math.max(this.#timeoutMs, batch.plannedLatencyMs);
    const free = this.#places.indexOf(null);
    this.#places[free === -1 ? this.#places.length : free] = { batch, checkAtMs };
    this.#timer.armBy(checkAtMs);
  }

  forget(batch: RunningBatch): void {
    for (let place = 0; place < this.#places.length; place++) {
      if (this.#places[place]?.batch === batch) this.#places[place] = null;
    }
  }

  /** Gives up watching: the process is about to end with the server. */
  stop(): void {
    this.#timer.cancel();
    this.#places.fill(null);
  }

  #lookAtDue(): void {
    const nowMs = this.#clock.nowMs();
    for (const watched of this.#places) {
      if (watched !== null && watched.checkAtMs <= nowMs) this.#check(nowMs, watched);
    }
    for (const watched of this.#places) if (watched !== null) this.#timer.armBy(watched.checkAtMs);
  }

  #check(nowMs: number, watched: Watched): void {
    const { batch } = watched;
    const progress = batch.progress(nowMs);
    const elapsedMs = nowMs - batch.startedAtMs;
    // Before anything was measured there is no prediction, and progress stays 0.
    const isHung = progress === 0 ? elapsedMs >= UNPREDICTED_TIMEOUTS * this.#timeoutMs : progress >= HANG_PROGRESS;
    if (isHung) {
      this.forget(batch);
      const message = `batch ${batch.batchId} hung: still running after ${(elapsedMs / 1000).toFixed(1)} s`;
      this.#onHang(message, batch.batchId);
    } else watched.checkAtMs = nowMs + this.#timeoutMs;
  }
}
