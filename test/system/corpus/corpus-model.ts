import type { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import type { Tensor } from '../../../src/scheduler/domain/tensor.js';

/** The inputs of one request. */
export type Inputs = readonly Tensor[];

/** A small model of one property, and requests that would show that it is got wrong. */
export interface CorpusModel {
  readonly name: string;
  readonly graph: OnnxGraph;
  /** Its `model.yaml`. */
  readonly settings?: string;
  /** Each is answered alone and together with all others, several times over. Unlike each other in scale, sign and size. */
  readonly requests: readonly Inputs[];
  /**
   * `independent`: rows have nothing to do with each other, and requests of a class must share a batch; `coupled`: they have,
   * and must not; `either`: both is right.
   */
  readonly rows: 'independent' | 'coupled' | 'either';
  /**
   * The right answer, worked out; absent where ONNX Runtime's own answer is asked for. Needed where its Node binding cannot
   * carry the tensors: BF16, strings with NUL or that are not UTF-8, and inputs
   * that may be left out, which it ignores.
   */
  readonly expected?: (inputs: Inputs) => readonly Tensor[];
  /** Requests that the model cannot answer, and what is said of it. */
  readonly failing?: readonly { readonly inputs: Inputs; readonly message: RegExp; readonly isDeadly?: true }[];
}
