import { SpanKind, SpanStatusCode, type Attributes, type HrTime, type SpanStatus } from '@opentelemetry/api';
import { hex, type SpanId } from '../../protocol/trace-context.js';
import type { BatchRecord, RequestRecord, RunRecord, StepRecord } from './trace-records.js';

/*
 * Records as spans. Names and attributes are those of OpenTelemetry's semantic conventions where there are any (HTTP and RPC server spans, errors),
 * else `sponge.*`, which docs/tracing.md lists. A request is one server span, and below it what it waited for, one after the other; a batch is
 * a trace of its own, as it belongs to all of its members alike, and linked with each.
 */

/** What differs from one span to the next. */
export interface SpanData {
  readonly name: string;
  readonly kind: SpanKind;
  readonly traceId: string;
  readonly spanId: string;
  /** Null of a root. */
  readonly parentSpanId: string | null;
  /** Of a server span whose caller is elsewhere. */
  readonly isParentRemote: boolean;
  readonly traceState: string;
  /** Unix ms. */
  readonly startMs: number;
  readonly endMs: number;
  readonly status: SpanStatus;
  readonly attributes: Attributes;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
}

/** HTTP and gRPC: what is the server's fault (semantic conventions: of the rest a server span leaves its status unset). */
const LEAST_HTTP_FAULT = 500;
const GRPC_FAULTS: ReadonlySet<number> = new Set([2, 4, 12, 13, 14, 15]);
/** In the order of their codes, as `rpc.response.status_code` has them. */
const GRPC_CODES = [
  ...['OK', 'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS'],
  ...['PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED'],
  ...['INTERNAL', 'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED'],
];
const UNSET: SpanStatus = { code: SpanStatusCode.UNSET };
const NO_LINKS: readonly never[] = [];

/** What all spans of one record have in common. */
interface Within {
  readonly traceId: string;
  readonly traceState: string;
  readonly newSpanId: () => SpanId;
  readonly offsetMs: number;
}

/**
 * @param offsetMs from instants of the server's clock to Unix time
 * @param newSpanId for spans that nobody refers to
 */
export function spansOf(
  record: RequestRecord | BatchRecord,
  offsetMs: number,
  newSpanId: () => SpanId,
): readonly SpanData[] {
  if (record.kind === 'batch') return [batchSpan(record, offsetMs)];
  const within = { traceId: hex(record.traceId), traceState: record.traceState, newSpanId, offsetMs };
  const spanId = hex(record.spanId);
  const { request, firstByteAtMs, receivedAtMs, answeredAtMs, runs, steps } = record;
  const spans = [serverSpan(record, within, spanId)];
  const child = (name: string, startMs: number, endMs: number, attributes: Attributes = {}): void => {
    spans.push(innerSpan(within, spanId, name, { startMs, endMs, attributes }));
  };
  child('receive', firstByteAtMs, receivedAtMs);
  if (request === null) return spans;
  const { admittedAtMs, endedAtMs, reason } = request;
  const isAdmitted = Number.isFinite(admittedAtMs);
  child('admission', receivedAtMs, isAdmitted ? admittedAtMs : endedAtMs);
  if (steps.length > 0) for (const step of steps) pushStep(spans, within, spanId, step);
  else pushRuns(spans, within, spanId, runs);
  // Who never ran has waited until it was given up.
  const lastRun = runs.at(-1);
  if (isAdmitted && steps.length === 0 && lastRun === undefined)
    child('queue', admittedAtMs, endedAtMs, reasonOf(reason));
  child('reply', endedAtMs, answeredAtMs);
  return spans;
}

function serverSpan(record: RequestRecord, within: Within, spanId: string): SpanData {
  const { protocol, method, status, parentSpanId, firstByteAtMs, answeredAtMs } = record;
  const isGrpc = protocol === 'grpc';
  const reason = record.request?.reason ?? record.refusedFor;
  const isFault = isGrpc ? GRPC_FAULTS.has(status) : status >= LEAST_HTTP_FAULT;
  const isRefused = isGrpc ? status > 0 : status >= 400;
  const errorType = reason === '' ? (isRefused ? statusText(isGrpc, status) : undefined) : reason;
  const call: Attributes = isGrpc
    ? {
        'rpc.system.name': 'grpc',
        'rpc.method': method,
        'rpc.response.status_code': statusText(isGrpc, status),
      }
    : {
        'http.request.method': 'POST',
        'http.route': method,
        'url.path': record.path,
        'url.scheme': protocol,
        'http.response.status_code': status,
      };
  return {
    name: isGrpc ? method : `POST ${method}`,
    kind: SpanKind.SERVER,
    ...{ traceId: within.traceId, spanId, traceState: within.traceState },
    parentSpanId: parentSpanId === null ? null : hex(parentSpanId),
    isParentRemote: parentSpanId !== null,
    startMs: firstByteAtMs + within.offsetMs,
    endMs: answeredAtMs + within.offsetMs,
    status: isFault ? { code: SpanStatusCode.ERROR, message: reason } : UNSET,
    attributes: known({
      ...call,
      'client.address': record.peer,
      'error.type': errorType,
      ...requestAttributes(record),
    }),
    links: NO_LINKS,
  };
}

