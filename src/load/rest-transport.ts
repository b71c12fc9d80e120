import http from 'node:http';
import { binaryMessages, inferPath, jsonMessages, type RestMessage } from '../protocol/client/rest-message.js';
import type { PlannedRequest } from './load-plan.js';
import { byteLengthOf, sendPaced } from './paced-body.js';
import type { LoadTarget } from './target.js';
import { clientHeaders, explanationOf, type CallEvents, type Reply, type Transport } from './transport.js';

/* REST, JSON or with the binary tensor extension. Each client has connections of its own, as phones do. */

/** A reply's JSON part and error texts; more of a reply is read and not kept. */
const MOST_KEPT_BYTES = 256 * 1024;

/**
 * An idle connection is closed by us, before any usual server does it (5 s in Node and Uvicorn): a request that meets the
 * server's own closing is lost without anybody's fault.
 */
const IDLE_MS = 3000;

export class RestTransport implements Transport {
  readonly #target: LoadTarget;
  readonly #nowMs: () => number;
  readonly #clientAddresses: readonly string[] | null;
  readonly #path: string;
  readonly #agents = new Map<number, http.Agent>();
  readonly #message: (sloMs: number) => RestMessage;

  /** @param clientAddresses that each client sends from; null: from any */
  constructor(target: LoadTarget, nowMs: () => number, clientAddresses: readonly string[] | null) {
    this.#target = target;
    this.#nowMs = nowMs;
    this.#clientAddresses = clientAddresses;
    this.#path = `${target.basePath}${inferPath(target.model, target.version)}`;
    this.#message = messages(target);
  }

  send(request: PlannedRequest, events: CallEvents): () => void {
    const { host, port, deadline, authorization } = this.#target;
    const message = this.#message(request.sloMs);
    const call = http.request({
      host,
      port,
      path: this.#path,
      method: 'POST',
      agent: this.#agentOf(request.client),
      headers: {
        ...message.headers,
        'content-length': byteLengthOf(message),
        ...(deadline === 'header' ? { 'request-timeout-ms': request.sloMs.toFixed(3) } : {}),
        ...(authorization === null ? {} : { authorization }),
        ...clientHeaders(request),
      },
    });
    let isOver = false;
    const end = (reply: Reply): void => {
      if (isOver) return;
      isOver = true;
      upload.abort();
      // Answered before all of it was there: the rest is not sent, and the connection is of no use any more.
      if (!call.writableFinished) call.destroy();
      events.onReply(reply, this.#nowMs());
    };
    call.on('response', (response) => readReply(response, end));
    call.on('error', (error: NodeJS.ErrnoException) => end({ kind: 'lost', reason: error.code ?? error.message }));
    // The head goes first, so that the server knows of the request from its first byte on.
    call.flushHeaders();
    const upload = sendPaced(call, message, request.upload, this.#nowMs, (atMs) => events.onSent(atMs));
    return () => {
      isOver = true;
      upload.abort();
      call.destroy();
    };
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  #agentOf(client: number): http.Agent {
    let agent = this.#agents.get(client);
    if (agent === undefined) {
      const localAddress = this.#clientAddresses?.[client];
      agent = new http.Agent({
        keepAlive: true,
        maxSockets: Infinity,
        timeout: IDLE_MS,
        ...(localAddress === undefined ? {} : { localAddress }),
      });
      this.#agents.set(client, agent);
    }
    return agent;
  }
}

export function restBodyBytes(target: LoadTarget): number {
  return byteLengthOf(messages(target)(0));
}

/** The request by its SLO, which is a part of its head only where a parameter states it. */
function messages(target: LoadTarget): (sloMs: number) => RestMessage {
  const messageWith = target.protocol === 'rest-json' ? jsonMessages(target) : binaryMessages(target);
  if (target.deadline === 'parameter') return (sloMs) => messageWith({ timeout: Math.ceil(sloMs * 1000) });
  const message = messageWith({});
  return () => message;
}

function readReply(response: http.IncomingMessage, end: (reply: Reply) => void): void {
  const kept: Buffer[] = [];
  let keptBytes = 0;
  response.on('data', (chunk: Buffer) => {
    if (keptBytes >= MOST_KEPT_BYTES) return;
    kept.push(chunk);
    keptBytes += chunk.length;
  });
  response.on('end', () => end(replyOf(response, Buffer.concat(kept))));
  response.on('close', () => end({ kind: 'lost', reason: 'reply cut off' }));
}

function replyOf({ statusCode = 0, headers }: http.IncomingMessage, body: Buffer): Reply {
  if (statusCode !== 200) {
    const reason = headers['x-sponge-reason'];
    return { kind: 'refused', reason: typeof reason === 'string' ? reason : `HTTP ${statusCode}` };
  }
  const headBytes = Number(headers['inference-header-content-length'] ?? NaN);
  return { kind: 'answered', explanation: explanationOf(parametersIn(body, headBytes)) };
}

/**
 * Of a JSON reply with large outputs only the beginning is there, and parsing all of it would cost more than it tells: the
 * parameters are cut out. Nothing is told where they are not found.
 */
function parametersIn(body: Buffer, headBytes: number): Readonly<Record<string, unknown>> {
  const text = body.toString(
    'utf8',
    0,
    Math.min(body.length, Number.isFinite(headBytes) ? headBytes : MOST_KEPT_BYTES),
  );
  const match = /"parameters":(\{[^{}]*"sponge_[^{}]*\})/.exec(text);
  if (match === null) return {};
  try {
    return JSON.parse(match[1]!) as Record<string, unknown>;
  } catch {
    return {};
  }
}
