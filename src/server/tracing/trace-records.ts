import type { SpanId, TraceId } from '../../protocol/trace-context.js';
import type { RecordBuffer, RecordEnvelope } from './record-buffer.js';
import { RecordReader } from './record-buffer.js';
import type { BatchTrace, RequestTrace, Run, StepTrace } from './request-trace.js';

/*
 * What the two threads say to each other of requests and batches: written field by field on one side, read in the same order on the other.
 * A number that there is not is NaN.
 */

export interface RunRecord {
  readonly spanId: SpanId;
  readonly partCount: number;
  readonly queuedAtMs: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  /** Null of a function. */
  readonly batch: BatchNote | null;
}

/** Of a batch, what its members' spans say. */
export interface BatchNote {
  readonly traceId: TraceId;
  readonly spanId: SpanId;
  readonly batchId: number;
  /** NaN where instances have no allocations of their own. */
  readonly instance: number;
  readonly batchSize: number;
  readonly rowCount: number;
  readonly cpuMillicores: number;
  readonly threadCount: number;
  readonly predictedMs: number;
  readonly plannedMs: number;
  /** NaN of one that had not ended when the request was over. */
  readonly latencyMs: number;
  readonly computeMs: number;
  /** '' of that too. */
  readonly result: string;
}

export interface StepRecord {
  readonly spanId: SpanId;
  readonly name: string;
  readonly kind: 'model' | 'function';
  readonly target: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly partCount: number;
  readonly failedCount: number;
  readonly furtherRuns: number;
  readonly reason: string;
  readonly runs: readonly RunRecord[];
}

interface RequestNote {
  readonly model: string;
  readonly version: string;
  readonly clientId: string;
  readonly sloMs: number;
  readonly budgetMs: number;
  readonly networkDelayMs: number;
  readonly networkDelaySource: string;
  readonly isDeadlineDefaulted: boolean;
  readonly dueAtMs: number;
  /** NaN where it was not. */
  readonly admittedAtMs: number;
  readonly endedAtMs: number;
  readonly outcome: string;
  /** '' of one that was completed. */
  readonly reason: string;
  /** Of one that was completed; else NaN. */
  readonly slackAtDispatchMs: number;
  readonly queuedMs: number;
  readonly batchSize: number;
  readonly cpuMillicores: number;
  readonly plannedMs: number;
  readonly latencyMs: number;
  /** Of one that was rejected; else NaN. */
  readonly bestCaseMs: number;
  readonly remainingBudgetMs: number;
}

export interface RequestRecord {
  readonly kind: 'request';
  readonly traceId: TraceId;
  readonly spanId: SpanId;
  /** Null of a trace that begins here. */
  readonly parentSpanId: SpanId | null;
  readonly traceState: string;
  readonly protocol: 'http' | 'https' | 'grpc';
  readonly method: string;
  readonly path: string;
  readonly peer: string;
  readonly firstByteAtMs: number;
  readonly receivedAtMs: number;
  readonly answeredAtMs: number;
  /** NaN where nobody was there to be answered. */
  readonly status: number;
  readonly refusedFor: string;
  /** Null of one that never was a request. */
  readonly request: RequestNote | null;
  readonly runs: readonly RunRecord[];
  readonly steps: readonly StepRecord[];
}

export interface BatchRecord extends BatchNote {
  readonly kind: 'batch';
  readonly model: string;
  readonly version: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly links: readonly { readonly traceId: TraceId; readonly spanId: SpanId }[];
}

const NONE: readonly never[] = [];
const REQUEST = 0;
const BATCH = 1;

export function writeRequest(buffer: RecordBuffer, trace: RequestTrace): void {
  const { call, parent, joined, runs, steps } = trace;
  buffer.number(REQUEST);
  buffer.numbers(trace.traceId);
  buffer.numbers(trace.spanId);
  buffer.number(Number(parent !== null));
  buffer.numbers(parent?.spanId ?? [0, 0]);
  buffer.text(parent?.state ?? '');
  buffer.text(call.protocol);
  buffer.text(call.method);
  buffer.text(call.path);
  buffer.text(call.peer);
  buffer.number(call.firstByteAtMs);
  buffer.number(call.receivedAtMs);
  buffer.number(trace.answeredAtMs ?? call.receivedAtMs);
  buffer.number(trace.status ?? NaN);
  buffer.text(trace.refusedFor);
  buffer.number(Number(joined !== null));
  if (joined !== null) writeNote(buffer, trace, joined);
  const endedAtMs = trace.ended?.atMs ?? trace.answeredAtMs ?? NaN;
  writeRuns(buffer, runs, endedAtMs);
  buffer.number(steps.length);
  for (const step of steps) writeStep(buffer, step, endedAtMs);
}

