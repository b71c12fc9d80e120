import type { Clock } from '../../../scheduler/clock/clock.js';
import type { Tensor } from '../../../scheduler/domain/tensor.js';
import { FunctionQueue, type FunctionEnd } from '../../../scheduler/pipeline/function-queue.js';
import type { PartOutcome, PartWork, StepPort } from '../../../scheduler/pipeline/step-port.js';
import type { StepOutlook } from '../../../scheduler/pipeline/timing.js';
import { oneLine } from '../../workers/load-failure.js';
import type { PassedOn } from '../observed-step.js';
import type { StepTarget } from '../pipeline-source.js';
import { FunctionRunner, type CallEnd } from './function-runner.js';
import type { FunctionCall } from './function-thread.js';
import { sentOf, type SentTensor } from './function-values.js';

/* A step that a function runs, in threads: which call goes next is the queue's affair (`scheduler/pipeline/function-queue.ts`). */

export interface FunctionStepOptions {
  /** Of the pipeline and the step. */
  readonly name: string;
  readonly clock: Clock;
  readonly target: Extract<StepTarget, { kind: 'function' }>;
  readonly onLog: (line: string) => void;
  /** A part begins to run. @returns what the function may pass on; null, or absent: nothing */
  readonly onRun?: (id: number) => PassedOn | null;
}

export class FunctionStep implements StepPort {
  readonly #runners: readonly FunctionRunner[];
  readonly #queue: FunctionQueue;

  private constructor({ name, clock, target, onLog, onRun }: FunctionStepOptions) {
    const { file, outputs, limits, options } = target;
    this.#runners = Array.from(
      { length: limits.threads },
      () => new FunctionRunner({ file, outputs, limits, options, onFree: () => this.#queue.next(), onLog }),
    );
    const runners = this.#runners.map((runner) => ({
      get isFree() {
        return runner.isFree;
      },
      get unusable() {
        return runner.unusable;
      },
      run: (work: PartWork, nowMs: number, onEnd: (end: FunctionEnd) => void) => {
        const passedOn = onRun?.(work.id) ?? null;
        runner.run({ ...callOf(work, nowMs), ...passedOn }, (end) => onEnd(endOf(end)));
      },
    }));
    this.#queue = new FunctionQueue({ name, clock, runners });
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
    return this.#queue.unavailable;
  }

  outlook(): StepOutlook | null {
    return this.#queue.outlook();
  }

  submit(work: PartWork, onOutcome: (outcome: PartOutcome) => void): void {
    this.#queue.submit(work, onOutcome);
  }

  cancel(id: number): void {
    this.#queue.cancel(id);
  }

  async close(): Promise<void> {
    await Promise.all(this.#runners.map((runner) => runner.close()));
  }
}

function endOf(end: CallEnd): FunctionEnd {
  if (end.kind === 'failed') return end;
  const outputs = end.outputs.map(
    ([name, value]) =>
      [name, isList(value) ? value.map((each) => tensorOf(name, each)) : tensorOf(name, value)] as const,
  );
  return { kind: 'done', outputs: new Map(outputs) };
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
