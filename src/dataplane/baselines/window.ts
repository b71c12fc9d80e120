/*
 * The batching rule of MLServer's `AdaptiveBatcher` (SeldonIO/MLServer `mlserver/batching/`, `_batch_requests`).
 *
 * A window opens with a request and closes when it holds `max_batch_size` requests or after `max_batch_time`; the next
 * request opens the next one. Windows do not wait for the model: behind a busy one the backlog is closed windows, small
 * ones among them, that are never merged. So windows follow from the instants of arrival alone, and are cut anew here from
 * what is queued each time the worker is free: nothing needs to be remembered.
 *
 * - `fixed` is upstream since PR #2093: the time that is left is `max_batch_time` less what has passed since the opening.
 * - `cumulative` is upstream before that (issues #1936, #2065) and the Sponge authors' fork: at each arrival what has passed
 *   since the opening is taken off what was left *then*, so the same time is counted again and again. With 1 s and an
 *   arrival every 20 ms it closes with the eleventh: 20 + 40 + … + 200 = 1100 ms > 1 s.
 *
 * Windows are cut in order of admission, each class by itself, whatever the queue's order is; the queue's order says which
 * closed window is run first. Under FIFO that is the one that closed first, as upstream. Under EDF it is the one with the
 * earliest deadline in it.
 *
 * What this gets wrong: a request that leaves (its client went, it expired) also leaves its window, so that a window that
 * was full may open again and later ones shift; upstream would run the window without it. Beyond the candidates that a rule
 * can see, EDF may split a window; FIFO never does, since it takes whole windows from the front. And each retry of a broken
 * batch is a closed window of its own.
 */
import type { BatchView, Candidate } from '../batcher.js';
import { batchLimit, serveSetAside, type BatchingRule } from './fill-batch.js';

export interface WindowOptions {
  /** `max_batch_time`, in ms. */
  readonly maxBatchTimeMs: number;
  readonly timeLeft: 'fixed' | 'cumulative';
}

export function batchWindow(options: WindowOptions): BatchingRule {
  return (nowMs, view) => {
    if (view.candidates.length === 0) return serveSetAside(view);
    const windows = cutWindows(view, options);
    for (const candidate of view.candidates) {
      const window = windows.get(candidate)!;
      if (window.closesAtMs <= nowMs) return { kind: 'dispatch', sequences: window.sequences };
    }
    let untilMs = Infinity;
    for (const { closesAtMs } of windows.values()) untilMs = Math.min(untilMs, closesAtMs);
    return { kind: 'wait', untilMs };
  };
}

/** The window of each candidate. */
function cutWindows(view: BatchView, options: WindowOptions): Map<Candidate, Window> {
  const bounds = { ...options, limit: batchLimit(view), maxBytes: view.maxBatchBytes };
  const windows = new Map<Candidate, Window>();
  const latestOfClass = new Map<number, Window>();
  for (const candidate of [...view.candidates].sort(compareByAdmission)) {
    if (candidate.mustRunAlone) {
      windows.set(candidate, new Window(candidate, { ...bounds, limit: 1 }));
      continue;
    }
    let window = latestOfClass.get(candidate.classIndex);
    if (window?.join(candidate) !== true) {
      window = new Window(candidate, bounds);
      latestOfClass.set(candidate.classIndex, window);
    }
    windows.set(candidate, window);
  }
  return windows;
}

function compareByAdmission(a: Candidate, b: Candidate): number {
  return a.admittedAtMs - b.admittedAtMs || a.sequence - b.sequence;
}

interface WindowBounds extends WindowOptions {
  readonly limit: number;
  readonly maxBytes: number;
}

class Window {
  readonly sequences: number[] = [];
  closesAtMs: number;
  readonly #bounds: WindowBounds;
  readonly #openedAtMs: number;
  #lastAtMs: number;
  #leftMs: number;
  #byteCount = 0;

  constructor(opener: Candidate, bounds: WindowBounds) {
    this.#bounds = bounds;
    this.#openedAtMs = opener.admittedAtMs;
    this.#lastAtMs = opener.admittedAtMs;
    this.#leftMs = bounds.maxBatchTimeMs;
    this.closesAtMs = opener.admittedAtMs + bounds.maxBatchTimeMs;
    this.#add(opener);
  }

  /** False where the candidate, admitted no sooner than all members, opens the next window. */
  join(candidate: Candidate): boolean {
    const atMs = candidate.admittedAtMs;
    if (this.sequences.length === this.#bounds.limit) return false;
    // What waits already is taken without a look at the clock.
    if (atMs >= this.closesAtMs && atMs > this.#lastAtMs) return false;
    if (this.#byteCount + candidate.byteCount > this.#bounds.maxBytes) {
      this.closesAtMs = Math.min(this.closesAtMs, atMs);
      return false;
    }
    this.#add(candidate);
    return true;
  }

  #add(candidate: Candidate): void {
    const atMs = candidate.admittedAtMs;
    this.sequences.push(candidate.sequence);
    this.#byteCount += candidate.byteCount;
    this.#lastAtMs = atMs;
    if (this.#bounds.timeLeft === 'cumulative') {
      this.#leftMs -= atMs - this.#openedAtMs;
      this.closesAtMs = atMs + Math.max(0, this.#leftMs);
    }
    if (this.sequences.length === this.#bounds.limit) this.closesAtMs = Math.min(this.closesAtMs, atMs);
  }
}
