import type { JsonObject } from '@bufbuild/protobuf';
import type { PipelineDescription } from '../../scheduler/pipeline/description.js';
import type { TensorSpec } from '../../scheduler/domain/tensor.js';
import type { StepTarget } from '../../scheduler/pipeline/step-target.js';

/* A pipeline as its file describes it: the steps, and what runs each of them. */

export interface PipelineSource {
  readonly description: PipelineDescription;
  readonly inputs: readonly TensorSpec[];
  /** What is said of outputs beside their names; empty where nothing is. */
  readonly outputs: readonly TensorSpec[];
  /** By the step's name. */
  readonly targets: ReadonlyMap<string, StepTarget>;
  /** For requests that state no budget; null: from its steps. */
  readonly defaultSloMs: number | null;
  /** As Triton's configuration has it, for clients that ask. */
  readonly scheduling: JsonObject;
}

/** Models that it needs, each once. */
export function modelsOf({ targets }: PipelineSource): readonly string[] {
  return [...new Set([...targets.values()].flatMap((target) => (target.kind === 'model' ? [target.model] : [])))];
}
