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

/*
 * A part of a pipeline's request as a request of the step's model, and the model's answer as what the step gives.
 */

/** A model as it is served, with what was learnt of its requests. */
export class ServedStepModel implements StepModel {
  readonly registered: Registered;
  readonly system: System;

  constructor(registered: Registered) {
    this.registered = registered;
    this.system = registered.served.system;
  }

  get likelyClass(): ShapeClass {
    return this.registered.served.likelyClass;
  }
}

export interface StepRequestOptions {
  readonly listings: ModelListings;
  readonly nextSequence: () => number;
  /** Of the model. */
  readonly outputNames: readonly string[];
  readonly nowMs: number;
}

/** A text says why the model cannot be given this. */
export function stepRequest(
  { registered }: ServedStepModel,
  { request, dueAtMs, inputs }: PartWork,
  { listings, nextSequence, outputNames, nowMs }: StepRequestOptions,
): InferRequest | string {
  const { served, shapeClasses } = registered;
  // A model's step is given no list.
  const given = [...inputs.values()] as readonly Tensor[];
  try {
    checkInputs(listings.entry(served.source.name, served.source.version), given);
  } catch (error) {
    return oneLine(error);
  }
  const tensors = served.contract.toModel(given);
  const made = shapeClassOf(tensors, served.isBatchable);
  const known = shapeClasses.get(made.key) ?? made;
  shapeClasses.set(known.key, known);
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
    outputNames,
  };
}

/** By the model's names, as its clients see them. */
export function stepOutputs(
  { registered }: ServedStepModel,
  { inputs }: InferRequest,
  { outputs, service }: Extract<Outcome, { kind: 'completed' }>,
): ReadonlyMap<string, Tensor> {
  const { served } = registered;
  served.learnFrom(inputs, outputs, service.batchSize);
  return new Map(served.contract.toClients(outputs).map((tensor) => [tensor.name, tensor]));
}
