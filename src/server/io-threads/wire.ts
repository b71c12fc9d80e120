import type { Outcome } from '../../scheduler/domain/outcome.js';
import type { NetworkDelaySource } from '../../scheduler/domain/request.js';
import type { Datatype } from '../../scheduler/domain/tensor.js';
import type { ModelEntry, OipError, ParameterValue, TracedCall } from '../../protocol/service.js';

/*
 * What an io thread and the planning thread say to each other. Tuples and not objects: structured clone writes the name of every property
 * every time, and a call of objects took the planning thread three times as long. All that is said within one turn of an event loop
 * goes as one `Envelope`: what wakes the other side is then paid once, and the more often the busier both are.
 */

/** Bytes of small tensors lie one behind the other in one buffer that goes along, other buffers are handed over or lent. */
export type Where =
  /** In the envelope's own buffer. */
  | readonly ['inline', offset: number]
  /** All of another buffer that goes along, from there on. */
  | readonly ['buffer', index: number, offset: number]
  /** Of the planning thread, where a body was read to: see `Granted`. */
  | readonly ['grant', grantId: number, offset: number]
  /** Of the planning thread or of a worker's: read where it lies, until it is given back. */
  | readonly ['lent', address: number, region: Region | null];

/** Memory of this process: larger than what is looked at, and the same for many tensors. */
export type Region = readonly [address: number, byteCount: number];

export type WireTensor = readonly [
  name: string,
  datatype: Datatype,
  shape: readonly number[],
  byteCount: number,
  where: Where,
];

export type CallEntry = readonly [
  kind: 'call',
  id: number,
  /** Of the models that it was checked against. */
  snapshotVersion: number,
  modelName: string,
  modelVersion: string | undefined,
  clientId: string | undefined,
  inputs: readonly WireTensor[],
  outputNames: readonly string[],
  parameters: Readonly<Record<string, ParameterValue>>,
  statedBudgetsMs: readonly number[],
  firstByteAtMs: number,
  receivedAtMs: number,
  routerDelayMs: number,
  bodyBytes: number,
  peer: string,
  tokenName: string | undefined,
  pick: string | undefined,
  /** Whether it is told when it has been taken: its bytes count as on their way in until then. */
  isHeavy: boolean,
  trace: TraceEntry | undefined,
];

/** A `TracedCall`. */
export type TraceEntry = readonly [
  protocol: TracedCall['protocol'],
  method: string,
  path: string,
  parent: string | undefined,
  state: string | undefined,
  peer: string,
  firstByteAtMs: number,
  receivedAtMs: number,
];

export type ToPlanner =
  | CallEntry
  /** Its client has left. */
  | readonly [kind: 'cancel', id: number]
  /** Of a call that is traced: its answer has been sent, or nobody was there. */
  | readonly [kind: 'answered', id: number, atMs: number, status: number | null, reason: string]
  /** The same of one that was not sent on. */
  | readonly [kind: 'answered-here', call: TraceEntry, atMs: number, status: number | null, reason: string]
  /** Outputs that were lent with this answer are not read any more. */
  | readonly [kind: 'read', id: number]
  /** A body of that size came for this model, and had no place: the next one may. */
  | readonly [kind: 'want', modelName: string, byteCount: number]
  /** A place that nobody used. */
  | readonly [kind: 'return', grantId: number]
  | readonly [kind: 'ask', id: number, question: Question]
  /** A report was taken, and another one can be. */
  | readonly [kind: 'reported', id: number]
  | readonly [kind: 'unfollow', id: number]
  | readonly [kind: 'log-level', level: string]
  | readonly [kind: 'log', details: object, message: string];

export type Question =
  | readonly [kind: 'statistics', name: string | undefined, version: string | undefined]
  | readonly [kind: 'index']
  | readonly [kind: 'load', name: string, config: string | null, files: ReadonlyMap<string, Uint8Array>]
  | readonly [kind: 'unload', name: string]
  | readonly [kind: 'report']
  | readonly [kind: 'demand']
  | readonly [kind: 'follow', picker: string | null, intervalMs: number];

export type ExplanationEntry = readonly [
  sloMs: number,
  budgetMs: number,
  networkDelayMs: number,
  networkDelaySource: NetworkDelaySource,
  routerDelayMs: number,
  isDeadlineDefaulted: boolean,
];

export type ToIoThread =
  | readonly [
      kind: 'ok',
      id: number,
      modelName: string,
      modelVersion: string,
      outputs: readonly WireTensor[],
      isLate: boolean,
      queuedMs: number,
      slackAtDispatchMs: number,
      batchId: number,
      batchSize: number,
      cpuMillicores: number,
      threadCount: number,
      plannedLatencyMs: number,
      latencyMs: number,
      explanation: ExplanationEntry,
    ]
  | readonly [
      kind: 'refused',
      id: number,
      outcome: Exclude<Outcome, { kind: 'completed' }>,
      explanation: ExplanationEntry,
    ]
  | readonly [kind: 'error', id: number, error: OipError]
  | readonly [kind: 'taken', id: number]
  | readonly [kind: 'grant', grantId: number, modelName: string, address: number, byteCount: number, region: Region]
  | readonly [kind: 'answer', id: number, value: unknown]
  | readonly [kind: 'fault', id: number, error: OipError]
  | readonly [kind: 'report', id: number, json: string]
  /** No more reports come. */
  | readonly [kind: 'reports-end', id: number];

export interface Envelope<Entry> {
  readonly entries: readonly Entry[];
  /** Of small tensors. */
  readonly bytes: ArrayBuffer | null;
  /** Of large ones. */
  readonly buffers: readonly ArrayBuffer[];
}

/** What io threads know of the models; on a port of its own, so that it can be read at once (`receiveMessageOnPort`). */
export interface Snapshot {
  readonly version: number;
  readonly isLive: boolean;
  readonly isReady: boolean;
  readonly models: readonly ModelEntry[];
  /** By name: which of `models` a call without a version gets. */
  readonly latest: ReadonlyMap<string, number>;
}

/** What has no place in an envelope: said before the first one, or after the last. */
export type Control = 'drain' | 'close';
