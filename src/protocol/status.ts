/*
 * The one table from reasons and error kinds to HTTP status and gRPC code, and what a refused client is told.
 *
 * Shedding never uses UNAVAILABLE: clients take it as "try again" and retry by default, which multiplies an overload.
 */
import type { Outcome, Reason } from '../scheduler/domain/outcome.js';
import { asOneLine } from './one-line.js';
import type { Explanation, OipError, OipErrorKind } from './service.js';

/** gRPC status codes (grpc/doc/statuscodes.md), as numbers so that REST needs no gRPC library. */
export const GRPC_CODE = {
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

export type GrpcCode = (typeof GRPC_CODE)[keyof typeof GRPC_CODE];

export interface Status {
  readonly http: number;
  readonly grpc: GrpcCode;
}

/** The shortest that the Retry-After header can say. */
const BUSY_RETRY_AFTER_MS = 1000;

/** Shares of a budget below this would read "0.0 ms". */
const LEAST_TOLD_MS = 0.05;

/** Of a message: what a model or ONNX Runtime says of its failure, and names that a client made up, may be of any length. */
const MAX_MESSAGE_CHARACTERS = 300;

/** Why a call was answered with something else than what became of a request. */
export type EdgeCause = Reason | OipErrorKind | 'body_timeout' | 'connection_limit';

/** Whose status codes to speak: ours, or Triton's where its clients depend on them. */
export type Compat = 'none' | 'triton';

const DEADLINE: Status = { http: 504, grpc: GRPC_CODE.DEADLINE_EXCEEDED };
const SHED: Status = { http: 429, grpc: GRPC_CODE.RESOURCE_EXHAUSTED };
const UNAVAILABLE: Status = { http: 503, grpc: GRPC_CODE.UNAVAILABLE };
const INTERNAL: Status = { http: 500, grpc: GRPC_CODE.INTERNAL };

const REASON_STATUS: Readonly<Record<Reason, Status>> = {
  budget_spent_in_network: DEADLINE,
  infeasible_at_max_cores: DEADLINE,
  queue_overload: SHED,
  queue_full: SHED,
  server_overload: SHED,
  client_limit: SHED,
  expired: DEADLINE,
  // Nobody is there to read it; 499 is what nginx logs.
  cancelled: { http: 499, grpc: GRPC_CODE.CANCELLED },
  draining: UNAVAILABLE,
  model_unavailable: UNAVAILABLE,
  backend: INTERNAL,
  poison: INTERNAL,
};

const ERROR_STATUS: Readonly<Record<OipErrorKind, Status>> = {
  invalid: { http: 400, grpc: GRPC_CODE.INVALID_ARGUMENT },
  unauthenticated: { http: 401, grpc: GRPC_CODE.UNAUTHENTICATED },
  forbidden: { http: 403, grpc: GRPC_CODE.PERMISSION_DENIED },
  not_found: { http: 404, grpc: GRPC_CODE.NOT_FOUND },
  wrong_method: { http: 405, grpc: GRPC_CODE.UNIMPLEMENTED },
  too_large: { http: 413, grpc: GRPC_CODE.RESOURCE_EXHAUSTED },
  unsupported: { http: 404, grpc: GRPC_CODE.UNIMPLEMENTED },
  not_allowed: { http: 400, grpc: GRPC_CODE.FAILED_PRECONDITION },
  unavailable: UNAVAILABLE,
  internal: INTERNAL,
};

/** Each of them once. */
export const EDGE_CAUSES: readonly EdgeCause[] = [
  ...(Object.keys(REASON_STATUS) as Reason[]),
  ...(Object.keys(ERROR_STATUS) as OipErrorKind[]),
  'body_timeout',
  'connection_limit',
];

/** Triton answers 400 for what is not ready, and UNAVAILABLE for what its queue policy rejected or timed out. */
const TRITON_NOT_READY: Status = { http: 400, grpc: GRPC_CODE.UNAVAILABLE };

const TRITON_REASON_STATUS: Readonly<Partial<Record<Reason, Status>>> = {
  queue_overload: UNAVAILABLE,
  queue_full: UNAVAILABLE,
  server_overload: UNAVAILABLE,
  client_limit: UNAVAILABLE,
  expired: UNAVAILABLE,
  model_unavailable: TRITON_NOT_READY,
};

/** A body that did not arrive in time. HTTP only: gRPC calls carry their own deadline. RFC 9110, section 15.5.9. */
export const BODY_TIMEOUT_HTTP = 408;

export function statusOfReason(reason: Reason, compat: Compat): Status {
  return (compat === 'triton' ? TRITON_REASON_STATUS[reason] : undefined) ?? REASON_STATUS[reason];
}

export function statusOfError(kind: OipErrorKind, compat: Compat): Status {
  return compat === 'triton' && kind === 'unavailable' ? TRITON_NOT_READY : ERROR_STATUS[kind];
}

/** HTTP status of `/v2/health/ready` and `/v2/models/{m}/ready` while not ready. */
export function notReadyHttpStatus(compat: Compat): number {
  return compat === 'triton' ? TRITON_NOT_READY.http : UNAVAILABLE.http;
}

/** An answer that is not a result, ready to be written by either front end. */
export interface ErrorReply {
  readonly status: Status;
  /** One line: cause, and remedy where there is one. */
  readonly message: string;
  /** Null for errors before admission. */
  readonly reason: Reason | null;
  /** What it is counted by where it never was a request; null for what became of one, which is counted as its outcome. */
  readonly edgeCause: EdgeCause | null;
  /** Fields beside `error` and `reason` in the JSON body: names and values, ms rounded to µs. */
  readonly details: Readonly<Record<string, number>>;
  readonly retryAfterMs: number | null;
}

export function describeError(error: OipError, compat: Compat): ErrorReply {
  const status = statusOfError(error.kind, compat);
  return { ...withRetryAfter(status, error.message, null, {}, error.retryAfterMs), edgeCause: error.kind };
}

/** What the client of a refused, expired or failed request is told. */
export function describeRefusal(
  outcome: Exclude<Outcome, { kind: 'completed' }>,
  explanation: Explanation,
  compat: Compat,
): ErrorReply {
  const status = statusOfReason(outcome.reason, compat);
  switch (outcome.kind) {
    case 'rejected-infeasible':
      // No Retry-After: the same request would be refused again.
      return withRetryAfter(
        status,
        outcome.reason === 'budget_spent_in_network'
          ? `deadline cannot be met: on arrival nothing was left of the ${origin(explanation)}`
          : `deadline cannot be met: the model needs ${ms(outcome.bestCaseMs)} alone at the largest allocation, ${left(outcome.remainingBudgetMs)} of a budget of ${ms(explanation.budgetMs)} (${origin(explanation)})`,
        outcome.reason,
        { remaining_budget_ms: outcome.remainingBudgetMs, best_case_ms: outcome.bestCaseMs },
      );
    case 'rejected-overload':
      return withRetryAfter(
        status,
        outcome.reason === 'queue_full'
          ? `queue is full; try again in ${ms(outcome.retryAfterMs)}`
          : `deadline cannot be met at the present load: it would be done in ${ms(outcome.earliestFinishMs)}, ${left(outcome.remainingBudgetMs)}; try again in ${ms(outcome.retryAfterMs)}`,
        outcome.reason,
        {
          remaining_budget_ms: outcome.remainingBudgetMs,
          best_case_ms: outcome.bestCaseMs,
          earliest_finish_ms: outcome.earliestFinishMs,
        },
        outcome.retryAfterMs,
      );
    case 'expired':
      return withRetryAfter(status, explainExpiry(outcome, explanation), outcome.reason, {});
    case 'cancelled':
      return withRetryAfter(status, 'the client left', outcome.reason, {});
    case 'failed':
      return withRetryAfter(status, outcome.message, outcome.reason, {}, outcome.retryAfterMs);
  }
}

/** The edge takes no more work, for a moment; `cause` is one clause. */
export function describeBusy(
  reason: 'queue_full' | 'server_overload' | 'client_limit',
  cause: string,
  compat: Compat,
): ErrorReply {
  const status = statusOfReason(reason, compat);
  return { ...withRetryAfter(status, `${cause}; try again later`, reason, {}, BUSY_RETRY_AFTER_MS), edgeCause: reason };
}

/**
 * HTTP response headers and gRPC trailers of an error: the reason, and Retry-After in whole seconds (RFC 9110, section
 * 10.2.3), rounded up and at least 1, for 429 and 503 (in Triton mode 400) where it is known.
 */
export function errorHeaders(reply: ErrorReply): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  if (reply.reason !== null) headers['x-sponge-reason'] = reply.reason;
  if (reply.retryAfterMs !== null) headers['retry-after'] = String(Math.max(1, Math.ceil(reply.retryAfterMs / 1000)));
  return headers;
}

