import type { Clock, Timer } from '../../../scheduler/clock/clock.js';
import { mayBeLate } from '../../../scheduler/dataplane/queue-entry.js';
import type { Tensor } from '../../../scheduler/domain/tensor.js';
import type { PartOutcome, PartWork, StepPort } from '../../../scheduler/pipeline/step-port.js';
import type { StepOutlook } from '../../../scheduler/pipeline/timing.js';
import { oneLine } from '../../workers/load-failure.js';
import type { PassedOn } from '../observed-step.js';
import type { StepTarget } from '../pipeline-source.js';
import { Durations } from './durations.js';
import { FunctionRunner, type CallEnd } from './function-runner.js';
import type { FunctionCall } from './function-thread.js';
import { sentOf, type SentTensor } from './function-values.js';

/*
 * A step that a function runs: calls wait by their deadlines for one of its threads. What waits is bounded by the pipeline, which lets only so
 * many requests in.
 */

export interface FunctionStepOptions {
  /** Of the pipeline and the step. */
  readonly name: string;
  readonly clock: Clock;
  readonly target: Extract<StepTarget, { kind: 'function' }>;
  readonly onLog: (line: string) => void;
  /** A part begins to run. @returns what the function may pass on; null, or absent: nothing */
  readonly onRun?: (id: number) => PassedOn | null;
}

interface Waiting {
  readonly work: PartWork;
  readonly onOutcome: (outcome: PartOutcome) => void;
  /** At its deadline; null where that ends nothing. */
  readonly expiry: Timer | null;
}

export class FunctionStep implements StepPort {
  readonly #options: FunctionStepOptions;
  readonly #runners: readonly FunctionRunner[];
  readonly #durations = new Durations();
  /** Earliest deadline first. */
  readonly #waiting: Waiting[] = [];
  /** Of calls that run: when they began. */
  readonly #running = new Set<{ readonly sinceMs: number }>();

  private constructor(options: FunctionStepOptions) {
    this.#options = options;
    const { file, outputs, limits, options: own } = options.target;
    this.#runners = Array.from({ length: limits.threads }, () => {
      const onFree = (): void => this.#next();
      return new FunctionRunner({ file, outputs, limits, options: own, onFree, onLog: options.onLog });
    });
  }

  /** @throws Error of one line where the module cannot be used; nothing is left of it then */
  static async start(options: FunctionStepOptions): Promise<FunctionStep> {
    const step = new FunctionStep(options);
    try {
      await Promise.all(step.#runners.map((runner) => runner.start()));
      return step;
    } catch (error) {
      await step.close();
      throw new Error(`function ${options.target.file}: ${oneLine(error)}`, { cause: error });
    }
  }

  get unavailable(): string {
    const unusable = this.#runners.map((runner) => runner.unusable);
    return unusable.includes('') ? '' : `step '${this.#options.name}': ${unusable[0] ?? ''}`;
  }

  outlook(): StepOutlook | null {
    if (this.unavailable !== '') return null;
    const { leastMs, plannedMs, meanMs } = this.#durations;
    const partMs = meanMs / this.#runners.length;
    const nowMs = this.#options.clock.nowMs();
    return {
      // A function's threads are its own.
      ...{ leastMs, plannedMs, partMs, resource: this.#options.name },
      startInMs: (dueInMs) => {
        if (this.#running.size < this.#runners.length) return 0;
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
    this.#next();
  }

  /** What runs, runs to its end. */
  cancel(id: number): void {
    this.#take(id);
  }

  async close(): Promise<void> {
    await Promise.all(this.#runners.map((runner) => runner.close()));
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

  #next(): void {
    const { unavailable: message } = this;
    const runner = this.#runners.find(({ isFree }) => isFree);
    if (runner === undefined && message === '') return;
    const [first] = this.#waiting;
    if (first === undefined) return;
    const { work, onOutcome } = this.#take(first.work.id)!;
    if (runner === undefined) {
      onOutcome({ kind: 'refused', outcome: { kind: 'failed', reason: 'model_unavailable', message } });
      this.#next();
      return;
    }
    const { clock, onRun } = this.#options;
    const nowMs = clock.nowMs();
    const passedOn = onRun?.(work.id) ?? null;
    const call = { sinceMs: nowMs };
    this.#running.add(call);
    runner.run({ ...callOf(work, nowMs), ...passedOn }, (end) => {
      this.#running.delete(call);
      // One that was ended says nothing of how long others take.
      if (end.kind === 'done') this.#durations.add(clock.nowMs() - nowMs);
      onOutcome(this.#outcomeOf(end));
      this.#next();
    });
    this.#next();
  }

  #outcomeOf(end: CallEnd): PartOutcome {
    if (end.kind === 'failed')
      return { kind: 'refused', outcome: { kind: 'failed', reason: 'backend', message: end.message } };
    const outputs = end.outputs.map(
      ([name, value]) =>
        [name, isList(value) ? value.map((each) => tensorOf(name, each)) : tensorOf(name, value)] as const,
    );
    return { kind: 'done', outputs: new Map(outputs), service: null };
  }
}

/** Its own copies: what is lent may be gone before the thread is done, and is handed over without another copy. */
function callOf({ inputs, dueAtMs }: PartWork, nowMs: number): FunctionCall {
  return {
    dueInMs: dueAtMs - nowMs,
    inputs: [...inputs].map(([name, value]) => [
      name,
      isList(value) ? value.map((each) => each && sentOf(each)) : sentOf(value),
    ]),
  };
}

function tensorOf(name: string, { datatype, shape, bytes }: SentTensor): Tensor {
  return { name, datatype, shape, data: bytes };
}

function isList<Each>(value: Each | readonly Each[]): value is readonly Each[] {
  return Array.isArray(value);
}
