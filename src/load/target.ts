import type { Tensor } from '../scheduler/domain/tensor.js';

/** How requests are encoded and sent. */
export const PROTOCOLS = ['rest', 'rest-json', 'grpc'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/**
 * Where a request says how much time there is. `header`: `Request-Timeout-Ms`, in gRPC the deadline of the call; `parameter`:
 * `timeout` of the protocol, which Triton reads; `none`: the server is not told, and judged all the same.
 */
export const DEADLINE_PLACES = ['header', 'parameter', 'none'] as const;
export type DeadlinePlace = (typeof DEADLINE_PLACES)[number];

/** Whom a load goes to. Plain data: crosses threads. */
export interface LoadTarget {
  readonly protocol: Protocol;
  readonly host: string;
  readonly port: number;
  /** Before `/v2/…`; empty at the root. REST only. */
  readonly basePath: string;
  readonly model: string;
  /** Empty: the server's choice. */
  readonly version: string;
  readonly deadline: DeadlinePlace;
  /** Sent with every call, lower-case; a secret: in no report. */
  readonly authorization: string | null;
  /** Of every request: what a server computes does not depend on the values. */
  readonly inputs: readonly Tensor[];
}
