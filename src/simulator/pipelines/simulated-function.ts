import type { Clock } from '../../scheduler/clock/clock.js';
import type { FunctionEnd, FunctionRunner } from '../../scheduler/pipeline/function-queue.js';
import type { PartWork } from '../../scheduler/pipeline/step-port.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { CallFate } from './request-draws.js';

/* A function's thread: one call at a time, a time limit, and another thread in its place where that is over. */

export interface SimulatedFunctionOptions {
  readonly clock: Clock;
  readonly timeLimitMs: number;
  readonly fateOf: (work: PartWork) => CallFate;
  readonly outputsOf: (work: PartWork) => ReadonlyMap<string, Tensor | readonly Tensor[]>;
  /** Told how long a call has kept the thread. */
  readonly onRan: (work: PartWork, tookMs: number) => void;
  /** It takes a call now. Called from no call of its own. */
  readonly onFree: () => void;
}

/** Until another thread is up. */
const RESTART_MS = 50;

export class SimulatedFunction implements FunctionRunner {
  readonly unusable = '';
  readonly #options: SimulatedFunctionOptions;
  #isFree = true;

  constructor(options: SimulatedFunctionOptions) {
    this.#options = options;
  }

  get isFree(): boolean {
    return this.#isFree;
  }

  run(work: PartWork, nowMs: number, onEnd: (end: FunctionEnd) => void): void {
    const { clock, timeLimitMs, fateOf, outputsOf, onRan, onFree } = this.#options;
    const { ms, end } = fateOf(work);
    const isOver = end === 'hangs' || ms > timeLimitMs;
    const tookMs = isOver ? timeLimitMs : ms;
    this.#isFree = false;
    clock.schedule(nowMs + tookMs, () => {
      onRan(work, tookMs);
      if (isOver) {
        clock.schedule(clock.nowMs() + RESTART_MS, () => {
          this.#isFree = true;
          onFree();
        });
        onEnd({ kind: 'failed', message: `it ran longer than ${timeLimitMs} ms (time_limit_ms)` });
        return;
      }
      this.#isFree = true;
      onEnd(end === 'done' ? { kind: 'done', outputs: outputsOf(work) } : { kind: 'failed', message: 'it threw' });
    });
  }
}
