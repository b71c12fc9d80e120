import { setMaxListeners } from 'node:events';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import tls from 'node:tls';
import { explainListenError } from '../listen-error.js';
import { limitConnections } from '../edge/connections.js';
import { decodeMessage, framed, plainStatus, trailersOf, unary } from '../edge/grpc/answers.js';
import { Call, type Method } from '../edge/grpc/call.js';
import { Connections } from '../edge/grpc/connections.js';
import {
  HealthCheckRequest,
  HealthCheckResponse,
  HealthCheckResponse_ServingStatus as ServingStatus,
  HealthDefinition,
} from '../../protocol/grpc/generated/health.js';
import { methodsOf } from '../edge/grpc/methods.js';
import { Intake } from '../edge/intake.js';
import { ReceiveBudget } from '../edge/receive-budget.js';
import { GRPC_CODE, type GrpcCode } from '../../protocol/status.js';
import type { ServerTls } from '../tls/server-tls.js';
import { processStream, type Decide } from './processor.js';

/*
 * The gRPC port of the picker: Envoy's external processing, and health checks, on the gRPC that servers speak (`oip/grpc/`). Its clients are
 * proxies, few and of one's own: what they may hold is bounded all the same.
 */

/** A request under way at a proxy is a stream here. */
const MAX_STREAMS = 16_384;
const MAX_MESSAGE_BYTES = 1 << 20;
const MAX_RECEIVED_BYTES = 64 << 20;
/** A message must be complete by then, and an answer read. */
const TIMEOUT_MS = 10_000;
const WATCH_PERIOD_MS = 200;

const EXT_PROC = '/envoy.service.ext_proc.v3.ExternalProcessor/Process';
/** That this port is asked about. What asks for readiness gets it; the rest is whether it lives. */
const READY_NAMES: ReadonlySet<string> = new Set(['', 'readiness', 'envoy.service.ext_proc.v3.ExternalProcessor']);
const LIVE_NAMES: ReadonlySet<string> = new Set(['liveness']);

export interface ExtProcOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly decide: Decide;
  readonly isReady: () => boolean;
  readonly nowMs: () => number;
  /** Absent: in clear. */
  readonly tls?: ServerTls | undefined;
}

export interface ExtProcServer {
  readonly port: number;
  close(): Promise<void>;
}

/** @throws Error of one line, with the remedy, when the port cannot be had */
export async function startExtProcServer(options: ExtProcOptions): Promise<ExtProcServer> {
  const { nowMs, decide, isReady } = options;
  const closing = new AbortController();
  setMaxListeners(0, closing.signal);
  const intake = new Intake({ maxCalls: MAX_STREAMS, clientFraction: 1, compat: 'none' });
  const received = new ReceiveBudget(MAX_RECEIVED_BYTES);
  const methods = new Map<string, Method>([
    [EXT_PROC, { kind: 'stream', open: processStream(decide) }],
    ...healthMethods(intake, isReady, closing.signal),
  ]);
  const take = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, socket: Socket): void => {
    const method = methods.get(headers[':path'] ?? '');
    const peer = socket.remoteAddress ?? '';
    if (method === undefined) {
      refuse(stream, GRPC_CODE.UNIMPLEMENTED, 'a picker has no such method');
      return;
    }
    if (intake.begin(peer) !== null) {
      refuse(stream, GRPC_CODE.RESOURCE_EXHAUSTED, `${MAX_STREAMS} requests are being picked for, which is the limit`);
      return;
    }
    new Call({
      head: { firstByteAtMs: nowMs(), socket, peer, tokenName: null, timeoutMs: null, headers },
      method,
      stream,
      isStream: method.kind === 'stream',
      receipt: received.open(peer),
      encoding: undefined,
      maxMessageBytes: MAX_MESSAGE_BYTES,
      timeoutMs: TIMEOUT_MS,
      compat: 'none',
      intake,
      nowMs,
      onOver: () => intake.end(peer),
    });
  };
  const connections = new Connections(MAX_STREAMS, take);
  const listener = createListener(options.tls, connections.accept);
  limitConnections(listener, 'grpc', limitsOf(), intake);
  const port = await listen(listener, options.host, options.port);
  return {
    port,
    close: async () => {
      listener.close();
      closing.abort();
      await connections.close(TIMEOUT_MS);
    },
  };
}

function limitsOf() {
  return {
    maxConcurrentCalls: MAX_STREAMS,
    maxJsonBytes: 0,
    maxBinaryBytes: MAX_MESSAGE_BYTES,
    maxBytesInReceipt: MAX_RECEIVED_BYTES,
    bodyTimeoutMs: TIMEOUT_MS,
  };
}

function healthMethods(intake: Intake, isReady: () => boolean, closing: AbortSignal): (readonly [string, Method])[] {
  const statusOf = (name: string): ServingStatus => {
    if (LIVE_NAMES.has(name)) return ServingStatus.SERVING;
    if (!READY_NAMES.has(name)) return ServingStatus.SERVICE_UNKNOWN;
    return isReady() && !closing.aborted ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  };
  const context = { compat: 'none' as const, intake };
  return methodsOf(HealthDefinition, {
    check: unary(context, HealthDefinition.methods.check, ({ service }) => ({ status: statusOf(service) })),
    watch: (call, frame) => {
      const { service } = decodeMessage(HealthCheckRequest, frame.bytes);
      let told: ServingStatus | null = null;
      const tell = (): void => {
        const status = statusOf(service);
        if (status === told) return;
        told = status;
        call.send([framed(HealthCheckResponse, { status })]);
      };
      const letGo = (): void => {
        clearInterval(timer);
        tell();
        call.succeed();
      };
      const timer = setInterval(tell, WATCH_PERIOD_MS);
      closing.addEventListener('abort', letGo);
      call.onceOver(() => {
        clearInterval(timer);
        closing.removeEventListener('abort', letGo);
      });
      tell();
    },
  });
}

function createListener(secured: ServerTls | undefined, onConnection: (socket: Socket) => void): NetServer {
  if (secured === undefined) return createServer({ noDelay: true }, onConnection);
  const listener = tls.createServer({ ...secured.serverOptions, ALPNProtocols: ['h2'] }, onConnection);
  secured.attach(listener);
  return listener;
}

function listen(listener: NetServer, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    listener.on('error', (error) =>
      reject(new Error(explainListenError(error, host, port, '--port'), { cause: error })),
    );
    listener.listen({ host, port }, () => {
      const bound = listener.address();
      resolve(typeof bound === 'object' && bound !== null ? bound.port : port);
    });
  });
}

function refuse(stream: ServerHttp2Stream, code: GrpcCode, message: string): void {
  stream.on('error', () => undefined);
  if (stream.destroyed || stream.closed) return;
  const trailers = trailersOf(plainStatus(code, message));
  stream.respond({ ':status': 200, 'content-type': 'application/grpc+proto', ...trailers }, { endStream: true });
  stream.resume();
  setImmediate(() => stream.close());
}
