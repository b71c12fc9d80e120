/* ServerMetadata, ModelMetadata and ModelConfig: what is served. */
import type { TensorSpec } from '../../../scheduler/domain/tensor.js';
import { EXTENSIONS, metadataShape, modelConfig } from '../model-description.js';
import type { ConfigTensor } from '../model-description.js';
import type { InferenceService } from '../../../protocol/service.js';
import { unary } from './answers.js';
import type { AnswerContext } from './answers.js';
import { DataType, GRPCInferenceServiceDefinition } from '../../../protocol/grpc/generated/open_inference.js';
import type {
  ModelConfigResponse,
  ModelInput,
  ModelMetadataResponse,
  ModelMetadataResponse_TensorMetadata,
  ModelOutput,
  ServerMetadataResponse,
} from '../../../protocol/grpc/generated/open_inference.js';
import { versionOf } from './versions.js';

const METHODS = GRPCInferenceServiceDefinition.methods;

export function metadataHandlers(service: InferenceService, context: AnswerContext) {
  return {
    serverMetadata: unary(context, METHODS.serverMetadata, (): ServerMetadataResponse => ({
      name: service.serverName,
      version: service.serverVersion,
      extensions: [...EXTENSIONS],
    })),

    modelMetadata: unary(context, METHODS.modelMetadata, ({ name, version }): ModelMetadataResponse => {
      const model = service.model(name, versionOf(version));
      return {
        name: model.name,
        versions: [...model.versions],
        platform: model.platform,
        inputs: model.signature?.inputs.map(tensorMetadata) ?? [],
        outputs: model.signature?.outputs.map(tensorMetadata) ?? [],
      };
    }),

    modelConfig: unary(context, METHODS.modelConfig, ({ name, version }): ModelConfigResponse => {
      const config = modelConfig(service.model(name, versionOf(version)));
      return {
        config: {
          name: config.name,
          platform: config.platform,
          backend: config.backend,
          versionPolicy: {
            policyChoice: { $case: 'specific', value: { versions: [...config.versions] } },
          },
          maxBatchSize: config.maxBatchSize,
          input: config.input.map(configInput),
          output: config.output.map(configOutput),
          schedulingChoice: config.hasDynamicBatching
            ? {
                $case: 'dynamicBatching',
                // Batches form by deadlines: there are no preferred sizes, and results come in deadline order.
                value: { preferredBatchSize: [], maxQueueDelayMicroseconds: 0, preserveOrdering: false },
              }
            : undefined,
        },
      };
    }),
  };
}

function tensorMetadata(spec: TensorSpec): ModelMetadataResponse_TensorMetadata {
  return { name: spec.name, datatype: spec.datatype, shape: [...metadataShape(spec)] };
}

function configInput(tensor: ConfigTensor): ModelInput {
  return { ...configOutput(tensor), optional: tensor.isOptional };
}

function configOutput({ name, dataType, dims }: ConfigTensor): ModelOutput {
  return { name, dataType: DATA_TYPE_BY_NAME.get(dataType) ?? DataType.TYPE_INVALID, dims: [...dims] };
}

const DATA_TYPE_BY_NAME: ReadonlyMap<string, DataType> = new Map(Object.entries(DataType));
