import http from 'node:http';
import { jsonDataText } from '../../adapters/oip/tensor-codec.js';
import type { PlannedRequest } from './load-plan.js';
import { sendPaced } from './paced-body.js';
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
  readonly #path: string;
  readonly #agents = new Map<number, http.Agent>();
  readonly #body: (sloMs: number) => RestBody;

  constructor(target: LoadTarget, nowMs: () => number) {
    this.#target = target;
    this.#nowMs = nowMs;
    this.#path = `${target.basePath}${modelPath(target)}/infer`;
    this.#body = bodies(target);
  }

  send(request: PlannedRequest, events: CallEvents): () => void {
    const { host, port, deadline } = this.#target;
    const { bytes, headBytes } = this.#body(request.sloMs);
    const call = http.request({
      host,
      port,
      path: this.#path,
      method: 'POST',
      agent: this.#agentOf(request.client),
      headers: {
        'content-type': headBytes === null ? 'application/json' : 'application/octet-stream',
        'content-length': bytes.length,
        ...(headBytes === null ? {} : { 'inference-header-content-length': headBytes }),
        ...(deadline === 'header' ? { 'request-timeout-ms': request.sloMs.toFixed(3) } : {}),
        ...clientHeaders(request),
      },
    });
    let isOver = false;
    const end = (reply: Reply): void => {
      if (isOver) return;
      isOver = true;
      body.abort();
      events.onReply(reply, this.#nowMs());
    };
    call.on('response', (response) => readReply(response, end));
    call.on('error', (error: NodeJS.ErrnoException) => end({ kind: 'lost', reason: error.code ?? error.message }));
    // The head goes first, so that the server knows of the request from its first byte on.
    call.flushHeaders();
    const body = sendPaced(call, bytes, request.upload, this.#nowMs, (atMs) => events.onSent(atMs));
    return () => {
      isOver = true;
      body.abort();
      call.destroy();
    };
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  #agentOf(client: number): http.Agent {
    let agent = this.#agents.get(client);
    if (agent === undefined) {
      agent = new http.Agent({ keepAlive: true, maxSockets: Infinity, timeout: IDLE_MS });
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

interface RestBody {
  readonly bytes: Uint8Array;
  /** Of the JSON part before binary tensors; null where all is JSON. */
  readonly headBytes: number | null;
}

/** The body by its SLO, which is part of it only where a parameter states it. */
function bodies(target: LoadTarget): (sloMs: number) => RestBody {
  const isJson = target.protocol === 'rest-json';
  const encode = isJson ? jsonBody : binaryBody;
  if (target.deadline === 'parameter') return (sloMs) => encode(target, { timeout: Math.ceil(sloMs * 1000) });
  const body = encode(target, {});
  return () => body;
}

function jsonBody({ inputs }: LoadTarget, parameters: Readonly<Record<string, number>>): RestBody {
  const texts = inputs.map((input) => {
    const head = JSON.stringify({ name: input.name, shape: input.shape, datatype: input.datatype });
    return `${head.slice(0, -1)},"data":${jsonDataText(input)}}`;
  });
  const text = `{"parameters":${JSON.stringify(parameters)},"inputs":[${texts.join(',')}]}`;
  return { bytes: Buffer.from(text), headBytes: null };
}

function binaryBody({ inputs }: LoadTarget, parameters: Readonly<Record<string, number>>): RestBody {
  const head = JSON.stringify({
    parameters: { ...parameters, binary_data_output: true },
    inputs: inputs.map(({ name, shape, datatype, data }) => ({
      name,
      shape,
      datatype,
      parameters: { binary_data_size: data.byteLength },
    })),
  });
  // Aligned, so that the server needs no copy to read floats.
  const padded = head.padEnd(Math.ceil(Buffer.byteLength(head) / 8) * 8);
  const headBytes = Buffer.byteLength(padded);
  return { bytes: Buffer.concat([Buffer.from(padded), ...inputs.map(({ data }) => data)]), headBytes };
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
