/*
 * The batching rule of MLServer's `AdaptiveBatcher` (SeldonIO/MLServer `mlserver/batching/`, `_batch_requests`).
 *
 * A window opens with a request and closes when it holds `max_batch_size` requests or after `max_batch_time`; the next
 * request opens the next one. Windows do not wait for the model: behind a busy one the backlog is closed windows, small
 * ones among them, and they stay as they closed: never merged nor cut again, whatever the plan's batch size becomes. So what
 * was in force when each request came matters, and the rule learns that from the events; to cut what is queued with the
 * batch size in force now would be another system wherever that size changes.
 *
 * - `fixed` is upstream since PR #2093: the time that is left is `max_batch_time` less what has passed since the opening.
 * - `cumulative` is upstream before that (issues #1936, #2065) and the Sponge authors' fork: at each arrival what has passed
 *   since the opening is taken off what was left *then*, so the same time is counted again and again. With 1 s and an
 *   arrival every 20 ms it closes with the eleventh: 20 + 40 + … + 200 = 1100 ms > 1 s.
 *
 * Windows are cut in order of admission, each class by itself, whatever the queue's order is; the queue's order says which
 * closed window is run first. Under FIFO that is the one that closed first, as upstream. Under EDF it is the one with the
 * earliest deadline in it. Each retry of a broken batch is a closed window of its own.
 *
 * A closed window runs once all of it is staged; others may go before it. What is not staged may also never come, set aside
 * or, under EDF, beyond the candidates that a rule can see: so a window goes without it after `STAGING_PATIENCE_MS`, or at
 * once where the candidates are as many as a rule can see. The rest is then a closed window by itself. Under FIFO, with
 * one class and nothing set aside, no window is split as long as staging takes less than that.
 *
 * What differs: a request that leaves (its client went, it expired) leaves its window, which stays closed if it was;
 * upstream would run it all the same. When the plan's batch size shrinks below what an open window holds, it closes at once,
 * where upstream would take one more before it looks; one that holds exactly as many takes one more here too. What no event
 * has told of is cut from what is queued, as if the batch size had always been that of the plan.
 */
import type { Event } from '../../domain/event.js';
import { requestsPerBatch, type ShapeClass } from '../../domain/request.js';
import { CANDIDATE_LIMIT, rowLimit, type BatchDecision, type BatchView, type Candidate } from '../batcher.js';
import { BySequence } from '../by-sequence.js';
import { batchLimit, serveSetAside, type BatchingRule } from './fill-batch.js';

/** For members of a closed window that are not staged, since the last one was: 200 × what a simulated input takes. A choice. */
const STAGING_PATIENCE_MS = 100;

export interface WindowOptions {
  /** `max_batch_time`, in ms. */
  readonly maxBatchTimeMs: number;
  readonly timeLeft: 'fixed' | 'cumulative';
}

export interface BatchWindow {
  readonly batch: BatchingRule;
  readonly observe: (event: Event) => void;
}

export function batchWindow(options: WindowOptions): BatchWindow {
  const batcher = new WindowBatcher(options);
  return {
    batch: (nowMs, view) => batcher.decide(nowMs, view),
    observe: (event) => batcher.observe(event),
  };
}

class WindowBatcher {
  readonly #options: WindowOptions;
  /** All that has been admitted and not yet started or finished. */
  readonly #members = new BySequence<Member>();
  /** By shape class; closed for long, perhaps. */
  readonly #latestOfClass = new Map<string, Window>();
  #plannedBatchSize = 1;
  /** Memory's bounds are not in events; until a view has told, `withinMemory` alone keeps them. */
  #maxBatchRows = CANDIDATE_LIMIT;
  #maxBatchBytes = Infinity;

  constructor(options: WindowOptions) {
    this.#options = options;
  }

