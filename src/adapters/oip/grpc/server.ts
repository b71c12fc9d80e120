/*
 * The gRPC front end: the Open Inference Protocol, health checks and reflection on one port.
 *
 * The listening socket is ours and its connections are handed to grpc-js: a busy port is an error value here and not a
 * line on stderr, connections are counted, and closing can end those that outlast the grace period (grpc-js's own
 * `forceShutdown` only finds them with channelz on, which costs every call). With TLS, which ends here too, grpc-js is handed
 * the connection once its handshake is complete; so it reads certificates no other way than the other ports do.
 */
import { setMaxListeners } from 'node:events';
import { createServer } from 'node:net';
import tls from 'node:tls';
import type { Server as NetServer, Socket } from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { Door } from '../../doors/door.js';
import type { ServerTls } from '../../tls/server-tls.js';
import type { Arrivals } from '../arrivals.js';
import { limitConnections } from '../connections.js';
import { Intake } from '../intake.js';
import type { ReceiveBudget } from '../receive-budget.js';
import type { EdgeLimits, InferenceService } from '../service.js';
import type { Compat } from '../status.js';
import type { AnswerContext, Frame, GrpcLogger } from './answers.js';
import { Calls } from './calls.js';
import { HealthService } from './generated/health.js';
import {
  GRPCInferenceServiceService as InferenceDefinition,
  ModelInferResponse,
  ModelStreamInferResponse,
} from './generated/open_inference.js';
import { healthHandlers, readinessHandlers } from './health.js';
import { modelInfer, modelStreamInfer } from './infer.js';
import { metadataHandlers } from './metadata.js';
import { addReflection } from './reflection.js';
import { repositoryHandlers } from './repository.js';
import { statisticsHandlers } from './statistics.js';
import { tuneTransport } from './transport.js';

/**
 * Streams a connection may hold open beyond the limit on calls: room for health probes, and for calls over the limit to
 * be refused at once where the client would else hold them back unseen.
 */
const SPARE_STREAMS = 100;

/** A vanished client is noticed within 30 + 20 s; gRFC A9 is the same for other gRPC servers. */
const KEEPALIVE_TIME_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 20_000;

export interface GrpcServerOptions {
  readonly service: InferenceService;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly limits: EdgeLimits;
  /** Shared with the other front end. */
  readonly receiveBudget: ReceiveBudget;
  readonly arrivals: Arrivals;
  /** Shared with the other front end; absent: by `limits`, for itself. */
  readonly intake?: Intake;
  readonly compat: Compat;
  /** Shared with the other front end; absent: for everybody but pages of other sites. */
  readonly door?: Door;
  readonly logger?: GrpcLogger;
  /** Absent: in clear. */
  readonly tls?: ServerTls | undefined;
}

export interface GrpcServer {
  readonly address: { readonly host: string; readonly port: number };
  /**
   * Takes no new calls, lets those in progress finish for up to `graceMs`, then cuts them off. Resolves once every
   * connection is closed.
   */
  close(graceMs: number): Promise<void>;
}

/** @throws Error with a one-line message when the address cannot be listened on */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const { limits } = options;
  const closing = new AbortController();
  // One listener a stream; Node's warning at 11 is meant for leaks.
  setMaxListeners(0, closing.signal);
  const { compat } = options;
  const intake = options.intake ?? new Intake({ maxCalls: limits.maxConcurrentCalls, clientFraction: 1, compat });
  const calls = new Calls({ ...options, intake, door: options.door ?? new Door(options) });
  const server = createGrpcServer(options, calls, intake, closing.signal);
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  tuneTransport(server, calls.onHeaders);
  const sockets = new Set<Socket>();
  const listener = createListener(options.tls, (socket) => {
    if (!socket.writable) return;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    injector.injectConnection(socket);
  });
  limitConnections(listener, 'grpc', limits, intake);
  const port = await listen(listener, options.host, options.port);

  const close = async (graceMs: number): Promise<void> => {
    listener.close();
    const drained = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    closing.abort();
    const graceTimer = setTimeout(() => {
      for (const socket of sockets) socket.destroy();
    }, graceMs);
    await drained;
    clearTimeout(graceTimer);
  };
  return { address: { host: options.host, port }, close };
}

function createListener(secured: ServerTls | undefined, onConnection: (socket: Socket) => void): NetServer {
  if (secured === undefined) return createServer(onConnection);
  const listener = tls.createServer({ ...secured.serverOptions, ALPNProtocols: ['h2'] }, onConnection);
  secured.attach(listener);
  return listener;
}

function createGrpcServer(options: GrpcServerOptions, calls: Calls, intake: Intake, closing: AbortSignal): Server {
  const { service, limits, compat, arrivals, logger } = options;
  const server = new Server({
    interceptors: [calls.interceptor],
    'grpc.max_receive_message_length': limits.maxBinaryBytes,
    'grpc.max_send_message_length': -1,
    'grpc.max_concurrent_streams': limits.maxConcurrentCalls + SPARE_STREAMS,
    'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    'grpc.enable_channelz': 0,
  });
  const context: AnswerContext = { compat, intake, ...(logger === undefined ? {} : { logger }) };
  const inferContext = { ...context, service, calls, arrivals, maxTypedBytes: limits.maxBinaryBytes, closing };
  server.addService(framed({ ...InferenceDefinition, ...INFER_WITHOUT_COPY }, arrivals.nowMs), {
    ...readinessHandlers(service, context),
    ...metadataHandlers(service, context),
    ...repositoryHandlers(service, context),
    ...statisticsHandlers(service, context),
    modelInfer: modelInfer(inferContext),
    modelStreamInfer: modelStreamInfer(inferContext),
  });
  server.addService(framed(HealthService, arrivals.nowMs), healthHandlers(service, context, closing));
  addReflection(server);
  return server;
}

/** The same methods with requests left encoded: each handler decodes its own, so that what is malformed is answered. */
function framed(definition: ServiceDefinition, nowMs: () => number): ServiceDefinition {
  const requestDeserialize = (bytes: Buffer): Frame => ({ bytes, receivedAtMs: nowMs() });
  return Object.fromEntries(
    Object.entries(definition).map(([name, method]) => [name, { ...method, requestDeserialize }]),
  );
}

/** The two methods whose responses may be large; the generated serializers copy the encoded message once more. */
const INFER_WITHOUT_COPY = {
  modelInfer: {
    ...InferenceDefinition.modelInfer,
    responseSerialize: (response: ModelInferResponse): Buffer => asBuffer(ModelInferResponse.encode(response).finish()),
  },
  modelStreamInfer: {
    ...InferenceDefinition.modelStreamInfer,
    responseSerialize: (response: ModelStreamInferResponse): Buffer =>
      asBuffer(ModelStreamInferResponse.encode(response).finish()),
  },
};

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** @returns the port, of use where any was asked for */
function listen(listener: NetServer, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    // Stays for errors of later accepts, which end one connection and not the server.
    listener.on('error', (error) => reject(new Error(explainListenError(error, host, port), { cause: error })));
    listener.listen({ host, port }, () => {
      const bound = listener.address();
      resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
    });
  });
}

function explainListenError(error: NodeJS.ErrnoException, host: string, port: number): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is in use: end the program that has it, or choose another with --grpc-port`;
    case 'EACCES':
      return `port ${port} needs rights that this process lacks: choose one above 1023 with --grpc-port`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${host} is not an address of this machine: choose one with --host`;
    default:
      return `cannot listen on ${host}:${port}: ${error.message}`;
  }
}
