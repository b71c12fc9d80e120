import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import { serveRequests } from '../harness/helper.js';
import { CLASS_COUNT } from '../harness/tensor-models.js';

/*
 * What a server on Node costs that does nothing: reads the whole body and answers with some of its bytes.
 * - POST /echo: as many as it took; POST /short: 4000 at most
 * - `x-delay-ms`: a 504 after that time, by a plain timer
 * - POST /hold: reads, and never answers
 */

export interface EchoPorts {
  readonly http: number;
  readonly http2: number;
  /** Requests that were read and not answered. */
  readonly heldCount: number;
}

/** Clients keep more connections than they use at a time, and find none closed. */
const KEEP_ALIVE_MS = 72_000;

const SHORT_BYTES = 4 * CLASS_COUNT;

function replyTo(path: string | undefined, body: Buffer): Buffer | null {
  if (path === '/hold') return null;
  return path === '/short' ? body.subarray(0, SHORT_BYTES) : body;
}

function whole(stream: NodeJS.ReadableStream, use: (body: Buffer) => void): void {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('end', () => use(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
}

/** What is held must stay reachable, as in a queue. */
const held: Buffer[] = [];

const http = createHttpServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request: IncomingMessage, response) => {
  whole(request, (body) => {
    const delay = request.headers['x-delay-ms'];
    const reply = replyTo(request.url, body);
    if (delay !== undefined) {
      setTimeout(() => response.writeHead(504, { 'content-length': 0 }).end(), Number(delay));
    } else if (reply === null) held.push(body);
    else response.writeHead(200, { 'content-length': reply.length }).end(reply);
  });
});

// gRPC's requests all go to one path: whether to answer briefly or not at all is said once, by message.
let http2Path = '/echo';
const http2 = createHttp2Server({ settings: { initialWindowSize: 1 << 20, maxConcurrentStreams: 100_000 } });
http2.on('session', (session) => session.setLocalWindowSize(4 << 20));
http2.on('stream', (stream) => {
  stream.on('error', () => undefined);
  whole(stream, (body) => {
    const reply = replyTo(http2Path, body);
    if (reply === null) {
      held.push(body);
      return;
    }
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(reply);
  });
});

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 }, () => resolve((server.address() as AddressInfo).port));
  });
}

serveRequests(async (path: string): Promise<EchoPorts> => {
  http2Path = path;
  for (const server of [http, http2]) if (!server.listening) await listen(server);
  return {
    http: (http.address() as AddressInfo).port,
    http2: (http2.address() as AddressInfo).port,
    heldCount: held.length,
  };
});
