import type { FastifyInstance, FastifyRequest } from 'fastify';
import { assertMayChangeModels, repositoryOf, sentModelIn, unloadsDependents } from '../../../protocol/repository.js';
import { OipFailure } from '../../../protocol/service.js';
import { takeBody } from './context.js';
import type { RestContext } from './context.js';
import { loadParametersIn, parametersOf } from './load-body.js';
import { objectIn } from './object-body.js';

/** A model that is read on another thread: its text alone takes a millisecond for a MiB. */
const OFFLOAD_JSON_BYTES = 1 << 20;

interface Named {
  readonly model: string;
}

/** Triton's model repository extension: the index, loading and unloading. */
export function registerRepository(app: FastifyInstance, { service, door, offload }: RestContext): void {
  const repository = repositoryOf(service);
  app.post('/v2/repository/index', async (request) => {
    const isReadyOnly = wantsReadyOnly(request);
    const models = await repository.index();
    return models
      .filter((model) => !isReadyOnly || model.state === 'READY')
      .map(({ name, version, state, stateReason }) => ({ name, version, state, reason: stateReason }));
  });
  app.post<{ Params: Named }>(
    '/v2/repository/models/:model/load',
    { config: { takesFiles: true } },
    async (request, reply) => {
      assertMayChangeModels(door);
      const bytes = takeBody(request)?.bytes ?? Buffer.alloc(0);
      const parameters =
        bytes.length < OFFLOAD_JSON_BYTES
          ? loadParametersIn(bytes)
          : await offload.decodeLoad(bytes, request.callInProgress);
      await repository.load(request.params.model, sentModelIn(new Map(parameters)));
      return reply.code(200).send();
    },
  );
  app.post<{ Params: Named }>('/v2/repository/models/:model/unload', async (request, reply) => {
    assertMayChangeModels(door);
    await repository.unload(request.params.model, unloadsDependents(parametersIn(request)));
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
  return new Map(parametersOf(objectIn(request)));
}
