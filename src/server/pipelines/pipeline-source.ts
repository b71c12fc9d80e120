import type { JsonObject } from '@bufbuild/protobuf';
import type { PipelineDescription } from '../../scheduler/pipeline/description.js';
import type { TensorSpec } from '../../scheduler/domain/tensor.js';
import type { VariantsSource } from '../variants/variants-file.js';

/* A pipeline as its file describes it: the steps, and what runs each of them. */

export interface FunctionOutput extends TensorSpec {
  /** Any number of tensors like this. */
  readonly isList: boolean;
}

export interface FunctionLimits {
  /** Of one call. */
  readonly timeMs: number;
  /** Of one thread: heap and typed arrays. */
  readonly memoryMib: number;
  /** That run calls side by side. */
  readonly threads: number;
}

export type StepTarget =
  | { readonly kind: 'model'; readonly model: string; /** The latest. */ readonly version?: string }
  | {
      readonly kind: 'function';
      /** Absolute. */
      readonly file: string;
      readonly outputs: readonly FunctionOutput[];
      readonly limits: FunctionLimits;
    };

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
  /** Its targets are no steps: each request is answered by one of them. */
  readonly variants?: VariantsSource;
}

/** Models that it needs, each once. */
export function modelsOf({ targets }: PipelineSource): readonly string[] {
  return [...new Set([...targets.values()].flatMap((target) => (target.kind === 'model' ? [target.model] : [])))];
}
