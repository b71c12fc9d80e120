import { serveRequests } from '../harness/helper.js';
import { closedLoopHttp, holdHttp, pacedHttp, type HttpTarget } from './http-client.js';
import { closedLoopGrpc, holdGrpc, type GrpcTarget } from './grpc-client.js';

/** What a client process can be asked to do. */
export type LoadRequest =
  | {
      readonly kind: 'closed-loop';
      readonly target: HttpTarget | GrpcTarget;
      /** Connections with one request in flight each. */
      readonly connectionCount: number;
      readonly until: Until;
    }
  /** So many requests a second over HTTP, whatever becomes of them. */
  | { readonly kind: 'paced'; readonly target: HttpTarget; readonly ratePerSec: number; readonly durationMs: number }
  /** Opens connections and keeps them. */
  | { readonly kind: 'connect'; readonly target: HttpTarget | GrpcTarget; readonly connectionCount: number }
  /** Sends requests over them, evenly, and does not wait for the answers. */
  | { readonly kind: 'send'; readonly requestCount: number };

/** Whichever comes first. */
export interface Until {
  readonly requestCount: number;
  readonly durationMs: number;
}

export interface LoadResult {
  readonly elapsedMs: number;
  /** Last byte handed to the kernel may be later than the start; first byte out → last byte in, of each request. */
  readonly latenciesMs: readonly number[];
  /** HTTP statuses with the reason of a refusal, or gRPC statuses as `grpc-<code>`. */
  readonly statusCounts: Readonly<Record<string, number>>;
}

let send: ((requestCount: number) => void) | null = null;

const NOTHING: LoadResult = { elapsedMs: 0, latenciesMs: [], statusCounts: {} };

serveRequests(async (request: LoadRequest): Promise<LoadResult> => {
  switch (request.kind) {
    case 'closed-loop': {
      const { target, connectionCount, until } = request;
      return target.protocol === 'http'
        ? closedLoopHttp(target, connectionCount, until)
        : closedLoopGrpc(target, connectionCount, until);
    }
    case 'paced':
      return pacedHttp(request.target, request.ratePerSec, request.durationMs);
    case 'connect': {
      const { target, connectionCount } = request;
      send =
        target.protocol === 'http' ? await holdHttp(target, connectionCount) : await holdGrpc(target, connectionCount);
      return NOTHING;
    }
    case 'send':
      if (send === null) throw new Error('no connections');
      send(request.requestCount);
      return NOTHING;
  }
});
