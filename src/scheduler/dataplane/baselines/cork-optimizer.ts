/*
 * What BentoML's dispatcher has learned of its model: how long a batch takes, as a straight line over its size, and how
 * long requests wait before they are dispatched. `Optimizer` in BentoML `src/bentoml/_internal/marshal/dispatcher.py`.
 *
 * The line is least squares over the last 50 batches, the first two left out; where they all had one size, the shortest
 * solution, as `numpy.linalg.lstsq` gives it. It is fitted anew at most every 5 s, and when training says so.
 */

const KEPT_SAMPLES = 50;
export const SKIPPED_SAMPLES = 2;
const REFRESH_INTERVAL_MS = 5000;
/** 10⁻⁶ s: a batch that takes no longer for one request more would divide by nothing upstream. */
const LEAST_PER_REQUEST_MS = 0.001;
/** Guesses before anything was measured: a batch of one takes a tenth of the latency limit, 2/30 and 1/30 of it … */
const GUESSED_PER_REQUEST_FRACTION = 2 / 30;
const GUESSED_PER_BATCH_FRACTION = 1 / 30;
/** … and at most 2 s and 1 s. */
const MOST_GUESSED_PER_REQUEST_MS = 2000;
const MOST_GUESSED_PER_BATCH_MS = 1000;

export interface CorkSample {
  readonly batchSize: number;
  /** Of the batch's first request, before its dispatch. */
  readonly waitedMs: number;
  /** Dispatch → reply. */
  readonly latencyMs: number;
}

export class CorkOptimizer {
  readonly #samples: CorkSample[] = [];
  #loggedCount = 0;
  #refreshedAtMs = -Infinity;
  #perRequestMs: number;
  #perBatchMs: number;
  #waitMs = 0;

  constructor(maxLatencyMs: number) {
    this.#perRequestMs = Math.min(MOST_GUESSED_PER_REQUEST_MS, maxLatencyMs * GUESSED_PER_REQUEST_FRACTION);
    this.#perBatchMs = Math.min(MOST_GUESSED_PER_BATCH_MS, maxLatencyMs * GUESSED_PER_BATCH_FRACTION);
  }

  /** Upstream's a in latency = a·n + b. */
  get perRequestMs(): number {
    return this.#perRequestMs;
  }

  /** Upstream's b. */
  get perBatchMs(): number {
    return this.#perBatchMs;
  }

  /** Mean wait before dispatch; 0 at first (10 ms in older releases). */
  get waitMs(): number {
    return this.#waitMs;
  }

  log(nowMs: number, sample: CorkSample): void {
    this.#loggedCount += 1;
    if (this.#loggedCount <= SKIPPED_SAMPLES) return;
    this.#samples.push(sample);
    if (this.#samples.length > KEPT_SAMPLES) this.#samples.shift();
    if (nowMs - this.#refreshedAtMs < REFRESH_INTERVAL_MS) return;
    this.#refreshedAtMs = nowMs;
    this.refresh();
  }

  refresh(): void {
    if (this.#samples.length === 0) return;
    const { slope, intercept } = fitLine(this.#samples);
    this.#perRequestMs = Math.max(LEAST_PER_REQUEST_MS, slope);
    this.#perBatchMs = Math.max(0, intercept);
    this.#waitMs = mean(this.#samples, (sample) => sample.waitedMs);
  }
}

function fitLine(samples: readonly CorkSample[]): { readonly slope: number; readonly intercept: number } {
  const size = mean(samples, (sample) => sample.batchSize);
  const latencyMs = mean(samples, (sample) => sample.latencyMs);
  const variance = mean(samples, (sample) => (sample.batchSize - size) ** 2);
  if (variance === 0) {
    // Of all lines through (size, latency), the one with the least slope² + intercept².
    const intercept = latencyMs / (size * size + 1);
    return { slope: intercept * size, intercept };
  }
  const covariance = mean(samples, (sample) => (sample.batchSize - size) * (sample.latencyMs - latencyMs));
  const slope = covariance / variance;
  return { slope, intercept: latencyMs - slope * size };
}

function mean(samples: readonly CorkSample[], valueOf: (sample: CorkSample) => number): number {
  let sum = 0;
  for (const sample of samples) sum += valueOf(sample);
  return sum / samples.length;
}
