import type { IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { DATATYPES, type Datatype, type Tensor, type TensorSpec } from '../../scheduler/domain/tensor.js';
import { requestServer, type ClientTls, type ServerRequest } from './http.js';

/*
 * A client of the Open Inference Protocol over REST, with tensors as bytes both ways. Any server of the protocol that knows its binary
 * extension answers it; what only Sponge says, how a request's time was spent, is in the answer's parameters.
 */

export interface ClientOptions {
  /** The value of the header, such as `Bearer …`; absent: none is sent. */
  readonly authorization?: string;
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
    const { json } = await this.#exchange(pathOf(model, version), { method: 'GET' });
    const { inputs, outputs = [] } = json as { inputs: readonly SpecJson[]; outputs?: readonly SpecJson[] };
    return { inputs: inputs.map(toSpec), outputs: outputs.map(toSpec) };
  }

  /** @throws InferenceError, Unreachable */
  async infer(call: InferCall): Promise<InferAnswer> {
    const head = JSON.stringify(requestHead(call));
    const { json, tail, elapsedMs } = await this.#exchange(`${pathOf(call.model, call.version)}/infer`, {
      method: 'POST',
      headers: {
        'content-type': 'application/octet-stream',
        // Compressed, an output would take the server 20 ms a megabyte.
        'accept-encoding': 'identity',
        'inference-header-content-length': String(Buffer.byteLength(head)),
        ...(call.sloMs === undefined ? {} : { 'request-timeout-ms': String(call.sloMs) }),
      },
      body: Buffer.concat([Buffer.from(head), ...call.inputs.map(({ data }) => data)]),
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    });
    const { outputs, ...header } = json as unknown as AnswerHeader & { outputs: readonly OutputJson[] };
    return { header, outputs: takeOutputs(outputs, tail), elapsedMs };
  }

  async #exchange(path: string, request: Omit<ServerRequest, 'tls'>): Promise<Exchange> {
    const { authorization, tls = {} } = this.#options;
    const headers = { ...(authorization === undefined ? {} : { authorization }), ...request.headers };
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

/** A tensor as metadata describes it. */
interface SpecJson {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly parameters?: { readonly sponge_optional?: boolean; readonly sponge_any_rank?: boolean };
}

interface OutputJson {
  readonly name: string;
  readonly shape: readonly number[];
  readonly datatype: Datatype;
  readonly parameters: { readonly binary_data_size: number };
}

interface Exchange {
  readonly json: Record<string, unknown>;
  /** The outputs' bytes, after the JSON head. */
  readonly tail: Buffer;
  readonly elapsedMs: number;
}

function pathOf(model: string, version?: string): string {
  const ofVersion = version === undefined ? '' : `/versions/${encodeURIComponent(version)}`;
  return `/v2/models/${encodeURIComponent(model)}${ofVersion}`;
}

function requestHead({ inputs, outputNames, isBestEffort = false }: InferCall): object {
  return {
    inputs: inputs.map(({ name, shape, datatype, data }) => ({
      name,
      shape,
      datatype,
      parameters: { binary_data_size: data.byteLength },
    })),
    ...(outputNames === undefined ? {} : { outputs: outputNames.map((name) => ({ name })) }),
    parameters: { binary_data_output: true, ...(isBestEffort ? { best_effort: true } : {}) },
  };
}

function toSpec({ name, datatype, shape, parameters = {} }: SpecJson): TensorSpec {
  const isOptional = parameters.sponge_optional === true;
  return { name, datatype, shape: parameters.sponge_any_rank === true ? null : shape, isOptional };
}

function readAnswer(url: URL, response: IncomingMessage, body: Buffer, elapsedMs: number): Exchange {
  const { statusCode: status = 0, statusMessage = '', headers } = response;
  const length = Number(headers['inference-header-content-length'] ?? body.length);
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(body.toString('utf8', 0, length)) as Record<string, unknown>;
  } catch {
    throw new InferenceError(status, `the answer of ${url.href} is not JSON`, null);
  }
  if (status === 200) return { json, tail: body.subarray(length), elapsedMs };
  const reason = typeof json['error'] === 'string' ? json['error'] : statusMessage;
  const retryAfterSec = Number(headers['retry-after']);
  throw new InferenceError(
    status,
    `${status}: ${reason}`,
    Number.isFinite(retryAfterSec) ? retryAfterSec * 1000 : null,
  );
}

function takeOutputs(outputs: readonly OutputJson[], tail: Buffer): readonly Tensor[] {
  let offset = 0;
  return outputs.map(({ name, shape, datatype, parameters }) => {
    if (!DATATYPES.includes(datatype)) throw new TypeError(`output ${name} has unknown datatype ${datatype as string}`);
    // A copy, so that elements are aligned.
    const data = Uint8Array.from(tail.subarray(offset, (offset += parameters.binary_data_size)));
    return { name, shape, datatype, data };
  });
}
