import type { Outcome } from '../domain/outcome.js';
import type { ModelOutlook } from '../domain/pod-report.js';
import type { InferRequest, ShapeClass } from '../domain/request.js';
import type { Tensor } from '../domain/tensor.js';
import type { System } from '../system.js';
import type { PartOutcome, PartWork, StepPort } from './step-port.js';
import type { StepOutlook } from './timing.js';

/*
 * A step that a model runs: each part is a request of that model, beside those of all its other clients, and is told of by the same reports
 * of room that routers get.
 */

/** A model as it is served now. */
export interface StepModel {
  readonly system: Pick<System, 'submit' | 'cancel' | 'outlook' | 'isWaiting'>;
  /** While none has come. */
  readonly likelyClass: ShapeClass;
  /** The cheapest of those of late, by which nobody is refused wrongly; absent: the same. */
  readonly leastClass?: ShapeClass;
}

type Completed = Extract<Outcome, { kind: 'completed' }>;

export interface ModelStepOptions<Model extends StepModel> {
  readonly nowMs: () => number;
  /** Models with the same share cores. */
  readonly resource: string;
  /** It may be another one from one call to the next; a text says why there is none. */
  readonly model: () => Model | string;
  /** A text says why the model cannot be given this. */
  readonly requestOf: (model: Model, work: PartWork) => InferRequest | string;
  /** By the step's names. */
  readonly outputsOf: (model: Model, request: InferRequest, outcome: Completed) => ReadonlyMap<string, Tensor>;
}

/** Parts of one request come at once, and are told the same. */
const SAME_WITHIN_MS = 1;
const LEAST_SAME_WITHIN_MS = 100;

export class ModelStep<Model extends StepModel> implements StepPort {
  readonly #options: ModelStepOptions<Model>;
  /** By the part's id. */
  readonly #inFlight = new Map<number, { readonly model: Model; readonly sequence: number }>();
  #least: {
    readonly atMs: number;
    readonly model: Model;
    readonly shapeClass: ShapeClass;
    readonly leastMs: number;
  } | null = null;
  #last: { readonly atMs: number; readonly model: Model; readonly outlook: StepOutlook } | null = null;

  constructor(options: ModelStepOptions<Model>) {
    this.#options = options;
  }

  get unavailable(): string {
    const model = this.#options.model();
    return typeof model === 'string' ? model : '';
  }

  outlook(): StepOutlook | null {
    const { model: find, nowMs, resource } = this.#options;
    const model = find();
    if (typeof model === 'string') return null;
    const atMs = nowMs();
    if (this.#last?.model === model && atMs - this.#last.atMs < SAME_WITHIN_MS) return this.#last.outlook;
    const told = model.system.outlook(model.likelyClass);
    if (told === null) return null;
    const { leastClass = model.likelyClass } = model;
    const leastMs = leastClass === model.likelyClass ? told.leastMs : this.#leastOf(atMs, model, leastClass);
    const outlook = outlookFrom({ ...told, leastMs: Math.min(told.leastMs, leastMs) }, resource);
    this.#last = { atMs, model, outlook };
    return outlook;
  }

  /** It hardly changes, and is asked for with each request. */
  #leastOf(atMs: number, model: Model, leastClass: ShapeClass): number {
    const known = this.#least;
    if (known?.model === model && known.shapeClass === leastClass && atMs - known.atMs < LEAST_SAME_WITHIN_MS)
      return known.leastMs;
    const leastMs = model.system.outlook(leastClass)?.leastMs ?? Infinity;
    this.#least = { atMs, model, shapeClass: leastClass, leastMs };
    return leastMs;
  }

  submit(work: PartWork, onOutcome: (outcome: PartOutcome) => void): void {
    const { model: find, requestOf, outputsOf } = this.#options;
    const model = find();
    if (typeof model === 'string') {
      onOutcome(refused('model_unavailable', model));
      return;
    }
    const request = requestOf(model, work);
    if (typeof request === 'string') {
      onOutcome(refused('backend', request));
      return;
    }
    this.#inFlight.set(work.id, { model, sequence: request.sequence });
    model.system.submit(request, (outcome) => {
      this.#inFlight.delete(work.id);
      if (outcome.kind !== 'completed') onOutcome({ kind: 'refused', outcome });
      else onOutcome({ kind: 'done', outputs: outputsOf(model, request, outcome), service: outcome.service });
    });
  }

  /** Whether its model has it, and no batch has taken it. */
  isWaiting(id: number): boolean {
    const own = this.#inFlight.get(id);
    return own?.model.system.isWaiting(own.sequence) ?? false;
  }

  cancel(id: number): void {
    const own = this.#inFlight.get(id);
    own?.model.system.cancel(own.sequence);
  }
}

function refused(reason: 'model_unavailable' | 'backend', message: string): PartOutcome {
  return { kind: 'refused', outcome: { kind: 'failed', reason, message } };
}

function outlookFrom(
  { leastMs, aloneMs, requestMs, marks, instanceCount, spareCoreSeconds }: ModelOutlook,
  resource: string,
): StepOutlook {
  return {
    ...{ leastMs, plannedMs: aloneMs, partMs: requestMs, resource, instanceCount, spareCoreSeconds },
    startInMs: (dueInMs) => marks.findLast((mark) => mark.dueInMs <= dueInMs)?.startInMs ?? 0,
  };
}
