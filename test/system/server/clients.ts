import { connect, type Socket } from 'node:net';
import { credentials, Metadata, type ClientUnaryCall, type MethodDefinition, type ServiceError } from '@grpc/grpc-js';
import { Agent, request } from 'undici';
import type { ModelInferRequest, ModelInferResponse } from '../../../src/protocol/grpc/generated/open_inference.js';
import type { Tensor } from '../../../src/scheduler/domain/tensor.js';
import { GRPCInferenceServiceClient, INFERENCE_METHODS } from '../../fixtures/grpc-stubs.js';
import type { RunningServer } from './harness.js';

/*
 * Clients of every kind that a server meets: REST, gRPC, and bytes on a socket. Of its own, on purpose: it sends also what the package's
 * client would not, by other libraries, and a mistake that client and server share would not be seen.
 */

/** Requests wait in the server's queue, never in the client's. */
const agent = new Agent({ connections: 256, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 });

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly bytes: Buffer;
  /** The JSON part of the body; null where there is none. */
  readonly json: ReplyBody;
  /** Send → answer. */
  readonly elapsedMs: number;
  /** `performance.now()` when the answer was complete. */
  readonly atMs: number;
}

/** Of an answer or of an error. */
export interface ReplyBody {
  readonly id?: string;
  readonly error?: string;
  readonly reason?: string;
  readonly retry_after_ms?: number;
  readonly parameters?: Readonly<Record<string, unknown>>;
  readonly outputs?: readonly {
    readonly name: string;
    readonly datatype: string;
    readonly shape: readonly number[];
    readonly data?: readonly unknown[];
    readonly parameters?: { readonly binary_data_size: number };
  }[];
  readonly [key: string]: unknown;
}

