import http2 from 'node:http2';
import {
  ModelInferRequest,
  ModelInferResponse,
  type InferParameter,
} from '../../adapters/oip/grpc/generated/open_inference.js';
import { inferParameters } from '../../adapters/oip/grpc/parameters.js';
import type { PlannedRequest } from './load-plan.js';
import { sendPaced } from './paced-body.js';
import type { LoadTarget } from './target.js';
import { clientHeaders, explanationOf, type CallEvents, type Reply, type Transport } from './transport.js';

/*
 * gRPC framed by hand on Node's HTTP/2: a gRPC library sends a message as fast as it can, and an upload has to be as slow as
 * its network. One connection a client.
 *
 * Framing: gRPC over HTTP2 (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md), unary, uncompressed.
 */

const SERVICE = '/inference.GRPCInferenceService';
/** So that no reply waits for the client to open its window. */
const WINDOW_BYTES = 4 * 1024 ** 2;
/** Flag and length before a message. */
const PREFIX_BYTES = 5;

export class GrpcTransport implements Transport {
  readonly #target: LoadTarget;
  readonly #nowMs: () => number;
  readonly #sessions = new Map<number, http2.ClientHttp2Session>();
  readonly #body: (sloMs: number) => Uint8Array;

  constructor(target: LoadTarget, nowMs: () => number) {
    this.#target = target;
    this.#nowMs = nowMs;
    this.#body = bodies(target);
  }

  send(request: PlannedRequest, events: CallEvents): () => void {
    const { deadline } = this.#target;
    const headers = {
      ...(deadline === 'header' ? { 'grpc-timeout': grpcTimeout(request.sloMs) } : {}),
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
    const body = sendPaced(stream, this.#body(request.sloMs), request.upload, this.#nowMs, (atMs) =>
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
      session = openSession(this.#target);
      this.#sessions.set(client, session);
    }
    return session;
  }
}

/** @returns the reply's message   @throws Error, one line, for every other status than OK */
export async function callGrpc(
  target: Pick<LoadTarget, 'host' | 'port'>,
  method: string,
  message: Uint8Array,
): Promise<Buffer> {
  const session = openSession(target);
  try {
    const answer = await new Promise<CallAnswer>((resolve) => {
      const stream = openCall(session, method, { 'grpc-timeout': '10S' });
      readCall(stream, resolve);
      stream.end(framed(message));
    });
    if (answer.status !== '0')
      throw new Error(answer.message === '' ? answer.status : decodeURIComponent(answer.message));
    return answer.body;
  } finally {
    session.destroy();
  }
}

function openSession({ host, port }: Pick<LoadTarget, 'host' | 'port'>): http2.ClientHttp2Session {
  const session = http2.connect(`http://${host.includes(':') ? `[${host}]` : host}:${port}`, {
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
    ':path': `${SERVICE}/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
}

interface CallAnswer {
  /** A gRPC status code, or why there is none. */
  readonly status: string;
  readonly message: string;
  readonly reason: string | null;
  readonly body: Buffer;
}

function readCall(stream: http2.ClientHttp2Stream, onEnd: (answer: CallAnswer) => void): void {
  const chunks: Buffer[] = [];
  const answered: Record<string, string | undefined> = {};
  let failure: string | null = null;
  const read = (headers: http2.IncomingHttpHeaders): void => {
    for (const name of ['grpc-status', 'grpc-message', 'x-sponge-reason'] as const) {
      const value = headers[name];
      if (typeof value === 'string') answered[name] = value;
    }
  };
  stream.on('response', read).on('trailers', read);
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // A stream that its connection took along says so, and only its cause says why.
    const cause = error.cause as NodeJS.ErrnoException | undefined;
    failure = cause?.code ?? error.code ?? error.message;
  });
  stream.on('close', () => {
    onEnd({
      status: answered['grpc-status'] ?? failure ?? 'connection lost',
      message: answered['grpc-message'] ?? '',
      reason: answered['x-sponge-reason'] ?? null,
      body: Buffer.concat(chunks).subarray(PREFIX_BYTES),
    });
  });
}

function replyOf({ status, reason, body }: CallAnswer): Reply {
  if (!/^\d+$/.test(status)) return { kind: 'lost', reason: status };
  if (status !== '0') return { kind: 'refused', reason: reason ?? `gRPC status ${status}` };
  const { parameters } = ModelInferResponse.decode(body);
  const values = Object.entries(parameters).map(([name, value]) => [name, valueOf(value)] as const);
  return { kind: 'answered', explanation: explanationOf(Object.fromEntries(values)) };
}

function valueOf({ parameterChoice }: InferParameter): unknown {
  return parameterChoice?.value;
}

function bodies(target: LoadTarget): (sloMs: number) => Uint8Array {
  const encode = (parameters: Readonly<Record<string, number>>): Uint8Array =>
    framed(
      ModelInferRequest.encode({
        modelName: target.model,
        modelVersion: target.version,
        id: '',
        parameters: inferParameters(parameters),
        inputs: target.inputs.map(({ name, datatype, shape }) => ({
          name,
          datatype,
          shape: [...shape],
          parameters: {},
          contents: undefined,
        })),
        outputs: [],
        rawInputContents: target.inputs.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
      }).finish(),
    );
  if (target.deadline === 'parameter') return (sloMs) => encode({ timeout: Math.ceil(sloMs * 1000) });
  const body = encode({});
  return () => body;
}

function framed(message: Uint8Array): Uint8Array {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** At most eight digits and a unit. */
function grpcTimeout(sloMs: number): string {
  const us = Math.ceil(sloMs * 1000);
  return us < 1e8 ? `${us}u` : `${Math.min(99_999_999, Math.ceil(sloMs))}m`;
}
