import type { Outcome } from '../../scheduler/domain/outcome.js';
import type { InferRequest, ShapeClass } from '../../scheduler/domain/request.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { System } from '../../scheduler/system.js';
import type { StepModel } from '../../scheduler/pipeline/model-step.js';
import type { PartWork } from '../../scheduler/pipeline/step-port.js';
import { checkInputs } from '../../protocol/validate.js';
import { priorityOf } from '../models/as-configured.js';
import type { ModelListings, Registered } from '../models/model-listings.js';
import { mustRunAlone, shapeClassOf } from '../served/shape-class.js';
import { oneLine } from '../workers/load-failure.js';
import type { ModelStanding, StepAdapter } from './step-adapter.js';

/*
 * A part of a pipeline's request as a request of the step's model, and the model's answer as what the step gives.
 */

const ONE_CORE_MILLICORES = 1000;
const RECENT_PARTS = 64;
const SORTED_EVERY = 16;

/** A model as it is served, with what was learnt of its requests. */
export class ServedStepModel implements StepModel, ModelStanding {
  readonly registered: Registered;
  readonly system: System;
  trialPassed = false;
  /** Classes of the last parts, as they came. */
  readonly #last: ShapeClass[] = [];
  /** The same, the smallest first. */
  #recent: readonly ShapeClass[] = [];
  #unsorted = 0;

  constructor(registered: Registered) {
    this.registered = registered;
    this.system = registered.served.system;
  }

  /** The middle one of those of late, where its parts are of many. */
  get likelyClass(): ShapeClass {
    return this.#recent[this.#recent.length >> 1] ?? this.registered.served.likelyClass;
  }

  get leastClass(): ShapeClass {
    return this.#recent[0] ?? this.likelyClass;
  }

  predictedMs(inputs: Parameters<ModelStanding['predictedMs']>[0]): number | null {
    const { models, isBatchable, limits } = this.registered.served;
    if (models.isProvisional) return null;
    const model = models.forClass(shapeClassOf(inputs, isBatchable));
    return model.predictedLatencyMs(1, Math.min(ONE_CORE_MILLICORES, limits.maxMillicores));
  }

  /** Of a part that comes. */
  learn(shapeClass: ShapeClass): void {
    if (this.#last.push(shapeClass) > RECENT_PARTS) this.#last.shift();
    this.#unsorted += 1;
    if (this.#recent.length > 0 && this.#unsorted < SORTED_EVERY) return;
    this.#unsorted = 0;
    this.#recent = [...this.#last].sort((a, b) => a.elementCount - b.elementCount);
  }
}

export interface StepRequestOptions {
  readonly listings: ModelListings;
  readonly nextSequence: () => number;
  /** Of the model. */
  readonly outputNames: readonly string[];
  readonly nowMs: number;
  readonly adapter: StepAdapter | undefined;
}

/** A text says why the model cannot be given this. */
export function stepRequest(
  model: ServedStepModel,
  { request, dueAtMs, inputs }: PartWork,
  { listings, nextSequence, outputNames, nowMs, adapter }: StepRequestOptions,
): InferRequest | string {
  const { served, shapeClasses } = model.registered;
  // A model's step is given no list.
  const own = [...inputs.values()] as readonly Tensor[];
  const given = adapter === undefined ? own : adapter.toModel(served.contract.clients, own, model);
  try {
    checkInputs(listings.entry(served.source.name, served.source.version), given);
  } catch (error) {
    return oneLine(error);
  }
  const tensors = served.contract.toModel(given);
  const made = shapeClassOf(tensors, served.isBatchable);
  const known = shapeClasses.get(made.key) ?? made;
  shapeClasses.set(known.key, known);
  if (adapter !== undefined) model.learn(known);
  return {
    sequence: nextSequence(),
    receivedAtMs: nowMs,
    sloMs: dueAtMs - nowMs,
    networkDelayMs: 0,
    networkDelaySource: 'none',
    replyReserveMs: 0,
    dueAtMs,
    client: request.client,
    isDeadlineDefaulted: request.isDeadlineDefaulted,
    isBestEffort: request.isBestEffort,
    priority: priorityOf(served.source, request.priority),
    shapeClass: known,
    mustRunAlone: served.isBatchable && mustRunAlone(served.contract.model, tensors),
    isPoison: served.poison.knows(nowMs, tensors),
    byteCount: tensors.reduce((sum, { data }) => sum + data.byteLength, 0),
    inputs: tensors,
    outputNames: adapter === undefined ? outputNames : adapter.outputsOf(served.contract.clients),
  };
}

/** By the model's names, as its clients see them. */
export function stepOutputs(
  { registered }: ServedStepModel,
  { inputs }: InferRequest,
  { outputs, service }: Extract<Outcome, { kind: 'completed' }>,
  adapter: StepAdapter | undefined,
): ReadonlyMap<string, Tensor> {
  const { served } = registered;
  served.learnFrom(inputs, outputs, service.batchSize);
  const { clients } = served.contract;
  if (adapter !== undefined) return adapter.fromModel(clients, inputs, served.contract.toClients(outputs));
  return new Map(served.contract.toClients(outputs).map((tensor) => [tensor.name, tensor]));
}
