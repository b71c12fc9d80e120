/*
 * The REST front end of the Open Inference Protocol v2, on fastify with a body reader of our own: bodies stay bytes
 * until the call that they belong to knows how to read them.
 */
import { fastify } from 'fastify';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Socket } from 'node:net';
import { ReceiveBudgetSpent } from '../receive-budget.js';
import type { ReceiveBudget } from '../receive-budget.js';
import { OipFailure } from '../service.js';
import type { EdgeLimits, InferenceService } from '../service.js';
import { BODY_TIMEOUT_HTTP, describeError, describeBusy, statusOfError } from '../status.js';
import type { Compat } from '../status.js';
import { ClientGone, RestFailure, readBody } from './body.js';
import { sendError } from './context.js';
import type { ReceivedBody, RestContext } from './context.js';
import { registerHealth } from './health.js';
import { headerLength, registerInfer } from './infer.js';
import { createJsonOffload } from './json-offload.js';
import { registerMetadata } from './metadata.js';
import { registerRepository } from './repository.js';
import { registerStatistics } from './statistics.js';

export interface RestLogger {
  /** An answer that should not have been necessary: what a client is only told as "internal error". */
  error(details: object, message: string): void;
}

export interface RestOptions {
  readonly service: InferenceService;
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  readonly limits: EdgeLimits;
  /** Shared with the other front end. */
  readonly receiveBudget: ReceiveBudget;
  /** The server's monotonic clock. */
  readonly nowMs: () => number;
  readonly compat: Compat;
  readonly logger?: RestLogger;
}

export interface RestServer {
  readonly url: string;
  readonly address: { readonly host: string; readonly port: number };
  /** Stops accepting and resolves when every call in progress has been answered. */
  close(): Promise<void>;
}

/** Request line and headers together; Node's own default, stated. */
const MAX_HEADER_BYTES = 16 * 1024;

/** How often Node looks for connections whose headers are overdue. */
const HEADER_CHECK_INTERVAL_MS = 1000;

/** A model's name in a path; longer ones are not found. */
const MAX_NAME_CHARACTERS = 255;

