/*
 * Every call from its first byte to its end, seen before grpc-js hands it to a handler: when its metadata arrived, the
 * bound on calls in progress, and the bound on how long a body may take.
 *
 * What grpc-js 1.14 does with `grpc-timeout`: it keeps whole milliseconds, rounded down, counted from the arrival of the
 * metadata. At that instant it answers DEADLINE_EXCEEDED by itself, without our trailers, and reports the call as
 * cancelled. So a call can end as cancelled for two causes, which `endCause` tells apart by time: clients enforce the
 * deadline too, and their reset comes at about the same instant. Its 32-bit arithmetic turns timeouts beyond 24 days into
 * anything, also the past; they are shortened here.
 */
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { ServerInterceptingCall, ServerListenerBuilder } from '@grpc/grpc-js';
import type { Metadata, ServerInterceptingCallInterface, ServerInterceptor } from '@grpc/grpc-js';
import type { Door, Head, Right } from '../../doors/door.js';
import type { Arrivals } from '../arrivals.js';
import type { Intake } from '../intake.js';
import { parseGrpcTimeout } from '../parameters.js';
import type { ReceiveBudget } from '../receive-budget.js';
import { OipFailure } from '../service.js';
import type { EdgeLimits } from '../service.js';
import { describeError } from '../status.js';
import type { Compat, ErrorReply } from '../status.js';
import { statusOf } from './answers.js';
import { MessageReceipt } from './message-receipt.js';

/** How a call arrived. */
export interface CallRecord {
  readonly firstByteAtMs: number;
  readonly socket: Socket | undefined;
  /** Address without port. */
  readonly peer: string;
  /** Whose token it came with; null where it came without. */
  readonly tokenName: string | null;
  /** `grpc-timeout`; null when there was none. */
  readonly timeoutMs: number | null;
  readonly receipt: MessageReceipt;
}

export interface CallsOptions {
  readonly limits: EdgeLimits;
  readonly receiveBudget: ReceiveBudget;
  readonly intake: Intake;
  readonly compat: Compat;
  readonly door: Door;
  readonly arrivals: Arrivals;
}

/** Health probes are answered whatever the load: they cost nothing, and refusing one gets a healthy server killed. */
const ALWAYS_ANSWERED: ReadonlySet<string> = new Set([
  '/inference.GRPCInferenceService/ServerLive',
  '/inference.GRPCInferenceService/ServerReady',
  '/inference.GRPCInferenceService/ModelReady',
  '/grpc.health.v1.Health/Check',
]);

/** What a read-only token is for. A method that is not named here needs a full one. */
const TELL_ONLY: ReadonlySet<string> = new Set([
  '/inference.GRPCInferenceService/ServerMetadata',
  '/inference.GRPCInferenceService/ModelMetadata',
  '/inference.GRPCInferenceService/ModelConfig',
  '/inference.GRPCInferenceService/ModelStatistics',
  '/inference.GRPCInferenceService/RepositoryIndex',
  '/grpc.health.v1.Health/Watch',
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
]);

/** Node's timers may fire up to 2 ms early against a clock, and a client's reset travels as its request did. */
const DEADLINE_TOLERANCE_MS = 2;

/** The longest timeout in whole hours that grpc-js can keep: below 2^31 ms. */
const LONGEST_TIMEOUT = '596H';
const LONGEST_TIMEOUT_MS = parseGrpcTimeout(LONGEST_TIMEOUT);

export class Calls {
  readonly #options: CallsOptions;
  /** From the metadata object, which is what a handler is given, to how its call arrived. */
  readonly #records = new WeakMap<Metadata, CallRecord>();
  /** Of the call that grpc-js is about to hand to the interceptor: its stream and headers, and `grpc-timeout`, null without one. */
  #stream: ServerHttp2Stream | null = null;
  #headers: IncomingHttpHeaders = {};
  #timeoutMs: number | null | OipFailure = null;

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  /** Takes the headers of every call just before the interceptor sees it, in the same turn. */
  readonly onHeaders = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void => {
    this.#stream = stream;
    this.#headers = headers;
    this.#timeoutMs = readTimeoutMs(headers);
    if (typeof this.#timeoutMs === 'number' && this.#timeoutMs > LONGEST_TIMEOUT_MS) {
      headers['grpc-timeout'] = LONGEST_TIMEOUT;
    }
  };

