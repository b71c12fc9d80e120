import type { Tensor } from './tensor.js';

/** Where the network delay that was charged to a request came from. */
export type NetworkDelaySource = 'none' | 'transfer' | 'declared_upload' | 'send_stamp';

/**
 * Requests of one shape class may share a batch: their inputs agree in datatypes and in every axis but the first.
 * For a model that is not batchable the first axis is part of the class too.
 */
export interface ShapeClass {
  /** Unique per class within a model. */
  readonly key: string;
  /** Input elements of one request: scales the latency model until the class has been measured. */
  readonly elementCount: number;
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
  /** The deadline: `receivedAtMs + sloMs − networkDelayMs − replyReserveMs`. */
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
