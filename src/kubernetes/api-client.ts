import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClusterAccess, Credentials } from './cluster-access.js';

/*
 * Calls of the Kubernetes API: bounded in time, bytes and tries, and answered with a value whatever happens. What a refusal means to
 * people is said in `refusals.ts`.
 */

/** JSON of an object of the API. */
export type Json = unknown;

export type ApiAnswer =
  | { readonly kind: 'ok'; readonly status: number; readonly body: Json }
  /** The API server's own words; `reason` as in metav1.Status, '' where it gives none. */
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly reason: string;
      readonly message: string;
      /** That it asks to wait; null where it does not say. */
      readonly retryAfterMs: number | null;
    }
  | { readonly kind: 'unreachable'; readonly message: string };

export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'PUT';
  /** With its query: `/api/v1/namespaces/a/pods/b/resize`. */
  readonly path: string;
  readonly body?: Json;
  /** Of a PATCH: `application/strategic-merge-patch+json` where nothing is said. */
  readonly contentType?: string;
  /** Until it is answered; 10 s by default. */
  readonly timeoutMs?: number;
  /** Times that it is tried in all; 3 by default. Only for what may be done twice. */
  readonly tries?: number;
}

/** An answer that goes on, line by line. */
export interface ApiStream {
  readonly status: number;
  readonly lines: AsyncIterable<string>;
}

/** etcd takes objects of 1.5 MiB; a page of a list is asked for at a size that keeps it far below this. */
const MOST_BODY_BYTES = 16 * 1024 * 1024;
/** One object and what watch puts around it. */
const MOST_LINE_BYTES = 4 * 1024 * 1024;
const TIMEOUT_MS = 10_000;
const TRIES = 3;
const FIRST_PAUSE_MS = 100;
/** What an API server asks for that is busy is honoured up to here; whoever has time tries again later by himself. */
const LONGEST_PAUSE_MS = 5000;
/** A token is good for an hour, and rotated by the kubelet at 80 % of that; who is given a new one should not be refused for long. */
const CREDENTIALS_FOR_MS = 10_000;

export class ApiClient {
  readonly access: ClusterAccess;
  readonly #userAgent: string;
  #credentials: Credentials | null = null;
  #readAtMs = -Infinity;
  #agent: HttpAgent | null = null;
  #isClosed = false;

  constructor(access: ClusterAccess, userAgent: string) {
    this.access = access;
    this.#userAgent = userAgent;
  }

  /** Tries again, with growing pauses, what may be better in a moment. Never throws. */
  async call(call: ApiCall, signal?: AbortSignal): Promise<ApiAnswer> {
    const tries = call.tries ?? TRIES;
    for (let attempt = 1; ; attempt++) {
      const answer = await this.#once(call, signal);
      if (attempt >= tries || signal?.aborted === true || !isWorthAnotherTry(answer)) return answer;
      const asked = answer.kind === 'refused' ? answer.retryAfterMs : null;
      // Many pods are refused at the same moment: half of the pause is chance.
      const pauseMs = FIRST_PAUSE_MS * 2 ** attempt * (0.5 + Math.random() / 2);
      if (asked !== null && asked > LONGEST_PAUSE_MS) return answer;
      await delay(Math.max(pauseMs, asked ?? 0), undefined, { ref: false, ...(signal && { signal }) }).catch(
        () => null,
      );
    }
  }

  /** @throws Error, in one line, where it cannot be begun, or breaks off; its lines end when the API server ends them */
  async stream(path: string, signal: AbortSignal): Promise<ApiStream | ApiAnswer> {
    const response = await this.#send({ method: 'GET', path }, signal);
    const status = response.statusCode ?? 0;
    if (status !== 200) return answerOf(status, response.headers['retry-after'], await bodyOf(response));
    return { status, lines: linesOf(response) };
  }

  close(): void {
    this.#isClosed = true;
    this.#agent?.destroy();
  }

