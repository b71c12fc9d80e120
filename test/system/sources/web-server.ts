import { createHash } from 'node:crypto';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';

/* A server of files on loopback, as well behaved as it is told to be. */

export interface Asked {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** How the next answer goes wrong; each counts once. */
export type Fault =
  /** The connection ends after so many bytes of the body. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** So many bytes, and then nothing, with the connection open. */
  | { readonly kind: 'silence'; readonly afterBytes: number }
  /** Says that it sends so many bytes. */
  | { readonly kind: 'length'; readonly bytes: number }
  /** A part that was not asked for. */
  | { readonly kind: 'other-part' };

export interface Hosted {
  readonly bytes: Uint8Array;
  /** With quotes; absent: of the bytes. null: none at all. */
  readonly etag?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly knowsRanges?: boolean;
}

type Route = (request: IncomingMessage, response: ServerResponse) => boolean;

export class WebServer {
  readonly asked: Asked[] = [];
  readonly files = new Map<string, Hosted>();
  readonly faults: Fault[] = [];
  /** Before files; true: it has answered. */
  readonly routes: Route[] = [];
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(): Promise<WebServer> {
    const server = new WebServer();
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  host(path: string, bytes: Uint8Array, more: Omit<Hosted, 'bytes'> = {}): string {
    this.files.set(path, { bytes, ...more });
    return `${this.origin}${path}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Requests for a path since the last time it was asked. */
  take(): readonly Asked[] {
    return this.asked.splice(0);
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url = '', headers } = request;
    this.asked.push({ method, url, headers });
    if (this.routes.some((route) => route(request, response))) return;
    const fault = this.faults.shift();
    if (fault?.kind === 'status') {
      response.writeHead(fault.status, fault.headers).end('no');
      return;
    }
    const file = this.files.get(url.split('?')[0]!);
    if (file === undefined) {
      response.writeHead(404).end('<html>not here</html>');
      return;
    }
    sendFile(request, response, file, fault);
  }
}

export function etagOf(bytes: Uint8Array): string {
  return `"${createHash('md5').update(bytes).digest('hex')}"`;
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export function sendFile(
  { headers, method }: IncomingMessage,
  response: ServerResponse,
  { bytes, etag = etagOf(bytes), headers: more = {}, knowsRanges = true }: Hosted,
  fault?: Fault,
): void {
  const said = { ...more, ...(etag === null ? {} : { etag }) };
  if (etag !== null && headers['if-none-match'] === etag) {
    response.writeHead(304, said).end();
    return;
  }
  const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? NaN);
  const isPart =
    knowsRanges &&
    from < bytes.length &&
    [etag, more['last-modified']].includes(headers['if-range'] as string | undefined);
  if (knowsRanges && headers['if-range'] === etag && from >= bytes.length) {
    response.writeHead(416, said).end();
    return;
  }
  const body = isPart ? bytes.subarray(from) : bytes;
  const start = fault?.kind === 'other-part' ? from + 1 : from;
  response.writeHead(isPart ? 206 : 200, {
    ...said,
    'content-length': fault?.kind === 'length' ? fault.bytes : body.length,
    ...(isPart ? { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}),
  });
  if (method === 'HEAD') response.end();
  else if (fault?.kind === 'cut' || fault?.kind === 'silence') {
    response.write(body.subarray(0, fault.afterBytes), () => {
      if (fault.kind === 'cut') response.destroy();
    });
  } else if (fault?.kind === 'length') response.write(body, () => response.destroy());
  else response.end(body);
}
