/* What clients can ask about a model beside its state: Triton's model configuration, in words both protocols use. */
import type { Datatype, TensorSpec } from '../../scheduler/domain/tensor.js';
import type { ModelEntry } from '../../protocol/service.js';

/** Protocol extensions that `/v2` and ServerMetadata list. */
export const EXTENSIONS = [
  'binary_tensor_data',
  'classification',
  'logging',
  'model_configuration',
  'model_repository',
  'parameters',
  'statistics',
  'trace',
] as const;

export interface ConfigTensor {
  readonly name: string;
  /** `TYPE_FP32` and so on, from Triton's model_config.proto. */
  readonly dataType: string;
  /** Without the batch axis where the model is batchable, as in Triton; [-1] where not even the rank is declared. */
  readonly dims: readonly number[];
  /** A request may leave it out. */
  readonly isOptional: boolean;
}

export interface ModelConfig {
  readonly name: string;
  readonly platform: string;
  readonly backend: 'onnxruntime';
  /** Those that are served, which is Triton's policy `specific`. */
  readonly versions: readonly number[];
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
    // An input that has a value of its own is not cut into rows.
    dims: isBatchable && spec.isOptional !== true ? metadataShape(spec).slice(1) : metadataShape(spec),
    isOptional: spec.isOptional === true,
  });
  return {
    name: model.name,
    platform: model.platform,
    backend: 'onnxruntime',
    versions: model.versions.map(Number),
    maxBatchSize: model.maxBatchSize,
    input: model.signature?.inputs.map(describe) ?? [],
    output: model.signature?.outputs.map(describe) ?? [],
    hasDynamicBatching: isBatchable,
  };
}

/**
 * The protocol has no form for an undeclared rank. [-1] says at least that something is open, which makes load generators
 * (perf_analyzer) ask their user for the shape; no client checks what it sends against it.
 */
export function metadataShape({ shape }: TensorSpec): readonly number[] {
  return shape ?? [-1];
}

function configDatatype(datatype: Datatype): string {
  return datatype === 'BYTES' ? 'TYPE_STRING' : `TYPE_${datatype}`;
}
