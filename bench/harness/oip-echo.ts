import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import {
  createServer as createHttp2Server,
  type Http2Server,
  type ServerHttp2Session,
  type IncomingHttpHeaders as Http2Headers,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import {
  ModelInferRequest,
  ModelInferResponse,
  ModelMetadataResponse,
  RepositoryIndexResponse,
} from '../../src/protocol/grpc/generated/open_inference.js';
import { framedMessage } from '../../src/protocol/grpc/framing.js';

/*
 * A server of the protocol, REST and gRPC, that runs nothing: it answers after a known time, as it is told, and keeps what it
 * saw of every request.
 */

export const ECHO_MODEL = 'echo';
/** 300 KB of FP32. */
export const ECHO_ELEMENTS = 75_000;

export interface SeenRequest {
  readonly protocol: 'rest' | 'grpc';
  readonly headers: IncomingHttpHeaders | Http2Headers;
  /** Of the head and of the last byte. */
  readonly beganAtMs: number;
  readonly endedAtMs: number;
  readonly body: Buffer;
}

export type EchoAnswer =
  | { readonly kind: 'answer' }
  | { readonly kind: 'refuse'; readonly status: number; readonly reason?: string }
  | { readonly kind: 'hang-up' }
  | { readonly kind: 'silence' }
  /** 200, and nothing of the protocol. */
  | { readonly kind: 'garbage' };

export interface EchoOptions {
  readonly delayMs: number;
  /** Nobody is answered before so many requests have come; 1 by default. */
  readonly answersFrom?: number;
  /** That it listens at; by default 127.0.0.1, which is also where its URLs say it is. */
  readonly host?: string;
  /** Says no by the head of a request, and never reads its body. */
  readonly refusesEarly?: boolean;
  /** Whether `seen` is filled; by default. */
  readonly keeps?: boolean;
  /** By the number of the request, from 0 on. */
  readonly answerTo?: (count: number) => EchoAnswer;
}

export interface EchoServer {
  readonly restUrl: string;
  readonly grpcUrl: string;
  readonly seen: SeenRequest[];
  close(): Promise<void>;
}

export async function startEcho({
  delayMs,
  answersFrom = 1,
  host = '127.0.0.1',
  keeps = true,
  refusesEarly = false,
  answerTo = () => ({ kind: 'answer' }),
}: EchoOptions): Promise<EchoServer> {
  const seen: SeenRequest[] = [];
  let count = 0;
  const see = (request: SeenRequest): EchoAnswer => {
    if (keeps) seen.push(request);
    return answerTo(count++);
  };
  const held: (() => void)[] = [];
  const whenDue = (act: () => void): void => {
    held.push(act);
    if (count >= answersFrom) for (const each of held.splice(0)) setTimeout(each, delayMs);
  };
  const rest = createServer((request, response) => {
    if (refusesEarly && request.method === 'POST') {
      response.writeHead(503, { 'x-sponge-reason': 'queue_full', 'content-length': 0 }).end();
      return;
    }
    const beganAtMs = performance.now();
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      response.setHeader('content-type', 'application/json');
      if (request.url === '/v2/repository/index') response.end(`[{"name":"${ECHO_MODEL}"}]`);
      else if (request.method === 'GET') response.end(metadataJson());
      else {
        const { headers } = request;
        const body = Buffer.concat(chunks);
        const answer = see({ protocol: 'rest', headers, beganAtMs, endedAtMs: performance.now(), body });
        whenDue(() => {
          if (answer.kind === 'hang-up') request.socket.destroy();
          else if (answer.kind === 'refuse') {
            if (answer.reason !== undefined) response.setHeader('x-sponge-reason', answer.reason);
            response.writeHead(answer.status).end('{"error":"no"}');
          } else if (answer.kind === 'answer') response.end(answerJson());
          else if (answer.kind === 'garbage') response.end('<p>hello</p>');
        });
      }
    });
  });
  const grpc = createHttp2Server({ maxSessionMemory: 1000 });
  const sessions = new Set<ServerHttp2Session>();
  grpc.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
  });
  grpc.on('stream', (stream, headers) => {
    const beganAtMs = performance.now();
    const chunks: Buffer[] = [];
    stream.on('error', () => undefined);
    if (refusesEarly && headers[':path']!.endsWith('/ModelInfer')) {
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '8', 'x-sponge-reason': 'queue_full' },
        { endStream: true },
      );
      return;
    }
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const reply = (message: Uint8Array, status = '0', extra: Record<string, string> = {}): void => {
        if (stream.destroyed) return;
        stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': status, ...extra }));
        stream.end(message.length === 0 ? undefined : framedMessage(message));
      };
      const method = headers[':path']!.split('/').at(-1);
      if (method === 'RepositoryIndex') reply(indexMessage());
      else if (method === 'ModelMetadata') reply(metadataMessage());
      else {
        const body = Buffer.concat(chunks);
        const answer = see({ protocol: 'grpc', headers, beganAtMs, endedAtMs: performance.now(), body });
        whenDue(() => {
          if (answer.kind === 'hang-up') stream.session?.destroy();
          else if (answer.kind === 'refuse') {
            reply(
              new Uint8Array(),
              String(answer.status),
              answer.reason === undefined ? {} : { 'x-sponge-reason': answer.reason },
            );
          } else if (answer.kind === 'answer') reply(answerMessage());
          else if (answer.kind === 'garbage') reply(Uint8Array.of(0xff, 0xff, 0xff));
        });
      }
    });
  });
  return {
    restUrl: `http://127.0.0.1:${await listen(rest, host)}`,
    grpcUrl: `http://127.0.0.1:${await listen(grpc, host)}`,
    seen,
    close: async () => {
      rest.closeAllConnections();
      for (const session of sessions) session.destroy();
      await Promise.all([rest, grpc].map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

function listen(server: Server | Http2Server, host: string): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, host, () => resolve((server.address() as AddressInfo).port));
  });
}

