/*
 * One allocation and its resizes: of one instance, or of all where they are alike. It knows what is in force and what was asked
 * for; what it should be is the controller's decision.
 *
 * Growth is asked for at once. A shrink only to 95 % or less of what was asked for last, and not sooner than `SHRINK_DWELL_MS`
 * after the last resize (every quota write refills the kernel's bucket, so frequent writes would undo the quota), and never
 * below the threads of the running batch: it keeps its threads, and more threads than CPU stall each other.
 *
 * A refused resize: the allocation stays, the event says why, and a plan tries again; where each has one of its own not before
 * `mayResizeAtMs`, as whatever refuses (no descriptors, a group that is gone) lasts. The paper retries three times.
 *
 * What is in force may differ from what was asked for, where an actuator knows only whole cores or limits nothing, or somebody
 * else writes too. Batches are predicted by what is in force; decisions go by what was asked for. Asking again would bring the
 * same answer, without end, and cores that were never asked for would be missing to others.
 */
import type { Clock } from '../clock/clock.js';
import type { Event } from '../domain/event.js';
import type { ActuatorDelay } from './actuator-delay.js';
import type { ResizeResult, Scaler } from './scaler.js';

/** Five quota periods of 10 ms: a write gives away one period's quota at most. */
const SHRINK_DWELL_MS = 50;
export const SHRINK_FRACTION = 0.95;
const WELL_UNDER_WAY_FRACTION = 0.85;
/** After a refusal; doubled by each that follows. */
const REFUSAL_PAUSE_MS = 100;
const MOST_REFUSAL_PAUSE_MS = 5000;

export interface InstanceAllocationOptions {
  readonly clock: Clock;
  readonly scaler: Scaler;
  readonly delay: ActuatorDelay;
  /** Whose; null: of all instances alike. */
  readonly instance: number | null;
  readonly initialMillicores: number;
  /** Counts the resizes of all allocations of a system. */
  readonly nextResizeId: () => number;
  readonly emit: (event: Event) => void;
  /** Something is in force, or was refused. `isSettled`: it answers what was asked for last, or nothing is left to be answered. */
  readonly onAnswer: (result: ResizeResult, isSettled: boolean) => void;
}

/** What a shrink has to mind. */
export interface ShrinkRules {
  /** Of the running batch. */
  readonly runningThreads: number;
  /** It is put in force at once, whatever runs. */
  readonly isAtOnce: boolean;
}

export class InstanceAllocation {
  readonly #options: InstanceAllocationOptions;
  readonly #owner: { readonly instance?: number };
  #grantedMillicores: number;
  /** What was asked for when that was brought about. */
  #countedMillicores: number;
  #requestedMillicores: number;
  /** Asked for, by resize: an older one may be in force though a newer one was asked for since. */
  readonly #unanswered = new Map<number, number>();
  /** The newest resize, and the newest that was answered. */
  #newestId = 0;
  #answeredId = 0;
  #lastResizeAtMs = -Infinity;
  /** In a row. */
  #refusalCount = 0;
  #mayResizeAtMs = -Infinity;

  constructor(options: InstanceAllocationOptions) {
    this.#options = options;
    this.#owner = options.instance === null ? {} : { instance: options.instance };
    this.#grantedMillicores = options.initialMillicores;
    this.#countedMillicores = options.initialMillicores;
    this.#requestedMillicores = options.initialMillicores;
  }

  /** Read back. */
  get grantedMillicores(): number {
    return this.#grantedMillicores;
  }

  /** Asked for last, if that was not refused. */
  get requestedMillicores(): number {
    return this.#requestedMillicores;
  }

