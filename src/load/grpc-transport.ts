import http2 from 'node:http2';
import net from 'node:net';
import { answeredParameters, GRPC_SERVICE, grpcMessages, type GrpcMessage } from '../protocol/client/grpc-message.js';
import { framedMessage, PREFIX_BYTES } from '../protocol/grpc/framing.js';
import type { PlannedRequest } from './load-plan.js';
import { byteLengthOf, sendPaced } from './paced-body.js';
import type { LoadTarget } from './target.js';
import { clientHeaders, explanationOf, type CallEvents, type Reply, type Transport } from './transport.js';

/*
 * gRPC calls by hand on Node's HTTP/2: a gRPC library sends a message as fast as it can, and an upload has to be as slow as
 * its network. One connection a client.
 */

/** So that no reply waits for the client to open its window. */
const WINDOW_BYTES = 4 * 1024 ** 2;
/** More of a reply is read and not kept. */
const MOST_REPLY_BYTES = 16 * 1024 ** 2;
/** For a question about the server. */
const ASK_MS = 10_000;

export class GrpcTransport implements Transport {
  readonly #target: LoadTarget;
  readonly #nowMs: () => number;
  readonly #clientAddresses: readonly string[] | null;
  readonly #sessions = new Map<number, http2.ClientHttp2Session>();
  readonly #message: (sloMs: number) => GrpcMessage;

  /** @param clientAddresses that each client sends from; null: from any */
  constructor(target: LoadTarget, nowMs: () => number, clientAddresses: readonly string[] | null) {
    this.#target = target;
    this.#nowMs = nowMs;
    this.#clientAddresses = clientAddresses;
    this.#message = messages(target);
  }