export interface HttpOptions {
  readonly method?: 'GET' | 'POST';
  readonly body?: string | Uint8Array | object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export async function http(
  url: string,
  { method = 'GET', body, headers = {}, signal }: HttpOptions = {},
): Promise<Reply> {
  const isBytes = typeof body === 'string' || body instanceof Uint8Array;
  const startedAtMs = performance.now();
  const response = await request(url, {
    method,
    headers: { ...headers },
    body: body === undefined ? null : isBytes ? body : JSON.stringify(body),
    dispatcher: agent,
    ...(signal === undefined ? {} : { signal }),
  });
  const bytes = Buffer.from(await response.body.arrayBuffer());
  const atMs = performance.now();
  const jsonBytes = Number(response.headers['inference-header-content-length'] ?? bytes.length);
  return {
    status: response.statusCode,
    headers: response.headers,
    bytes,
    json: parsed(bytes.toString('utf8', 0, jsonBytes)),
    elapsedMs: atMs - startedAtMs,
    atMs,
  };
}

function parsed(text: string): ReplyBody {
  try {
    return JSON.parse(text) as ReplyBody;
  } catch {
    return {};
  }
}

export interface InferOptions {
  readonly id?: string;
  readonly parameters?: Readonly<Record<string, unknown>>;
  readonly outputs?: readonly { readonly name: string; readonly parameters?: object }[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly sloMs?: number;
  readonly signal?: AbortSignal;
  readonly version?: string;
}

type JsonInput = Pick<Tensor, 'name' | 'datatype' | 'shape'> & { readonly data: readonly unknown[] };

function inferUrl(server: RunningServer, model: string, version?: string): string {
  return `${server.rest}/v2/models/${model}${version === undefined ? '' : `/versions/${version}`}/infer`;
}

function headersOf({ headers = {}, sloMs }: InferOptions): Record<string, string> {
  return { ...headers, ...(sloMs === undefined ? {} : { 'request-timeout-ms': String(sloMs) }) };
}

/** One JSON inference. */
export function infer(
  server: RunningServer,
  model: string,
  inputs: readonly JsonInput[],
  options: InferOptions = {},
): Promise<Reply> {
  const { id, parameters, outputs, signal, version } = options;
  return http(inferUrl(server, model, version), {
    method: 'POST',
    headers: headersOf(options),
    body: {
      ...(id === undefined ? {} : { id }),
      ...(parameters === undefined ? {} : { parameters }),
      ...(outputs === undefined ? {} : { outputs }),
      inputs,
    },
    ...(signal === undefined ? {} : { signal }),
  });
}

/** A JSON header and the tensors behind it; outputs come back binary too. */
export function inferBinary(
  server: RunningServer,
  model: string,
  inputs: readonly Tensor[],
  options: InferOptions = {},
): Promise<Reply> {
  const head = Buffer.from(
    JSON.stringify({
      ...(options.id === undefined ? {} : { id: options.id }),
      ...(options.outputs === undefined ? {} : { outputs: options.outputs }),
      inputs: inputs.map(({ data, ...rest }) => ({ ...rest, parameters: { binary_data_size: data.byteLength } })),
      parameters: { ...options.parameters, binary_data_output: true },
    }),
  );
  return http(inferUrl(server, model, options.version), {
    method: 'POST',
    headers: { ...headersOf(options), 'inference-header-content-length': String(head.length) },
    body: Buffer.concat([head, ...inputs.map(({ data }) => data)]),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}

/** The binary outputs of a reply. */
export function binaryOutputs(reply: Reply): Tensor[] {
  let offset = Number(reply.headers['inference-header-content-length']);
  return (reply.json.outputs ?? []).map(({ name, datatype, shape, parameters }) => {
    const data = reply.bytes.subarray(offset, (offset += parameters!.binary_data_size));
    return { name, datatype: datatype as Tensor['datatype'], shape, data };
  });
}

// ---- gRPC ------------------------------------------------------------------------------------------------------------

export interface GrpcReply<Response> {
  readonly error: ServiceError | null;
  readonly response: Response;
  readonly elapsedMs: number;
  readonly atMs: number;
}

type Methods = typeof INFERENCE_METHODS;
type UnaryName = Exclude<keyof Methods, 'modelStreamInfer'>;
type RequestOf<Name extends UnaryName> = Parameters<Methods[Name]['requestSerialize']>[0];
type ResponseOf<Name extends UnaryName> = ReturnType<Methods[Name]['responseDeserialize']>;
/** The generated table as one type for every method, which a name can index. */
type MethodTable = { readonly [Name in UnaryName]: MethodDefinition<RequestOf<Name>, ResponseOf<Name>> };

export interface GrpcOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  /** The call's own deadline: sent as `grpc-timeout`. */
  readonly deadlineMs?: number;
  readonly onStarted?: (call: ClientUnaryCall) => void;
}

export class GrpcClient {
  readonly #stub: GRPCInferenceServiceClient;

  constructor(server: RunningServer) {
    this.#stub = new GRPCInferenceServiceClient(server.grpc, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
      'grpc.max_receive_message_length': -1,
    });
  }

  /** Never rejects. */
  call<Name extends UnaryName>(
    name: Name,
    message: RequestOf<Name>,
    { metadata: fields = {}, deadlineMs, onStarted }: GrpcOptions = {},
  ): Promise<GrpcReply<ResponseOf<Name>>> {
    const methods: MethodTable = INFERENCE_METHODS;
    const method = methods[name];
    const metadata = new Metadata();
    for (const [key, value] of Object.entries(fields)) metadata.set(key, value);
    const startedAtMs = performance.now();
    return new Promise((resolve) => {
      const started = this.#stub.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        message,
        metadata,
        deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs },
        (error, response) => {
          const atMs = performance.now();
          resolve({ error, response: response as ResponseOf<Name>, elapsedMs: atMs - startedAtMs, atMs });
        },
      );
      onStarted?.(started);
    });
  }

  infer(message: ModelInferRequest, options: GrpcOptions = {}): Promise<GrpcReply<ModelInferResponse>> {
    return this.call('modelInfer', message, options);
  }

  close(): void {
    this.#stub.close();
  }
}

/** A request with raw tensors. */
export function grpcRequest(
  modelName: string,
  tensors: readonly Tensor[],
  more: Partial<ModelInferRequest> = {},
): ModelInferRequest {
  return {
    modelName,
    modelVersion: '',
    id: '',
    parameters: {},
    inputs: tensors.map(({ name, datatype, shape }) => ({
      name,
      datatype,
      shape: [...shape],
      parameters: {},
      contents: undefined,
    })),
    outputs: [],
    rawInputContents: tensors.map(({ data }) => Buffer.from(data)),
    ...more,
  };
}