  readonly interceptor: ServerInterceptor = (method, nextCall) => {
    const { limits, receiveBudget, compat, arrivals, intake, door } = this.#options;
    const timeoutMs = this.#timeoutMs;
    const stream = this.#stream;
    if (stream === null) throw new Error('a call reached the interceptor before its headers were seen');
    const socket = stream.session?.socket as Socket | undefined;
    const firstByteAtMs = arrivals.arrivedAtMs(socket);
    const verdict = door.admit(headOf(this.#headers), rightFor(method.path));
    if (verdict.kind === 'refused') {
      return refuse(nextCall, describeError({ kind: verdict.cause, message: verdict.message }, compat), intake);
    }
    const tokenName = verdict.identity?.name ?? null;
    if (timeoutMs instanceof OipFailure) return refuse(nextCall, describeError(timeoutMs.error, compat), intake);
    const isCounted = !ALWAYS_ANSWERED.has(method.path);
    const peer = nextCall.getConnectionInfo().remoteAddress ?? 'unknown';
    const client = tokenName === null ? peer : `token ${tokenName}`;
    const refusal = isCounted ? intake.begin(client) : null;
    if (refusal !== null) return refuse(nextCall, refusal, intake);
    const receipt = new MessageReceipt({
      call: nextCall,
      stream,
      receipt: receiveBudget.open(client),
      isStream: method.requestStream,
      maxMessageBytes: limits.maxBinaryBytes,
      timeoutMs: limits.bodyTimeoutMs,
      compat,
      intake,
    });
    const record: CallRecord = { firstByteAtMs, socket, peer, tokenName, timeoutMs, receipt };
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        this.#records.set(metadata, record);
        next(metadata);
      })
      .withOnReceiveHalfClose((next) => {
        receipt.halfClose();
        next();
      })
      // Despite its name this comes once at the end of every call, also of one that was answered.
      .withOnCancel(() => {
        receipt.end();
        if (isCounted) intake.end(client);
      })
      .build();
    return new ServerInterceptingCall(nextCall, { start: (next) => next(listener) });
  };

  /** How the call with this request metadata arrived. */
  recordOf(metadata: Metadata): CallRecord {
    const record = this.#records.get(metadata);
    if (record === undefined) throw new Error('a call reached its handler without passing the interceptor');
    return record;
  }

  /** Why a call that grpc-js reports as cancelled ended: its own deadline, or the client left before that. */
  endCause(record: CallRecord): 'deadline' | 'client' {
    if (record.timeoutMs === null) return 'client';
    const deadlineAtMs = record.firstByteAtMs + record.timeoutMs;
    return this.#options.arrivals.nowMs() >= deadlineAtMs - DEADLINE_TOLERANCE_MS ? 'deadline' : 'client';
  }
}

function rightFor(path: string): Right {
  if (ALWAYS_ANSWERED.has(path)) return 'none';
  return TELL_ONLY.has(path) ? 'read' : 'full';
}

/** HTTP/2 has its host in a pseudo-header, of which there can be one. */
function headOf(headers: IncomingHttpHeaders): Head {
  const authority = headers[':authority'];
  return { method: 'POST', headers, host: typeof authority === 'string' ? authority : headers.host, hostCount: 1 };
}

function readTimeoutMs(headers: IncomingHttpHeaders): number | null | OipFailure {
  const text = headers['grpc-timeout'];
  if (typeof text !== 'string') return null;
  try {
    return parseGrpcTimeout(text);
  } catch (error) {
    if (error instanceof OipFailure) return error;
    throw error;
  }
}

function refuse(call: ServerInterceptingCallInterface, reply: ErrorReply, intake: Intake): ServerInterceptingCall {
  call.sendStatus(statusOf(reply, intake));
  return new ServerInterceptingCall(call);
}
