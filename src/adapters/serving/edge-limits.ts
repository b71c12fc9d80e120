import { stat } from 'node:fs/promises';
import { ReceiveBudget } from '../oip/receive-budget.js';
import type { EdgeLimits } from '../oip/service.js';
import { findMemoryRoom, type MemoryRoom } from './memory.js';
import { memoryShares, type MemoryShares } from './memory-shares.js';
import type { ModelSource } from './model-repository.js';

/* What strangers may send, as the operator says it, and where nobody does, as memory allows. */

/** Null: by the memory there is. */
export type StatedLimits = Omit<EdgeLimits, 'maxBytesInReceipt'> & { readonly maxBytesInReceipt: number | null };

export interface SharedMemory {
  readonly room: MemoryRoom;
  readonly shares: MemoryShares;
}

export async function shareMemory(sources: readonly ModelSource[]): Promise<SharedMemory> {
  const room = findMemoryRoom();
  return { room, shares: memoryShares(room.limitBytes, await Promise.all(sources.map(fileBytes))) };
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