function writeNote(buffer: RecordBuffer, trace: RequestTrace, joined: NonNullable<RequestTrace['joined']>): void {
  const { admittedAtMs, ended } = trace;
  const outcome = ended?.outcome;
  const service = outcome?.kind === 'completed' ? outcome.service : null;
  const refusal = outcome !== undefined && 'bestCaseMs' in outcome ? outcome : null;
  buffer.text(joined.model);
  buffer.text(joined.version);
  buffer.text(joined.clientId);
  buffer.number(joined.sloMs);
  buffer.number(joined.budgetMs);
  buffer.number(joined.networkDelayMs);
  buffer.text(joined.networkDelaySource);
  buffer.number(Number(joined.isDeadlineDefaulted));
  buffer.number(joined.dueAtMs);
  buffer.number(admittedAtMs ?? NaN);
  buffer.number(ended?.atMs ?? NaN);
  buffer.text(ended?.name ?? '');
  buffer.text(ended?.reason ?? '');
  buffer.number(service?.slackAtDispatchMs ?? NaN);
  buffer.number(service?.queuedMs ?? NaN);
  buffer.number(service?.batchSize ?? NaN);
  buffer.number(service?.cpuMillicores ?? NaN);
  buffer.number(service?.plannedLatencyMs ?? NaN);
  buffer.number(service?.latencyMs ?? NaN);
  buffer.number(refusal?.bestCaseMs ?? NaN);
  buffer.number(refusal?.remainingBudgetMs ?? NaN);
}

function writeRuns(buffer: RecordBuffer, runs: readonly Run[], endedAtMs: number): void {
  buffer.number(runs.length);
  for (const run of runs) {
    const { batch } = run;
    buffer.numbers(run.spanId);
    buffer.number(run.partCount);
    buffer.number(run.queuedAtMs);
    buffer.number(run.startedAtMs);
    // Whom nobody waits for any more may still run.
    buffer.number(run.endedAtMs ?? batch?.ended?.atMs ?? endedAtMs);
    buffer.number(Number(batch !== null));
    if (batch !== null) writeBatchNote(buffer, batch);
  }
}

function writeStep(buffer: RecordBuffer, step: StepTrace, endedAtMs: number): void {
  buffer.numbers(step.spanId);
  buffer.text(step.name);
  buffer.text(step.kind);
  buffer.text(step.target);
  buffer.number(step.startedAtMs);
  buffer.number(step.openCount > 0 ? endedAtMs : step.endedAtMs);
  buffer.number(step.partCount);
  buffer.number(step.failedCount);
  buffer.number(step.furtherRuns);
  buffer.text(step.reason);
  writeRuns(buffer, step.runs, endedAtMs);
}

export function writeBatch(buffer: RecordBuffer, batch: BatchTrace): void {
  buffer.number(BATCH);
  writeBatchNote(buffer, batch);
  buffer.text(batch.model);
  buffer.text(batch.version);
  buffer.number(batch.started.atMs);
  buffer.number(batch.ended?.atMs ?? batch.started.atMs);
  buffer.number(batch.links.length);
  for (const { traceId, spanId } of batch.links) {
    buffer.numbers(traceId);
    buffer.numbers(spanId);
  }
}

function writeBatchNote(buffer: RecordBuffer, { traceId, spanId, started, ended }: BatchTrace): void {
  buffer.numbers(traceId);
  buffer.numbers(spanId);
  buffer.number(started.batchId);
  buffer.number(started.instance ?? NaN);
  buffer.number(started.batchSize);
  buffer.number(started.rowCount);
  buffer.number(started.cpuMillicores);
  buffer.number(started.threadCount);
  buffer.number(started.predictedLatencyMs);
  buffer.number(started.plannedLatencyMs);
  buffer.number(ended?.latencyMs ?? NaN);
  buffer.number(ended?.computeMs ?? NaN);
  buffer.text(ended?.result ?? '');
}

