import http from 'node:http';
import { jsonDataText } from '../protocol/tensor-codec.js';
import type { PlannedRequest } from './load-plan.js';
import { byteLengthOf, sendPaced, type RequestBody } from './paced-body.js';
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
  readonly #body: (sloMs: number) => RestBody;

  /** @param clientAddresses that each client sends from; null: from any */
  constructor(target: LoadTarget, nowMs: () => number, clientAddresses: readonly string[] | null) {
    this.#target = target;
    this.#nowMs = nowMs;
    this.#clientAddresses = clientAddresses;
    this.#path = `${target.basePath}${modelPath(target)}/infer`;
    this.#body = bodies(target);
  }

  send(request: PlannedRequest, events: CallEvents): () => void {
    const { host, port, deadline, authorization } = this.#target;
    const { body, headBytes } = this.#body(request.sloMs);
    const call = http.request({
      host,
      port,
      path: this.#path,
      method: 'POST',
      agent: this.#agentOf(request.client),
      headers: {
        'content-type': headBytes === null ? 'application/json' : 'application/octet-stream',
        'content-length': byteLengthOf(body),
        ...(headBytes === null ? {} : { 'inference-header-content-length': headBytes }),
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
    const upload = sendPaced(call, body, request.upload, this.#nowMs, (atMs) => events.onSent(atMs));
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

/** `/v2/models/<name>[/versions/<version>]`. */
export function modelPath({ model, version }: Pick<LoadTarget, 'model' | 'version'>): string {
  const ofVersion = version === '' ? '' : `/versions/${encodeURIComponent(version)}`;
  return `/v2/models/${encodeURIComponent(model)}${ofVersion}`;
}

export function restBodyBytes(target: LoadTarget): number {
  return byteLengthOf(bodies(target)(0).body);
}

interface RestBody {
  readonly body: RequestBody;
  /** Of the JSON part before binary tensors; null where all is JSON. */
  readonly headBytes: number | null;
}

/** The body by its SLO, which is a part of its head only where a parameter states it. */
function bodies(target: LoadTarget): (sloMs: number) => RestBody {
  const bodyWith = target.protocol === 'rest-json' ? jsonBodies(target) : binaryBodies(target);
  if (target.deadline === 'parameter') return (sloMs) => bodyWith({ timeout: Math.ceil(sloMs * 1000) });
  const body = bodyWith({});
  return () => body;
}

type BodyWith = (parameters: Readonly<Record<string, number>>) => RestBody;

function jsonBodies({ inputs }: LoadTarget): BodyWith {
  const texts = inputs.map((input) => {
    const head = JSON.stringify({ name: input.name, shape: input.shape, datatype: input.datatype });
    return `${head.slice(0, -1)},"data":${jsonDataText(input)}}`;
  });
  const rest = Buffer.from(`"inputs":[${texts.join(',')}]}`);
  return (parameters) => {
    const head = Buffer.from(`{"parameters":${JSON.stringify(parameters)},`);
    return { body: { head, rest }, headBytes: null };
  };
}

function binaryBodies({ inputs }: LoadTarget): BodyWith {
  const rest = Buffer.concat(inputs.map(({ data }) => data));
  return (parameters) => {
    const text = JSON.stringify({
      parameters: { ...parameters, binary_data_output: true },
      inputs: inputs.map(({ name, shape, datatype, data }) => ({
        name,
        shape,
        datatype,
        parameters: { binary_data_size: data.byteLength },
      })),
    });
    // Aligned, so that the server needs no copy to read floats.
    const head = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
    return { body: { head, rest }, headBytes: head.length };
  };
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
