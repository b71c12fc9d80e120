import { stat } from 'node:fs/promises';
import { ReceiveBudget } from './edge/receive-budget.js';
import type { EdgeLimits } from '../protocol/service.js';
import { findMemoryRoom, type MemoryRoom } from './served/memory.js';
import { memoryShares, type MemoryShares } from './memory-shares.js';
import { loadedBytes, PROCESS_BYTES } from './served/instance-count.js';
import type { ModelSource } from './models/model-repository.js';
import type { ModelShare } from './models/model-set.js';
import { keptFreeBytes } from './pressure.js';

/* What strangers may send, as the operator says it, and where nobody does, as memory allows. */

/** Null: by the memory there is. */
export type StatedLimits = Omit<EdgeLimits, 'maxBytesInReceipt'> & { readonly maxBytesInReceipt: number | null };

export interface SharedMemory {
  readonly room: MemoryRoom;
  readonly shares: MemoryShares;
  readonly ioThreadCount: number;
}

export async function shareMemory(sources: readonly ModelSource[], ioThreadCount: number): Promise<SharedMemory> {
  const room = findMemoryRoom();
  const sizes = await Promise.all(sources.map(fileBytes));
  return { room, shares: memoryShares(room.limitBytes, sizes, ioThreadCount), ioThreadCount };
}

/**
 * What a model that is loaded later may hold, beside those that are served: as much as if all had been there from the start. What they
 * were promised they keep.
 * @throws Error, in one line, where there is no memory for it
 */
export async function shareBeside(
  models: readonly { readonly source: ModelSource }[],
  source: ModelSource,
  { room, ioThreadCount }: SharedMemory,
): Promise<ModelShare> {
  const neededBytes = PROCESS_BYTES + loadedBytes(await fileBytes(source));
  const freeBytes = room.limitBytes - keptFreeBytes(room.limitBytes) - room.usedBytes();
  if (neededBytes > freeBytes) {
    const [needed, free] = [neededBytes, freeBytes].map((bytes) => Math.max(0, Math.ceil(bytes / 1024 ** 2)));
    throw new Error(
      `there is no memory for it: about ${needed} MiB are needed, and ${free} are free; unload another model`,
    );
  }
  const all = [...models.map((each) => each.source), source];
  const sizes = await Promise.all(all.map(fileBytes));
  return { ...memoryShares(room.limitBytes, sizes, ioThreadCount), modelCount: all.length };
}

/** What a body may be at most is what can be received at all. */
export function receiptLimits(
  limits: StatedLimits,
  shares: MemoryShares,
): { limits: EdgeLimits; receiveBudget: ReceiveBudget } {
  const maxBytesInReceipt = limits.maxBytesInReceipt ?? shares.receiptBytes;
  const receiveBudget = new ReceiveBudget(maxBytesInReceipt, limits.clientFraction);
  const most = limits.maxBytesInReceipt === null ? receiveBudget.mostForOne : Infinity;
  return {
    limits: {
      ...limits,
      maxBytesInReceipt,
      maxJsonBytes: Math.min(limits.maxJsonBytes, most),
      maxBinaryBytes: Math.min(limits.maxBinaryBytes, most),
    },
    receiveBudget,
  };
}

/** 0 where there is none: that is told when it is loaded. */
async function fileBytes({ modelPath }: ModelSource): Promise<number> {
  return stat(modelPath).then(
    ({ size }) => size,
    () => 0,
  );
}
