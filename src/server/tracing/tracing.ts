import { randomUUID } from 'node:crypto';
import type { Worker } from 'node:worker_threads';
import { readTraceParent, type TraceId, type TraceParent } from '../../protocol/trace-context.js';
import type { CallTrace, CallTraces, TracedCall } from '../../protocol/service.js';
import type { Clock, Timer } from '../../scheduler/clock/clock.js';
import type { Event } from '../../scheduler/domain/event.js';
import type { InferRequest } from '../../scheduler/domain/request.js';
import { startModuleThread } from '../../threads/module-thread.js';
import type { Attached } from '../telemetry/attached.js';
import { RecordBuffer } from './record-buffer.js';
import { BatchTrace, PartTrace, RequestTrace, StepTrace, type TraceOwner, type Watched } from './request-trace.js';
import { isAlwaysKept, isSampled } from './sampling.js';
import type { TracingSettings } from './settings.js';
import type { SpanCounts } from './span-queue.js';
import { writeBatch, writeRequest } from './trace-records.js';
import type { FromTraceThread, ToTraceThread, TraceThreadTask } from './trace-thread.js';

/*
 * Traces of requests: what happens to each is taken down while it happens, and once it has been answered it is decided whether that
 * becomes spans. Those are made by another thread. A server that is not asked for spans never imports this file.
 */

export interface TracingOptions {
  readonly settings: TracingSettings;
  readonly clock: Clock;
  /** Unix ms. */
  readonly readUnixMs: () => number;
  readonly serviceName: string;
  readonly serviceVersion: string;
  readonly onSpans: (counts: SpanCounts) => void;
  /** What cannot be done, once. */
  readonly onTrouble: (line: string) => void;
  /** The real one, but in tests. */
  readonly startThread?: (task: TraceThreadTask) => TraceThread;
}

/** Of a thread, what is used of it. */
export type TraceThread = Pick<Worker, 'postMessage' | 'on' | 'terminate' | 'unref'>;

/** Numbers of an envelope: about 100 requests, 64 KiB. */
const ENVELOPE_NUMBERS = 8192;
/** Envelopes that the thread has not read; when there are more, it cannot keep up, and records are dropped. */
const MOST_UNREAD = 32;
/** Until a record is handed over, at most. */
const HAND_OVER_MS = 200;
/** For what is still to be sent when the server ends. */
const FAREWELL_MS = 2000;
const THREAD_HEAP_MIB = 128;

export class Tracing implements CallTraces, TraceOwner {
  readonly #options: TracingOptions;
  readonly #thread: TraceThread;
  /** By sequence: requests that are held, and parts of such. */
  readonly #watched = new Map<number, Watched>();
  #buffer = new RecordBuffer(ENVELOPE_NUMBERS);
  #timer: Timer | null = null;
  #unread = 0;
  #isOver = false;
  #onClosed: () => void = () => undefined;

