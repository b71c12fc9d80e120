import type { FastifyInstance } from 'fastify';
import type { TensorSpec } from '../../../scheduler/domain/tensor.js';
import { EXTENSIONS, metadataShape, modelConfig } from '../model-description.js';
import { configAsRest } from '../../triton-config/model-config.js';
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
    configAsRest(config).then(
      (json) => reply.send(json),
      (error: unknown) => reply.send(error),
    );
    return undefined;
  });
}

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
