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
import { ServerInterceptingCall, ServerListenerBuilder } from '@grpc/grpc-js';
import type { Metadata, ServerInterceptingCallInterface, ServerInterceptor } from '@grpc/grpc-js';
import { parseGrpcTimeout } from '../parameters.js';
import type { ReceiveBudget } from '../receive-budget.js';
import { OipFailure } from '../service.js';
import type { EdgeLimits } from '../service.js';
import { describeBusy, describeError } from '../status.js';
import type { Compat, ErrorReply } from '../status.js';
import { statusOf } from './answers.js';
import { MessageReceipt } from './message-receipt.js';

/** How a call arrived. */
export interface CallRecord {
  readonly firstByteAtMs: number;
  /** Address without port. */
  readonly peer: string;
  /** `grpc-timeout`; null when there was none. */
  readonly timeoutMs: number | null;
  readonly receipt: MessageReceipt;
}

export interface CallsOptions {
  readonly limits: EdgeLimits;
  readonly receiveBudget: ReceiveBudget;
  readonly compat: Compat;
  readonly nowMs: () => number;
}

/** Health probes are answered whatever the load: they cost nothing, and refusing one gets a healthy server killed. */
const ALWAYS_ANSWERED: ReadonlySet<string> = new Set([
  '/inference.GRPCInferenceService/ServerLive',
  '/inference.GRPCInferenceService/ServerReady',
  '/inference.GRPCInferenceService/ModelReady',
  '/grpc.health.v1.Health/Check',
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
  /** Of the call that grpc-js is about to hand to the interceptor: its stream, and `grpc-timeout`, null without one. */
  #stream: ServerHttp2Stream | null = null;
  #timeoutMs: number | null | OipFailure = null;
  #openCount = 0;

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  /** Takes the headers of every call just before the interceptor sees it, in the same turn. */
  readonly onHeaders = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void => {
    this.#stream = stream;
    this.#timeoutMs = readTimeoutMs(headers);
    if (typeof this.#timeoutMs === 'number' && this.#timeoutMs > LONGEST_TIMEOUT_MS) {
      headers['grpc-timeout'] = LONGEST_TIMEOUT;
    }
  };

  readonly interceptor: ServerInterceptor = (method, nextCall) => {
    const { limits, receiveBudget, compat, nowMs } = this.#options;
    const firstByteAtMs = nowMs();
    const timeoutMs = this.#timeoutMs;
    const stream = this.#stream;
    if (stream === null) throw new Error('a call reached the interceptor before its headers were seen');
    if (timeoutMs instanceof OipFailure) return refuse(nextCall, describeError(timeoutMs.error, compat));
    const isCounted = !ALWAYS_ANSWERED.has(method.path);
    if (isCounted && this.#openCount >= limits.maxConcurrentCalls) {
      const cause = `${limits.maxConcurrentCalls} calls are in progress, which is the limit`;
      return refuse(nextCall, describeBusy(cause, compat));
    }
    if (isCounted) this.#openCount += 1;
    const peer = nextCall.getConnectionInfo().remoteAddress ?? 'unknown';
    const receipt = new MessageReceipt({
      call: nextCall,
      stream,
      receipt: receiveBudget.open(),
      isStream: method.requestStream,
      maxMessageBytes: limits.maxBinaryBytes,
      timeoutMs: limits.bodyTimeoutMs,
      compat,
    });
    const record: CallRecord = { firstByteAtMs, peer, timeoutMs, receipt };
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
        if (isCounted) this.#openCount -= 1;
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
    return this.#options.nowMs() >= deadlineAtMs - DEADLINE_TOLERANCE_MS ? 'deadline' : 'client';
  }
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

function refuse(call: ServerInterceptingCallInterface, reply: ErrorReply): ServerInterceptingCall {
  call.sendStatus(statusOf(reply));
  return new ServerInterceptingCall(call);
}