  observe(event: Event): void {
    switch (event.kind) {
      case 'planned':
        this.#plannedBatchSize = event.plan.batchSize;
        for (const window of this.#latestOfClass.values()) {
          window.closeIfAbove(event.atMs, this.#roomOf(window.rowCount).limit);
        }
        return;
      case 'request-admitted':
        this.#admit(event.request.shapeClass, {
          sequence: event.request.sequence,
          admittedAtMs: event.atMs,
          byteCount: event.request.byteCount,
        });
        return;
      case 'batch-started':
        for (const sequence of event.sequences) this.#forget(sequence);
        return;
      case 'request-finished':
        this.#forget(event.request.sequence);
        return;
      default:
        return;
    }
  }

  decide(nowMs: number, view: BatchView): BatchDecision {
    if (view.candidates.length === 0) return serveSetAside(view);
    this.#maxBatchRows = view.maxBatchSize;
    this.#maxBatchBytes = view.maxBatchBytes;

    let untilMs = Infinity;
    let incomplete: readonly Candidate[] | null = null;
    for (const [window, staged] of this.#stagedByWindow(view)) {
      if (window.closesAtMs > nowMs) {
        untilMs = Math.min(untilMs, window.closesAtMs);
        continue;
      }
      if (staged.length === window.size) return dispatchOf(view, staged);
      const goesAtMs = window.stagedSinceMs(nowMs, staged.length) + STAGING_PATIENCE_MS;
      if (goesAtMs > nowMs) untilMs = Math.min(untilMs, goesAtMs);
      if (goesAtMs <= nowMs || view.candidates.length === CANDIDATE_LIMIT) incomplete ??= staged;
    }
    return incomplete === null ? { kind: 'wait', untilMs } : dispatchOf(view, incomplete);
  }

  /** @param rowCount of one request */
  #roomOf(rowCount: number): Room {
    const limit = Math.min(this.#plannedBatchSize, requestsPerBatch(this.#maxBatchRows, rowCount), CANDIDATE_LIMIT);
    return { limit, rowCount, maxBytes: this.#maxBatchBytes };
  }

  #admit({ key, rowCount }: ShapeClass, arrival: Arrival): void {
    const room = this.#roomOf(rowCount);
    let window = this.#latestOfClass.get(key);
    if (window?.join(arrival, room) !== true) {
      window = new Window(arrival, room, this.#options);
      this.#latestOfClass.set(key, window);
    }
    this.#members.add({ ...arrival, window });
  }

  #forget(sequence: number): void {
    const member = this.#members.get(sequence);
    if (member === undefined) return;
    this.#members.delete(member);
    member.window.leave(member);
  }

  /** In the queue's order of each window's first candidate. */
  #stagedByWindow(view: BatchView): Map<Window, Candidate[]> {
    const unknown = this.#windowsOfUnknown(view);
    const stagedByWindow = new Map<Window, Candidate[]>();
    for (const candidate of view.candidates) {
      const window = unknown.get(candidate) ?? this.#members.get(candidate.sequence)!.window;
      const staged = stagedByWindow.get(window);
      if (staged === undefined) stagedByWindow.set(window, [candidate]);
      else staged.push(candidate);
    }
    return stagedByWindow;
  }

  /** Retries, and those of whose admission no event has told. */
  #windowsOfUnknown(view: BatchView): Map<Candidate, Window> {
    const roomOf = (candidate: Candidate): Room => ({
      limit: batchLimit(view, candidate),
      rowCount: view.rowCounts?.[candidate.classIndex] ?? 1,
      maxBytes: view.maxBatchBytes,
    });
    const windows = new Map<Candidate, Window>();
    const latestOfClass = new Map<number, Window>();
    const isUnknown = ({ sequence, mustRunAlone }: Candidate): boolean =>
      mustRunAlone || this.#members.get(sequence) === undefined;
    for (const candidate of view.candidates.filter(isUnknown).sort(compareByAdmission)) {
      const room = roomOf(candidate);
      if (candidate.mustRunAlone) {
        windows.set(candidate, new Window(candidate, { ...room, limit: 1 }, this.#options));
        continue;
      }
      let window = latestOfClass.get(candidate.classIndex);
      if (window?.join(candidate, room) !== true) {
        window = new Window(candidate, room, this.#options);
        latestOfClass.set(candidate.classIndex, window);
      }
      windows.set(candidate, window);
    }
    return windows;
  }
}

/** In order of admission. What memory has no room for stays, a closed window that goes next. */
function dispatchOf(view: BatchView, staged: readonly Candidate[]): BatchDecision {
  const limit = Math.min(rowLimit(view, staged[0]!), CANDIDATE_LIMIT);
  const sequences: number[] = [];
  let byteCount = 0;
  for (const arrival of [...staged].sort(compareByAdmission)) {
    byteCount += arrival.byteCount;
    if (sequences.length === limit) break;
    if (sequences.length > 0 && byteCount > view.maxBatchBytes) break;
    sequences.push(arrival.sequence);
  }
  return { kind: 'dispatch', sequences };
}

function compareByAdmission(a: Arrival, b: Arrival): number {
  return a.admittedAtMs - b.admittedAtMs || a.sequence - b.sequence;
}

type Arrival = Pick<Candidate, 'sequence' | 'admittedAtMs' | 'byteCount'>;

interface Member extends Arrival {
  readonly window: Window;
}

/** What a window may hold, as it is when a request comes. */
interface Room {
  readonly limit: number;
  /** Of one request. */
  readonly rowCount: number;
  readonly maxBytes: number;
}

class Window {
  closesAtMs: number;
  size = 0;
  readonly rowCount: number;
  readonly #isCumulative: boolean;
  readonly #openedAtMs: number;
  #lastAtMs: number;
  #leftMs: number;
  #byteCount = 0;
  /** Before its time was over. */
  #isShut = false;
  #stagedCount = 0;
  #stagedSinceMs = 0;

  constructor(opener: Arrival, room: Room, { maxBatchTimeMs, timeLeft }: WindowOptions) {
    this.rowCount = room.rowCount;
    this.#isCumulative = timeLeft === 'cumulative';
    this.#openedAtMs = opener.admittedAtMs;
    this.#lastAtMs = opener.admittedAtMs;
    this.#leftMs = maxBatchTimeMs;
    this.closesAtMs = opener.admittedAtMs + maxBatchTimeMs;
    this.#add(opener, room);
  }

  /** False where a request, admitted no sooner than all members, opens the next window. */
  join(arrival: Arrival, room: Room): boolean {
    const atMs = arrival.admittedAtMs;
    if (this.#isShut) return false;
    // What waits already is taken without a look at the clock.
    if (atMs >= this.closesAtMs && atMs > this.#lastAtMs) return false;
    if (this.#byteCount + arrival.byteCount > room.maxBytes) {
      this.#shut(atMs);
      return false;
    }
    this.#add(arrival, room);
    return true;
  }

  leave({ byteCount }: Arrival): void {
    this.size -= 1;
    this.#byteCount -= byteCount;
  }

  closeIfAbove(atMs: number, limit: number): void {
    if (this.size > limit) this.#shut(atMs);
  }

  /** Since when so many of it have been staged, as far as anybody asked. */
  stagedSinceMs(nowMs: number, stagedCount: number): number {
    if (stagedCount !== this.#stagedCount) {
      this.#stagedCount = stagedCount;
      this.#stagedSinceMs = nowMs;
    }
    return this.#stagedSinceMs;
  }

  #add(arrival: Arrival, room: Room): void {
    const atMs = arrival.admittedAtMs;
    this.size += 1;
    this.#byteCount += arrival.byteCount;
    this.#lastAtMs = atMs;
    if (this.#isCumulative) {
      this.#leftMs -= atMs - this.#openedAtMs;
      this.closesAtMs = atMs + Math.max(0, this.#leftMs);
    }
    if (this.size >= room.limit) this.#shut(atMs);
  }

  #shut(atMs: number): void {
    this.closesAtMs = Math.min(this.closesAtMs, atMs);
    this.#isShut = true;
  }
}
