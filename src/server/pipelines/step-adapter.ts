import type { ModelSignature, Tensor } from '../../scheduler/domain/tensor.js';
import type { StepValue } from '../../scheduler/pipeline/progress.js';

/*
 * What may stand between a step and the model that runs it: other tensors go in and come out than the model has.
 */

/** A model's outputs by the step's names, or why it has none. */
export type Tried = ReadonlyMap<string, Tensor> | string;

/** Where a model is tried out before anything is believed of it. */
export interface TrialRoom {
  /** Runs another step of the pipeline, which a function runs. */
  runFunction(step: string, inputs: ReadonlyMap<string, StepValue>): Promise<Tried>;
  /** Runs the model. */
  runModel(inputs: readonly Tensor[]): Promise<Tried>;
}

/** What is known of the model that a step has now. */
export interface ModelStanding {
  /** What `tryOut` said of it; false while that is not known. */
  readonly trialPassed: boolean;
  /** Of one request of these shapes, on one core; null where nothing was learnt. */
  predictedMs(inputs: readonly Pick<Tensor, 'name' | 'datatype' | 'shape'>[]): number | null;
}

export interface StepAdapter {
  /** As the step sees the model. @throws Error of one line where it is no model for that */
  signatureOf(model: ModelSignature): ModelSignature;
  /** Of the model's, those that it needs. */
  outputsOf(model: ModelSignature): readonly string[];
  toModel(model: ModelSignature, inputs: readonly Tensor[], standing: ModelStanding): readonly Tensor[];
  /**
   * @param inputs as `toModel` made them
   * @param outputs may be lent: what is made of them is its own
   */
  fromModel(model: ModelSignature, inputs: readonly Tensor[], outputs: readonly Tensor[]): ReadonlyMap<string, Tensor>;
  /** Whether this model takes what the adapter would like to make of inputs. */
  tryOut(model: ModelSignature, room: TrialRoom): Promise<{ readonly passed: boolean; readonly notice: string | null }>;
}