export function readRecords(envelope: RecordEnvelope): readonly (RequestRecord | BatchRecord)[] {
  const reader = new RecordReader(envelope);
  const records: (RequestRecord | BatchRecord)[] = [];
  while (reader.hasMore) records.push(reader.number() === REQUEST ? readRequest(reader) : readBatch(reader));
  return records;
}

function readRequest(reader: RecordReader): RequestRecord {
  const traceId = readTraceId(reader);
  const spanId = readSpanId(reader);
  const hasParent = reader.number() === 1;
  const parentSpanId = readSpanId(reader);
  return {
    kind: 'request',
    traceId,
    spanId,
    parentSpanId: hasParent ? parentSpanId : null,
    traceState: reader.text(),
    protocol: reader.text() as RequestRecord['protocol'],
    method: reader.text(),
    path: reader.text(),
    peer: reader.text(),
    firstByteAtMs: reader.number(),
    receivedAtMs: reader.number(),
    answeredAtMs: reader.number(),
    status: reader.number(),
    refusedFor: reader.text(),
    request: reader.number() === 1 ? readNote(reader) : null,
    runs: readRuns(reader),
    steps: readList(reader, readStep),
  };
}

function readNote(reader: RecordReader): RequestNote {
  return {
    model: reader.text(),
    version: reader.text(),
    clientId: reader.text(),
    sloMs: reader.number(),
    budgetMs: reader.number(),
    networkDelayMs: reader.number(),
    networkDelaySource: reader.text(),
    isDeadlineDefaulted: reader.number() === 1,
    dueAtMs: reader.number(),
    admittedAtMs: reader.number(),
    endedAtMs: reader.number(),
    outcome: reader.text(),
    reason: reader.text(),
    slackAtDispatchMs: reader.number(),
    queuedMs: reader.number(),
    batchSize: reader.number(),
    cpuMillicores: reader.number(),
    plannedMs: reader.number(),
    latencyMs: reader.number(),
    bestCaseMs: reader.number(),
    remainingBudgetMs: reader.number(),
  };
}

function readRuns(reader: RecordReader): readonly RunRecord[] {
  return readList(reader, (each) => ({
    spanId: readSpanId(each),
    partCount: each.number(),
    queuedAtMs: each.number(),
    startedAtMs: each.number(),
    endedAtMs: each.number(),
    batch: each.number() === 1 ? readBatchNote(each) : null,
  }));
}

function readStep(reader: RecordReader): StepRecord {
  return {
    spanId: readSpanId(reader),
    name: reader.text(),
    kind: reader.text() as StepRecord['kind'],
    target: reader.text(),
    startedAtMs: reader.number(),
    endedAtMs: reader.number(),
    partCount: reader.number(),
    failedCount: reader.number(),
    furtherRuns: reader.number(),
    reason: reader.text(),
    runs: readRuns(reader),
  };
}

function readBatch(reader: RecordReader): BatchRecord {
  return {
    ...readBatchNote(reader),
    kind: 'batch',
    model: reader.text(),
    version: reader.text(),
    startedAtMs: reader.number(),
    endedAtMs: reader.number(),
    links: readList(reader, (each) => ({ traceId: readTraceId(each), spanId: readSpanId(each) })),
  };
}

function readBatchNote(reader: RecordReader): BatchNote {
  return {
    traceId: readTraceId(reader),
    spanId: readSpanId(reader),
    batchId: reader.number(),
    instance: reader.number(),
    batchSize: reader.number(),
    rowCount: reader.number(),
    cpuMillicores: reader.number(),
    threadCount: reader.number(),
    predictedMs: reader.number(),
    plannedMs: reader.number(),
    latencyMs: reader.number(),
    computeMs: reader.number(),
    result: reader.text(),
  };
}

function readTraceId(reader: RecordReader): TraceId {
  return [reader.number(), reader.number(), reader.number(), reader.number()];
}

function readSpanId(reader: RecordReader): SpanId {
  return [reader.number(), reader.number()];
}

function readList<Each>(reader: RecordReader, read: (reader: RecordReader) => Each): readonly Each[] {
  const count = reader.number();
  if (count === 0) return NONE;
  return Array.from({ length: count }, () => read(reader));
}
