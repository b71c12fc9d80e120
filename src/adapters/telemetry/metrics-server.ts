import http from 'node:http';
import type { AddressInfo } from 'node:net';

/*
 * The metrics port: `GET /metrics` for Prometheus, and a page that says so. Plain `node:http`, so that it answers whatever
 * the serving ports are busy with; a scrape takes a few milliseconds.
 *
 * A stranger can hold little of it: headers of 8 KiB, 64 connections, seconds to send a request. Bodies are not read.
 */

const MAX_HEADER_BYTES = 8 * 1024;
const MAX_CONNECTIONS = 64;
/** A request must be complete this long after its first byte. */
const REQUEST_TIMEOUT_MS = 5_000;
/** Longer than the usual scrape interval of 15 s, so that a scraper keeps its connection. */
const KEEP_ALIVE_MS = 20_000;

const PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sponge</title></head>
<body>
<p>Sponge inference server.</p>
<p><a href="/metrics">Metrics</a> in the Prometheus text format.</p>
</body>
</html>
`;

export interface MetricsServerOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** The exposition; a failure becomes a 500 without its text. */
  render(): Promise<string>;
  readonly contentType: string;
}

export interface MetricsServer {
  readonly port: number;
  /** Stops listening and ends all connections. */
  close(): Promise<void>;
}

/** Resolves once it listens; rejects with one line that names cause and remedy. */
export function startMetricsServer(options: MetricsServerOptions): Promise<MetricsServer> {
  const server = http.createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      requestTimeout: REQUEST_TIMEOUT_MS,
      headersTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: 1_000,
    },
    (request, response) => {
      void answer(options, request, response);
    },
  );
  server.maxConnections = MAX_CONNECTIONS;

  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(new Error(explainListenError(options, error))));
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

async function answer(
  options: MetricsServerOptions,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  const path = (request.url ?? '').split('?', 1)[0];
  if (path !== '/' && path !== '/metrics') {
    send(response, 404, 'text/plain; charset=utf-8', 'not found: here are / and /metrics\n');
  } else if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    send(response, 405, 'text/plain; charset=utf-8', 'only GET and HEAD here\n');
  } else if (path === '/') {
    send(response, 200, 'text/html; charset=utf-8', PAGE);
  } else {
    try {
      send(response, 200, options.contentType, await options.render());
    } catch {
      send(response, 500, 'text/plain; charset=utf-8', 'the metrics could not be rendered\n');
    }
  }
}

/** Node leaves the body out by itself where the request was a HEAD. */
function send(response: http.ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}

function explainListenError({ host, port }: MetricsServerOptions, error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return `metrics port ${port} on ${host} is in use; stop what uses it or choose another with --metrics-port`;
    case 'EACCES':
      return `no right to listen on metrics port ${port}; choose one above 1023 with --metrics-port`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${host} is no address of this machine; choose another with --host`;
    default:
      return `cannot listen on metrics port ${port} on ${host}: ${error.message}`;
  }
}
