import type { FastifyInstance } from 'fastify';
import type { TensorSpec } from '../../../domain/tensor.js';
import { EXTENSIONS, modelConfig } from '../model-description.js';
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
      max_batch_size: config.maxBatchSize,
      input: config.input.map(configTensorJson),
      output: config.output.map(configTensorJson),
      ...(config.hasDynamicBatching
        ? { dynamic_batching: { preferred_batch_size: [], max_queue_delay_microseconds: 0 } }
        : {}),
    });
  });
}

/** The protocol has no form for an undeclared rank; [-1] says at least that it is open. */
function tensorJson({ name, datatype, shape }: TensorSpec): Record<string, unknown> {
  return { name, datatype, shape: shape ?? [-1] };
}

function configTensorJson({ name, dataType, dims }: ConfigTensor): Record<string, unknown> {
  return { name, data_type: dataType, dims };
}