/** What Sponge would say: 12.5 ms queued, 20 ms in a batch of 3 on 0.7 cores. */
const EXPLANATION = {
  sponge_budget_us: 900_000,
  sponge_network_delay_us: 100_000,
  sponge_queue_us: 12_500,
  sponge_actual_us: 20_000,
  sponge_batch: 3,
  sponge_allocation_millicores: 700,
};

function metadataJson(): string {
  const inputs = [{ name: 'x', datatype: 'FP32', shape: [-1, ECHO_ELEMENTS] }];
  return JSON.stringify({ name: ECHO_MODEL, inputs, outputs: [] });
}

function answerJson(): string {
  return JSON.stringify({ model_name: ECHO_MODEL, parameters: EXPLANATION, outputs: [] });
}

function metadataMessage(): Uint8Array {
  const inputs = [{ name: 'x', datatype: 'FP32', shape: [-1, ECHO_ELEMENTS] }];
  const metadata = { name: ECHO_MODEL, versions: [], platform: '', inputs, outputs: [], properties: {} };
  return ModelMetadataResponse.encode(metadata).finish();
}

function indexMessage(): Uint8Array {
  const models = [{ name: ECHO_MODEL, version: '1', state: 'READY', reason: '' }];
  return RepositoryIndexResponse.encode({ models }).finish();
}

function answerMessage(): Uint8Array {
  const parameters = Object.entries(EXPLANATION).map(
    ([name, value]) => [name, { parameterChoice: { $case: 'int64Param', value } }] as const,
  );
  return ModelInferResponse.encode({
    modelName: ECHO_MODEL,
    modelVersion: '',
    id: '',
    parameters: Object.fromEntries(parameters),
    outputs: [],
    rawOutputContents: [],
  }).finish();
}

/** @returns the message of a unary call's body */
export function inferRequestOf(body: Buffer): ModelInferRequest {
  const length = body.readUInt32BE(1);
  if (body.length !== 5 + length) throw new Error(`a frame of ${length} bytes came with ${body.length - 5}`);
  return ModelInferRequest.decode(body.subarray(5));
}