  /** The most it may have now, of what it was ever to have: a request that was superseded may have been written all the same, until its answer says. */
  get heldMillicores(): number {
    let held = Math.max(this.#countedMillicores, this.#requestedMillicores);
    for (const millicores of this.#unanswered.values()) held = Math.max(held, millicores);
    return held;
  }

  /** More was asked for than was brought about until now: an answer is to come. */
  get isGrowing(): boolean {
    return this.#requestedMillicores > this.#countedMillicores;
  }

  /** A batch waits for the resize that is under way. */
  get isAwaited(): boolean {
    return this.#requestedMillicores !== this.#countedMillicores && !this.#options.delay.isSlow;
  }

  /** When a refused resize is worth asking for again; −Infinity where the last one was not refused. */
  get mayResizeAtMs(): number {
    return this.#mayResizeAtMs;
  }

  readCounters(): ReturnType<Scaler['readCounters']> {
    return this.#options.scaler.readCounters();
  }

  /** The next shrink need not wait for the resizes that were made until now. */
  forgetDwell(): void {
    this.#lastResizeAtMs = -Infinity;
  }

  resizeTo(cpuMillicores: number, onApplied: (result: ResizeResult) => void = () => undefined): void {
    const { clock, scaler, emit, nextResizeId } = this.#options;
    const nowMs = clock.nowMs();
    const resizeId = nextResizeId();
    this.#newestId = resizeId;
    emit({
      kind: 'resize-requested',
      atMs: nowMs,
      resizeId,
      ...this.#owner,
      fromMillicores: this.#grantedMillicores,
      toMillicores: cpuMillicores,
    });
    this.#requestedMillicores = cpuMillicores;
    this.#unanswered.set(resizeId, cpuMillicores);
    this.#lastResizeAtMs = nowMs;
    scaler.resize(cpuMillicores, (result) => {
      this.#onApplied(resizeId, result);
      onApplied(result);
    });
  }

  /** At once, but for a slow growth that is well under way: a newer request calls it off, and nothing would ever be in force. */
  growTo(target: number): void {
    const isWellUnderWay =
      this.#options.delay.isSlow && this.isGrowing && target * WELL_UNDER_WAY_FRACTION <= this.#requestedMillicores;
    if (!isWellUnderWay) this.resizeTo(target);
  }

  /** @returns when to try again, where it is too soon; null where it was done, or is not to be done now */
  shrinkTo(target: number, { runningThreads, isAtOnce }: ShrinkRules): number | null {
    if (isAtOnce) {
      this.resizeTo(target);
      return null;
    }
    // A slow growth under way is not called off for a moment's need of less: its read-back comes here again.
    if (this.#options.delay.isSlow && this.isGrowing) return null;
    const mayShrinkAtMs = this.#lastResizeAtMs + SHRINK_DWELL_MS;
    const isWorthIt = target <= this.#requestedMillicores * SHRINK_FRACTION;
    // The running batch keeps its threads; its end comes back here.
    const isHeldByThreads = Math.ceil(target / 1000) < runningThreads;
    if (!isWorthIt || isHeldByThreads) return null;
    if (this.#options.clock.nowMs() < mayShrinkAtMs) return mayShrinkAtMs;
    this.resizeTo(target);
    return null;
  }

  #onApplied(resizeId: number, result: ResizeResult): void {
    const { clock, delay, emit, onAnswer } = this.#options;
    const atMs = clock.nowMs();
    const heldMillicores = this.heldMillicores;
    this.#unanswered.delete(resizeId);
    // Superseded by a newer one otherwise, whose own answer comes too, or came before.
    const isSettled = resizeId === this.#newestId || this.#unanswered.size === 0;
    if (result.kind === 'refused') {
      if (isSettled) this.#requestedMillicores = this.#countedMillicores;
      this.#mayResizeAtMs = atMs + Math.min(MOST_REFUSAL_PAUSE_MS, REFUSAL_PAUSE_MS * 2 ** this.#refusalCount++);
      emit({ kind: 'resize-refused', atMs, resizeId, ...this.#owner, message: result.message });
    } else {
      this.#refusalCount = 0;
      this.#mayResizeAtMs = -Infinity;
      // What an older one found is no longer so once a newer one was answered.
      if (resizeId >= this.#answeredId) {
        this.#grantedMillicores = result.cpuMillicores;
        const isNewest = resizeId === this.#newestId;
        this.#countedMillicores = isNewest ? this.#requestedMillicores : Math.min(heldMillicores, result.cpuMillicores);
      }
      this.#answeredId = Math.max(this.#answeredId, resizeId);
      const [cpuMillicores, { isWritten, tookMs }] = [this.#grantedMillicores, result];
      if (isSettled) this.#requestedMillicores = this.#countedMillicores;
      // One that was superseded wrote nothing, but has shown that it would have taken so long: else none would ever show it where each
      // is superseded before it is in force.
      if (isWritten || tookMs > delay.typicalMs) delay.observe(tookMs);
      emit({ kind: 'resized', atMs, resizeId, ...this.#owner, cpuMillicores, isWritten, tookMs });
    }
    onAnswer(result, isSettled);
  }
}
