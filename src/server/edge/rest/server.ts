/*
 * The REST front end of the Open Inference Protocol v2, on fastify with a body reader of our own: bodies stay bytes
 * until the call that they belong to knows how to read them.
 */
import https from 'node:https';
import { fastify } from 'fastify';
import type {
  FastifyError,
  FastifyInstance,
  FastifyListenOptions,
  FastifyReply,
  FastifyRequest,
  FastifyServerFactory,
} from 'fastify';
import type { RequestListener } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { Door } from '../../doors/door.js';
import { reached } from '../../path-points.js';
import type { ServerTls } from '../../tls/server-tls.js';
import type { Arrivals } from '../arrivals.js';
import { limitConnections } from '../connections.js';
import { Intake } from '../intake.js';
import type { EdgeCause } from '../../../protocol/status.js';
import { ReceiveBudgetSpent } from '../receive-budget.js';
import type { ReceiveBudget } from '../receive-budget.js';
import { controlOfNoLog, type LogControl } from '../log-settings.js';
import { OipFailure } from '../../../protocol/service.js';
import type { BodyPlace, EdgeLimits, InferenceService } from '../../../protocol/service.js';
import { BODY_TIMEOUT_HTTP, describeError, describeBusy, statusOfError } from '../../../protocol/status.js';
import type { Compat } from '../../../protocol/status.js';
import { ClientGone, RestFailure, readBody } from './body.js';
import { sendError } from './context.js';
import type { ModelParams, ReceivedBody, RestContext } from './context.js';
import { answerHalfClosed, endWith } from './half-closed.js';
import { followCalls } from './call-in-progress.js';
import { registerDocs } from './docs.js';
import { clientOfCall, guardCalls } from './doorway.js';
import { registerHealth } from './health.js';
import { headerLength, registerInfer } from './infer.js';
import { createJsonOffload } from './json-offload.js';
import { registerMetadata } from './metadata.js';
import { followMethods } from './methods.js';
import { NO_SCHEMAS } from './no-schemas.js';
import { registerReports } from './report.js';
import { registerRepository } from './repository.js';
import { registerSettings } from './settings.js';
import { registerSharedMemory } from './memory-regions.js';
import { registerStatistics } from './statistics.js';
import { registerText } from './text.js';
import { tracedCall } from './traced-call.js';
import { explainListenError } from '../../listen-error.js';
import { duplicate } from '../../listening-socket.js';

export interface RestLogger {
  /** An answer that should not have been necessary: what a client is only told as "internal error". */
  error(details: object, message: string): void;
}

export interface RestOptions {
  readonly service: InferenceService;
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** Listening sockets of others, which are duplicated; then `port` is theirs. Absent: one of its own. */
  readonly fds?: readonly number[];
  readonly limits: EdgeLimits;
  /** Shared with the other front end. */
  readonly receiveBudget: ReceiveBudget;
  readonly arrivals: Arrivals;
  /** Shared with the other front end; absent: by `limits`, for itself. */
  readonly intake?: Intake;
  /** Heap of the thread that reads large JSON; absent: half a GiB. */
  readonly jsonHeapBytes?: number;
  readonly compat: Compat;
  /** Shared with the other front end; absent: for everybody but pages of other sites. */
  readonly door?: Door;
  readonly logger?: RestLogger;
  /** Of the server's log; absent: of none. */
  readonly logControl?: LogControl;
  /** Absent: in clear. */
  readonly tls?: ServerTls | undefined;
}

export interface RestServer {
  readonly url: string;
  readonly address: { readonly host: string; readonly port: number };
  /** From now on every answer is the last one of its connection: `Connection: close`. */
  drain(): void;
  /** Stops accepting and resolves when every call in progress has been answered. */
  close(): Promise<void>;
}

/** Request line and headers together; Node's own default, stated. */
const MAX_HEADER_BYTES = 16 * 1024;

/** How often Node looks for connections whose headers are overdue. */
const HEADER_CHECK_INTERVAL_MS = 1000;

