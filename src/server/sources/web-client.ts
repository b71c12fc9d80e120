import * as http from 'node:http';
import * as https from 'node:https';
import { isIP, type Socket } from 'node:net';
import * as tls from 'node:tls';
import { SERVER_VERSION } from '../version.js';
import { titleOf } from './location.js';
import { proxyFor } from './proxies.js';
import { SourceError } from './source-error.js';

/*
 * GET and HEAD over HTTP, as fetching large files wants it: redirects are followed a few times, never from https to http, and what
 * says who asks is made anew for every hop; a connection on which nothing comes is given up; bodies are streams. `fetch` knows no
 * proxy of the environment, decodes what must stay as it is, and does not say whether a body came whole.
 */

export interface WebRequest {
  readonly method: 'GET' | 'HEAD';
  readonly url: URL;
  /** For each hop: what is secret goes to its own host alone, what is signed is signed for that host. */
  readonly headersFor: (url: URL) => Readonly<Record<string, string>>;
  /** Where a redirect to another host is the answer already. */
  readonly staysOnHost?: boolean;
}

export interface WebResponse {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  /** To be read or destroyed. */
  readonly body: http.IncomingMessage;
  /** Where it came from in the end. */
  readonly url: URL;
}

/** As browsers and Hugging Face's client have it, roughly; each one costs a round trip. */
const MOST_REDIRECTS = 8;
/** Side by side, of one host. */
const MOST_CONNECTIONS = 8;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

export interface WebClientOptions {
  /** Nothing was sent or received for so long: the connection is dead. */
  readonly silenceMs: number;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Somebody else's fault, at a level below HTTP. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
}

export class WebClient {
  readonly #options: WebClientOptions;
  readonly #http = new http.Agent({ keepAlive: true, maxSockets: MOST_CONNECTIONS });
  readonly #https = new https.Agent({ keepAlive: true, maxSockets: MOST_CONNECTIONS });

  constructor(options: WebClientOptions) {
    this.#options = options;
  }

  /** Ends the connections that are kept. */
  close(): void {
    this.#http.destroy();
    this.#https.destroy();
  }