/** gRPC trailers: the headers, and the JSON body's details as `x-sponge-best-case-ms` and so on. */
export function errorTrailers(reply: ErrorReply): Readonly<Record<string, string>> {
  const trailers: Record<string, string> = { ...errorHeaders(reply) };
  for (const [name, value] of Object.entries(reply.details)) {
    trailers[`x-sponge-${name.replaceAll('_', '-')}`] = String(value);
  }
  return trailers;
}

/** The JSON body: `{"error", "reason"?, …details}`. */
export function errorBody(reply: ErrorReply): Readonly<Record<string, string | number>> {
  return { error: reply.message, ...(reply.reason === null ? {} : { reason: reply.reason }), ...reply.details };
}

function withRetryAfter(
  status: Status,
  message: string,
  reason: Reason | null,
  details: Readonly<Record<string, number>>,
  retryAfterMs?: number,
): ErrorReply {
  const rounded: Record<string, number> = {};
  for (const [name, value] of Object.entries(details)) rounded[name] = roundToUs(value);
  if (retryAfterMs !== undefined) rounded['retry_after_ms'] = Math.ceil(retryAfterMs);
  return {
    status,
    message: asOneLine(message, MAX_MESSAGE_CHARACTERS),
    reason,
    edgeCause: null,
    details: rounded,
    retryAfterMs: retryAfterMs ?? null,
  };
}