  send(request: PlannedRequest, events: CallEvents): () => void {
    const { deadline, authorization } = this.#target;
    const headers = {
      ...(deadline === 'header' ? { 'grpc-timeout': grpcTimeout(request.sloMs) } : {}),
      ...(authorization === null ? {} : { authorization }),
      ...clientHeaders(request),
    };
    const stream = openCall(this.#sessionOf(request.client), 'ModelInfer', headers);
    let isOver = false;
    readCall(stream, (answer) => {
      if (isOver) return;
      isOver = true;
      body.abort();
      events.onReply(replyOf(answer), this.#nowMs());
    });
    const body = sendPaced(stream, this.#message(request.sloMs), request.upload, this.#nowMs, (atMs) =>
      events.onSent(atMs),
    );
    return () => {
      isOver = true;
      body.abort();
      stream.close(http2.constants.NGHTTP2_CANCEL);
    };
  }

  close(): void {
    for (const session of this.#sessions.values()) session.destroy();
  }

  #sessionOf(client: number): http2.ClientHttp2Session {
    let session = this.#sessions.get(client);
    if (session === undefined || session.closed || session.destroyed) {
      session = openSession(this.#target, this.#clientAddresses?.[client]);
      this.#sessions.set(client, session);
    }
    return session;
  }
}

/** @returns the reply's message   @throws Error, one line, for every other status than OK */
export async function callGrpc(
  target: Pick<LoadTarget, 'host' | 'port' | 'authorization'>,
  method: string,
  message: Uint8Array,
): Promise<Buffer> {
  const { authorization } = target;
  const session = openSession(target);
  try {
    const answer = await new Promise<CallAnswer>((resolve) => {
      const stream = openCall(session, method, authorization === null ? {} : { authorization });
      readCall(stream, resolve);
      stream.setTimeout(ASK_MS, () => stream.destroy(new Error(`no answer after ${ASK_MS / 1000} s`)));
      stream.end(framedMessage(message));
    });
    if (answer.status !== '0' || answer.body === null)
      throw new Error(answer.message === '' ? answer.status : decodedMessage(answer.message));
    return answer.body;
  } finally {
    session.destroy();
  }
}

/** Percent-encoded, as gRPC has it; as it is where it is not. */
function decodedMessage(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}

function openSession(
  { host, port }: Pick<LoadTarget, 'host' | 'port'>,
  localAddress?: string,
): http2.ClientHttp2Session {
  const session = http2.connect(`http://${host.includes(':') ? `[${host}]` : host}:${port}`, {
    ...(localAddress === undefined
      ? {}
      : { createConnection: () => net.connect({ host, port, localAddress, noDelay: true }) }),
    settings: { initialWindowSize: WINDOW_BYTES },
    peerMaxConcurrentStreams: 100_000,
    // Node ends a session that holds more than this, MB: so many uploads may wait for a server that does not read.
    maxSessionMemory: 1000,
  });
  // Each call hears of it by its stream.
  session.on('error', () => undefined);
  session.once('connect', () => session.setLocalWindowSize(WINDOW_BYTES));
  return session;
}

function openCall(
  session: http2.ClientHttp2Session,
  method: string,
  headers: Readonly<Record<string, string>>,
): http2.ClientHttp2Stream {
  return session.request({
    ':method': 'POST',
    ':path': `${GRPC_SERVICE}/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
}

interface CallAnswer {
  /** A gRPC status code, `HTTP <status>` where something else than a gRPC server answered, or why there is no answer. */
  readonly status: string;
  readonly message: string;
  readonly reason: string | null;
  /** Null where the reply is larger than anybody wants to hold. */
  readonly body: Buffer | null;
}

function readCall(stream: http2.ClientHttp2Stream, onEnd: (answer: CallAnswer) => void): void {
  const chunks: Buffer[] = [];
  let byteCount = 0;
  const answered: Record<string, string | undefined> = {};
  let failure: string | null = null;
  const read = (headers: http2.IncomingHttpHeaders): void => {
    for (const name of ['grpc-status', 'grpc-message', 'x-sponge-reason'] as const) {
      const value = headers[name];
      if (typeof value === 'string') answered[name] = value;
    }
    const status: unknown = headers[http2.constants.HTTP2_HEADER_STATUS];
    if (typeof status === 'number' && status !== 200) failure = `HTTP ${status}`;
  };
  stream.on('response', read).on('trailers', read);
  stream.on('data', (chunk: Buffer) => {
    byteCount += chunk.length;
    if (byteCount <= MOST_REPLY_BYTES) chunks.push(chunk);
  });
  // Answered before all of the request was there: the rest is not sent.
  stream.on('end', () => {
    if (!stream.writableFinished) stream.close(http2.constants.NGHTTP2_NO_ERROR);
  });
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // A stream that its connection took along says so, and only its cause says why.
    const cause = error.cause as NodeJS.ErrnoException | undefined;
    failure ??= cause?.code ?? error.code ?? error.message;
  });
  stream.on('close', () => {
    onEnd({
      status: answered['grpc-status'] ?? failure ?? 'connection lost',
      message: answered['grpc-message'] ?? '',
      reason: answered['x-sponge-reason'] ?? null,
      body: byteCount <= MOST_REPLY_BYTES ? Buffer.concat(chunks).subarray(PREFIX_BYTES) : null,
    });
  });
}

function replyOf({ status, reason, body }: CallAnswer): Reply {
  if (status.startsWith('HTTP ')) return { kind: 'refused', reason: status };
  if (!/^\d+$/.test(status)) return { kind: 'lost', reason: status };
  if (status !== '0') return { kind: 'refused', reason: reason ?? `gRPC status ${status}` };
  if (body === null) return { kind: 'answered', explanation: explanationOf({}) };
  try {
    return { kind: 'answered', explanation: explanationOf(answeredParameters(body)) };
  } catch {
    return { kind: 'lost', reason: 'no ModelInferResponse' };
  }
}

/** The request by its SLO, which is a part of its head only where a parameter states it. */
function messages(target: LoadTarget): (sloMs: number) => GrpcMessage {
  const messageWith = grpcMessages(target.model, target.version, target);
  if (target.deadline === 'parameter') return (sloMs) => messageWith({ timeout: Math.ceil(sloMs * 1000) });
  const message = messageWith({});
  return () => message;
}

export function grpcBodyBytes(target: LoadTarget): number {
  return byteLengthOf(messages(target)(0));
}

/** At most eight digits and a unit. */
function grpcTimeout(sloMs: number): string {
  const us = Math.ceil(sloMs * 1000);
  return us < 1e8 ? `${us}u` : `${Math.min(99_999_999, Math.ceil(sloMs))}m`;
}