  async #once(call: ApiCall, signal: AbortSignal | undefined): Promise<ApiAnswer> {
    const timeout = AbortSignal.timeout(call.timeoutMs ?? TIMEOUT_MS);
    const both = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
    try {
      const response = await this.#send(call, both);
      const body = await bodyOf(response);
      // A rotated token is read again at once; the next try has it.
      if (response.statusCode === 401) this.#readAtMs = -Infinity;
      return answerOf(response.statusCode ?? 0, response.headers['retry-after'], body);
    } catch (error) {
      const took = timeout.aborted ? `no answer within ${(call.timeoutMs ?? TIMEOUT_MS) / 1000} s` : causeOf(error);
      return { kind: 'unreachable', message: `${this.access.server.host}: ${took}` };
    }
  }

  #send({ method, path, body, contentType }: ApiCall, signal: AbortSignal): Promise<IncomingMessage> {
    if (this.#isClosed) return Promise.reject(new Error('the client is closed'));
    const { token } = this.#current();
    const { server } = this.access;
    const text = body === undefined ? undefined : JSON.stringify(body);
    const type = contentType ?? (method === 'PATCH' ? 'application/strategic-merge-patch+json' : 'application/json');
    const request = server.protocol === 'http:' ? httpRequest : httpsRequest;
    return new Promise((fulfil, reject) => {
      const sent = request(
        `${server.href.replace(/\/$/, '')}${path}`,
        {
          method,
          agent: this.#agent!,
          signal,
          headers: {
            accept: 'application/json',
            'user-agent': this.#userAgent,
            ...(token === null ? {} : { authorization: `Bearer ${token}` }),
            ...(text === undefined ? {} : { 'content-type': type, 'content-length': Buffer.byteLength(text) }),
          },
        },
        fulfil,
      );
      sent.on('error', reject);
      sent.end(text);
    });
  }

  /** Read again now and then; a new CA or certificate is a new connection. */
  #current(): Credentials {
    const nowMs = performance.now();
    if (this.#credentials !== null && nowMs - this.#readAtMs < CREDENTIALS_FOR_MS) return this.#credentials;
    let read: Credentials;
    try {
      read = this.access.readCredentials();
    } catch (error) {
      // In the moment of a rotation; what was good until now may still be.
      if (this.#credentials === null) throw error;
      return this.#credentials;
    }
    this.#readAtMs = nowMs;
    if (this.#agent === null || !isSameTls(this.#credentials, read)) {
      this.#agent?.destroy();
      this.#agent = this.#agentFor(read);
    }
    this.#credentials = read;
    return read;
  }

  #agentFor({ ca, clientCertificate }: Credentials): HttpAgent {
    const bounds = { keepAlive: true, maxSockets: 8, timeout: 0 };
    if (this.access.server.protocol === 'http:') return new HttpAgent(bounds);
    return new HttpsAgent({
      ...bounds,
      ...(ca === undefined ? {} : { ca }),
      ...(clientCertificate ?? {}),
      rejectUnauthorized: !this.access.isServerTrustedBlindly,
    });
  }
}

function isSameTls(before: Credentials | null, { ca, clientCertificate }: Credentials): boolean {
  const isSame = (a: Buffer | undefined, b: Buffer | undefined): boolean =>
    a === b || (a !== undefined && b !== undefined && a.equals(b));
  return (
    before !== null &&
    isSame(before.ca, ca) &&
    isSame(before.clientCertificate?.cert, clientCertificate?.cert) &&
    isSame(before.clientCertificate?.key, clientCertificate?.key)
  );
}

/** A conflict is one of two writers at the same instant; 401 may be a token that has just been rotated. */
function isWorthAnotherTry(answer: ApiAnswer): boolean {
  if (answer.kind === 'ok') return false;
  return answer.kind === 'unreachable' || [401, 409, 429, 500, 502, 503, 504].includes(answer.status);
}

function answerOf(status: number, retryAfter: string | undefined, text: string): ApiAnswer {
  let body: Json = null;
  try {
    body = JSON.parse(text);
  } catch {
    // A proxy between us and the API server answers in its own way.
  }
  if (status >= 200 && status < 300 && body !== null) return { kind: 'ok', status, body };
  const { reason, message } = (body ?? {}) as { reason?: unknown; message?: unknown };
  const seconds = Number(retryAfter);
  return {
    kind: 'refused',
    status,
    reason: typeof reason === 'string' ? reason : '',
    message: typeof message === 'string' ? message.slice(0, 500) : text.slice(0, 200).replaceAll(/\s+/g, ' '),
    retryAfterMs: retryAfter === undefined || !(seconds >= 0) ? null : seconds * 1000,
  };
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let byteCount = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    byteCount += chunk.length;
    if (byteCount > MOST_BODY_BYTES) {
      response.destroy();
      throw new Error(`an answer of more than ${MOST_BODY_BYTES / 1024 ** 2} MiB`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function* linesOf(response: IncomingMessage): AsyncIterable<string> {
  let rest: Buffer[] = [];
  let byteCount = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(10, from); end !== -1; end = chunk.indexOf(10, from)) {
      yield Buffer.concat([...rest, chunk.subarray(from, end)]).toString();
      rest = [];
      byteCount = 0;
      from = end + 1;
    }
    rest.push(chunk.subarray(from));
    byteCount += chunk.length - from;
    if (byteCount > MOST_LINE_BYTES) throw new Error(`a line of more than ${MOST_LINE_BYTES / 1024 ** 2} MiB`);
  }
}

function causeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === undefined || message.includes(code) ? message : `${code} ${message}`;
}
