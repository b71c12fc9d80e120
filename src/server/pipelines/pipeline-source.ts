import type { JsonObject } from '@bufbuild/protobuf';
import type { PipelineDescription } from '../../scheduler/pipeline/description.js';
import type { TensorSpec } from '../../scheduler/domain/tensor.js';
import type { StepTarget as WrittenTarget } from '../../scheduler/pipeline/step-target.js';
import type { TextModel } from '../../protocol/text/text-model.js';
import type { StepAdapter } from './step-adapter.js';
import type { VariantsSource } from '../variants/variants-file.js';

/* A pipeline as its file describes it: the steps, and what runs each of them. */

/** As it is written, or as the server makes it of a model that has more to it. */
export type StepTarget =
  /** `adapter`: what stands between the step and the model; absent: nothing. */
  | (Extract<WrittenTarget, { kind: 'model' }> & { readonly adapter?: StepAdapter })
  /** `options`: what a module of the server's own is begun with; absent: it is the operator's. */
  | (Extract<WrittenTarget, { kind: 'function' }> & { readonly options?: unknown });

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
  /** A model of the server's that is there for nothing else, and comes and goes with it. */
  readonly ownModel?: string;
  /** It takes text. */
  readonly text?: TextModel;
  /** Its targets are no steps: each request is answered by one of them. */
  readonly variants?: VariantsSource;
}

/** Models that it needs, each once. */
export function modelsOf({ targets }: PipelineSource): readonly string[] {
  return [...new Set([...targets.values()].flatMap((target) => (target.kind === 'model' ? [target.model] : [])))];
}

/** Those of them that are there for nothing else, and come and go with it. */
export function ownModelsOf({ ownModel, variants }: PipelineSource): readonly string[] {
  return [...(ownModel === undefined ? [] : [ownModel]), ...(variants?.own ?? []).map(({ model }) => model)];
}