/** @throws Error of one line, with the remedy, when the port cannot be had */
export async function startRestServer(options: RestOptions): Promise<RestServer> {
  const { service, host, port, limits, compat } = options;
  const offload = createJsonOffload((message) => new RestFailure(describeBusy(message, compat)));
  const context: RestContext = { service, limits, compat, offload };
  const app = createApp(options);
  const calls = limitCalls(app, limits.maxConcurrentCalls, compat);
  readBodies(app, options);
  answerErrors(app, options);
  registerHealth(app, context);
  registerMetadata(app, context);
  registerStatistics(app, context);
  registerRepository(app, context);
  registerInfer(app, context);
  try {
    await app.listen({ host, port });
  } catch (error) {
    throw new Error(explainListenError(error, host, port), { cause: error });
  }
  const bound = app.server.address();
  const boundPort = typeof bound === 'object' && bound !== null ? bound.port : port;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${boundPort}`,
    address: { host, port: boundPort },
    async close() {
      calls.closeConnectionsWhenIdle();
      await app.close();
      await offload.close();
    },
  };
}

function createApp({ limits, compat }: RestOptions): FastifyInstance {
  return fastify({
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: MAX_NAME_CHARACTERS },
    bodyLimit: limits.maxBinaryBytes,
    http: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: limits.bodyTimeoutMs,
      connectionsCheckingInterval: Math.min(HEADER_CHECK_INTERVAL_MS, limits.bodyTimeoutMs),
    },
    // `readBody` has the time limit that counts; this one ends the bodies of calls that were answered without reading.
    requestTimeout: 2 * limits.bodyTimeoutMs,
    requestIdHeader: false,
    // A request on an open connection during the drain is answered by the service, with its reason.
    return503OnClosing: false,
    clientErrorHandler: answerUnparsable,
    frameworkErrors: (error, _request, reply: FastifyReply) => {
      void sendError(reply, describeError({ kind: 'invalid', message: error.message }, compat));
    },
  });
}

/** Answers calls beyond the limit at once; a call is in progress from its head until its answer is sent. */
function limitCalls(
  app: FastifyInstance,
  maxConcurrentCalls: number,
  compat: Compat,
): { closeConnectionsWhenIdle(): void } {
  let callsInProgress = 0;
  let isClosing = false;
  app.addHook('onRequest', (request, reply, next) => {
    if (request.method !== 'POST') {
      next();
      return;
    }
    if (callsInProgress >= maxConcurrentCalls) {
      void sendError(reply, describeBusy(`${maxConcurrentCalls} calls are in progress, which is the limit`, compat));
      return;
    }
    callsInProgress += 1;
    reply.raw.once('close', () => {
      callsInProgress -= 1;
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
function readBodies(app: FastifyInstance, { limits, receiveBudget, nowMs }: RestOptions): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (request, payload, done) => {
    // Nothing asynchronous lies between the parsed head and here.
    const firstByteAtMs = nowMs();
    let maxBytes: number;
    try {
      maxBytes = headerLength(request) === null ? limits.maxJsonBytes : limits.maxBinaryBytes;
    } catch (error) {
      done(error as Error);
      return;
    }
    const receipt = receiveBudget.open();
    const length = request.headers['content-length'];
    const declaredBytes = length === undefined ? null : Number(length);
    readBody(payload, { maxBytes, timeoutMs: limits.bodyTimeoutMs, declaredBytes }, receipt, (error, bytes) => {
      if (bytes === undefined) done(error);
      else done(null, { bytes, firstByteAtMs, receivedAtMs: nowMs(), receipt } satisfies ReceivedBody);
    });
  });
  app.addHook('preHandler', (request, reply, next) => {
    const body = request.body as ReceivedBody | undefined;
    if (reply.raw.closed) body?.receipt.release();
    else if (body !== undefined) reply.raw.once('close', () => body.receipt.release());
    next();
  });
}

function answerErrors(app: FastifyInstance, { compat, logger }: RestOptions): void {
  app.setNotFoundHandler((request) => {
    const path = request.url.split('?', 1)[0]!.slice(0, MAX_NAME_CHARACTERS);
    throw new OipFailure('unsupported', `${request.method} ${path} is not supported`);
  });
  app.setErrorHandler((error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
    if (error instanceof ClientGone) return reply.hijack();
    // Fastify closes the connection where a body was not read to its end. Many clients write all before they read, and would
    // lose the answer, and with it the word when to try again: what comes is read and thrown away, for a time.
    reply.removeHeader('connection');
    if (error instanceof RestFailure) {
      if (error.isConnectionOver) reply.header('connection', 'close');
      return sendError(reply, error.reply);
    }
    if (error instanceof ReceiveBudgetSpent) return sendError(reply, describeBusy(error.message, compat));
    if (error instanceof OipFailure) return sendError(reply, describeError(error.error, compat));
    // What fastify found wrong with the request, such as a body shorter than its Content-Length.
    if ((error.statusCode ?? 500) < 500) {
      return sendError(reply, describeError({ kind: 'invalid', message: error.message }, compat));
    }
    logger?.error({ err: error, method: request.method, url: request.url }, 'request failed');
    return sendError(reply, describeError({ kind: 'internal', message: 'internal error' }, compat));
  });
}

/** Bytes that are no HTTP, headers that are too large, and headers that do not end. */
function answerUnparsable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const { statusLine, message } = unparsableAnswer(error.code);
  const body = JSON.stringify({ error: message });
  socket.end(
    `HTTP/1.1 ${statusLine}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function unparsableAnswer(code: string | undefined): { statusLine: string; message: string } {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return {
        statusLine: `${BODY_TIMEOUT_HTTP} Request Timeout`,
        message: 'request headers were not complete in time',
      };
    case 'HPE_HEADER_OVERFLOW':
      return {
        statusLine: '431 Request Header Fields Too Large',
        message: `request headers are larger than ${MAX_HEADER_BYTES} bytes, which is the limit`,
      };
    default:
      return { statusLine: `${statusOfError('invalid', 'none').http} Bad Request`, message: 'not an HTTP request' };
  }
}

function explainListenError(error: unknown, host: string, port: number): string {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'EADDRINUSE':
      return `port ${port} on ${host} is in use: end the program that has it, or choose another with --port`;
    case 'EACCES':
      return `port ${port} needs rights that this process lacks: choose one above 1023 with --port`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${host} is not an address of this machine: choose one with --host`;
    default:
      return `cannot listen on ${host}:${port}: ${message}`;
  }
}
