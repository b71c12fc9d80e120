import type { FastifyInstance, FastifyRequest } from 'fastify';
import {
  assertMayChangeModels,
  checkLoadParameters,
  checkUnloadParameters,
  repositoryOf,
} from '../../../protocol/repository.js';
import { OipFailure } from '../../../protocol/service.js';
import type { RestContext } from './context.js';
import { objectIn } from './object-body.js';

interface Named {
  readonly model: string;
}

/** Triton's model repository extension: the index, loading and unloading. */
export function registerRepository(app: FastifyInstance, { service, door }: RestContext): void {
  const repository = repositoryOf(service);
  app.post('/v2/repository/index', async (request) => {
    const isReadyOnly = wantsReadyOnly(request);
    const models = await repository.index();
    return models
      .filter((model) => !isReadyOnly || model.state === 'READY')
      .map(({ name, version, state, stateReason }) => ({ name, version, state, reason: stateReason }));
  });
  app.post<{ Params: Named }>('/v2/repository/models/:model/load', async (request, reply) => {
    assertMayChangeModels(door);
    checkLoadParameters(parametersIn(request));
    await repository.load(request.params.model);
    return reply.code(200).send();
  });
  app.post<{ Params: Named }>('/v2/repository/models/:model/unload', async (request, reply) => {
    assertMayChangeModels(door);
    checkUnloadParameters(parametersIn(request));
    await repository.unload(request.params.model);
    return reply.code(200).send();
  });
}

/** The body is optional: `{"ready": true}` leaves out what is not ready. */
function wantsReadyOnly(request: FastifyRequest): boolean {
  const ready = objectIn(request)['ready'] ?? false;
  if (typeof ready !== 'boolean') throw new OipFailure('invalid', 'ready must be true or false');
  return ready;
}

function parametersIn(request: FastifyRequest): ReadonlyMap<string, unknown> {
  const parameters = objectIn(request)['parameters'] ?? {};
  if (typeof parameters === 'object' && !Array.isArray(parameters)) return new Map(Object.entries(parameters));
  throw new OipFailure('invalid', 'parameters must be a JSON object');
}
