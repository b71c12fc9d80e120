import type { SpanId, TraceId } from '../../protocol/trace-context.js';
import { INTERNAL, SERVER, type OtlpWriter } from './otlp-writer.js';
import type { BatchNote, BatchRecord, RequestRecord, RunRecord, StepRecord } from './trace-records.js';

/*
 * Records as spans. Names and attributes are those of OpenTelemetry's semantic conventions where there are any (HTTP and RPC server spans, errors),
 * else `sponge.*`, which docs/tracing.md lists. A request is one server span, and below it what it waited for, one after the other; a batch is
 * a trace of its own, as it belongs to all of its members alike, and linked with each.
 */

/** HTTP and gRPC: what is the server's fault (semantic conventions: of the rest a server span leaves its status unset). */
const LEAST_HTTP_FAULT = 500;
const LEAST_HTTP_REFUSAL = 400;
const GRPC_FAULTS: ReadonlySet<number> = new Set([2, 4, 12, 13, 14, 15]);
/** In the order of their codes, as `rpc.response.status_code` has them. */
const GRPC_CODES = [
  ...['OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS'],
  ...['PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED'],
  ...['INTERNAL', 'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED'],
];

/** What all spans of one record have in common. */
interface Within {
  readonly traceId: TraceId;
  readonly traceState: string;
  /** From instants of the server's clock to Unix time. */
  readonly offsetMs: number;
  readonly newSpanId: () => SpanId;
}

/**
 * @param offsetMs from instants of the server's clock to Unix time
 * @param newSpanId for spans that nobody refers to
 */
export function writeSpans(
  writer: OtlpWriter,
  record: RequestRecord | BatchRecord,
  offsetMs: number,
  newSpanId: () => SpanId,
): void {
  if (record.kind === 'batch') {
    writeBatchSpan(writer, record, offsetMs);
    return;
  }
  const { traceId, traceState, spanId, request, receivedAtMs, answeredAtMs, runs, steps } = record;
  const within: Within = { traceId, traceState, offsetMs, newSpanId };
  writeServerSpan(writer, record, offsetMs);
  writePlain(writer, within, spanId, 'receive', record.firstByteAtMs, receivedAtMs);
  if (request === null) return;
  const { admittedAtMs, endedAtMs } = request;
  const isAdmitted = !Number.isNaN(admittedAtMs);
  writePlain(writer, within, spanId, 'admission', receivedAtMs, isAdmitted ? admittedAtMs : endedAtMs);
  for (const step of steps) writeStep(writer, within, spanId, step);
  for (const run of runs) writeRun(writer, within, spanId, run);
  // Who never ran has waited until it was given up.
  if (isAdmitted && steps.length === 0 && runs.length === 0)
    writePlain(writer, within, spanId, 'queue', admittedAtMs, endedAtMs, request.reason);
  writePlain(writer, within, spanId, 'reply', endedAtMs, answeredAtMs);
}

function writeServerSpan(writer: OtlpWriter, record: RequestRecord, offsetMs: number): void {
  const { protocol, method, status, parentSpanId, request, refusedFor } = record;
  const isGrpc = protocol === 'grpc';
  const reason = request === null ? refusedFor : request.reason;
  writer.begin({
    name: isGrpc ? method : `POST ${method}`,
    kind: SERVER,
    traceId: record.traceId,
    spanId: record.spanId,
    parentSpanId,
    isParentRemote: parentSpanId !== null,
    traceState: record.traceState,
    startMs: record.firstByteAtMs + offsetMs,
    endMs: record.answeredAtMs + offsetMs,
  });
  if (isGrpc) {
    writer.string('rpc.system.name', 'grpc');
    writer.string('rpc.method', method);
    writer.string('rpc.response.status_code', GRPC_CODES[status] ?? '');
  } else {
    writer.string('http.request.method', 'POST');
    writer.string('http.route', method);
    writer.string('url.path', record.path);
    writer.string('url.scheme', protocol);
    writer.integer('http.response.status_code', status);
  }
  writer.string('client.address', record.peer);
  const isRefused = isGrpc ? status > 0 : status >= LEAST_HTTP_REFUSAL;
  const statusText = isGrpc ? (GRPC_CODES[status] ?? '') : String(status);
  writer.string('error.type', reason === '' && isRefused ? statusText : reason);
  if (request !== null) writeRequestAttributes(writer, request);
  if (isGrpc ? GRPC_FAULTS.has(status) : status >= LEAST_HTTP_FAULT) writer.error(reason);
  writer.end();
}

function writeRequestAttributes(writer: OtlpWriter, request: NonNullable<RequestRecord['request']>): void {
  writer.string('sponge.model.name', request.model);
  writer.string('sponge.model.version', request.version);
  writer.string('sponge.request.id', request.clientId);
  writer.double('sponge.slo_ms', request.sloMs);
  writer.double('sponge.budget_ms', request.budgetMs);
  writer.boolean('sponge.budget.is_default', request.isDeadlineDefaulted);
  writer.double('sponge.network_delay_ms', request.networkDelayMs);
  writer.string('sponge.network_delay.source', request.networkDelaySource);
  writer.string('sponge.outcome', request.outcome);
  writer.string('sponge.reason', request.reason);
  // At the end: below 0 it is late by so much.
  writer.double('sponge.slack_ms', request.dueAtMs - request.endedAtMs);
  writer.double('sponge.slack_at_dispatch_ms', request.slackAtDispatchMs);
  writer.double('sponge.queue_ms', request.queuedMs);
  writer.integer('sponge.batch.size', request.batchSize);
  writer.integer('sponge.cpu_millicores', request.cpuMillicores);
  writer.double('sponge.latency.planned_ms', request.plannedMs);
  writer.double('sponge.latency.actual_ms', request.latencyMs);
  writer.double('sponge.best_case_ms', request.bestCaseMs);
  writer.double('sponge.remaining_budget_ms', request.remainingBudgetMs);
}

