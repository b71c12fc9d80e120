/* What clients can ask about a model beside its state: Triton's model configuration, in words both protocols use. */
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
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

/**
 * By protobuf's rules for JSON, with the names of model_config.proto: what is served, and what a `config.pbtxt` says beside that. Without
 * inputs and outputs until the model has been loaded once.
 */
export function modelConfig(model: ModelEntry): JsonObject {
  const { statedConfig: stated = {}, signature } = model;
  const isBatchable = model.maxBatchSize > 0;
  const saidOf = (kind: 'input' | 'output', name: string): JsonObject =>
    objectsIn(stated[kind]).find((tensor) => tensor['name'] === name) ?? {};
  const describe = (kind: 'input' | 'output', spec: TensorSpec): JsonObject => ({
    ...saidOf(kind, spec.name),
    name: spec.name,
    data_type: configDatatype(spec.datatype),
    // An input that has a value of its own is not cut into rows.
    dims: (isBatchable && spec.isOptional !== true ? metadataShape(spec).slice(1) : metadataShape(spec)).map(String),
    ...(kind === 'input' ? { optional: spec.isOptional === true } : {}),
  });
  const { dynamic_batching: batching = {}, ...others } = stated;
  return {
    ...others,
    name: model.name,
    platform: model.platform,
    backend: model.platform === 'ensemble' ? '' : 'onnxruntime',
    // Those that are served, where nobody has said which are to be.
    version_policy: stated['version_policy'] ?? { specific: { versions: [...model.versions] } },
    max_batch_size: model.maxBatchSize,
    input: signature?.inputs.map((spec) => describe('input', spec)) ?? [],
    output: signature?.outputs.map((spec) => describe('output', spec)) ?? [],
    // Batches form by deadlines: there are no preferred sizes. Load generators take its presence as "requests are batched by the server".
    ...(isBatchable ? { dynamic_batching: batching } : {}),
  };
}

function objectsIn(value: JsonValue | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? (value as JsonObject[]) : [];
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
