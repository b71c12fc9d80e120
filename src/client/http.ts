import http from 'node:http';
import https from 'node:https';
import type { ClientTls } from './tls-flags.js';

/*
 * One call to a server, in clear or with TLS. `fetch` would do, but knows no CA or certificate that is not given to the whole
 * process before it starts.
 */

export interface ServerRequest {
  readonly method: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
  readonly signal?: AbortSignal;
  readonly tls: ClientTls;
}

/** Calls that follow one another share a connection; an idle one does not keep the process alive. */
const AGENTS = { http: new http.Agent({ keepAlive: true }), https: new https.Agent({ keepAlive: true }) };

/** Resolves with the head of the answer. @throws Error as Node has it, where there is none */
export function requestServer(url: URL, request: ServerRequest): Promise<http.IncomingMessage> {
  const { method, headers = {}, body, signal, tls } = request;
  const options = { method, headers, ...(signal === undefined ? {} : { signal }) };
  return new Promise((resolve, reject) => {
    const call =
      url.protocol === 'https:'
        ? https.request(url, { ...options, ...tls, agent: AGENTS.https }, resolve)
        : http.request(url, { ...options, agent: AGENTS.http }, resolve);
    call.on('error', reject);
    call.end(body);
  });
}

/**
 * Why a call came to nothing, for people: a certificate that is not trusted is mended otherwise than a server that is not
 * there. Null where nobody answers.
 */
export function tlsTrouble(error: unknown, url: URL): string | null {
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (UNTRUSTED.has(code))
    return `${url.origin} has a certificate that is not trusted here: give its CA with --ca <file>`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `${url.origin} has a certificate of another name: ${message}`;
  if (code === 'CERT_HAS_EXPIRED') return `${url.origin} has a certificate that has expired; renew it at the server`;
  if (/CERTIFICATE_REQUIRED/.test(code)) {
    return `${url.origin} asks for a client certificate: give one with --cert <file> --key <file>`;
  }
  if (/^ERR_SSL_|^EPROTO$/.test(code))
    return `${url.origin}: no TLS connection came about (${code}); does it speak https?`;
  return null;
}

const UNTRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);
