import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { explainListenError } from '../listen-error.js';
import { CONTENT_TYPE } from './exposition.js';
import { makeRoom } from './room-for-more.js';

/* What `sponge route` and `sponge operate` tell of themselves: a few pages that are only read. */

export interface Page {
  /** 200 where nothing is said. */
  readonly status?: number;
  readonly contentType: string;
  readonly body: string;
}

export interface PageServerOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** That chooses another port, for messages. */
  readonly portFlag: string;
  /** By path; each is made when it is asked for. */
  readonly pages: Readonly<Record<string, () => Page>>;
}

export interface PageServer {
  readonly port: number;
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 64;
const MAX_HEADER_BYTES = 8 * 1024;
const REQUEST_TIMEOUT_MS = 5000;

/** @throws Error of one line */
export function startPageServer({ host, port, portFlag, pages }: PageServerOptions): Promise<PageServer> {
  const known = new Map(Object.entries(pages));
  const server = http.createServer(
    { maxHeaderSize: MAX_HEADER_BYTES, requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
    ({ method, url = '' }, response) => {
      const make = known.get(url.split('?', 1)[0]!);
      if (method !== 'GET') send(response, textPage('only GET here\n', 405));
      else send(response, make?.() ?? textPage(`not found: here are ${[...known.keys()].join(', ')}\n`, 404));
    },
  );
  makeRoom(server, MAX_CONNECTIONS);
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(new Error(explainListenError(error, host, port, portFlag), { cause: error })),
    );
    server.listen(port, host, () => {
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

export function metricsPage(body: string): Page {
  return { contentType: CONTENT_TYPE, body };
}

/** @param data plain */
export function jsonPage(data: unknown): Page {
  return { contentType: 'application/json', body: `${JSON.stringify(data, null, 2)}\n` };
}

export function textPage(body: string, status = 200): Page {
  return { status, contentType: 'text/plain', body };
}

function send(response: http.ServerResponse, { status = 200, contentType, body }: Page): void {
  response.writeHead(status, { 'Content-Type': contentType, 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
}
