import type { BatchResult } from '../../scheduler/dataplane/worker-pool.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';

/** What a pool knows of a batch from its start to its end. */
export interface RunningBatch extends StartedBatch {
  /** By slot; null until it has come, and for good once dropped. */
  readonly outputs: (readonly Tensor[] | null)[];
  readonly droppedSlots: Set<number>;
  receivedCount: number;
  /** Why its end was asked for; null while it was not. */
  abortReason: string | null;
  /** Null until the model is finished. */
  finished: { readonly outputCount: number; readonly computeMs: number } | null;
}

interface StartedBatch {
  readonly instance: number;
  readonly sequences: readonly number[];
  /** Bytes that the worker forgets with this batch. */
  readonly byteCount: number;
  /** Frees what of its inputs is in shared memory. */
  readonly releasePlaces: () => void;
  readonly onDone: (result: BatchResult) => void;
}

export function runningBatch(started: StartedBatch): RunningBatch {
  return {
    outputs: started.sequences.map(() => null),
    droppedSlots: new Set(),
    receivedCount: 0,
    abortReason: null,
    finished: null,
    instance: started.instance,
    sequences: started.sequences,
    byteCount: started.byteCount,
    releasePlaces: started.releasePlaces,
    onDone: started.onDone,
  };
}
