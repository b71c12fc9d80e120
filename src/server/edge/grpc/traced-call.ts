import type { IncomingHttpHeaders } from 'node:http2';
import type { TracedCall } from '../../../protocol/service.js';

/** An inference call, for whoever traces. @param times of its first and of its last byte */
export function tracedCall(
  headers: IncomingHttpHeaders,
  peer: string,
  times: Pick<TracedCall, 'firstByteAtMs' | 'receivedAtMs'>,
): TracedCall {
  return {
    protocol: 'grpc',
    // Without the slash in front of it.
    method: (headers[':path'] ?? '').slice(1),
    path: '',
    parent: text(headers['traceparent']),
    state: text(headers['tracestate']),
    peer,
    firstByteAtMs: times.firstByteAtMs,
    receivedAtMs: times.receivedAtMs,
  };
}

/** Of several of a name, all in one. */
function text(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'object' ? value.join(',') : value;
}
