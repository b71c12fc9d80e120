import { PROCESS_BYTES, loadedBytes } from './served/instance-count.js';

/*
 * What requests may hold at each place on their way, so that all of it together stays within the memory there is. Before any model is
 * loaded, so that a server is refused nothing later that it was promised.
 *
 * Of what the models and the router leave, a quarter is the queue's. A body on its way in counts twice, since its chunks are put
 * together at its end; so does an input in a worker, which copies it into its batch. Of what may lie in a worker a quarter is memory that it
 * shares with the router, half of that for outputs. A fifth is left for garbage that is not
 * collected yet, the rest for JSON.
 */

const MIB = 1024 ** 2;
/** Node with its code, the metrics, and JavaScript's young generation; measured at 110 to 140 MiB after a minute of load. */
const ROUTER_BYTES = 150 * MIB;
/** One of `--io-threads`, with its own heap and code; measured at 38 MiB idle and 41 after requests. */
const IO_THREAD_BYTES = 50 * MIB;
/** Where models leave nothing: enough to answer at all. */
const LEAST_BYTES = 64 * MIB;

const QUEUE_FRACTION = 0.25;
const RECEIPT_FRACTION = 0.125;
const STAGED_FRACTION = 0.125;
const JSON_FRACTION = 0.05;

/** More than this none needs by default. */
const MOST_QUEUED_BYTES = 1024 * MIB;
const MOST_IN_RECEIPT_BYTES = 512 * MIB;
const MOST_STAGED_BYTES = 512 * MIB;
const MOST_JSON_HEAP_BYTES = 512 * MIB;
/** A thread of Node with its own heap. */
const LEAST_JSON_HEAP_BYTES = 64 * MIB;

export interface MemoryShares {
  /** Inputs held for each model. */
  readonly queueBytes: number;
  /** Bodies on their way in, of all calls. */
  readonly receiptBytes: number;
  /** Inputs that lie in each model's workers. */
  readonly stagedBytes: number;
  /** Heap of the thread that reads large JSON. */
  readonly jsonHeapBytes: number;
  /** Whether any of them is less than it would be with memory to spare. */
  readonly isTight: boolean;
  /** What the models are reckoned to need, loaded. */
  readonly modelsBytes: number;
}

/**
 * @param modelFileBytes of each model that is to be served
 * @param ioThreadCount beside the router's own thread
 */
export function memoryShares(limitBytes: number, modelFileBytes: readonly number[], ioThreadCount = 0): MemoryShares {
  const modelsBytes = modelFileBytes.reduce((sum, bytes) => sum + PROCESS_BYTES + loadedBytes(bytes), 0);
  const roomBytes = Math.max(LEAST_BYTES, limitBytes - ROUTER_BYTES - ioThreadCount * IO_THREAD_BYTES - modelsBytes);
  const modelCount = Math.max(1, modelFileBytes.length);
  const share = (fraction: number, mostBytes: number): number =>
    Math.min(mostBytes, Math.floor((fraction * roomBytes) / MIB) * MIB);
  const queueBytes = Math.max(MIB, share(QUEUE_FRACTION / modelCount, MOST_QUEUED_BYTES));
  const receiptBytes = Math.max(MIB, share(RECEIPT_FRACTION, MOST_IN_RECEIPT_BYTES));
  const stagedBytes = Math.max(MIB, share(STAGED_FRACTION / modelCount, MOST_STAGED_BYTES));
  const jsonHeapBytes = Math.max(LEAST_JSON_HEAP_BYTES, share(JSON_FRACTION, MOST_JSON_HEAP_BYTES));
  return {
    queueBytes,
    receiptBytes,
    stagedBytes,
    jsonHeapBytes,
    isTight: queueBytes < MOST_QUEUED_BYTES || receiptBytes < MOST_IN_RECEIPT_BYTES || stagedBytes < MOST_STAGED_BYTES,
    modelsBytes,
  };
}
