/*
 * The gRPC front end: the Open Inference Protocol, health checks and reflection on one port, on Node's own HTTP/2.
 *
 * The listening socket is ours: a busy port is an error value here and not a line on stderr, connections are counted before anything
 * is spoken on them, and TLS ends here as it does at the other ports.
 */
import { setMaxListeners } from 'node:events';
import { createServer } from 'node:net';
import tls from 'node:tls';
import type { Server as NetServer, Socket } from 'node:net';
import { Door } from '../../doors/door.js';
import type { ServerTls } from '../../tls/server-tls.js';
import type { Arrivals } from '../arrivals.js';
import { limitConnections } from '../connections.js';
import { Intake } from '../intake.js';
import { controlOfNoLog, type LogControl } from '../log-settings.js';
import type { ReceiveBudget } from '../receive-budget.js';
import type { EdgeLimits, InferenceService } from '../../../protocol/service.js';
import type { Compat } from '../../../protocol/status.js';
import type { AnswerContext, GrpcLogger } from './answers.js';
import type { Method } from './call.js';
import { Calls } from './calls.js';
import { Connections } from './connections.js';
import { HealthDefinition } from '../../../protocol/grpc/generated/health.js';
import { GRPCInferenceServiceDefinition } from '../../../protocol/grpc/generated/open_inference.js';
import { healthHandlers, readinessHandlers } from './health.js';
import { modelNameIn } from './infer-decoder.js';
import { modelInfer, modelStreamInfer } from './infer.js';
import { metadataHandlers } from './metadata.js';
import { methodsOf } from './methods.js';
import { reflectionMethods } from './reflection.js';
import { repositoryHandlers } from './repository.js';
import { settingHandlers } from './settings.js';
import { sharedMemoryHandlers } from './memory-regions.js';
import { statisticsHandlers } from './statistics.js';
import { explainListenError } from '../../listen-error.js';
import { duplicate } from '../../listening-socket.js';

/**
 * Streams a connection may hold open beyond the limit on calls: room for health probes, and for calls over the limit to
 * be refused at once where the client would else hold them back unseen.
 */
const SPARE_STREAMS = 100;

export interface GrpcServerOptions {
  readonly service: InferenceService;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** A listening socket of others, which is duplicated; then `port` is its. Absent: one of its own. */
  readonly fds?: readonly number[];
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
  /** Of the server's log; absent: of none. */
  readonly logControl?: LogControl;
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
  const door = options.door ?? new Door(options);
  const calls = new Calls({
    ...options,
    intake,
    door,
    methods: methodsBy({ ...options, door }, intake, closing.signal),
    findPlace: (beginning, byteCount) => {
      const modelName = modelNameIn(beginning);
      return modelName === null ? null : (options.service.placeFor?.(modelName, byteCount) ?? null);
    },
  });
  const connections = new Connections(limits.maxConcurrentCalls + SPARE_STREAMS, calls.take);
  const listener = createListener(options.tls, connections.accept);
  limitConnections(listener, 'grpc', limits, intake);
  const port = await listen(listener, options);

  const close = async (graceMs: number): Promise<void> => {
    listener.close();
    const drained = connections.close(graceMs);
    closing.abort();
    await drained;
  };
  return { address: { host: options.host, port }, close };
}

function createListener(secured: ServerTls | undefined, onConnection: (socket: Socket) => void): NetServer {
  if (secured === undefined) return createServer(onConnection);
  const listener = tls.createServer({ ...secured.serverOptions, ALPNProtocols: ['h2'] }, onConnection);
  secured.attach(listener);
  return listener;
}

/** By their paths. */
function methodsBy(
  options: GrpcServerOptions & { readonly door: Door },
  intake: Intake,
  closing: AbortSignal,
): ReadonlyMap<string, Method> {
  const { service, limits, compat, arrivals, logger, door, logControl = controlOfNoLog() } = options;
  const context: AnswerContext = { compat, intake, ...(logger === undefined ? {} : { logger }) };
  const inferContext = { ...context, service, arrivals, maxTypedBytes: limits.maxBinaryBytes, closing };
  return new Map([
    ...methodsOf(GRPCInferenceServiceDefinition, {
      ...readinessHandlers(service, context),
      ...metadataHandlers(service, context),
      ...repositoryHandlers(service, door, limits, context),
      ...statisticsHandlers(service, context),
      ...settingHandlers(service, { door, logControl }, context),
      ...sharedMemoryHandlers(context),
      modelInfer: modelInfer(inferContext),
      modelStreamInfer: modelStreamInfer(inferContext),
    }),
    ...methodsOf(HealthDefinition, healthHandlers(service, context, closing)),
    ...reflectionMethods(context),
  ]);
}

/** @returns the port, of use where any was asked for */
function listen(listener: NetServer, { host, port, fds }: GrpcServerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    // Stays for errors of later accepts, which end one connection and not the server.
    listener.on('error', (error) =>
      reject(new Error(explainListenError(error, host, port, '--grpc-port'), { cause: error })),
    );
    listener.listen(fds === undefined ? { host, port } : { fd: duplicate(fds[0]!) }, () => {
      const bound = listener.address();
      resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
    });
  });
}
