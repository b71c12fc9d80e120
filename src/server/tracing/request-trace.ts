import { traceParentText, type SpanId, type TraceId, type TraceParent } from '../../protocol/trace-context.js';
import type { CallTrace, TracedCall } from '../../protocol/service.js';
import type { Event } from '../../scheduler/domain/event.js';
import { outcomeName, type Outcome, type OutcomeName } from '../../scheduler/domain/outcome.js';
import type { InferRequest, NetworkDelaySource } from '../../scheduler/domain/request.js';

/*
 * What is kept of a request until it is over, to make spans of: instants, ids and numbers, nothing of its tensors. Filled in by the events of
 * its model, or of the models and functions of its pipeline.
 */

type BatchStarted = Extract<Event, { kind: 'batch-started' }>;
type BatchEnded = Extract<Event, { kind: 'batch-ended' }>;

/** Of one step, or of a request that was tried again; what comes after is only counted. */
const MOST_RUNS = 64;

/** One that is told of by its sequence: a request, or a part of one that is a request of a step's model. */
export interface Watched {
  admitted(atMs: number): void;
  ran(batch: BatchTrace): void;
  finished(atMs: number, outcome: Outcome): void;
}

/** A batch, which is one span for all its members; they are linked to each other. */
export class BatchTrace {
  readonly traceId = newTraceId();
  readonly spanId = newSpanId();
  readonly started: BatchStarted;
  readonly model: string;
  readonly version: string;
  ended: BatchEnded | null = null;
  /** The members' spans. */
  readonly links: { readonly traceId: TraceId; readonly spanId: SpanId }[] = [];
  #undecided = 0;
  #isKept = false;

  constructor(started: BatchStarted, model: string, version: string) {
    this.started = started;
    this.model = model;
    this.version = version;
  }

  join(traceId: TraceId, spanId: SpanId): void {
    this.links.push({ traceId, spanId });
    this.#undecided += 1;
  }

  /** One of its members has been decided on. */
  decided(isKept: boolean): void {
    this.#undecided -= 1;
    this.#isKept ||= isKept;
  }

  /** Once it has ended and nobody is left to say whether it is. */
  get isToBeKept(): boolean {
    return this.#isKept && this.#undecided === 0 && this.ended !== null;
  }
}

/** A stay in a queue, and a run after it: in a batch, or of a function. */
export interface Run {
  queuedAtMs: number;
  readonly startedAtMs: number;
  /** Null while it runs; of a batch, that ends for all. */
  endedAtMs: number | null;
  /** Null of a function. */
  readonly batch: BatchTrace | null;
  readonly spanId: SpanId;
  /** Of a step that runs for each part: those that are in it. */
  partCount: number;
}

/** A step of a pipeline, for one request. */
export class StepTrace {
  readonly spanId = newSpanId();
  readonly name: string;
  readonly kind: 'model' | 'function';
  /** That the step runs; of a function its step. */
  readonly target: string;
  readonly startedAtMs: number;
  endedAtMs = 0;
  partCount = 0;
  openCount = 0;
  failedCount = 0;
  /** Beyond those that are kept. */
  furtherRuns = 0;
  readonly runs: Run[] = [];
  /** Of what it was refused for; '' while it was not. */
  reason = '';

  constructor(name: string, kind: 'model' | 'function', target: string, startedAtMs: number) {
    this.name = name;
    this.kind = kind;
    this.target = target;
    this.startedAtMs = startedAtMs;
  }
}

/** Of the request as it was admitted or not. */
interface Joined {
  readonly model: string;
  readonly version: string;
  readonly clientId: string;
  readonly sloMs: number;
  readonly budgetMs: number;
  readonly networkDelayMs: number;
  readonly networkDelaySource: NetworkDelaySource;
  readonly isDeadlineDefaulted: boolean;
  readonly dueAtMs: number;
}

interface Ended {
  readonly atMs: number;
  readonly name: OutcomeName;
  /** '' of one that was completed. */
  readonly reason: string;
  readonly outcome: Outcome;
}

export class RequestTrace implements CallTrace, Watched {
  readonly call: TracedCall;
  readonly parent: TraceParent | null;
  readonly traceId: TraceId;
  readonly spanId = newSpanId();
  readonly isSampled: boolean;
  readonly steps: StepTrace[] = [];
  readonly runs: Run[] = [];
  joined: Joined | null = null;
  admittedAtMs: number | null = null;
  ended: Ended | null = null;
  answeredAtMs: number | null = null;
  status: number | null = null;
  /** Of one that was refused before it was a request. */
  refusedFor = '';
  readonly #owner: TraceOwner;
  #waitsSinceMs = 0;

  constructor(call: TracedCall, parent: TraceParent | null, owner: TraceOwner) {
    this.call = call;
    this.parent = parent;
    this.traceId = parent?.traceId ?? newTraceId();
    this.isSampled = owner.isSampled(this.traceId, parent);
    this.#owner = owner;
  }

