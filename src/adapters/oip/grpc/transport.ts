/*
 * What the API of grpc-js (1.14.7) does not reach. Two things of the HTTP/2 below it matter to requests with deadlines on
 * slow networks:
 *
 * - Flow-control windows. The server's stay at 64 KiB, so that an upload advances by that much a round trip: 600 KB at a
 *   round trip of 50 ms took 0.8 s instead of 0.1 s. (`grpc-node.flow_control_window` acts on clients only; grpc-node
 *   pull request 3058.)
 * - The `grpc-timeout` header, which grpc-js rounds down to whole milliseconds before anyone else sees it.
 *
 * And one matters to memory: it inflates compressed messages as they come, each within the limit on one message and all of
 * them within none.
 *
 * The first two are had from its HTTP/2 server, which it keeps in a private map, the third by replacing a private method:
 * the version is pinned, and one that keeps them elsewhere stops with an error.
 */
import { EventEmitter } from 'node:events';
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Server, ServerInterceptingCallInterface } from '@grpc/grpc-js';

/** Covers the bandwidth-delay product of 100 Mbit/s at 80 ms. What is received is read at once, so it is not held. */
const STREAM_WINDOW_BYTES = 1 << 20;
const CONNECTION_WINDOW_BYTES = 4 << 20;

/**
 * @param server with one connection injector
 * @param onHeaders called with the headers of every call, before and in the same turn as grpc-js handles them
 */
export function tuneTransport(
  server: Server,
  onHeaders: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
): void {
  const http2Server = http2ServerOf(server);
  http2Server.on('session', (session: ServerHttp2Session) => {
    session.settings({ initialWindowSize: STREAM_WINDOW_BYTES });
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
  });
  http2Server.prependListener('stream', onHeaders);
}

/**
 * @param call as the first interceptor is given it
 * @param inflation from a whole message, 5-byte prefix included, and its encoding (`identity` where it is not compressed)
 * to its contents; may reject with a status
 */
export function replaceInflation(
  call: ServerInterceptingCallInterface,
  inflation: (message: Buffer, encoding: string) => Buffer | Promise<Buffer>,
): void {
  if (typeof Reflect.get(call, 'decompressMessage') !== 'function') throw new Error(otherVersion('inflates'));
  Reflect.set(call, 'decompressMessage', inflation);
}

function http2ServerOf(server: Server): EventEmitter {
  const servers: unknown = Reflect.get(server, 'http2Servers');
  if (servers instanceof Map) {
    const [first] = (servers as ReadonlyMap<unknown, unknown>).keys();
    if (isEventEmitter(first)) return first;
  }
  throw new Error(otherVersion('keeps its HTTP/2 server'));
}

function otherVersion(what: string): string {
  return `this version of @grpc/grpc-js ${what} elsewhere than 1.14.7: adapt grpc/transport.ts`;
}

function isEventEmitter(value: unknown): value is EventEmitter {
  return value instanceof EventEmitter;
}
