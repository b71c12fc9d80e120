import { connect } from 'node:http2';
import type { ClientHttp2Session, OutgoingHttpHeaders } from 'node:http2';
import { credentials, Metadata } from '@grpc/grpc-js';
import type { ClientUnaryCall, MethodDefinition, ServiceError } from '@grpc/grpc-js';
import { ModelInferRequest } from '../../src/protocol/grpc/generated/open_inference.js';
import type { Door } from '../../src/server/doors/door.js';
import { startGrpcServer } from '../../src/server/edge/grpc/server.js';
import type { GrpcServer } from '../../src/server/edge/grpc/server.js';
import { Arrivals } from '../../src/server/edge/arrivals.js';
import { ReceiveBudget } from '../../src/server/edge/receive-budget.js';
import type { LogControl } from '../../src/server/edge/log-settings.js';
import type { EdgeLimits } from '../../src/protocol/service.js';
import type { Compat } from '../../src/protocol/status.js';
import { GRPCInferenceServiceClient, INFERENCE_METHODS } from '../fixtures/grpc-stubs.js';
import { createFakeService } from './fake-service.js';
import type { FakeService } from './fake-service.js';
import { startThreads } from './threads-harness.js';

export const LIMITS: EdgeLimits = {
  maxJsonBytes: 1 << 20,
  maxBinaryBytes: 64 << 20,
  maxBytesInReceipt: 512 << 20,
  bodyTimeoutMs: 10_000,
  maxConcurrentCalls: 64,
};

export interface Harness {
  readonly service: FakeService;
  readonly server: GrpcServer;
  readonly target: string;
  readonly client: GRPCInferenceServiceClient;
  readonly receiveBudget: ReceiveBudget;
  /** Errors of our own code: must stay empty. */
  readonly logged: object[];
  close(): Promise<void>;
}

export async function startHarness(
  limits: Partial<EdgeLimits> = {},
  compat: Compat = 'none',
  door?: Door,
  logControl?: LogControl,
): Promise<Harness> {
  const service = createFakeService();
  const logged: object[] = [];
  const allLimits = { ...LIMITS, ...limits };
  const receiveBudget = new ReceiveBudget(allLimits.maxBytesInReceipt);
  const threads = await startThreads(service, allLimits, {
    ...{ compat, logger: { error: (details) => logged.push(details) } },
    ...(logControl === undefined ? {} : { logControl }),
  });
  const server =
    threads === null
      ? await startGrpcServer({
          service,
          host: '127.0.0.1',
          port: 0,
          limits: allLimits,
          receiveBudget,
          arrivals: new Arrivals(() => performance.now()),
          compat,
          ...(door === undefined ? {} : { door }),
          ...(logControl === undefined ? {} : { logControl }),
          logger: { error: (details) => logged.push(details) },
        })
      : { address: { host: threads.host, port: threads.grpcPort }, close: () => threads.close() };
  const target = `127.0.0.1:${server.address.port}`;
  const client = createClient(target);
  return {
    service,
    server,
    target,
    client,
    receiveBudget,
    logged,
    async close() {
      client.close();
      await server.close(0);
    },
  };
}

/** A client with a connection of its own: grpc-js shares connections between clients else. */
export function createClient(target: string, options: object = {}): GRPCInferenceServiceClient {
  return new GRPCInferenceServiceClient(target, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_receive_message_length': -1,
    ...options,
  });
}

type Methods = typeof INFERENCE_METHODS;
type UnaryName = Exclude<keyof Methods, 'modelStreamInfer'>;
type RequestOf<Name extends UnaryName> = Parameters<Methods[Name]['requestSerialize']>[0];
type ResponseOf<Name extends UnaryName> = ReturnType<Methods[Name]['responseDeserialize']>;

type MethodTable = { readonly [Name in UnaryName]: MethodDefinition<RequestOf<Name>, ResponseOf<Name>> };

export interface CallResult<Response> {
  readonly error: ServiceError | null;
  /** Undefined with an error. */
  readonly response: Response;
}

export interface CallSettings {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
  readonly onStarted?: (call: ClientUnaryCall) => void;
}

/** Calls a unary method; never rejects. */
export function call<Name extends UnaryName>(
  client: GRPCInferenceServiceClient,
  name: Name,
  request: RequestOf<Name>,
  settings: CallSettings = {},
): Promise<CallResult<ResponseOf<Name>>> {
  const methods: MethodTable = INFERENCE_METHODS;
  const method = methods[name];
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(settings.metadata ?? {})) metadata.set(key, value);
  const options = settings.deadlineMs === undefined ? {} : { deadline: Date.now() + settings.deadlineMs };
  return new Promise((resolve) => {
    const started = client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadata,
      options,
      (error, response) => resolve({ error, response: response as ResponseOf<Name> }),
    );
    settings.onStarted?.(started);
  });
}

/** A request of one raw input 'x'. */
export function rawRequest(
  modelName: string,
  datatype: string,
  shape: number[],
  data: Uint8Array,
  more: Partial<ModelInferRequest> = {},
): ModelInferRequest {
  return {
    modelName,
    modelVersion: '',
    id: '',
    parameters: {},
    inputs: [{ name: 'x', datatype, shape, parameters: {}, contents: undefined }],
    outputs: [],
    rawInputContents: [Buffer.from(data.buffer, data.byteOffset, data.byteLength)],
    ...more,
  };
}

/** A valid request to model `raw`: x FP32 [1, 4]. */
export function smallRequest(more: Partial<ModelInferRequest> = {}): ModelInferRequest {
  return rawRequest('raw', 'FP32', [1, 4], new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer), more);
}

/** The trailers of an error, as a plain object. */
export function trailersOf(error: ServiceError | null): Record<string, unknown> {
  return error?.metadata.getMap() ?? {};
}

export interface RawAnswer {
  /** Response headers and trailers together. */
  readonly headers: Readonly<Record<string, unknown>>;
}

/** A gRPC call written as HTTP/2, to send what no gRPC client would. */
export function rawCall(
  session: ClientHttp2Session,
  path: string,
  headers: OutgoingHttpHeaders,
  body: Uint8Array,
): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    const received: Record<string, unknown> = {};
    stream.on('response', (response) => void Object.assign(received, response));
    stream.on('trailers', (trailers: object) => void Object.assign(received, trailers));
    // A reset is part of the answer.
    stream.on('error', () => undefined);
    stream.on('close', () => resolve({ headers: received }));
    stream.on('end', () => stream.close());
    stream.resume();
    stream.end(body);
  });
}

export async function withSession<Result>(
  target: string,
  use: (session: ClientHttp2Session) => Promise<Result>,
): Promise<Result> {
  const session = connect(`http://${target}`);
  session.on('error', () => undefined);
  try {
    return await use(session);
  } finally {
    session.destroy();
  }
}

/** A message in gRPC's length-prefixed framing (grpc/doc/PROTOCOL-HTTP2.md). */
export function framedMessage(message: Uint8Array, isCompressed = false): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(isCompressed ? 1 : 0, 0);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** A promise and the function that settles it. */
export function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** Resolves at the next time the condition holds, asked each turn of the event loop; the test's timeout bounds it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

export function encodeRequest(request: ModelInferRequest): Uint8Array {
  return ModelInferRequest.encode(request).finish();
}
