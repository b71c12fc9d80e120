import type { PlannedRequest } from './load-plan.js';

/* How a planned request gets to a server: the seam between the generator and the protocols. */

/** What a server says of how it served a request; null where it does not. */
export interface Explanation {
  readonly budgetMs: number | null;
  readonly networkDelayMs: number | null;
  readonly queuedMs: number | null;
  /** Dispatch → reply of the batch. */
  readonly latencyMs: number | null;
  readonly batchSize: number | null;
  readonly cpuMillicores: number | null;
}

export type Reply =
  | { readonly kind: 'answered'; readonly explanation: Explanation }
  /** The server said no: its reason, or the status where it gives none. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** No answer: the connection was refused or lost. */
  | { readonly kind: 'lost'; readonly reason: string };

export interface CallEvents {
  /** The last byte of the request was taken by the kernel. */
  readonly onSent: (atMs: number) => void;
  /** Once, unless aborted before. @param atMs the last byte of the reply is here */
  readonly onReply: (reply: Reply, atMs: number) => void;
}

export interface Transport {
  /** Begins a request now. Returns what abandons it. */
  send(request: PlannedRequest, events: CallEvents): () => void;
  close(): void;
}

/** The parameters that Sponge answers with (docs/protocol.md). */
export function explanationOf(parameters: Readonly<Record<string, unknown>>): Explanation {
  const numberAt = (key: string): number | null => {
    const value = parameters[key];
    return typeof value === 'number' ? value : null;
  };
  const msAt = (key: string): number | null => {
    const us = numberAt(key);
    return us === null ? null : us / 1000;
  };
  return {
    budgetMs: msAt('sponge_budget_us'),
    networkDelayMs: msAt('sponge_network_delay_us'),
    queuedMs: msAt('sponge_queue_us'),
    latencyMs: msAt('sponge_actual_us'),
    batchSize: numberAt('sponge_batch'),
    cpuMillicores: numberAt('sponge_allocation_millicores'),
  };
}

/** What the client tells of itself and of its upload, by the names of HTTP headers and gRPC metadata. */
export function clientHeaders({ client, declaredUploadMs, sendStampMs }: PlannedRequest): Record<string, string> {
  return {
    'sponge-client': `client-${client}`,
    ...(declaredUploadMs === null ? {} : { 'sponge-upload-us': String(Math.round(declaredUploadMs * 1000)) }),
    // Any epoch will do: the server learns how far off each client's clock is.
    ...(sendStampMs === null ? {} : { 'sponge-sent-unix-us': String(Math.round((EPOCH_MS + sendStampMs) * 1000)) }),
  };
}

const EPOCH_MS = 1.7e12;
