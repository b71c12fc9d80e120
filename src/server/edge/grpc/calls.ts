/*
 * Every call by its head, before any of its messages: which method it is, who calls, when it came, how long it may take, and whether
 * there is room for it.
 */
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Door, Head, Right } from '../../doors/door.js';
import { reached } from '../../path-points.js';
import type { Arrivals } from '../arrivals.js';
import type { Intake } from '../intake.js';
import { parseGrpcTimeout } from '../../../protocol/parameters.js';
import type { ReceiveBudget } from '../receive-budget.js';
import { OipFailure } from '../../../protocol/service.js';
import type { EdgeLimits, InferenceService } from '../../../protocol/service.js';
import { describeError, GRPC_CODE } from '../../../protocol/status.js';
import type { Compat } from '../../../protocol/status.js';
import { plainStatus, statusOf, trailersOf } from './answers.js';
import type { CallStatus } from './answers.js';
import { Call } from './call.js';
import type { Method } from './call.js';
import type { FindPlace } from './message-reader.js';
import { tracedCall } from './traced-call.js';

export interface CallsOptions {
  /** By their paths. */
  readonly methods: ReadonlyMap<string, Method>;
  readonly limits: EdgeLimits;
  readonly receiveBudget: ReceiveBudget;
  readonly intake: Intake;
  readonly compat: Compat;
  readonly door: Door;
  readonly arrivals: Arrivals;
  readonly service: Pick<InferenceService, 'traces'>;
  /** For the messages of the methods that take inputs. */
  readonly findPlace: FindPlace;
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
  '/inference.GRPCInferenceService/SystemSharedMemoryStatus',
  '/inference.GRPCInferenceService/CudaSharedMemoryStatus',
  '/grpc.health.v1.Health/Watch',
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
]);

const TAKES_INPUTS: ReadonlySet<string> = new Set([
  '/inference.GRPCInferenceService/ModelInfer',
  '/inference.GRPCInferenceService/ModelStreamInfer',
]);

const CONTENT_TYPE = /^application\/grpc(?:[+;]|$)/i;
const UNSUPPORTED_MEDIA_TYPE = 415;

export class Calls {
  readonly #options: CallsOptions;

  constructor(options: CallsOptions) {
    this.#options = options;
  }

  /** @param socket that the stream's connection is on, below HTTP/2 */
  readonly take = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, socket: Socket): void => {
    const { methods, limits, receiveBudget, compat, arrivals, intake, door, service } = this.#options;
    if (!CONTENT_TYPE.test(headers['content-type'] ?? '')) {
      intake.count('grpc', 'invalid');
      dismiss(stream, { ':status': UNSUPPORTED_MEDIA_TYPE });
      return;
    }
    const path = headers[':path'] ?? '';
    const method = methods.get(path);
    if (method === undefined) {
      intake.count('grpc', 'unsupported');
      refuse(stream, plainStatus(GRPC_CODE.UNIMPLEMENTED, 'this server has no such method'));
      return;
    }
    reached('head');
    const firstByteAtMs = arrivals.arrivedAtMs(socket);
    const verdict = door.admit(headOf(headers), rightFor(path));
    if (verdict.kind === 'refused') {
      refuse(stream, statusOf(describeError({ kind: verdict.cause, message: verdict.message }, compat), intake));
      return;
    }
    const tokenName = verdict.identity?.name ?? null;
    const timeoutMs = readTimeoutMs(headers);
    if (timeoutMs instanceof OipFailure) {
      refuse(stream, statusOf(describeError(timeoutMs.error, compat), intake));
      return;
    }
    const peer = socket.remoteAddress ?? 'unknown';
    const client = tokenName === null ? peer : `token ${tokenName}`;
    const isCounted = !ALWAYS_ANSWERED.has(path);
    const refusal = isCounted ? intake.begin(client) : null;
    if (refusal !== null) {
      if (TAKES_INPUTS.has(path)) {
        const times = { firstByteAtMs, receivedAtMs: arrivals.nowMs() };
        const trace = service.traces?.begin(tracedCall(headers, peer, times));
        trace?.answered(refusal.status.grpc, refusal.edgeCause ?? '');
      }
      refuse(stream, statusOf(refusal, intake));
      return;
    }
    const encoding = headers['grpc-encoding'];
    new Call({
      head: { firstByteAtMs, socket, peer, tokenName, timeoutMs, headers },
      method,
      stream,
      isStream: method.kind === 'stream',
      receipt: receiveBudget.open(client),
      encoding: typeof encoding === 'string' ? encoding : undefined,
      maxMessageBytes: limits.maxBinaryBytes,
      timeoutMs: limits.bodyTimeoutMs,
      compat,
      intake,
      nowMs: arrivals.nowMs,
      findPlace: TAKES_INPUTS.has(path) ? this.#options.findPlace : undefined,
      onOver: () => {
        if (isCounted) intake.end(client);
      },
    });
  };
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

function refuse(stream: ServerHttp2Stream, status: CallStatus): void {
  dismiss(stream, { ':status': 200, 'content-type': 'application/grpc+proto', ...trailersOf(status) });
}

/** Answers by headers alone; what the client still sends is neither read nor waited for. */
function dismiss(stream: ServerHttp2Stream, headers: OutgoingHttpHeaders): void {
  // A reset needs no answer.
  stream.on('error', () => undefined);
  if (stream.destroyed || stream.closed) return;
  stream.respond(headers, { endStream: true });
  stream.resume();
  // In a turn of its own, as in `call.ts`.
  setImmediate(() => stream.close());
}
