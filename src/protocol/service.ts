import type { JsonObject } from '@bufbuild/protobuf';
import type { Outcome } from '../scheduler/domain/outcome.js';
import type { NetworkDelaySource } from '../scheduler/domain/request.js';
import type { ModelSignature, Tensor } from '../scheduler/domain/tensor.js';
import type { ReportSource } from './reports.js';
import type { ModelRepository } from './repository.js';
import type { TextModel } from './text/text-model.js';

/*
 * What REST and gRPC share: one protocol-neutral call in, one reply out. The two front ends only translate.
 */

export type ParameterValue = string | number | boolean;

/** When and how a call reached us, on the server's monotonic clock (`Clock.nowMs`). */
export interface Arrival {
  /** First byte of this call (request line, or gRPC metadata). */
  readonly firstByteAtMs: number;
  /** Last byte of its body. */
  readonly receivedAtMs: number;
  /** Of the time between, what the router itself stood still for: neither the network's doing nor the client's. */
  readonly routerDelayMs: number;
  readonly bodyBytes: number;
  /** Who sent it, for clock offset and bandwidth learning: address without port. */
  readonly peer: string;
  /** Whose token it came with; absent where it came without. */
  readonly tokenName?: string;
}

/** A decoded, shape-checked call: tensors are in the binary layout and match the model's declared inputs. */
export interface InferCall {
  readonly modelName: string;
  /** Absent: the latest version. */
  readonly modelVersion?: string;
  /** The client's id, echoed. */
  readonly id?: string;
  readonly inputs: readonly Tensor[];
  /** Output names in the order asked; empty for all. */
  readonly outputNames: readonly string[];
  /** Request-level parameters as sent, unknown ones included. */
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  /**
   * Total time budgets stated outside `parameters`, ms: `grpc-timeout` and headers. Validated as numbers > 0.
   * (`parameters.timeout`, µs, is read by the service.)
   */
  readonly statedBudgetsMs: readonly number[];
  readonly arrival: Arrival;
  /** By whom it was sent here, of several servers, and as its how many-eth; absent where nobody says so. */
  readonly pick?: string;
  /** Absent where nobody traces. */
  readonly trace?: CallTrace;
}

/** What a front end knows of a call that is to be traced. */
export interface TracedCall {
  readonly protocol: 'http' | 'https' | 'grpc';
  /** As spans of the protocol are named by: an HTTP route, or gRPC's service and method. */
  readonly method: string;
  /** Of HTTP, without a query; '' of gRPC. */
  readonly path: string;
  /** `traceparent` and `tracestate` as they came. */
  readonly parent: string | undefined;
  readonly state: string | undefined;
  readonly peer: string;
  readonly firstByteAtMs: number;
  /** Of its last byte; of a call that is refused by its head, of that. */
  readonly receivedAtMs: number;
}

/** One call as whoever traces follows it. */
export interface CallTrace {
  /**
   * Once, when its answer has been sent, or there is nobody to send it to.
   * @param status of HTTP, or gRPC's code; null: nothing was sent
   * @param reason of one that was refused before it was a request; absent, or '': it was not
   * @param atMs absent: now
   */
  answered(status: number | null, reason?: string, atMs?: number): void;
}

export interface CallTraces {
  begin(call: TracedCall): CallTrace;
}

/** Everything a client can be told about a served request; becomes response `parameters` named `sponge_*`. */
export interface Explanation {
  /** `sloMs − networkDelayMs − routerDelayMs − budgetMs` is kept back for the reply. */
  readonly sloMs: number;
  readonly budgetMs: number;
  readonly networkDelayMs: number;
  readonly networkDelaySource: NetworkDelaySource;
  /** What the router stood still for before it had read the request. */
  readonly routerDelayMs: number;
  readonly isDeadlineDefaulted: boolean;
}

export type InferReply =
  | {
      readonly kind: 'ok';
      readonly modelName: string;
      readonly modelVersion: string;
      /** Held for whoever is replied to, who releases them (`releaseAll`) when they have been written. */
      readonly outputs: readonly Tensor[];
      readonly outcome: Extract<Outcome, { kind: 'completed' }>;
      readonly explanation: Explanation;
    }
  /** The system's answer was not a result: maps by `outcome.reason` through `status.ts`. */
  | {
      readonly kind: 'refused';
      readonly outcome: Exclude<Outcome, { kind: 'completed' }>;
      readonly explanation: Explanation;
    }
  /** Never reached the queue. */
  | { readonly kind: 'error'; readonly error: OipError };

/** Errors before admission; `status.ts` maps each to one HTTP status and one gRPC code. */
export type OipErrorKind =
  | 'invalid'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'wrong_method'
  | 'too_large'
  | 'unsupported'
  | 'not_allowed'
  | 'unavailable'
  | 'internal';

export interface OipError {
  readonly kind: OipErrorKind;
  /** One line: cause and remedy. */
  readonly message: string;
  readonly retryAfterMs?: number;
}

/** Thrown inside the edge by decoding and validation; front ends turn it into an answer. */
export class OipFailure extends Error {
  readonly error: OipError;
  constructor(kind: OipErrorKind, message: string) {
    super(message);
    this.name = 'OipFailure';
    this.error = { kind, message };
  }
}

/** Of what a client sent, which is no request. */
export function invalid(message: string): OipFailure {
  return new OipFailure('invalid', message);
}

