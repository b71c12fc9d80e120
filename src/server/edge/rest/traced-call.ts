import type { FastifyRequest } from 'fastify';
import type { TracedCall } from '../../../protocol/service.js';
import { clientOf } from '../connections.js';

/** Of a path only so much is told: names are no longer. */
const MOST_PATH_CHARACTERS = 512;
/** Beyond so many they are forgotten: clients may put anything behind a `?`. */
const MOST_KNOWN_URLS = 256;

interface Target {
  readonly method: string;
  readonly path: string;
}

/**
 * By what was asked for, as most clients ask for the same again and again: Fastify puts a route's options together each time that they are
 * looked at, which with the rest took half of what a traced request costs the router.
 */
const knownTargets = new Map<string, Target>();

/** An inference call, for whoever traces. @param times of its first and of its last byte */
export function tracedCall(
  request: FastifyRequest,
  { firstByteAtMs, receivedAtMs }: Pick<TracedCall, 'firstByteAtMs' | 'receivedAtMs'>,
): TracedCall {
  const { headers, raw } = request;
  const { method, path } = targetOf(request);
  return {
    protocol: 'encrypted' in raw.socket ? 'https' : 'http',
    method,
    path,
    parent: text(headers['traceparent']),
    state: text(headers['tracestate']),
    peer: clientOf(raw.socket),
    firstByteAtMs,
    receivedAtMs,
  };
}

function targetOf(request: FastifyRequest): Target {
  const { url } = request;
  let target = knownTargets.get(url);
  if (target === undefined) {
    target = {
      // As spans of HTTP servers name routes: `/v2/models/{model}/infer`.
      method: (request.routeOptions.url ?? '').replace(/:(\w+)/g, '{$1}'),
      path: url.split('?', 1)[0]!.slice(0, MOST_PATH_CHARACTERS),
    };
    if (knownTargets.size >= MOST_KNOWN_URLS) knownTargets.clear();
    // Longer ones are no model's, and together would be megabytes.
    if (url.length <= MOST_PATH_CHARACTERS) knownTargets.set(url, target);
  }
  return target;
}

/** Of several of a name, all in one. */
function text(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'object' ? value.join(',') : value;
}
