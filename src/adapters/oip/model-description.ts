/* What clients can ask about a model beside its state: Triton's model configuration, in words both protocols use. */
import type { Datatype, TensorSpec } from '../../domain/tensor.js';
import type { ModelEntry } from './service.js';

/** Protocol extensions that `/v2` and ServerMetadata list. */
export const EXTENSIONS = [
  'binary_tensor_data',
  'model_configuration',
  'model_repository',
  'parameters',
  'statistics',
] as const;

/** Refused on both protocols: models come from the command line. */
export const LOAD_NOT_ALLOWED =
  'explicit model load / unload is not allowed: restart the server with the models to serve';

export interface ConfigTensor {
  readonly name: string;
  /** `TYPE_FP32` and so on, from Triton's model_config.proto. */
  readonly dataType: string;
  /** Without the batch axis where the model is batchable, as in Triton. */
  readonly dims: readonly number[];
}

export interface ModelConfig {
  readonly name: string;
  readonly platform: string;
  readonly backend: 'onnxruntime';
  readonly maxBatchSize: number;
  readonly input: readonly ConfigTensor[];
  readonly output: readonly ConfigTensor[];
  /** Load generators take its presence as "requests are batched by the server". */
  readonly hasDynamicBatching: boolean;
}

/** Inputs and outputs are empty until the model has been loaded once. */
export function modelConfig(model: ModelEntry): ModelConfig {
  const isBatchable = model.maxBatchSize > 0;
  const describe = (spec: TensorSpec): ConfigTensor => ({
    name: spec.name,
    dataType: configDatatype(spec.datatype),
    dims: spec.shape === null ? [-1] : isBatchable ? spec.shape.slice(1) : spec.shape,
  });
  return {
    name: model.name,
    platform: model.platform,
    backend: 'onnxruntime',
    maxBatchSize: model.maxBatchSize,
    input: model.signature?.inputs.map(describe) ?? [],
    output: model.signature?.outputs.map(describe) ?? [],
    hasDynamicBatching: isBatchable,
  };
}

function configDatatype(datatype: Datatype): string {
  return datatype === 'BYTES' ? 'TYPE_STRING' : `TYPE_${datatype}`;
}
