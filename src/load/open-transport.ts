import { GrpcTransport, grpcBodyBytes } from './grpc-transport.js';
import { RestTransport, restBodyBytes } from './rest-transport.js';
import type { LoadTarget } from './target.js';
import type { Transport } from './transport.js';

/** @param clientAddresses that each client sends from; null: from any */
export function openTransport(
  target: LoadTarget,
  nowMs: () => number,
  clientAddresses: readonly string[] | null,
): Transport {
  return target.protocol === 'grpc'
    ? new GrpcTransport(target, nowMs, clientAddresses)
    : new RestTransport(target, nowMs, clientAddresses);
}

/** Of a request's body, without the head that HTTP puts before it. */
export function bodyBytes(target: LoadTarget): number {
  return target.protocol === 'grpc' ? grpcBodyBytes(target) : restBodyBytes(target);
}
