import { OipFailure } from '../../protocol/service.js';

/*
 * Triton's shared memory extensions, refused (decision 27): a region is named by the client and mapped by the server, which would read
 * and write memory of other processes for whoever can reach its port. There are never any regions, and asking is no error; clients ask
 * before and forget after they use one.
 */

/** `system` and CUDA's, as Triton's paths and methods have them. */
export const SHARED_MEMORY_KINDS = ['system', 'cuda'] as const;
export type SharedMemoryKind = (typeof SHARED_MEMORY_KINDS)[number];

/** @throws OipFailure `unsupported`, always */
export function refuseRegion(kind: SharedMemoryKind): never {
  throw new OipFailure('unsupported', `${kind} shared memory is not supported: send tensors in the request`);
}

/** @throws OipFailure `not_found` where one region is asked for */
export function refuseUnknownRegion(kind: SharedMemoryKind, name: string): void {
  if (name !== '') throw new OipFailure('not_found', `there is no ${kind} shared memory region '${name}'`);
}
