import type { FastifyInstance } from 'fastify';
import { notReadyHttpStatus } from '../../../protocol/status.js';
import { onModelPaths } from './context.js';
import type { RestContext } from './context.js';

/** Liveness and readiness of the server, readiness of a model. Bodies as KServe's; Triton's clients ignore them. */
export function registerHealth(app: FastifyInstance, { service, compat }: RestContext): void {
  const notReady = notReadyHttpStatus(compat);
  app.get('/v2/health/live', (_request, reply) => {
    const live = service.isLive();
    return reply.code(live ? 200 : notReady).send({ live });
  });
  app.get('/v2/health/ready', (_request, reply) => {
    const ready = service.isReady();
    return reply.code(ready ? 200 : notReady).send({ ready });
  });
  onModelPaths(app, 'GET', '/ready', (request, reply) => {
    const model = service.model(request.params.model, request.params.version);
    const ready = model.state === 'READY';
    return reply.code(ready ? 200 : notReady).send({ name: model.name, ready });
  });
}