/** Of idle connections; fastify's default, stated for the servers that it does not make. */
const KEEP_ALIVE_MS = 72_000;

const FASTIFYS_JSON = 'application/json; charset=utf-8';

/** A model's name in a path; longer ones are not found. */
const MAX_NAME_CHARACTERS = 255;

/** @throws Error of one line, with the remedy, when the port cannot be had */
export async function startRestServer(options: RestOptions): Promise<RestServer> {
  const { service, host, port, limits, compat, logControl = controlOfNoLog() } = options;
  const door = options.door ?? new Door({ host });
  const intake = options.intake ?? new Intake({ maxCalls: limits.maxConcurrentCalls, clientFraction: 1, compat });
  const offload = createJsonOffload(
    (message) => new RestFailure(describeBusy('queue_full', message, compat)),
    options.jsonHeapBytes,
  );
  let isDraining = false;
  const context: RestContext = {
    service,
    limits,
    compat,
    offload,
    intake,
    door,
    logControl,
    isDraining: () => isDraining,
  };
  const app = createApp(options, intake);
  const refusal = rawAnswer('429 Too Many Requests', 'too many connections are open; try again later');
  // Before the handshake there is nothing to be read by a client of TLS.
  const refuse = (socket: Socket): unknown => (options.tls === undefined ? endWith(socket, refusal) : socket.destroy());
  limitConnections(app.server, 'rest', limits, intake, refuse);
  answerHalfClosed(app);
  followCalls(app);
  app.addHook('onSend', (_request, reply, _payload, next) => {
    if (isDraining) reply.header('connection', 'close');
    // JSON has no charset (RFC 8259), and the KServe SDK takes errors for JSON only by this very word.
    if (reply.getHeader('content-type') === FASTIFYS_JSON) reply.header('content-type', 'application/json');
    next();
  });
  guardCalls(app, door, intake, compat);
  const calls = limitCalls(app, options, intake);
  readBodies(app, options);
  answerErrors(app, options, intake);
  const answerOtherMethods = followMethods(app);
  registerHealth(app, context);
  registerMetadata(app, context);
  registerStatistics(app, context);
  registerRepository(app, context);
  registerSettings(app, context);
  registerSharedMemory(app);
  registerReports(app, context);
  registerInfer(app, context);
  registerText(app, context);
  registerDocs(app, context);
  answerOtherMethods();
  const stopListening = await listen(app, options);
  const bound = app.server.address();
  const boundPort = typeof bound === 'object' && bound !== null ? bound.port : port;
  return {
    url: restUrl(host, boundPort, options.tls !== undefined),
    address: { host, port: boundPort },
    drain() {
      isDraining = true;
    },
    async close() {
      isDraining = true;
      calls.closeConnectionsWhenIdle();
      stopListening();
      await app.close();
      await offload.close();
    },
  };
}

