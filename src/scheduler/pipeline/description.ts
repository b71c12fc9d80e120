/*
 * A pipeline as its author describes it: steps joined by named tensors. What a step runs (a model, a function) is somebody else's; here it is
 * a name with inputs and outputs.
 *
 * A tensor of a pipeline is one tensor, or a *list* of them: what a step that runs once for each part makes, or a function that gives
 * several. Lists keep the order and the place of each part, also of those that are missing.
 */

/** One input of a step. */
export interface StepInput {
  /** As the step calls it. */
  readonly name: string;
  /** As the pipeline calls what goes into it; of several the first that there is, as where a condition has left a step out. */
  readonly from: readonly string[];
}

/** One output of a step. */
export interface StepOutput {
  readonly name: string;
  /** As the pipeline calls it. */
  readonly tensor: string;
  /** The step gives a list. */
  readonly isList: boolean;
}

export interface PipelineStep {
  readonly name: string;
  readonly inputs: readonly StepInput[];
  readonly outputs: readonly StepOutput[];
  /** Inputs, by the step's names, of which it runs once for each part: of a list, or for each row of a tensor. Empty: it runs once. */
  readonly forEach: readonly string[];
  /** Tensor of the pipeline: where its first element is 0 the step, or the part, is left out. Null: it always runs. */
  readonly when: string | null;
  /** What a part's, or the step's, failure means: of the whole request, or that its outputs are missing. */
  readonly onFailure: 'fail' | 'leave_out';
  /** A request with more is failed. */
  readonly maxParts: number;
  /** Whether the step understands lists: functions do, models take a tensor. */
  readonly takesLists: boolean;
}

export interface PipelineDescription {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly steps: readonly PipelineStep[];
}

/** The author's mistake, in one line with its remedy. */
export class PipelineError extends Error {
  override readonly name = 'PipelineError';
}
