/* What every REST handler is given. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Door } from '../../doors/door.js';
import type { Intake } from '../intake.js';
import type { LogControl } from '../log-settings.js';
import type { Receipt } from '../receive-budget.js';
import type { EdgeLimits, InferenceService } from '../../../protocol/service.js';
import { isTextPath, textErrorBody, textErrorHeaders } from '../../../protocol/text/error-body.js';
import { errorBody, errorHeaders } from '../../../protocol/status.js';
import type { Compat, ErrorReply } from '../../../protocol/status.js';
import type { JsonOffload } from './json-offload.js';

export interface RestContext {
  readonly service: InferenceService;
  readonly limits: EdgeLimits;
  readonly compat: Compat;
  readonly offload: JsonOffload;
  readonly intake: Intake;
  readonly door: Door;
  readonly logControl: LogControl;
  /** Answers are the last of their connections. */
  isDraining(): boolean;
}

/** A body as received, before any decompression. */
export interface ReceivedBody {
  readonly bytes: Buffer;
  /** When the head of the request had come; for all but the slowest senders that is its first packet. */
  readonly firstByteAtMs: number;
  readonly receivedAtMs: number;
  /** Of the time between, what the router stood still for. */
  readonly routerDelayMs: number;
  /** Released when the answer is sent; sooner where the bytes are handed on sooner. */
  readonly receipt: Receipt;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Its body is an inference request's, for the model that the path names. */
    readonly takesInputs?: boolean;
    /** Its body may be as large as one of tensors. */
    readonly takesFiles?: boolean;
  }
}

/** The body of a request, which has none any more: it may wait for long, and what was decoded is all that it needs. */
export function takeBody(request: FastifyRequest): ReceivedBody | undefined {
  const body = request.body as ReceivedBody | undefined;
  request.body = undefined;
  return body;
}

export interface ModelParams {
  readonly model: string;
  readonly version?: string;
}

type ModelRequest = FastifyRequest<{ Params: ModelParams }>;

type ModelHandler = (request: ModelRequest, reply: FastifyReply) => FastifyReply | undefined;

/**
 * Registers a call on a model under `/v2/models/{m}` and `/v2/models/{m}/versions/{v}`.
 * @param beforeBody what can be said by the head alone: what it throws is answered without reading the body
 */
export function onModelPaths(
  app: FastifyInstance,
  method: 'GET' | 'POST',
  suffix: string,
  handler: ModelHandler,
  beforeBody: (request: ModelRequest, reply: FastifyReply) => void = () => undefined,
): void {
  for (const path of ['/v2/models/:model', '/v2/models/:model/versions/:version']) {
    app.route<{ Params: ModelParams }>({
      method,
      url: `${path}${suffix}`,
      config: { takesInputs: suffix === '/infer' },
      preParsing: (request, reply, _payload, next) => {
        try {
          beforeBody(request, reply);
        } catch (error) {
          next(error as Error);
          return;
        }
        next();
      },
      handler,
    });
  }
}

/** Counted where it is no outcome of a request. */
export function sendError(reply: FastifyReply, error: ErrorReply, intake: Intake): FastifyReply {
  if (error.edgeCause !== null) intake.count('rest', error.edgeCause);
  const headers = errorHeaders(error);
  if (!isTextPath(reply.request.url)) return reply.code(error.status.http).headers(headers).send(errorBody(error));
  return reply
    .code(error.status.http)
    .headers({ ...headers, ...textErrorHeaders(error) })
    .send(textErrorBody(error));
}