export function restUrl(host: string, port: number, isSecure: boolean): string {
  return `${isSecure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** @returns ends what the app does not end. @throws Error of one line, with the remedy */
async function listen(app: FastifyInstance, { host, port, fds, tls }: RestOptions): Promise<() => void> {
  if (fds === undefined) {
    try {
      await app.listen({ host, port });
    } catch (error) {
      throw new Error(explainListenError(error, host, port, '--port'), { cause: error });
    }
    return () => undefined;
  }
  const [first, ...others] = fds;
  // By a descriptor the host says nothing, but that there is one socket.
  await app.listen({ fd: duplicate(first!), host: '127.0.0.1' } as FastifyListenOptions);
  const further = others.map((fd) =>
    // As Node's own for HTTP accepts them.
    createServer({ allowHalfOpen: tls === undefined, noDelay: true }, (socket) =>
      app.server.emit('connection', socket),
    ).listen({ fd: duplicate(fd) }),
  );
  return () => {
    for (const server of further) server.close();
  };
}

function createApp({ limits, compat, tls }: RestOptions, intake: Intake): FastifyInstance {
  const http = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: limits.bodyTimeoutMs,
    // `readBody` has the time limit that counts; this one ends the bodies of calls that were answered without reading.
    requestTimeout: 2 * limits.bodyTimeoutMs,
    connectionsCheckingInterval: Math.min(HEADER_CHECK_INTERVAL_MS, limits.bodyTimeoutMs),
  };
  const secured: { readonly serverFactory?: FastifyServerFactory } =
    tls === undefined ? {} : { serverFactory: (handler) => createSecureServer(handler, http, tls) };
  return fastify({
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: MAX_NAME_CHARACTERS },
    bodyLimit: limits.maxBinaryBytes,
    schemaController: NO_SCHEMAS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    http,
    requestTimeout: http.requestTimeout,
    ...secured,
    requestIdHeader: false,
    // A request on an open connection during the drain is answered by the service, with its reason.
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => answerUnparsable(error, socket, intake),
    frameworkErrors: (error, _request, reply: FastifyReply) => {
      void sendError(reply, describeError({ kind: 'invalid', message: error.message }, compat), intake);
    },
  });
}

/** As fastify makes its own, and known to `tls` whichever of a host name's addresses it is for. */
function createSecureServer(
  handler: RequestListener,
  options: https.ServerOptions,
  tls: ServerTls,
): ReturnType<FastifyServerFactory> {
  const server = https.createServer({ ...options, keepAliveTimeout: KEEP_ALIVE_MS, ...tls.serverOptions }, handler);
  tls.attach(server);
  return server;
}

/** Answers calls beyond the limit at once; a call is in progress from its head until its answer is sent. */
function limitCalls(
  app: FastifyInstance,
  { service: { traces }, arrivals }: RestOptions,
  intake: Intake,
): { closeConnectionsWhenIdle(): void } {
  let isClosing = false;
  app.addHook('onRequest', (request, reply, next) => {
    if (request.method !== 'POST') {
      next();
      return;
    }
    const client = clientOfCall(request);
    const refusal = intake.begin(client);
    if (refusal !== null) {
      if (traces !== undefined && request.routeOptions.config.takesInputs === true) {
        const atMs = arrivals.nowMs();
        const trace = traces.begin(tracedCall(request, { firstByteAtMs: atMs, receivedAtMs: atMs }));
        trace.answered(refusal.status.http, refusal.edgeCause ?? '');
      }
      void sendError(reply, refusal, intake);
      return;
    }
    request.callInProgress.whenEnded(() => {
      intake.end(client);
      // Its connection has just become idle, and would keep the server open until it timed out.
      if (isClosing) app.server.closeIdleConnections();
    });
    next();
  });
  return {
    closeConnectionsWhenIdle() {
      isClosing = true;
    },
  };
}

/** Any content type: Triton's clients send binary bodies as octet streams, curl sends JSON as a form. */
function readBodies(app: FastifyInstance, { service, limits, receiveBudget, arrivals }: RestOptions): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (request, payload, done) => {
    // Nothing asynchronous lies between the parsed head and here.
    const firstByteAtMs = arrivals.arrivedAtMs(request.raw.socket);
    let maxBytes: number;
    try {
      const isJson = headerLength(request) === null && request.routeOptions.config.takesFiles !== true;
      maxBytes = isJson ? limits.maxJsonBytes : limits.maxBinaryBytes;
    } catch (error) {
      done(error as Error);
      return;
    }
    const receipt = receiveBudget.open(clientOfCall(request));
    const call = request.callInProgress;
    const length = request.headers['content-length'];
    const declaredBytes = length === undefined ? null : Number(length);
    const findPlace = placeFinder(request, declaredBytes, service);
    readBody(
      payload,
      { maxBytes, timeoutMs: limits.bodyTimeoutMs, declaredBytes, findPlace },
      receipt,
      (error, body) => {
        if (body === undefined) done(error);
        else {
          const { bytes, place } = body;
          reached('received');
          call.holdReceipt(receipt);
          if (place !== null) call.holdPlace(place);
          const receivedAtMs = arrivals.nowMs();
          const routerDelayMs = arrivals.routerDelayMs(firstByteAtMs);
          done(null, { bytes, firstByteAtMs, receivedAtMs, routerDelayMs, receipt } satisfies ReceivedBody);
        }
      },
    );
  });
}

/** Of bodies that are tensors for the larger part. */
function placeFinder(
  request: FastifyRequest,
  declaredBytes: number | null,
  service: InferenceService,
): (() => BodyPlace | null) | undefined {
  if (request.routeOptions.config.takesInputs !== true || headerLength(request) === null) return undefined;
  if (declaredBytes === null || request.headers['content-encoding'] !== undefined) return undefined;
  const { model } = request.params as ModelParams;
  return () => service.placeFor?.(model, declaredBytes) ?? null;
}

function answerErrors(app: FastifyInstance, { compat, logger }: RestOptions, intake: Intake): void {
  app.setNotFoundHandler((request) => {
    const path = request.url.split('?', 1)[0]!.slice(0, MAX_NAME_CHARACTERS);
    throw new OipFailure('unsupported', `${request.method} ${path} is not supported`);
  });
  app.setErrorHandler((error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
    if (error instanceof ClientGone) {
      intake.count('rest', 'cancelled');
      return reply.hijack();
    }
    // Fastify closes the connection where a body was not read to its end. Many clients write all before they read, and would
    // lose the answer, and with it the word when to try again: what comes is read and thrown away, for a time.
    reply.removeHeader('connection');
    if (error instanceof RestFailure) {
      if (error.isConnectionOver) reply.header('connection', 'close');
      return sendError(reply, error.reply, intake);
    }
    if (error instanceof ReceiveBudgetSpent) {
      return sendError(reply, describeBusy(error.reason, error.message, compat), intake);
    }
    if (error instanceof OipFailure) return sendError(reply, describeError(error.error, compat), intake);
    // What fastify found wrong with the request, such as a body shorter than its Content-Length.
    if ((error.statusCode ?? 500) < 500) {
      return sendError(reply, describeError({ kind: 'invalid', message: error.message }, compat), intake);
    }
    logger?.error({ err: error, method: request.method, url: request.url }, 'request failed');
    return sendError(reply, describeError({ kind: 'internal', message: 'internal error' }, compat), intake);
  });
}

/** Bytes that are no HTTP, headers that are too large, and headers that do not end. */
function answerUnparsable(error: NodeJS.ErrnoException, socket: Socket, intake: Intake): void {
  // A connection on which nothing came, opened for a request that was called off, is the next one's: it would read what nobody asked.
  const isUnused = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && socket.bytesRead === 0;
  if (error.code === 'ECONNRESET' || !socket.writable || isUnused) {
    socket.destroy();
    return;
  }
  const { statusLine, message, cause } = unparsableAnswer(error.code);
  intake.count('rest', cause);
  endWith(socket, rawAnswer(statusLine, message));
}

function rawAnswer(statusLine: string, error: string): string {
  const body = JSON.stringify({ error });
  return `HTTP/1.1 ${statusLine}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
}

function unparsableAnswer(code: string | undefined): { statusLine: string; message: string; cause: EdgeCause } {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return {
        statusLine: `${BODY_TIMEOUT_HTTP} Request Timeout`,
        message: 'request headers were not complete in time',
        cause: 'body_timeout',
      };
    case 'HPE_HEADER_OVERFLOW':
      return {
        statusLine: '431 Request Header Fields Too Large',
        message: `request headers are larger than ${MAX_HEADER_BYTES} bytes, which is the limit`,
        cause: 'too_large',
      };
    default:
      return {
        statusLine: `${statusOfError('invalid', 'none').http} Bad Request`,
        message: 'not an HTTP request',
        cause: 'invalid',
      };
  }
}