function requestAttributes({ request }: RequestRecord): Attributes {
  if (request === null) return {};
  return {
    'sponge.model.name': request.model,
    'sponge.model.version': request.version,
    'sponge.request.id': request.clientId === '' ? undefined : request.clientId,
    'sponge.slo_ms': request.sloMs,
    'sponge.budget_ms': request.budgetMs,
    'sponge.budget.is_default': request.isDeadlineDefaulted,
    'sponge.network_delay_ms': request.networkDelayMs,
    'sponge.network_delay.source': request.networkDelaySource,
    'sponge.outcome': request.outcome,
    'sponge.reason': request.reason === '' ? undefined : request.reason,
    // At the end: below 0 it is late by so much.
    'sponge.slack_ms': request.dueAtMs - request.endedAtMs,
    'sponge.slack_at_dispatch_ms': request.slackAtDispatchMs,
    'sponge.queue_ms': request.queuedMs,
    'sponge.batch.size': request.batchSize,
    'sponge.cpu_millicores': request.cpuMillicores,
    'sponge.latency.planned_ms': request.plannedMs,
    'sponge.latency.actual_ms': request.latencyMs,
    'sponge.best_case_ms': request.bestCaseMs,
    'sponge.remaining_budget_ms': request.remainingBudgetMs,
  };
}

function pushStep(spans: SpanData[], within: Within, parentSpanId: string, step: StepRecord): void {
  const spanId = hex(step.spanId);
  const { startedAtMs: startMs, endedAtMs: endMs, reason } = step;
  const attributes = known({
    'sponge.step.name': step.name,
    'sponge.step.kind': step.kind,
    'sponge.model.name': step.kind === 'model' ? step.target : undefined,
    'sponge.step.parts': step.partCount,
    'sponge.step.parts_failed': step.failedCount === 0 ? undefined : step.failedCount,
    'sponge.step.runs_left_out': step.furtherRuns === 0 ? undefined : step.furtherRuns,
    ...reasonOf(reason),
  });
  spans.push({ ...innerSpan(within, parentSpanId, `step ${step.name}`, { startMs, endMs, attributes }), spanId });
  pushRuns(spans, within, spanId, step.runs);
}

function pushRuns(spans: SpanData[], within: Within, parentSpanId: string, runs: readonly RunRecord[]): void {
  for (const run of runs) {
    const parts = run.partCount > 1 ? { 'sponge.step.parts': run.partCount } : {};
    const queued = { startMs: run.queuedAtMs, endMs: run.startedAtMs, attributes: parts };
    spans.push(innerSpan(within, parentSpanId, 'queue', queued));
    const ran = { startMs: run.startedAtMs, endMs: run.endedAtMs };
    const spanId = hex(run.spanId);
    if (run.batch === null) {
      spans.push({ ...innerSpan(within, parentSpanId, 'function', { ...ran, attributes: parts }), spanId });
      continue;
    }
    const attributes = { ...parts, ...batchAttributes(run.batch) };
    const links = [{ traceId: hex(run.batch.traceId), spanId: hex(run.batch.spanId) }];
    spans.push({ ...innerSpan(within, parentSpanId, 'run', { ...ran, attributes }), spanId, links });
  }
}

/** One for all its members, at the root of a trace of its own. */
function batchSpan(batch: BatchRecord, offsetMs: number): SpanData {
  return {
    name: `batch ${batch.model}`,
    kind: SpanKind.INTERNAL,
    ...{ traceId: hex(batch.traceId), spanId: hex(batch.spanId), parentSpanId: null, isParentRemote: false },
    traceState: '',
    startMs: batch.startedAtMs + offsetMs,
    endMs: batch.endedAtMs + offsetMs,
    status: batch.result === 'completed' ? UNSET : { code: SpanStatusCode.ERROR, message: batch.result },
    attributes: known({
      'sponge.model.name': batch.model,
      'sponge.model.version': batch.version,
      ...batchAttributes(batch),
      'sponge.batch.compute_ms': batch.computeMs,
    }),
    links: batch.links.map(({ traceId, spanId }) => ({ traceId: hex(traceId), spanId: hex(spanId) })),
  };
}

function batchAttributes(batch: NonNullable<RunRecord['batch']>): Attributes {
  return known({
    'sponge.batch.id': batch.batchId,
    'sponge.batch.size': batch.batchSize,
    'sponge.batch.rows': batch.rowCount,
    'sponge.instance': batch.instance,
    'sponge.cpu_millicores': batch.cpuMillicores,
    'sponge.threads': batch.threadCount,
    'sponge.latency.predicted_ms': batch.predictedMs,
    'sponge.latency.planned_ms': batch.plannedMs,
    'sponge.latency.actual_ms': batch.latencyMs,
    'sponge.batch.result': batch.result === '' ? undefined : batch.result,
  });
}

function innerSpan(
  { traceId, traceState, newSpanId, offsetMs }: Within,
  parentSpanId: string,
  name: string,
  { startMs, endMs, attributes }: Pick<SpanData, 'startMs' | 'endMs' | 'attributes'>,
): SpanData {
  return {
    ...{ name, kind: SpanKind.INTERNAL, traceId, spanId: hex(newSpanId()), parentSpanId, isParentRemote: false },
    ...{ traceState, startMs: startMs + offsetMs, endMs: Math.max(startMs, endMs) + offsetMs },
    ...{ status: UNSET, attributes, links: NO_LINKS },
  };
}

function reasonOf(reason: string): Attributes {
  return reason === '' ? {} : { 'sponge.reason': reason };
}

function statusText(isGrpc: boolean, status: number): string | undefined {
  if (!Number.isFinite(status)) return undefined;
  return isGrpc ? (GRPC_CODES[status] ?? String(status)) : String(status);
}

/** Without what there is not. */
function known(attributes: Attributes): Attributes {
  const kept: Attributes = {};
  for (const name in attributes) {
    const value = attributes[name];
    if (value !== undefined && !Number.isNaN(value)) kept[name] = value;
  }
  return kept;
}

/** As the SDK has time: seconds and nanoseconds. */
export function hrTime(unixMs: number): HrTime {
  const seconds = Math.floor(unixMs / 1000);
  return [seconds, Math.min(999_999_999, Math.round((unixMs - seconds * 1000) * 1e6))];
}