  join(request: InferRequest, model: string, version: string, clientId: string): void {
    // Each by name: after a spread it would cost several times as much (see `inference-service.ts`).
    this.joined = {
      model,
      version,
      clientId,
      sloMs: request.sloMs,
      budgetMs: request.dueAtMs - request.receivedAtMs,
      networkDelayMs: request.networkDelayMs,
      networkDelaySource: request.networkDelaySource,
      isDeadlineDefaulted: request.isDeadlineDefaulted,
      dueAtMs: request.dueAtMs,
    };
  }

  admitted(atMs: number): void {
    this.admittedAtMs = atMs;
    this.#waitsSinceMs = atMs;
  }

  ran(batch: BatchTrace): void {
    if (this.runs.length < MOST_RUNS) addRun(this.runs, this.#waitsSinceMs, batch, this.traceId, this.spanId);
    // One that was broken is tried again.
    this.#waitsSinceMs = batch.started.atMs;
  }

  finished(atMs: number, outcome: Outcome): void {
    const reason = outcome.kind === 'completed' ? '' : outcome.reason;
    this.ended = { atMs, name: outcomeName(outcome), reason, outcome: withoutOutputs(outcome) };
    this.#settle();
  }

  answered(status: number | null, reason = '', atMs = this.#owner.nowMs()): void {
    if (this.answeredAtMs !== null) return;
    this.answeredAtMs = atMs;
    this.status = status;
    this.refusedFor = reason;
    this.#settle();
  }

  /** For a function that calls others on its behalf. */
  parentFor(spanId: SpanId): { readonly traceparent: string; readonly tracestate?: string } {
    const traceparent = traceParentText(this.traceId, spanId, this.isSampled);
    const state = this.parent?.state ?? '';
    return state === '' ? { traceparent } : { traceparent, tracestate: state };
  }

  #settle(): void {
    if (this.answeredAtMs !== null && (this.joined === null || this.ended !== null)) this.#owner.over(this);
  }
}

/** A part of a pipeline's request at one of its steps. */
export class PartTrace implements Watched {
  readonly #request: RequestTrace;
  readonly #step: StepTrace;
  #waitsSinceMs: number;
  #run: Run | null = null;
  #isOver = false;

  constructor(request: RequestTrace, step: StepTrace, atMs: number) {
    this.#request = request;
    this.#step = step;
    this.#waitsSinceMs = atMs;
    step.partCount += 1;
    step.openCount += 1;
  }

  admitted(atMs: number): void {
    this.#waitsSinceMs = atMs;
  }

  ran(batch: BatchTrace): void {
    const { runs } = this.#step;
    const same = runs.findLast((run) => run.batch === batch);
    if (same !== undefined) {
      same.partCount += 1;
      same.queuedAtMs = Math.min(same.queuedAtMs, this.#waitsSinceMs);
    } else if (runs.length < MOST_RUNS) {
      addRun(runs, this.#waitsSinceMs, batch, this.#request.traceId, this.#step.spanId);
    } else this.#step.furtherRuns += 1;
    this.#waitsSinceMs = batch.started.atMs;
  }

  /** Told by its step instead. */
  finished(): void {
    // A model's request is over, and may be asked again with another deadline.
  }

  /** Of a function. @returns what it may pass on */
  began(atMs: number): { readonly traceparent: string; readonly tracestate?: string } {
    const run: Run = {
      ...{ queuedAtMs: this.#waitsSinceMs, startedAtMs: atMs, endedAtMs: null, batch: null },
      ...{ spanId: newSpanId(), partCount: 1 },
    };
    this.#run = run;
    if (this.#step.runs.length < MOST_RUNS) this.#step.runs.push(run);
    else this.#step.furtherRuns += 1;
    return this.#request.parentFor(run.spanId);
  }

  /** @param reason '' where it was done */
  ended(atMs: number, reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#run !== null) this.#run.endedAtMs = atMs;
    this.#step.openCount -= 1;
    this.#step.endedAtMs = atMs;
    if (reason === '') return;
    this.#step.failedCount += 1;
    if (this.#step.reason === '') this.#step.reason = reason;
  }
}

/** Whom a request tells that it is over. */
export interface TraceOwner {
  nowMs(): number;
  isSampled(traceId: TraceId, parent: TraceParent | null): boolean;
  /** It has been answered, and it is known what became of it. Once. */
  over(trace: RequestTrace): void;
}

function addRun(runs: Run[], queuedAtMs: number, batch: BatchTrace, traceId: TraceId, spanId: SpanId): void {
  batch.join(traceId, spanId);
  const { atMs: startedAtMs } = batch.started;
  runs.push({ queuedAtMs, startedAtMs, endedAtMs: null, batch, spanId: newSpanId(), partCount: 1 });
}

const NO_OUTPUTS: readonly never[] = [];

/** They may be large, and lie in memory that others need. */
function withoutOutputs(outcome: Outcome): Outcome {
  if (outcome.kind !== 'completed') return outcome;
  return { kind: outcome.kind, isLate: outcome.isLate, outputs: NO_OUTPUTS, service: outcome.service };
}

/** Never 0. */
function word(): number {
  return Math.floor(Math.random() * (2 ** 32 - 1)) + 1;
}

function newTraceId(): TraceId {
  return [word(), word(), word(), word()];
}

export function newSpanId(): SpanId {
  return [word(), word()];
}
