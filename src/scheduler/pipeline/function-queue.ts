import type { Clock, Timer } from '../clock/clock.js';
import { mayBeLate } from '../dataplane/queue-entry.js';
import type { Tensor } from '../domain/tensor.js';
import { Durations } from './durations.js';
import type { PartOutcome, PartWork, StepPort } from './step-port.js';
import type { StepOutlook } from './timing.js';

/*
 * A step that a function runs: calls wait by their deadlines for one of its runners. What waits is bounded by the pipeline, which lets only so
 * many requests in.
 *
 * Invariants: a runner has one call at a time; each call has one outcome; one that ends after its runner was lost has none of its own.
 */

export type FunctionEnd =
  /** By the step's names. */
  | { readonly kind: 'done'; readonly outputs: ReadonlyMap<string, Tensor | readonly Tensor[]> }
  | { readonly kind: 'failed'; readonly message: string };

/** What runs one call at a time: a thread, or what is simulated as one. */
export interface FunctionRunner {
  readonly isFree: boolean;
  /** Why it cannot run any; '' as far as is known. */
  readonly unusable: string;
  /** Only of one that is free. `onEnd` is called once, never inside this call. */
  run(work: PartWork, nowMs: number, onEnd: (end: FunctionEnd) => void): void;
}

export interface FunctionQueueOptions {
  /** Of the step. */
  readonly name: string;
  readonly clock: Clock;
  /** Told by `next` when one of them has become free, or cannot be used any more. */
  readonly runners: readonly FunctionRunner[];
}

interface Waiting {
  readonly work: PartWork;
  readonly onOutcome: (outcome: PartOutcome) => void;
  /** At its deadline; null where that ends nothing. */
  readonly expiry: Timer | null;
}

export class FunctionQueue implements StepPort {
  readonly #options: FunctionQueueOptions;
  readonly #durations = new Durations();
  /** Earliest deadline first. */
  readonly #waiting: Waiting[] = [];
  /** Of calls that run: when they began. */
  readonly #running = new Set<{ readonly sinceMs: number }>();

  constructor(options: FunctionQueueOptions) {
    this.#options = options;
  }

  get unavailable(): string {
    const unusable = this.#options.runners.map((runner) => runner.unusable);
    return unusable.includes('') ? '' : `step '${this.#options.name}': ${unusable[0] ?? ''}`;
  }

  outlook(): StepOutlook | null {
    if (this.unavailable !== '') return null;
    const { runners, clock, name } = this.#options;
    const { leastMs, plannedMs, meanMs } = this.#durations;
    const partMs = meanMs / runners.length;
    const nowMs = clock.nowMs();
    return {
      // A function's runners are its own.
      ...{ leastMs, plannedMs, partMs, resource: name, instanceCount: runners.length },
      startInMs: (dueInMs) => {
        if (this.#running.size < runners.length) return 0;
        const before = this.#waiting.filter(({ work }) => work.dueAtMs <= nowMs + dueInMs).length;
        const leftMs = [...this.#running].map(({ sinceMs }) => Math.max(0, meanMs - (nowMs - sinceMs)));
        return Math.min(...leftMs) + before * partMs;
      },
    };
  }

  submit(work: PartWork, onOutcome: (outcome: PartOutcome) => void): void {
    const place = this.#waiting.findIndex((other) => other.work.dueAtMs > work.dueAtMs);
    const expiry = mayBeLate(work.request)
      ? null
      : this.#options.clock.schedule(work.dueAtMs, () => this.#expire(work.id));
    this.#waiting.splice(place < 0 ? this.#waiting.length : place, 0, { work, onOutcome, expiry });
    this.next();
  }

  /** What runs, runs to its end. */
  cancel(id: number): void {
    this.#take(id);
  }

  /** Begins what can begin. */
  next(): void {
    const { unavailable: message } = this;
    const { runners, clock } = this.#options;
    const runner = runners.find(({ isFree }) => isFree);
    if (runner === undefined && message === '') return;
    const [first] = this.#waiting;
    if (first === undefined) return;
    const { work, onOutcome } = this.#take(first.work.id)!;
    if (runner === undefined) {
      onOutcome({ kind: 'refused', outcome: { kind: 'failed', reason: 'model_unavailable', message } });
      this.next();
      return;
    }
    const nowMs = clock.nowMs();
    const call = { sinceMs: nowMs };
    this.#running.add(call);
    runner.run(work, nowMs, (end) => {
      this.#running.delete(call);
      // One that was ended says nothing of how long others take.
      if (end.kind === 'done') this.#durations.add(clock.nowMs() - nowMs);
      onOutcome(outcomeOf(end));
      this.next();
    });
    this.next();
  }

  #take(id: number): Waiting | undefined {
    const place = this.#waiting.findIndex(({ work }) => work.id === id);
    const [taken] = place < 0 ? [] : this.#waiting.splice(place, 1);
    taken?.expiry?.cancel();
    return taken;
  }

  #expire(id: number): void {
    const expired = this.#take(id);
    if (expired === undefined) return;
    const lateByMs = Math.max(0, this.#options.clock.nowMs() - expired.work.dueAtMs);
    expired.onOutcome({ kind: 'refused', outcome: { kind: 'expired', reason: 'expired', lateByMs } });
  }
}

function outcomeOf(end: FunctionEnd): PartOutcome {
  if (end.kind === 'done') return { ...end, service: null };
  return { kind: 'refused', outcome: { kind: 'failed', reason: 'backend', message: end.message } };
}
