import type { Clock } from '../../scheduler/clock/clock.js';
import type { InferRequest } from '../../scheduler/domain/request.js';
import { shapeClass } from '../../scheduler/domain/request.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { StepValue } from '../../scheduler/pipeline/progress.js';
import type { StepPort } from '../../scheduler/pipeline/step-port.js';
import type { ModelListings } from '../models/model-listings.js';
import { oneLine } from '../workers/load-failure.js';
import type { StepAdapter, Tried } from './step-adapter.js';
import { stepOutputs, stepRequest, type ServedStepModel } from './step-request.js';

/*
 * Models tried out for the steps that they run, before anything is believed of them: with requests like any other, that have no deadline.
 */

export interface StepTrialsOptions {
  /** By the step's name. */
  readonly ports: ReadonlyMap<string, StepPort>;
  readonly clock: Clock;
  readonly listings: ModelListings;
  readonly nextSequence: () => number;
  readonly onLog: (line: string) => void;
}

/** Soon: a server that is being started waits for it, and late it is answered all the same. */
const TRIAL_BUDGET_MS = 100;

export class StepTrials {
  readonly #options: StepTrialsOptions;
  readonly #running = new Set<Promise<void>>();
  /** Of work that is no part of a request; those of requests are positive. */
  #lastId = 0;

  constructor(options: StepTrialsOptions) {
    this.#options = options;
  }

  /** What becomes of it is the model's to keep: `trialPassed`. */
  begin(name: string, model: ServedStepModel, adapter: StepAdapter): void {
    const trial = this.#run(name, model, adapter).finally(() => this.#running.delete(trial));
    this.#running.add(trial);
  }

  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #run(name: string, model: ServedStepModel, adapter: StepAdapter): Promise<void> {
    const { onLog } = this.#options;
    try {
      const { passed, notice } = await adapter.tryOut(model.registered.served.contract.clients, {
        runFunction: (step, inputs) => this.#runFunction(step, inputs),
        runModel: (inputs) => this.#runModel(model, inputs, adapter),
      });
      model.trialPassed = passed;
      if (notice !== null) onLog(`model '${name}': ${notice}`);
    } catch (error) {
      onLog(`model '${name}' could not be tried out: ${oneLine(error)}`);
    }
  }

  #runFunction(step: string, inputs: ReadonlyMap<string, StepValue>): Promise<Tried> {
    const { ports, clock } = this.#options;
    const request = this.#request(clock.nowMs(), []);
    this.#lastId -= 1;
    const work = { id: this.#lastId, request, part: 0, dueAtMs: request.dueAtMs, inputs };
    return new Promise((resolve) =>
      ports.get(step)!.submit(work, (outcome) => {
        if (outcome.kind === 'refused') resolve(reasonOf(outcome.outcome));
        else resolve(outcome.outputs as ReadonlyMap<string, Tensor>);
      }),
    );
  }

  #runModel(model: ServedStepModel, inputs: readonly Tensor[], adapter: StepAdapter): Promise<Tried> {
    const { listings, nextSequence, clock } = this.#options;
    const nowMs = clock.nowMs();
    const request = this.#request(nowMs, inputs);
    const given = new Map(inputs.map((tensor) => [tensor.name, tensor]));
    const outputNames = adapter.outputsOf(model.registered.served.contract.clients);
    const made = stepRequest(
      model,
      { id: 0, request, part: 0, dueAtMs: request.dueAtMs, inputs: given },
      { listings, nextSequence, outputNames, nowMs, adapter: undefined },
    );
    if (typeof made === 'string') return Promise.resolve(made);
    return new Promise((resolve) =>
      model.system.submit(made, (outcome) => {
        if (outcome.kind === 'completed') resolve(stepOutputs(model, made, outcome, adapter));
        else resolve(reasonOf(outcome));
      }),
    );
  }

  #request(nowMs: number, inputs: readonly Tensor[]): InferRequest {
    return {
      ...{ sequence: 0, receivedAtMs: nowMs, sloMs: TRIAL_BUDGET_MS, dueAtMs: nowMs + TRIAL_BUDGET_MS },
      ...{ networkDelayMs: 0, networkDelaySource: 'none' as const, replyReserveMs: 0, isDeadlineDefaulted: true },
      ...{ isBestEffort: false, priority: 0, client: 'sponge', byteCount: 0, inputs, outputNames: [] },
      shapeClass: shapeClass('', 0),
    };
  }
}

function reasonOf(
  outcome: { readonly reason: string } | { readonly reason: string; readonly message: string },
): string {
  return 'message' in outcome ? outcome.message : outcome.reason;
}
