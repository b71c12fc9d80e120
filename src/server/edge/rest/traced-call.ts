import type { FastifyRequest } from 'fastify';
import type { TracedCall } from '../../../protocol/service.js';
import { clientOf } from '../connections.js';

/** Of a path only so much is told: names are no longer. */
const MOST_PATH_CHARACTERS = 512;

/** An inference call, for whoever traces. @param times of its first and of its last byte */
export function tracedCall(
  request: FastifyRequest,
  { firstByteAtMs, receivedAtMs }: Pick<TracedCall, 'firstByteAtMs' | 'receivedAtMs'>,
): TracedCall {
  const { headers, raw } = request;
  return {
    protocol: 'encrypted' in raw.socket ? 'https' : 'http',
    // As spans of HTTP servers name routes: `/v2/models/{model}/infer`.
    method: (request.routeOptions.url ?? '').replace(/:(\w+)/g, '{$1}'),
    path: request.url.split('?', 1)[0]!.slice(0, MOST_PATH_CHARACTERS),
    parent: text(headers['traceparent']),
    state: text(headers['tracestate']),
    peer: clientOf(raw.socket),
    firstByteAtMs,
    receivedAtMs,
  };
}

/** Of several of a name, all in one. */
function text(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'object' ? value.join(',') : value;
}
