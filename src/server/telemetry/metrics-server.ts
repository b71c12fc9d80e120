import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { CHALLENGE, Door } from '../doors/door.js';
import type { RefusalCause, Right, Verdict } from '../doors/door.js';
import { hostCountOf } from '../doors/host-count.js';
import { LOGIN_PAGE, readToken, sessionCookie, sessionFrom, wantsPage } from '../doors/login.js';
import type { ServerTls } from '../tls/server-tls.js';
import type { LiveFeed } from './live-feed.js';
import type { PageFile, PageFiles } from './page-files.js';
import { makeRoom } from './room-for-more.js';
import { explainListenError } from '../listen-error.js';

/*
 * The metrics port: `GET /metrics` for Prometheus, the dashboard at `/`, and its live feed at `/events` (server-sent
 * events). Plain `node:http`, so that it answers whatever the serving ports are busy with; a scrape takes a few milliseconds.
 *
 * A stranger can hold little of it: headers of 8 KiB, 64 connections, seconds to send a request, and of the feed what
 * `live-feed.ts` says. No body is read but a login's, and a path is only ever looked up in a table.
 *
 * `Door` says who is let in. A server that listens on this machine alone is private, but any page in a browser here may name a
 * host that leads to it (DNS rebinding): page and feed are then only for requests that call it by a name of this machine.
 * Where tokens are asked for, a browser shows its own in a form, and has a cookie from then on.
 */

const MAX_HEADER_BYTES = 8 * 1024;
const MAX_CONNECTIONS = 64;
/** A request must be complete this long after its first byte. */
const REQUEST_TIMEOUT_MS = 5_000;
/** Longer than the usual scrape interval of 15 s, so that a scraper keeps its connection. */
const KEEP_ALIVE_MS = 20_000;

/**
 * Of a feed's connection while nothing is under way on it. Heartbeats are, every second: what they are not answered with for
 * a quarter of an hour ends it (Linux, tcp_retries2), so these only help where the feed has stopped writing.
 */
const PROBE_MS = 15_000;