  /**
   * @throws ConnectionError where nobody answers; SourceError where redirects lead nowhere; the signal's reason
   */
  async ask(request: WebRequest, signal: AbortSignal): Promise<WebResponse> {
    let { url } = request;
    for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
      const body = await this.#hop(request.method, url, request.headersFor(url), signal);
      const status = body.statusCode!;
      const { location } = body.headers;
      if (!REDIRECTS.has(status) || location === undefined) return { status, headers: body.headers, body, url };
      const next = nextHop(url, location);
      if (request.staysOnHost === true && next.host !== url.host) return { status, headers: body.headers, body, url };
      body.destroy();
      url = next;
    }
    throw new SourceError(`${titleOf(request.url)} is redirected more than ${MOST_REDIRECTS} times: check the URL`);
  }

  async #hop(
    method: 'GET' | 'HEAD',
    url: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<http.IncomingMessage> {
    signal.throwIfAborted();
    const proxy = proxyFor(url, this.#options.env);
    const common = { 'User-Agent': `sponge/${SERVER_VERSION}`, 'Accept-Encoding': 'identity', ...headers };
    if (proxy === null) {
      const isSecure = url.protocol === 'https:';
      const options = { method, headers: common, agent: isSecure ? this.#https : this.#http, signal };
      return this.#answer(isSecure ? https.request(url, options) : http.request(url, options), url, signal);
    }
    const credentials = proxyCredentials(proxy);
    if (url.protocol === 'http:') {
      const { hostname: host, port } = proxy;
      const through = { host, port: port || 80, path: url.href, method, agent: this.#http, signal };
      const own = { ...common, Host: url.host, ...credentials };
      return this.#answer(http.request({ ...through, headers: own }), url, signal);
    }
    const tunnel = await this.#tunnel(proxy, url, credentials, signal);
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const secure = tls.connect({ socket: tunnel, host, ...(isIP(host) === 0 ? { servername: host } : {}) });
    const through = { method, headers: common, createConnection: () => secure, signal };
    return this.#answer(https.request(url, through), url, signal);
  }

  #answer(request: http.ClientRequest, url: URL, signal: AbortSignal): Promise<http.IncomingMessage> {
    const { silenceMs } = this.#options;
    return new Promise((resolve, reject) => {
      request.setTimeout(silenceMs, () =>
        request.destroy(new ConnectionError(`nothing came from ${url.host} for ${silenceMs / 1000} s`)),
      );
      request.once('response', resolve);
      request.on('error', (error) => reject(signal.aborted ? (signal.reason as Error) : connectionError(error, url)));
      request.end();
    });
  }

  /** A connection to the host that the proxy passes on. */
  async #tunnel(
    proxy: URL,
    url: URL,
    credentials: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Socket> {
    const authority = `${url.hostname}:${url.port || '443'}`;
    const headers = { Host: authority, ...credentials };
    const request = http.request({
      ...{ host: proxy.hostname, port: proxy.port || 80, method: 'CONNECT', path: authority, headers, signal },
    });
    return new Promise((resolve, reject) => {
      request.setTimeout(this.#options.silenceMs, () =>
        request.destroy(new ConnectionError(`the proxy ${proxy.host} does not answer`)),
      );
      request.once('connect', ({ statusCode }, socket: Socket) => {
        request.setTimeout(0);
        if (statusCode === 200) {
          resolve(socket);
          return;
        }
        socket.destroy();
        reject(new SourceError(`the proxy ${proxy.host} does not let ${url.host} through: it answers ${statusCode!}`));
      });
      request.once('error', (error) =>
        reject(signal.aborted ? (signal.reason as Error) : connectionError(error, new URL(`http://${proxy.host}`))),
      );
      request.end();
    });
  }
}

function nextHop(from: URL, location: string): URL {
  if (!URL.canParse(location, from.href)) throw new SourceError(`${titleOf(from)} is redirected to what is no URL`);
  const next = new URL(location, from);
  if (!['http:', 'https:'].includes(next.protocol) || (from.protocol === 'https:' && next.protocol !== 'https:')) {
    throw new SourceError(
      `${titleOf(from)} is redirected to ${titleOf(next)}: not followed from https to ${next.protocol.slice(0, -1)}`,
    );
  }
  // Credentials that a server writes into a URL are for nobody.
  next.username = '';
  next.password = '';
  return next;
}

function proxyCredentials({ username, password }: URL): Readonly<Record<string, string>> {
  if (username === '' && password === '') return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { 'Proxy-Authorization': `Basic ${Buffer.from(pair).toString('base64')}` };
}

/** What the system says of a connection, for people. */
const CAUSES: Readonly<Record<string, string>> = {
  ENOTFOUND: 'there is no host of that name',
  EAI_AGAIN: 'its name cannot be looked up now',
  ECONNREFUSED: 'it refuses connections',
  ECONNRESET: 'it cut the connection',
  EPIPE: 'it cut the connection',
  ETIMEDOUT: 'it does not answer',
  EHOSTUNREACH: 'there is no way to it',
  ENETUNREACH: 'there is no way to it',
};

/** A certificate that is not trusted stays so: not to be tried again. */
function connectionError(error: Error, url: URL): Error {
  if (error instanceof ConnectionError || error instanceof SourceError) return error;
  const { code = '' } = error as NodeJS.ErrnoException;
  const isCertificate = /^(?:CERT_|ERR_TLS_|UNABLE_|DEPTH_|SELF_SIGNED|HOSTNAME_)/.test(code);
  if (isCertificate) {
    return new SourceError(
      `${url.origin}: its certificate is not trusted (${code}): name its CA's file in NODE_EXTRA_CA_CERTS, or use its right name`,
    );
  }
  if (/^ERR_SSL_|^EPROTO$/.test(code)) {
    return new SourceError(`${url.origin}: no TLS connection came about (${code}); does it speak https?`);
  }
  return new ConnectionError(`${url.host}: ${CAUSES[code] ?? error.message}`);
}
