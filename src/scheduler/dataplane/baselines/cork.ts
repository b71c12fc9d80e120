/*
 * The batching rule of BentoML, "CORK" (`CorkDispatcher` in BentoML `src/bentoml/_internal/marshal/dispatcher.py`, releases
 * with `split_job`; first come, first served; one latency limit for all requests).
 *
 * With n requests waiting, the first of them for w₀ and the last for wₙ, a batch taking a·n + b, and w the mean wait of
 * requests before their dispatch (`cork-optimizer.ts` learns a, b and w):
 *
 *     w₀ + a·n + b ≥ limit        the first one is given up, if it is not the only one
 *     n·(wₙ + tick + a) ≤ 0.95·w  wait one tick of 1 ms for more, unless the largest batch is full
 *     otherwise                   dispatch
 *
 * It first trains on eleven batches: eight as they come, one more, one that waits for two requests and one that waits for
 * three. Until then only what has waited for the whole limit is given up, and only where enough others wait to train on.
 *
 * Upstream polls every millisecond. What changes between two polls is time alone, so the instant at which a decision turns
 * is known, and the rule waits for the first poll after it.
 *
 * Differences: upstream gives up while the model is busy too, we when the worker is free next. Whom it gives up is the
 * same, since waits only grow; they hear of it later. A single request that has waited for the whole limit is given up here,
 * where upstream would have done so while busy. The queue may be in another order than first come, first served: then w₀ is
 * its head's and wₙ that of the latest arrival. Upstream splits a request that carries several rows; ours are one row each.
 */
import type { Event } from '../../domain/event.js';
import type { BatchDecision, BatchView, Candidate } from '../batcher.js';
import { CorkOptimizer, SKIPPED_SAMPLES } from './cork-optimizer.js';
import { batchLimit, fillBatch, serveSetAside, type BatchingRule } from './fill-batch.js';

const TICK_MS = 1;
const WAIT_DECAY = 0.95;
/** Training waits for batch-mates no longer than this share of the limit. */
const TRAINING_WAIT_FRACTION = 0.95;

interface TrainingStage {
  readonly batches: number;
  /** Waits for so many requests, within reason. */
  readonly batchSize: number;
  /** Requests that must be left to train on; those beyond may be given up. */
  readonly neededRequests: number;
  /** Fits the line when its last batch was dispatched. */
  readonly refreshes: boolean;
}

const TRAINING: readonly TrainingStage[] = [
  { batches: SKIPPED_SAMPLES + 6, batchSize: 1, neededRequests: SKIPPED_SAMPLES, refreshes: false },
  { batches: 1, batchSize: 1, neededRequests: 6, refreshes: true },
  { batches: 1, batchSize: 2, neededRequests: 5, refreshes: true },
  { batches: 1, batchSize: 3, neededRequests: 3, refreshes: true },
];

export interface CorkOptions {
  /** `max_latency_ms`: the one limit on wait and computation together. */
  readonly maxLatencyMs: number;
}

export interface Cork {
  readonly batch: BatchingRule;
  readonly observe: (event: Event) => void;
}

export function cork(options: CorkOptions): Cork {
  const dispatcher = new CorkDispatcher(options.maxLatencyMs);
  return {
    batch: (nowMs, view) => dispatcher.decide(nowMs, view),
    observe: (event) => dispatcher.observe(event),
  };
}

class CorkDispatcher {
  readonly #maxLatencyMs: number;
  readonly #optimizer: CorkOptimizer;
  readonly #admittedAtMs = new Map<number, number>();
  /** By batch: the wait of its first request. */
  readonly #waitedMs = new Map<number, number>();
  #stageIndex = 0;
  #stageBatches = 0;
  /** As they were when the stage began; a fit in the middle of it does not change how long it waits. */
  #stageLine: { readonly perRequestMs: number; readonly perBatchMs: number };

  constructor(maxLatencyMs: number) {
    this.#maxLatencyMs = maxLatencyMs;
    this.#optimizer = new CorkOptimizer(maxLatencyMs);
    this.#stageLine = lineOf(this.#optimizer);
  }