function writeStep(writer: OtlpWriter, within: Within, parentSpanId: SpanId, step: StepRecord): void {
  const { spanId, startedAtMs, endedAtMs } = step;
  beginInner(writer, within, {
    name: `step ${step.name}`,
    spanId,
    parentSpanId,
    startMs: startedAtMs,
    endMs: endedAtMs,
  });
  writer.string('sponge.step.name', step.name);
  writer.string('sponge.step.kind', step.kind);
  if (step.kind === 'model') writer.string('sponge.model.name', step.target);
  writer.integer('sponge.step.parts', step.partCount);
  if (step.failedCount > 0) writer.integer('sponge.step.parts_failed', step.failedCount);
  if (step.furtherRuns > 0) writer.integer('sponge.step.runs_left_out', step.furtherRuns);
  writer.string('sponge.reason', step.reason);
  writer.end();
  for (const run of step.runs) writeRun(writer, within, spanId, run);
}

function writeRun(writer: OtlpWriter, within: Within, parentSpanId: SpanId, run: RunRecord): void {
  const { spanId, batch, queuedAtMs, startedAtMs, endedAtMs, partCount } = run;
  const queued = { spanId: within.newSpanId(), parentSpanId, startMs: queuedAtMs, endMs: startedAtMs };
  beginInner(writer, within, { name: 'queue', ...queued });
  if (partCount > 1) writer.integer('sponge.step.parts', partCount);
  writer.end();
  const name = batch === null ? 'function' : 'run';
  beginInner(writer, within, { name, spanId, parentSpanId, startMs: startedAtMs, endMs: endedAtMs });
  if (partCount > 1) writer.integer('sponge.step.parts', partCount);
  if (batch !== null) {
    writeBatchAttributes(writer, batch);
    writer.link(batch.traceId, batch.spanId);
  }
  writer.end();
}

/** One for all its members, at the root of a trace of its own. */
function writeBatchSpan(writer: OtlpWriter, batch: BatchRecord, offsetMs: number): void {
  writer.begin({
    name: `batch ${batch.model}`,
    kind: INTERNAL,
    traceId: batch.traceId,
    spanId: batch.spanId,
    parentSpanId: null,
    isParentRemote: false,
    traceState: '',
    startMs: batch.startedAtMs + offsetMs,
    endMs: batch.endedAtMs + offsetMs,
  });
  writer.string('sponge.model.name', batch.model);
  writer.string('sponge.model.version', batch.version);
  writeBatchAttributes(writer, batch);
  writer.double('sponge.batch.compute_ms', batch.computeMs);
  for (const { traceId, spanId } of batch.links) writer.link(traceId, spanId);
  if (batch.result !== 'completed') writer.error(batch.result);
  writer.end();
}

function writeBatchAttributes(writer: OtlpWriter, batch: BatchNote): void {
  writer.integer('sponge.batch.id', batch.batchId);
  writer.integer('sponge.batch.size', batch.batchSize);
  writer.integer('sponge.batch.rows', batch.rowCount);
  writer.integer('sponge.instance', batch.instance);
  writer.integer('sponge.cpu_millicores', batch.cpuMillicores);
  writer.integer('sponge.threads', batch.threadCount);
  writer.double('sponge.latency.predicted_ms', batch.predictedMs);
  writer.double('sponge.latency.planned_ms', batch.plannedMs);
  writer.double('sponge.latency.actual_ms', batch.latencyMs);
  writer.string('sponge.batch.result', batch.result);
}

/** With nothing but a reason to tell. */
function writePlain(
  writer: OtlpWriter,
  within: Within,
  parentSpanId: SpanId,
  name: string,
  startMs: number,
  endMs: number,
  reason = '',
): void {
  beginInner(writer, within, { name, spanId: within.newSpanId(), parentSpanId, startMs, endMs });
  writer.string('sponge.reason', reason);
  writer.end();
}

/** Below a request's own. Instants are of the server's clock. */
interface Inner {
  readonly name: string;
  readonly spanId: SpanId;
  readonly parentSpanId: SpanId;
  readonly startMs: number;
  readonly endMs: number;
}

function beginInner(writer: OtlpWriter, { traceId, traceState, offsetMs }: Within, inner: Inner): void {
  writer.begin({
    name: inner.name,
    kind: INTERNAL,
    traceId,
    spanId: inner.spanId,
    parentSpanId: inner.parentSpanId,
    isParentRemote: false,
    traceState,
    startMs: inner.startMs + offsetMs,
    endMs: inner.endMs + offsetMs,
  });
}
