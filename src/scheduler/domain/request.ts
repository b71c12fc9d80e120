import type { Tensor } from './tensor.js';

/** Where the network delay that was charged to a request came from. */
export type NetworkDelaySource = 'none' | 'transfer' | 'declared_upload' | 'send_stamp';

/**
 * Requests of one shape class may share a batch: their inputs agree in datatypes and in every axis, and so in their number of
 * rows (the first axis of a batchable model). A client that batches by itself shares batches only with others that send as many
 * rows: every decision takes the members of a class for equals, and stays exact.
 */
export interface ShapeClass {
  /** Unique per class within a model. */
  readonly key: string;
  /** Rows of one request, ≥ 1: 1 for a model that is not batchable. A batch of b requests is one of b · `rowCount` rows. */
  readonly rowCount: number;
  /** The key of its one-row class: classes that differ in rows alone take what so many rows take. */
  readonly rowKey: string;
  /** Input elements of one row. */
  readonly elementCount: number;
  /** Sizes of a row's axes, of all inputs in the order of their names: what latency is learnt over. */
  readonly axisSizes: readonly number[];
}

/**
 * @param rowKey of one row
 * @param axisSizes empty where they are not known: latency is then learnt over elements alone
 */
export function shapeClass(
  rowKey: string,
  elementCount: number,
  axisSizes: readonly number[] = [],
  rowCount = 1,
): ShapeClass {
  return { key: rowCount === 1 ? rowKey : `${rowCount} × ${rowKey}`, rowCount, rowKey, elementCount, axisSizes };
}

/**
 * The most requests of so many rows each that may share a batch; at least one, which then runs alone.
 * @param maxRows the most rows of a batch
 */
export function requestsPerBatch(maxRows: number, rowCount = 1): number {
  return rowCount === 1 ? maxRows : Math.max(1, Math.floor(maxRows / rowCount));
}

/** A well-formed request on its way to admission. Instants are on the server's monotonic clock. */
export interface InferRequest {
  /** Unique and increasing within one system; breaks ties in the queue. */
  readonly sequence: number;
  /** The instant its last byte was there. */
  readonly receivedAtMs: number;
  /** The client's total time budget, send to answer. */
  readonly sloMs: number;
  readonly networkDelayMs: number;
  readonly networkDelaySource: NetworkDelaySource;
  /** Kept back for sending the reply. */
  readonly replyReserveMs: number;
  /** What the router itself was late in reading it; absent: nothing. */
  readonly routerDelayMs?: number;
  /** The deadline: `receivedAtMs + sloMs − networkDelayMs − replyReserveMs`, less what the router itself was late in reading it. */
  readonly dueAtMs: number;
  /** Whom it is from: what the client calls itself, else the address it calls from. Shares under overload are by it. */
  readonly client: string;
  /** No budget was stated: the deadline orders and sizes, but the request is served late rather than refused or expired. */
  readonly isDeadlineDefaulted: boolean;
  /** Asked to be served after all else instead of being refused. */
  readonly isBestEffort: boolean;
  /** Triton's meaning: 1 is the highest; the model's default level where none was stated. Breaks ties of equal deadlines. */
  readonly priority: number;
  readonly shapeClass: ShapeClass;
  /** Shares no batch although its model is batchable: it has no rows, or a value for an input that is not cut into rows. */
  readonly mustRunAlone?: boolean;
  /** The same inputs ended a worker a while ago: it is refused. */
  readonly isPoison?: boolean;
  /** Of a model with variants: the least accuracy that it takes; the model's own where absent. */
  readonly leastAccuracy?: number;
  /** Of a model with variants: how much accuracy counts beside time, from 0 to 1; the model's own where absent. */
  readonly accuracyWeight?: number;
  /** Input bytes it holds in the router and in the worker. */
  readonly byteCount: number;
  readonly inputs: readonly Tensor[];
  /** Output names the client asked for; empty for all. */
  readonly outputNames: readonly string[];
}

declare const admitted: unique symbol;

/** A request that admission let into the queue. Only `dataplane/admission.ts` makes one. */
export interface AdmittedRequest extends InferRequest {
  readonly [admitted]: true;
}
