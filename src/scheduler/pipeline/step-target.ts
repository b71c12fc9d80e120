import type { TensorSpec } from '../domain/tensor.js';

/* What runs a step, as the pipeline's file says it. */

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
      /** As it is written, or absolute once its folder is known. */
      readonly file: string;
      readonly outputs: readonly FunctionOutput[];
      readonly limits: FunctionLimits;
    };
