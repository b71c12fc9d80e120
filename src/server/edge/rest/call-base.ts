import type { FastifyRequest } from 'fastify';
import { headerBudgetsMs, withHeaderParameters } from '../../../protocol/parameters.js';
import { PICK_HEADER } from '../../../protocol/reports.js';
import type { InferCall, InferenceService } from '../../../protocol/service.js';
import type { ReceivedBody } from './context.js';
import { tokenNameOf } from './doorway.js';
import { tracedCall } from './traced-call.js';

/** What a call has of its request, whatever its body says. */
export type CallBase = Pick<InferCall, 'parameters' | 'statedBudgetsMs' | 'arrival' | 'pick' | 'trace'>;

/** @param parameters of its body; those in headers are added */
export function callBase(
  request: FastifyRequest,
  received: ReceivedBody,
  parameters: InferCall['parameters'],
): CallBase {
  const tokenName = tokenNameOf(request);
  const pick = header(request, PICK_HEADER);
  const { trace } = request.callInProgress;
  return {
    parameters: withHeaderParameters(parameters, (name) => header(request, name)),
    statedBudgetsMs: headerBudgetsMs((name) => header(request, name)),
    arrival: {
      firstByteAtMs: received.firstByteAtMs,
      receivedAtMs: received.receivedAtMs,
      routerDelayMs: received.routerDelayMs,
      bodyBytes: received.bytes.length,
      peer: request.raw.socket.remoteAddress ?? '',
      ...(tokenName === undefined ? {} : { tokenName }),
    },
    ...(pick === undefined ? {} : { pick }),
    ...(trace === null ? {} : { trace }),
  };
}

/** From here on its call is followed, where anybody traces. */
export function beginTrace({ traces }: InferenceService, request: FastifyRequest, received: ReceivedBody): void {
  if (traces !== undefined) request.callInProgress.trace = traces.begin(tracedCall(request, received));
}

export function header(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}