function left(remainingMs: number): string {
  if (remainingMs > 0) return `${ms(remainingMs)} are left`;
  return remainingMs === 0 ? 'nothing is left' : `the deadline passed ${ms(-remainingMs)} ago`;
}

function explainExpiry(
  { lateByMs, wasRunning }: Extract<Outcome, { kind: 'expired' }>,
  explanation: Explanation,
): string {
  const passed = `${ms(lateByMs)} ago, of a budget of ${ms(explanation.budgetMs)}`;
  if (wasRunning === true) return `deadline passed ${passed}, and its batch has still not ended`;
  if (explanation.budgetMs > 0) return `deadline passed in the queue, ${passed}`;
  return `deadline passed before the server read the request: nothing was left of the ${origin(explanation)}`;
}

/** What the budget was made of: `SLO of 500.0 ms: 450.0 ms went to the network (send_stamp)`. */
function origin(explanation: Explanation): string {
  const { sloMs, budgetMs, networkDelayMs, networkDelaySource, routerDelayMs } = explanation;
  const replyReserveMs = sloMs - networkDelayMs - routerDelayMs - budgetMs;
  const shares = [
    ...(networkDelayMs >= LEAST_TOLD_MS ? [`${ms(networkDelayMs)} went to the network (${networkDelaySource})`] : []),
    ...(routerDelayMs >= LEAST_TOLD_MS ? [`${ms(routerDelayMs)} passed before the server read it`] : []),
    ...(replyReserveMs >= LEAST_TOLD_MS ? [`${ms(replyReserveMs)} are kept for the reply`] : []),
  ];
  return `SLO of ${ms(sloMs)}${shares.length === 0 ? '' : `: ${shares.join(', ')}`}`;
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}

function roundToUs(value: number): number {
  return Math.round(value * 1000) / 1000;
}
