/* ServerMetadata, ModelMetadata and ModelConfig: what is served. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { TensorSpec } from '../../../scheduler/domain/tensor.js';
import { EXTENSIONS, metadataShape, modelConfig } from '../model-description.js';
import { configAsBytes } from '../../triton-config/model-config.js';
import type { InferenceService } from '../../../protocol/service.js';
import { unary } from './answers.js';
import type { AnswerContext } from './answers.js';
import { GRPCInferenceServiceDefinition } from '../../../protocol/grpc/generated/open_inference.js';
import type {
  ModelMetadataResponse,
  ModelMetadataResponse_TensorMetadata,
  ServerMetadataResponse,
} from '../../../protocol/grpc/generated/open_inference.js';
import { versionOf } from './versions.js';

const METHODS = GRPCInferenceServiceDefinition.methods;

/** Its answer from the bytes of a `ModelConfig`, in which versions of any length are exact. */
const CONFIG_METHOD = {
  requestType: METHODS.modelConfig.requestType,
  responseType: { encode: (config: Uint8Array) => new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(config) },
};

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

    modelConfig: unary(context, CONFIG_METHOD, ({ name, version }) =>
      configAsBytes(modelConfig(service.model(name, versionOf(version)))),
    ),
  };
}

function tensorMetadata(spec: TensorSpec): ModelMetadataResponse_TensorMetadata {
  return { name: spec.name, datatype: spec.datatype, shape: [...metadataShape(spec)] };
}
