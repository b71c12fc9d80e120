import type { Tensor } from '../../src/scheduler/domain/tensor.js';
import type { Question } from './questions.js';

/** What is asked, and how it is put; how it travels is chosen by who asks it. */
export interface ClientRequest {
  readonly question: Question;
  /** Unique in a run: comes back with the answer. */
  readonly id: string;
  /** Null where none is stated. */
  readonly sloMs: number | null;
  readonly isBestEffort: boolean;
  /** What the client's clock is off by; null where it does not stamp what it sends. */
  readonly clockOffsetMs: number | null;
  /** What the client calls itself; null where its address has to do. */
  readonly client: string | null;
  /** Null for those that wait for their answer. */
  readonly leaveAfterMs: number | null;
}

/** What the client saw, once, and nothing after it. */
export type Reply =
  | { readonly kind: 'answered'; readonly id: string; readonly outputs: readonly Tensor[] }
  | {
      readonly kind: 'refused';
      /** HTTP status or gRPC code; null within a stream, where there is none. */
      readonly status: { readonly http: number } | { readonly grpc: number } | null;
      readonly reason: string | null;
      readonly message: string;
    }
  /** The client went away before it was told. */
  | { readonly kind: 'left' }
  /** The connection ended, or could not be made. */
  | { readonly kind: 'broken'; readonly what: string };

export type Ask = (clientRequest: ClientRequest) => Promise<Reply>;

/** As request parameters; the deadline in µs, as Triton's clients state it. */
export function parametersOf(
  clientRequest: ClientRequest,
  isSloIncluded: boolean,
): Record<string, string | number | boolean> {
  const { sloMs, isBestEffort, clockOffsetMs, client } = clientRequest;
  return {
    ...(sloMs === null || !isSloIncluded ? {} : { timeout: Math.round(sloMs * 1000) }),
    ...(isBestEffort ? { best_effort: true } : {}),
    ...(clockOffsetMs === null ? {} : { sponge_sent_unix_us: Math.round((Date.now() + clockOffsetMs) * 1000) }),
    ...(client === null ? {} : { sponge_client: client }),
  };
}