  constructor(options: TracingOptions) {
    this.#options = options;
    const { settings, serviceName, serviceVersion, startThread = startTraceThread } = options;
    this.#thread = startThread({ url: settings.url, serviceName, serviceVersion, instanceId: randomUUID() });
    this.#thread.unref();
    this.#thread.on('message', (message: FromTraceThread) => this.#hear(message));
    this.#thread.on('error', (error: unknown) => {
      this.#end(`no more spans are sent: ${error instanceof Error ? error.message : String(error)}`);
    });
    this.#thread.on('exit', () => this.#end('no more spans are sent: their thread has ended'));
  }

  // ---- calls -------------------------------------------------------------------------------------------------------

  begin(call: TracedCall): CallTrace {
    return new RequestTrace(call, readTraceParent(call.parent, call.state), this);
  }

  /** What happens to this request, or pipeline's request, from now on is of that call. */
  join(trace: CallTrace | undefined, request: InferRequest, model: string, version: string, clientId = ''): void {
    if (!(trace instanceof RequestTrace) || this.#isOver) return;
    trace.join(request, model, version, clientId);
    this.#watched.set(request.sequence, trace);
  }

  nowMs(): number {
    return this.#options.clock.nowMs();
  }

  isSampled(traceId: TraceId, parent: TraceParent | null): boolean {
    return isSampled(traceId, parent, this.#options.settings);
  }

  over(trace: RequestTrace): void {
    const { ended, refusedFor } = trace;
    const isKept = trace.isSampled || isAlwaysKept(ended?.name ?? null, refusedFor !== '');
    if (isKept) this.#add((buffer) => writeRequest(buffer, trace), spanCountOf(trace));
    const runs = trace.steps.length === 0 ? trace.runs : trace.steps.flatMap((step) => step.runs);
    for (const { batch } of runs) {
      if (batch === null) continue;
      batch.decided(isKept);
      if (batch.isToBeKept) this.#addBatch(batch);
    }
  }

  // ---- events ------------------------------------------------------------------------------------------------------

  attachModel({ model, version }: { readonly model: string; readonly version: string }): Attached {
    const running = new Map<number, BatchTrace>();
    return {
      observe: (event) => this.#observe(event, running, model, version),
      detach: () => running.clear(),
    };
  }

  /** Of a pipeline, whose steps are told of apart. */
  attachPipeline(): Attached {
    return {
      observe: (event) => {
        if (event.kind === 'request-admitted' || event.kind === 'request-finished') this.#observeRequest(event);
      },
      detach: () => undefined,
    };
  }

  #observe(event: Event, running: Map<number, BatchTrace>, model: string, version: string): void {
    if (event.kind === 'batch-started') {
      const batch = new BatchTrace(event, model, version);
      for (const sequence of event.sequences) this.#watched.get(sequence)?.ran(batch);
      if (batch.links.length > 0) running.set(event.batchId, batch);
    } else if (event.kind === 'batch-ended') {
      const batch = running.get(event.batchId);
      if (batch === undefined) return;
      running.delete(event.batchId);
      batch.ended = event;
      if (batch.isToBeKept) this.#addBatch(batch);
    } else if (event.kind === 'request-admitted' || event.kind === 'request-finished') this.#observeRequest(event);
  }

  #observeRequest(event: Extract<Event, { kind: 'request-admitted' | 'request-finished' }>): void {
    const { sequence } = event.request;
    const watched = this.#watched.get(sequence);
    if (watched === undefined) return;
    if (event.kind === 'request-admitted') {
      watched.admitted(event.atMs);
      return;
    }
    this.#watched.delete(sequence);
    watched.finished(event.atMs, event.outcome);
  }

  // ---- pipelines ---------------------------------------------------------------------------------------------------

  /** @returns null of a request that is not traced */
  partOf(sequence: number, step: string, kind: StepTrace['kind'], target: string): PartTrace | null {
    const request = this.#watched.get(sequence);
    if (!(request instanceof RequestTrace)) return null;
    const nowMs = this.nowMs();
    let own = request.steps.find(({ name }) => name === step);
    if (own === undefined) request.steps.push((own = new StepTrace(step, kind, target, nowMs)));
    return new PartTrace(request, own, nowMs);
  }

  /** That part is, at its model, the request of this sequence. */
  watchPart(sequence: number, part: PartTrace): void {
    this.#watched.set(sequence, part);
  }

  // ---- to the thread -----------------------------------------------------------------------------------------------

  /** Sends what there is, as far as that is possible soon, and ends the thread. */
  async close(): Promise<void> {
    if (!this.#isOver) {
      this.#handOver();
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#onClosed = resolve;
        timer = setTimeout(resolve, FAREWELL_MS);
        this.#post({ kind: 'close' });
      });
      clearTimeout(timer);
    }
    this.#isOver = true;
    this.#timer?.cancel();
    this.#watched.clear();
    await this.#thread.terminate();
  }

  #addBatch(batch: BatchTrace): void {
    this.#add((buffer) => writeBatch(buffer, batch), 1);
  }

  #add(write: (buffer: RecordBuffer) => void, spanCount: number): void {
    if (this.#isOver) {
      this.#drop(spanCount);
      return;
    }
    if (!this.#buffer.add(write)) {
      this.#handOver();
      if (!this.#buffer.add(write)) this.#drop(spanCount);
    }
    this.#timer ??= this.#options.clock.schedule(this.nowMs() + HAND_OVER_MS, () => {
      this.#timer = null;
      this.#handOver();
    });
  }

  #handOver(): void {
    if (this.#buffer.isEmpty || this.#unread >= MOST_UNREAD) return;
    const envelope = this.#buffer.seal(this.#options.readUnixMs() - this.nowMs());
    this.#buffer = new RecordBuffer(ENVELOPE_NUMBERS);
    this.#unread += 1;
    this.#post({ kind: 'records', envelope }, [envelope.numbers.buffer]);
  }

  #post(message: ToTraceThread, transfer: readonly ArrayBuffer[] = []): void {
    this.#thread.postMessage(message, transfer);
  }

  #drop(spanCount: number): void {
    this.#options.onSpans({ exported: 0, failed: 0, dropped: spanCount });
  }

  #hear(message: FromTraceThread): void {
    switch (message.kind) {
      case 'taken':
        this.#unread -= 1;
        return;
      case 'counts':
        this.#options.onSpans(message);
        return;
      case 'trouble':
        this.#options.onTrouble(
          `${whereTo(this.#options.settings.url)} takes no spans (${message.message}); requests are served all the same, ` +
            'what is lost is counted in sponge_trace_spans_total, and this is not said again',
        );
        return;
      case 'closed':
        this.#onClosed();
    }
  }

  #end(line: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#watched.clear();
    this.#onClosed();
    this.#options.onTrouble(line);
  }
}

function startTraceThread(workerData: TraceThreadTask): TraceThread {
  const resourceLimits = { maxOldGenerationSizeMb: THREAD_HEAP_MIB };
  return startModuleThread(import.meta.url, './trace-thread.js', { workerData, resourceLimits });
}

/** As `spans.ts` makes them. */
function spanCountOf({ joined, admittedAtMs, runs, steps }: RequestTrace): number {
  if (joined === null) return 2;
  if (steps.length > 0) return steps.reduce((sum, step) => sum + 1 + 2 * step.runs.length, 4);
  return 4 + (runs.length === 0 && admittedAtMs !== null ? 1 : 2 * runs.length);
}

/** Without what may be a secret in it. */
function whereTo(url: string): string {
  return new URL(url).origin;
}
