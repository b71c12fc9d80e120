import http from 'node:http';
import https from 'node:https';

/*
 * One call to a server, in clear or with TLS. `fetch` would do, but knows no CA or certificate that is not given to the whole
 * process before it starts.
 */

/** Contents, PEM, as `https.request` takes them. */
export interface ClientTls {
  /** Instead of the CAs that Node knows. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface ServerRequest {
  readonly method: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  /** One after the other. */
  readonly body?: readonly Buffer[];
  readonly signal?: AbortSignal;
  readonly tls: ClientTls;
}

/** Calls that follow one another share a connection; an idle one does not keep the process alive. */
const AGENTS = { http: new http.Agent({ keepAlive: true }), https: new https.Agent({ keepAlive: true }) };

/** Resolves with the head of the answer. @throws Error as Node has it, where there is none */
export function requestServer(url: URL, request: ServerRequest): Promise<http.IncomingMessage> {
  const { method, headers: stated = {}, body = [], signal, tls } = request;
  const byteCount = body.reduce((sum, { length }) => sum + length, 0);
  const headers = body.length === 0 ? stated : { ...stated, 'content-length': byteCount };
  const options = { method, headers, ...(signal === undefined ? {} : { signal }) };
  return new Promise((resolve, reject) => {
    const call =
      url.protocol === 'https:'
        ? https.request(url, { ...options, ...tls, agent: AGENTS.https }, resolve)
        : http.request(url, { ...options, agent: AGENTS.http }, resolve);
    call.on('error', reject);
    for (const part of body) call.write(part);
    call.end();
  });
}
