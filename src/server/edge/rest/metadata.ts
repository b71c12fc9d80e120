import type { FastifyInstance } from 'fastify';
import type { TensorSpec } from '../../../scheduler/domain/tensor.js';
import { EXTENSIONS, metadataShape, modelConfig } from '../model-description.js';
import type { ConfigTensor } from '../model-description.js';
import { onModelPaths } from './context.js';
import type { RestContext } from './context.js';

/** What the server and its models are: metadata, and Triton's model configuration. */
export function registerMetadata(app: FastifyInstance, { service }: RestContext): void {
  app.get('/v2', (_request, reply) =>
    reply.send({ name: service.serverName, version: service.serverVersion, extensions: EXTENSIONS }),
  );
  app.get('/v2/models', (_request, reply) =>
    reply.send({ models: [...new Set(service.models().map((model) => model.name))] }),
  );
  onModelPaths(app, 'GET', '', (request, reply) => {
    const model = service.model(request.params.model, request.params.version);
    return reply.send({
      name: model.name,
      versions: model.versions,
      platform: model.platform,
      inputs: model.signature?.inputs.map(tensorJson) ?? [],
      outputs: model.signature?.outputs.map(tensorJson) ?? [],
    });
  });
  onModelPaths(app, 'GET', '/config', (request, reply) => {
    const config = modelConfig(service.model(request.params.model, request.params.version));
    return reply.send({
      name: config.name,
      platform: config.platform,
      backend: config.backend,
      version_policy: { specific: { versions: config.versions } },
      max_batch_size: config.maxBatchSize,
      input: config.input.map(configInputJson),
      output: config.output.map(configOutputJson),
      ...(config.hasDynamicBatching ? { dynamic_batching: DYNAMIC_BATCHING } : {}),
    });
  });
}

/** Batches form by deadlines: there are no preferred sizes and no levels, and results come in deadline order. */
const DYNAMIC_BATCHING = {
  preferred_batch_size: [],
  max_queue_delay_microseconds: 0,
  preserve_ordering: false,
  priority_levels: 0,
  default_priority_level: 0,
  priority_queue_policy: {},
};

/** What the protocol's three fields cannot say is in parameters, which clients that do not know them ignore. */
function tensorJson(spec: TensorSpec): Record<string, unknown> {
  const { name, datatype } = spec;
  const parameters = {
    ...(spec.isOptional === true ? { sponge_optional: true } : {}),
    ...(spec.shape === null ? { sponge_any_rank: true } : {}),
  };
  const shape = metadataShape(spec);
  return Object.keys(parameters).length === 0 ? { name, datatype, shape } : { name, datatype, shape, parameters };
}

/** Triton writes every field, whether it says something or not; its clients' users look for them. */
function configInputJson({ name, dataType, dims, isOptional }: ConfigTensor): Record<string, unknown> {
  return {
    name,
    data_type: dataType,
    format: 'FORMAT_NONE',
    dims,
    is_shape_tensor: false,
    allow_ragged_batch: false,
    optional: isOptional,
  };
}

function configOutputJson({ name, dataType, dims }: ConfigTensor): Record<string, unknown> {
  return { name, data_type: dataType, dims, label_filename: '', is_shape_tensor: false };
}
