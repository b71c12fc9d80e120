import type { IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import type { Tensor, TensorSpec } from '../../scheduler/domain/tensor.js';
import { requestServer, type ClientTls, type ServerRequest } from './http.js';
import { binaryMessages, binaryOutputs, inferPath, modelPath, splitAnswer, type OutputJson } from './rest-message.js';
import { tensorSpecs } from './tensor-specs.js';

/*
 * A client of the Open Inference Protocol over REST, with tensors as bytes both ways. Any server of the protocol that knows its binary
 * extension answers it; what only Sponge says, how a request's time was spent, is in the answer's parameters.
 */

export interface ClientOptions {
  /** The value of the header, such as `Bearer …`; absent: none is sent. */
  readonly authorization?: string;
  /** What the client calls itself, sent as `sponge-client`: 1 to 64 printable ASCII characters. Absent: the server goes by its address. */
  readonly name?: string;
  /** Of an address `https://…`; absent: what Node trusts. */
  readonly tls?: ClientTls;
}

export interface InferCall {
  readonly model: string;
  /** Absent: the server's choice. */
  readonly version?: string;
  readonly inputs: readonly Tensor[];
  /** Names of the outputs to send back; absent: all. */
  readonly outputNames?: readonly string[];
  /** Time there is from now until the answer is here, ms; absent: the model's default. */
  readonly sloMs?: number;
  /** Rather late than refused. */
  readonly isBestEffort?: boolean;
  /** Aborting it is leaving: what is queued for the call is dropped. */
  readonly signal?: AbortSignal;
}

/** What a server says beside the outputs. */
export interface AnswerHeader {
  readonly model_name: string;
  readonly model_version?: string;
  readonly parameters?: Readonly<Record<string, string | number | boolean>>;
}

export interface InferAnswer {
  readonly header: AnswerHeader;
  readonly outputs: readonly Tensor[];
  /** From sending until the last byte was here. */
  readonly elapsedMs: number;
}

export interface ModelDescription {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

/** The server has refused or failed the call. */
export class InferenceError extends Error {
  override readonly name = 'InferenceError';
  readonly status: number;
  /** How long to wait before trying again may help; null where it says nothing of it. */
  readonly retryAfterMs: number | null;

  constructor(status: number, message: string, retryAfterMs: number | null) {
    super(message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** No answer came; `cause` says what Node knows of it. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';
}

export class Client {
  readonly url: URL;
  readonly #options: ClientOptions;

  /** @param url such as `http://127.0.0.1:8000` */
  constructor(url: string | URL, options: ClientOptions = {}) {
    this.url = new URL(url);
    this.#options = options;
  }

  /** What a model takes and gives. @throws InferenceError, Unreachable */
  async describe(model: string, version?: string): Promise<ModelDescription> {
    const { json } = await this.#exchange(modelPath(model, version), { method: 'GET' });
    try {
      return { inputs: tensorSpecs(model, json['inputs']), outputs: tensorSpecs(model, json['outputs'] ?? []) };
    } catch (error) {
      throw new InferenceError(200, (error as Error).message, null);
    }
  }

  /** @throws InferenceError, Unreachable */
  async infer(call: InferCall): Promise<InferAnswer> {
    const { headers, head, rest } = binaryMessages(call)(call.isBestEffort === true ? { best_effort: true } : {});
    const { json, tail, elapsedMs } = await this.#exchange(inferPath(call.model, call.version), {
      method: 'POST',
      headers: {
        ...headers,
        // Compressed, an output would take the server 20 ms a megabyte.
        'accept-encoding': 'identity',
        ...(call.sloMs === undefined ? {} : { 'request-timeout-ms': String(call.sloMs) }),
      },
      body: [head, rest],
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    });
    const { outputs, ...header } = json as unknown as AnswerHeader & { outputs: readonly OutputJson[] };
    return { header, outputs: binaryOutputs(outputs, tail), elapsedMs };
  }

  async #exchange(path: string, request: Omit<ServerRequest, 'tls'>): Promise<Exchange> {
    const { authorization, name, tls = {} } = this.#options;
    const headers = {
      ...(authorization === undefined ? {} : { authorization }),
      ...(name === undefined ? {} : { 'sponge-client': name }),
      ...request.headers,
    };
    const url = new URL(`${this.url.href.replace(/\/$/, '')}${path}`);
    const startMs = performance.now();
    let response: IncomingMessage;
    let body: Buffer;
    try {
      response = await requestServer(url, { ...request, headers, tls });
      body = await buffer(response);
    } catch (cause) {
      request.signal?.throwIfAborted();
      throw new Unreachable(`no answer from ${this.url.origin}: ${(cause as Error).message}`, { cause });
    }
    return readAnswer(url, response, body, performance.now() - startMs);
  }
}

interface Exchange {
  readonly json: Record<string, unknown>;
  /** The outputs' bytes, after the JSON head. */
  readonly tail: Buffer;
  readonly elapsedMs: number;
}

function readAnswer(url: URL, response: IncomingMessage, body: Buffer, elapsedMs: number): Exchange {
  const { statusCode: status = 0, statusMessage = '', headers } = response;
  const { text, tail } = splitAnswer(headers, body);
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new InferenceError(status, `the answer of ${url.href} is not JSON`, null);
  }
  if (status === 200) return { json, tail, elapsedMs };
  const reason = typeof json['error'] === 'string' ? json['error'] : statusMessage;
  const retryAfterSec = Number(headers['retry-after']);
  throw new InferenceError(
    status,
    `${status}: ${reason}`,
    Number.isFinite(retryAfterSec) ? retryAfterSec * 1000 : null,
  );
}