/** Of a model that nothing is called like. */
export function unknownModel(name: string): OipFailure {
  return new OipFailure('not_found', `Request for unknown model: '${name}' is not served here`);
}

/** Of a version that a model does not have. @param served its versions that are served */
export function unknownVersion(name: string, version: string, served: readonly string[]): OipFailure {
  const only = served.length === 0 ? 'none is served' : `only ${served.join(', ')}`;
  return new OipFailure('not_found', `Request for unknown model: '${name}' has no version ${version} here, ${only}`);
}

export type ModelState = 'READY' | 'UNAVAILABLE' | 'LOADING' | 'UNLOADING';

export interface ModelEntry {
  readonly name: string;
  readonly version: string;
  readonly versions: readonly string[];
  readonly state: ModelState;
  /** Why it is not ready; empty when it is. */
  readonly stateReason: string;
  /** Null until it has been loaded once. */
  readonly signature: ModelSignature | null;
  /** 0 where the model is not batchable (Triton's meaning). */
  readonly maxBatchSize: number;
  /** Whether a request of more rows runs alone rather than being refused: where nobody has stated the limit. */
  readonly takesLargerRequests?: boolean;
  /** Triton's word for a pipeline is ensemble. */
  readonly platform: 'onnxruntime_onnx' | 'ensemble';
  /** What its configuration says of it, as clients are told; absent where it has none. */
  readonly statedConfig?: JsonObject;
  /** It takes text; absent: tensors. */
  readonly text?: TextModel;
  /** What the classes of an output are called, by its name and their index. */
  readonly labels?: Readonly<Record<string, readonly string[]>>;
}

/** Cumulative; Triton's statistics extension. Durations in ns. */
export interface DurationStat {
  readonly count: number;
  readonly ns: number;
}

export interface ModelStatistics {
  readonly name: string;
  readonly version: string;
  /** Unix ms of the last inference; 0 before. */
  readonly lastInference: number;
  /** Requests' inferences (batch members that ran). */
  readonly inferenceCount: number;
  /** Model executions (batches). */
  readonly executionCount: number;
  readonly inferenceStats: Readonly<
    Record<'success' | 'fail' | 'queue' | 'compute_input' | 'compute_infer' | 'compute_output', DurationStat>
  >;
  readonly batchStats: readonly {
    readonly batchSize: number;
    readonly computeInput: DurationStat;
    readonly computeInfer: DurationStat;
    readonly computeOutput: DurationStat;
  }[];
}

/** How a call's client is known to have left; an `AbortSignal` is one, and too large to have for each of thousands that wait. */
export interface Departure {
  readonly aborted: boolean;
  /** Called once, when the client leaves. */
  addEventListener(kind: 'abort', listener: () => void, options?: { readonly once: boolean }): void;
  removeEventListener(kind: 'abort', listener: () => void): void;
}

/** What the front ends need from the rest of the server. Lookups throw `OipFailure('not_found')`. */
/** Memory that a body is read into, from where the worker can read it: what is decoded from it need not be copied any more. */
export interface BodyPlace {
  /** As many as were asked for. What lies at their end is aligned for any element. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Once: when nobody in the router reads it any more. The service keeps what it needs for longer. */
  release(): void;
}

export interface InferenceService {
  readonly serverName: string;
  readonly serverVersion: string;
  isLive(): boolean;
  /** Every model is ready and the server is not draining. */
  isReady(): boolean;
  models(): readonly ModelEntry[];
  model(name: string, version?: string): ModelEntry;
  /** Asked of another thread where that keeps them; rejects then where it would throw. */
  statistics(name?: string, version?: string): readonly ModelStatistics[] | Promise<readonly ModelStatistics[]>;
  /**
   * Resolves once, with whatever became of the call; never rejects. When its client leaves, the request leaves the queue at once,
   * and the resolved value is ignored by the caller. Of the call only the inputs are kept until then.
   */
  infer(call: InferCall, departure: Departure): Promise<InferReply>;
  /** Absent: nobody may load or unload anything. */
  readonly repository?: ModelRepository | undefined;
  /** How much room there is; absent: nobody is told. */
  readonly reports?: ReportSource | undefined;
  /** Where to read a body for this model into; null, or absent: into memory of one's own. */
  placeFor?(modelName: string, byteCount: number): BodyPlace | null;
  /** @param listener hears, at once, that what is served has changed, or that the server begins to close. One at a time; absent: nothing does */
  watchModels?(listener: () => void): void;
  /** Absent: nobody traces, and no header is looked at for it. */
  readonly traces?: CallTraces | undefined;
}

/** Bounds on what a stranger can send; every one is a flag. */
export interface EdgeLimits {
  /** JSON bodies, after decompression. */
  readonly maxJsonBytes: number;
  /** Binary-extension bodies and gRPC messages, after decompression. */
  readonly maxBinaryBytes: number;
  /** Bodies on their way in, over all calls of both front ends: from their first byte until they are queued. */
  readonly maxBytesInReceipt: number;
  /** A body must be complete this long after its first byte. */
  readonly bodyTimeoutMs: number;
  /** Calls in progress per server; more are refused with `queue_full`. */
  readonly maxConcurrentCalls: number;
  /** Of calls, connections and bytes in receipt, what one client may hold, in (0, 1]; absent: all. */
  readonly clientFraction?: number;
}