  decide(nowMs: number, view: BatchView): BatchDecision {
    const head = view.candidates[0];
    if (head === undefined) return serveSetAside(view);
    if (head.mustRunAlone) return { kind: 'dispatch', sequences: [head.sequence] };
    const stage = TRAINING[this.#stageIndex];
    return stage === undefined ? this.#serve(nowMs, view, head) : this.#train(nowMs, view, head, stage);
  }

  observe(event: Event): void {
    switch (event.kind) {
      case 'request-admitted':
        this.#admittedAtMs.set(event.request.sequence, event.atMs);
        return;
      case 'request-finished':
        this.#admittedAtMs.delete(event.request.sequence);
        return;
      case 'batch-started': {
        const isTraining = this.#stageIndex < TRAINING.length;
        const admittedAtMs = this.#admittedAtMs.get(event.sequences[0]!) ?? event.atMs;
        // What training made requests wait for says nothing of the wait that serving needs.
        this.#waitedMs.set(event.batchId, isTraining ? 0 : event.atMs - admittedAtMs);
        if (isTraining) this.#countTrainingBatch();
        return;
      }
      case 'batch-ended': {
        const waitedMs = this.#waitedMs.get(event.batchId) ?? 0;
        this.#waitedMs.delete(event.batchId);
        if (event.result !== 'completed') return;
        this.#optimizer.log(event.atMs, { batchSize: event.batchSize, waitedMs, latencyMs: event.latencyMs });
        return;
      }
      default:
        return;
    }
  }

  #countTrainingBatch(): void {
    const stage = TRAINING[this.#stageIndex]!;
    this.#stageBatches += 1;
    if (this.#stageBatches < stage.batches) return;
    // Upstream too does not wait for the end of the stage's last batch.
    if (stage.refreshes) this.#optimizer.refresh();
    this.#stageIndex += 1;
    this.#stageBatches = 0;
    this.#stageLine = lineOf(this.#optimizer);
  }

  #train(nowMs: number, view: BatchView, head: Candidate, stage: TrainingStage): BatchDecision {
    const spareFrom = stage.neededRequests - this.#stageBatches;
    const unsalvageable = firstWhere(view, (waiting, candidate) => {
      return waiting > spareFrom && nowMs - candidate.admittedAtMs >= this.#maxLatencyMs;
    });
    if (unsalvageable.length > 0) return { kind: 'refuse', sequences: unsalvageable };

    const batchSize = Math.min(stage.batchSize, batchLimit(view, head));
    if (batchSize > 1 && view.queueDepth < batchSize) {
      const { perRequestMs, perBatchMs } = this.#stageLine;
      const patienceMs = Math.min(
        this.#maxLatencyMs * TRAINING_WAIT_FRACTION,
        (2 * batchSize + 1) * perRequestMs + perBatchMs,
      );
      const waitsUntilMs = head.admittedAtMs + patienceMs - this.#latencyMs(batchSize);
      if (nowMs <= waitsUntilMs) return { kind: 'wait', untilMs: pollAfter(nowMs, waitsUntilMs) };
    }
    return { kind: 'dispatch', sequences: fillBatch(view, view.candidates) };
  }

  #serve(nowMs: number, view: BatchView, head: Candidate): BatchDecision {
    const unsalvageable = firstWhere(view, (waiting, candidate) => nowMs >= this.#givenUpAtMs(waiting, candidate));
    if (unsalvageable.length > 0) return { kind: 'refuse', sequences: unsalvageable };

    const waiting = view.queueDepth;
    if (waiting < batchLimit(view, head)) {
      const latestAtMs = Math.max(...view.candidates.map((candidate) => candidate.admittedAtMs));
      const worthMs = (WAIT_DECAY * this.#optimizer.waitMs) / waiting - TICK_MS - this.#optimizer.perRequestMs;
      const waitsUntilMs = latestAtMs + worthMs;
      if (nowMs <= waitsUntilMs) {
        const turnsAtMs = Math.min(waitsUntilMs, this.#givenUpAtMs(waiting, head));
        return { kind: 'wait', untilMs: pollAfter(nowMs, turnsAtMs) };
      }
    }
    return { kind: 'dispatch', sequences: fillBatch(view, view.candidates) };
  }

  /** When a request at the head of so many has no chance any more by the fitted line; the only one, when its time is up. */
  #givenUpAtMs(waiting: number, candidate: Candidate): number {
    const neededMs = waiting > 1 ? this.#latencyMs(waiting) : 0;
    return candidate.admittedAtMs + this.#maxLatencyMs - neededMs;
  }

  #latencyMs(batchSize: number): number {
    return this.#optimizer.perRequestMs * batchSize + this.#optimizer.perBatchMs;
  }
}

function lineOf({ perRequestMs, perBatchMs }: CorkOptimizer): { perRequestMs: number; perBatchMs: number } {
  return { perRequestMs, perBatchMs };
}

/** One after the other from the head, as long as it holds of the head of what is left. */
function firstWhere(view: BatchView, isGivenUp: (waiting: number, candidate: Candidate) => boolean): number[] {
  const sequences: number[] = [];
  for (const candidate of view.candidates) {
    if (!isGivenUp(view.queueDepth - sequences.length, candidate)) break;
    sequences.push(candidate.sequence);
  }
  return sequences;
}

/** The first poll, every tick from now on, that is later than an instant; never now. */
function pollAfter(nowMs: number, atMs: number): number {
  const ticks = Math.max(0, Math.floor((atMs - nowMs) / TICK_MS)) + 1;
  return nowMs + ticks * TICK_MS;
}
