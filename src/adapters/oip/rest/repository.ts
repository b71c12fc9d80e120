import type { FastifyInstance } from 'fastify';
import { LOAD_NOT_ALLOWED } from '../model-description.js';
import { OipFailure } from '../service.js';
import { takeBody, type RestContext } from './context.js';
import { parseJson } from './infer-request.js';

/** Triton's model repository extension: the index; loading and unloading are refused. */
export function registerRepository(app: FastifyInstance, { service }: RestContext): void {
  app.post('/v2/repository/index', (request, reply) => {
    const isReadyOnly = wantsReadyOnly(takeBody(request)?.bytes);
    const models = service.models().filter((model) => !isReadyOnly || model.state === 'READY');
    return reply.send(
      models.map(({ name, version, state, stateReason }) => ({ name, version, state, reason: stateReason })),
    );
  });
  for (const action of ['load', 'unload']) {
    app.post(`/v2/repository/models/:model/${action}`, () => {
      throw new OipFailure('not_allowed', LOAD_NOT_ALLOWED);
    });
  }
}

/** The body is optional: `{"ready": true}` leaves out what is not ready. */
function wantsReadyOnly(bytes: Buffer | undefined): boolean {
  if (bytes === undefined || bytes.length === 0) return false;
  const json = parseJson(bytes);
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new OipFailure('invalid', 'request body must be a JSON object');
  }
  const ready = (json as Record<string, unknown>)['ready'] ?? false;
  if (typeof ready !== 'boolean') throw new OipFailure('invalid', 'ready must be true or false');
  return ready;
}