export function parameterOf(response: ModelInferResponse, name: string): unknown {
  return response.parameters[name]?.parameterChoice?.value;
}

// ---- sockets ---------------------------------------------------------------------------------------------------------

/** A client that can misbehave. */
export interface RawConnection {
  readonly socket: Socket;
  write(bytes: string | Uint8Array): void;
  destroy(): void;
  /** All that was received when the connection closed. */
  readonly closed: Promise<string>;
}

export function rawConnection(server: RunningServer): RawConnection {
  const socket = connect(server.port, '127.0.0.1');
  let received = '';
  const closed = new Promise<string>((resolve) => socket.on('close', () => resolve(received)));
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => (received += chunk.toString('latin1')));
  return {
    socket,
    write: (bytes) => void socket.write(bytes),
    destroy: () => void socket.destroy(),
    closed,
  };
}

/** The head of an HTTP request of a body that is still to come. */
export function requestHead(model: string, contentLength: number, headers = ''): string {
  return `POST /v2/models/${model}/infer HTTP/1.1\r\nHost: test\r\nContent-Length: ${contentLength}\r\n${headers}\r\n`;
}

// ---- metrics ---------------------------------------------------------------------------------------------------------

/** One scrape. */
export class Scrape {
  readonly #series: {
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly value: number;
  }[] = [];

  constructor(text: string) {
    for (const line of text.split('\n')) {
      const match = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/i.exec(line);
      if (line.startsWith('#') || match === null) continue;
      const labels = Object.fromEntries([...(match[2] ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, k, v]) => [k!, v!]));
      this.#series.push({ name: match[1]!, labels, value: Number(match[3]) });
    }
  }

  get names(): ReadonlySet<string> {
    return new Set(this.#series.map(({ name }) => name));
  }

  has(name: string, labels: Readonly<Record<string, string>> = {}): boolean {
    return this.#matching(name, labels).length > 0;
  }

  /** Sum over the series that have these labels. @throws Error where there is none */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const matching = this.#matching(name, labels);
    if (matching.length === 0) throw new Error(`no series ${name} ${JSON.stringify(labels)}`);
    return matching.reduce((sum, { value }) => sum + value, 0);
  }

  #matching(name: string, labels: Readonly<Record<string, string>>): readonly { readonly value: number }[] {
    return this.#series.filter(
      (series) => series.name === name && Object.entries(labels).every(([key, value]) => series.labels[key] === value),
    );
  }
}

export async function scrape(server: RunningServer): Promise<Scrape> {
  const { status, bytes } = await http(server.metrics);
  if (status !== 200) throw new Error(`metrics: ${status}`);
  return new Scrape(bytes.toString());
}

// ---- tensors ---------------------------------------------------------------------------------------------------------

/** [1, 1024] with one element set: the slow model moves it `stepCount` places to the right. */
function slowRow(place: number, value = 1): Float32Array {
  const row = new Float32Array(1024);
  row[place % 1024] = value;
  return row;
}

export function floatTensor(name: string, shape: readonly number[], values: Float32Array): Tensor {
  return { name, datatype: 'FP32', shape, data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}

export function floatsOf({ data }: Tensor): Float32Array {
  return new Float32Array(Uint8Array.from(data).buffer);
}

export function slowInput(place: number): Tensor {
  return floatTensor('x', [1, 1024], slowRow(place));
}

/** Where the slow model put the element; −1 when the output is not a row of one 1. */
export function slowPlace(reply: Reply): number {
  const [output] = binaryOutputs(reply);
  if (output === undefined) return -1;
  const values = floatsOf(output);
  const place = values.indexOf(1);
  return values.every((value, index) => value === (index === place ? 1 : 0)) ? place : -1;
}

/** Batches that were started so far. */
export async function batchesStarted(server: RunningServer, model?: string): Promise<number> {
  return (await scrape(server)).sum('sponge_batch_size_count', model === undefined ? {} : { model });
}

export async function queueDepth(server: RunningServer, model?: string): Promise<number> {
  return (await scrape(server)).sum('sponge_queue_depth', model === undefined ? {} : { model });
}
