import type { Outcome, ServiceRecord } from '../domain/outcome.js';
import type { InferRequest } from '../domain/request.js';
import type { Tensor } from '../domain/tensor.js';
import type { StepValue } from './progress.js';
import type { StepOutlook } from './timing.js';

/** One part of one request, for the step that it is at. */
export interface PartWork {
  /** Of this asking, among all of the pipeline's. */
  readonly id: number;
  /** The whole request that it is a part of: whose it is, and what it may be refused for. */
  readonly request: InferRequest;
  readonly dueAtMs: number;
  /** From 0 on; 0 of a step that runs once. */
  readonly part: number;
  /** By the step's names; there until the outcome. */
  readonly inputs: ReadonlyMap<string, StepValue>;
}

export type PartOutcome =
  /** `outputs` by the step's names; held by whoever needs them for longer than the call. `service`: of a model. */
  | {
      readonly kind: 'done';
      readonly outputs: ReadonlyMap<string, Tensor | readonly Tensor[]>;
      readonly service: ServiceRecord | null;
    }
  | { readonly kind: 'refused'; readonly outcome: Exclude<Outcome, { kind: 'completed' }> };

/** What runs a step: the system of a model, or threads of a function. */
export interface StepPort {
  /** Null: it cannot run now. */
  outlook(): StepOutlook | null;
  /** Why it cannot; '' where it can. */
  readonly unavailable: string;
  /** `onOutcome` is called exactly once, before this returns where it is refused at once. */
  submit(work: PartWork, onOutcome: (outcome: PartOutcome) => void): void;
  /** Nobody waits for it any more: it need not run, and its outcome is nobody's news. */
  cancel(id: number): void;
}

/** Of all steps; null where one of them cannot run. */
export function outlooksOf(ports: readonly StepPort[]): readonly StepOutlook[] | null {
  const outlooks: StepOutlook[] = [];
  for (const port of ports) {
    const outlook = port.outlook();
    if (outlook === null) return null;
    outlooks.push(outlook);
  }
  return outlooks;
}