/** What there is without the dashboard's files. */
const BARE_PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sponge</title></head>
<body>
<p>Sponge inference server.</p>
<p><a href="/metrics">Metrics</a> in the Prometheus text format.</p>
<p>The dashboard is not built here: run <code>npm run build</code> and start the server from the built package.</p>
</body>
</html>
`;

const HTML = 'text/html; charset=utf-8';
const TEXT = 'text/plain; charset=utf-8';

/** Everything from here alone, and in no other site's frame; styles that scripts set on elements need no permission. */
const PAGE_HEADERS = {
  'Cache-Control': 'no-cache',
  'Content-Security-Policy':
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
};

export interface MetricsServerOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** The exposition; a failure becomes a 500 without its text. */
  render(): string | Promise<string>;
  readonly contentType: string;
  /** Null where they were not built. */
  readonly page: PageFiles | null;
  readonly feed: LiveFeed;
  /** Absent: for everybody but pages of other sites. */
  readonly door?: Door;
  /** Told of whom it did not let in. */
  readonly onRefused?: (cause: RefusalCause) => void;
  /** Absent: in clear. */
  readonly tls?: ServerTls | undefined;
}

export interface MetricsServer {
  readonly port: number;
  /** Stops listening and ends all connections. */
  close(): Promise<void>;
}

/** Resolves once it listens; rejects with one line that names cause and remedy. */
export function startMetricsServer(options: MetricsServerOptions): Promise<MetricsServer> {
  const door = options.door ?? new Door(options);
  const server = createServer(options.tls, (request, response) => {
    void answer(options, door, request, response);
  });
  makeRoom(server, MAX_CONNECTIONS);

  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new Error(explainListenError(error, options.host, options.port, '--metrics-port'))),
    );
    server.listen(options.port, options.host, () => {
      resolve({
        port: (server.address() as AddressInfo).port,
        close: () =>
          new Promise((closed) => {
            server.close(() => closed());
            server.closeAllConnections();
          }),
      });
    });
  });
}

function createServer(tls: ServerTls | undefined, listener: http.RequestListener): http.Server | https.Server {
  const options: http.ServerOptions = {
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    headersTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: 1_000,
  };
  if (tls === undefined) return http.createServer(options, listener);
  const server = https.createServer({ ...options, ...tls.serverOptions }, listener);
  tls.attach(server);
  return server;
}

async function answer(
  options: MetricsServerOptions,
  door: Door,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0]!;
  const file = options.page?.get(path);
  const isLogin = path === '/login' && request.method === 'POST' && door.tokens !== null;
  const verdict = admit(door, request, isLogin ? 'none' : 'read');
  if (verdict.kind === 'refused') {
    options.onRefused?.(verdict.cause);
    refuse(verdict, request, response);
  } else if (isLogin) {
    await logIn(options, door, request, response);
  } else if (file === undefined && path !== '/' && path !== '/metrics' && path !== '/events') {
    send(response, 404, TEXT, 'not found: here are /, /metrics and /events\n');
  } else if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    send(response, 405, TEXT, 'only GET and HEAD here\n');
  } else if (path !== '/metrics' && door.isPrivate && !door.isOwnHost(request.headers.host)) {
    options.onRefused?.('forbidden');
    send(response, 403, TEXT, 'this server is for its own machine: call it localhost, 127.0.0.1 or [::1]\n');
  } else if (path === '/events') {
    answerWithFeed(options.feed, request, response);
  } else if (path === '/metrics') {
    try {
      send(response, 200, options.contentType, await options.render());
    } catch {
      send(response, 500, TEXT, 'the metrics could not be rendered\n');
    }
  } else {
    answerWithPage(file, request, response);
  }
}

function answerWithPage(
  file: PageFile | undefined,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): void {
  if (file === undefined) {
    sendPage(response, 200, HTML, BARE_PAGE);
    return;
  }
  response.setHeader('ETag', file.etag);
  if (request.headers['if-none-match'] !== file.etag) sendPage(response, 200, file.contentType, file.body);
  else {
    for (const [name, value] of Object.entries(PAGE_HEADERS)) response.setHeader(name, value);
    response.writeHead(304).end();
  }
}

function answerWithFeed(feed: LiveFeed, request: http.IncomingMessage, response: http.ServerResponse): void {
  const { socket } = request;
  // A request sent before the last answer was complete: this answer has its turn after that one, which may be endless.
  if (response.socket === null) {
    send(response, 400, TEXT, 'the events need a connection of their own\n');
    return;
  }
  const address = socket.remoteAddress ?? '';
  if (request.method !== 'HEAD' && !feed.makeRoom(address)) {
    send(response, 503, TEXT, 'as many watch these events as may; close a dashboard or a sponge watch and try again\n');
    return;
  }
  response.writeHead(200, {
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-cache',
    'X-Content-Type-Options': 'nosniff',
  });
  if (request.method === 'HEAD') response.end();
  else {
    socket.setKeepAlive(true, PROBE_MS);
    socket.once('close', feed.subscribe(response, address));
  }
}

function admit(door: Door, request: http.IncomingMessage, right: Right): Verdict {
  const { method = '', headers } = request;
  const head = { method, headers, host: headers.host, hostCount: hostCountOf(request) };
  return door.admit(head, right, sessionFrom(request));
}

const REFUSAL_STATUS: Readonly<Record<RefusalCause, number>> = { invalid: 400, unauthenticated: 401, forbidden: 403 };

function refuse(
  { cause, message }: Extract<Verdict, { kind: 'refused' }>,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): void {
  if (cause === 'unauthenticated') response.setHeader('WWW-Authenticate', CHALLENGE);
  if (cause === 'unauthenticated' && wantsPage(request)) sendPage(response, 401, HTML, LOGIN_PAGE);
  else send(response, REFUSAL_STATUS[cause], TEXT, `${message}\n`);
}

async function logIn(
  { onRefused }: MetricsServerOptions,
  { tokens }: Door,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const token = await readToken(request);
  if (token === null || tokens === null || tokens.identify(token) === null) {
    onRefused?.('unauthenticated');
    response.setHeader('Connection', 'close');
    sendPage(response, 401, HTML, LOGIN_PAGE);
    return;
  }
  response.writeHead(303, { Location: '/', 'Set-Cookie': sessionCookie(request, tokens.sessionOf(token)) }).end();
}

function sendPage(response: http.ServerResponse, status: number, contentType: string, body: string | Buffer): void {
  for (const [name, value] of Object.entries(PAGE_HEADERS)) response.setHeader(name, value);
  send(response, status, contentType, body);
}

/** Node leaves the body out by itself where the request was a HEAD. */
function send(response: http.ServerResponse, status: number, contentType: string, body: string | Buffer): void {
  response.writeHead(status, { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}
