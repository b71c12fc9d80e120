import type { FastifyInstance } from 'fastify';
import { SHARED_MEMORY_KINDS, refuseRegion, refuseUnknownRegion } from '../memory-regions.js';

/** Triton's shared memory extensions: no regions, and none can be registered. */
export function registerSharedMemory(app: FastifyInstance): void {
  for (const kind of SHARED_MEMORY_KINDS) {
    const path = `/v2/${kind}sharedmemory`;
    app.get(`${path}/status`, (_request, reply) => reply.send([]));
    app.get<{ Params: { region: string } }>(`${path}/region/:region/status`, (request, reply) => {
      refuseUnknownRegion(kind, request.params.region);
      return reply.send([]);
    });
    app.post(`${path}/region/:region/register`, () => refuseRegion(kind));
    app.post(`${path}/region/:region/unregister`, (_request, reply) => reply.send({}));
    app.post(`${path}/unregister`, (_request, reply) => reply.send({}));
  }
}
