import type { PartOutcome, PartWork, StepPort } from '../../scheduler/pipeline/step-port.js';
import type { StepOutlook } from '../../scheduler/pipeline/timing.js';
import type { PartTrace } from '../tracing/request-trace.js';
import type { Tracing } from '../tracing/tracing.js';
import type { PartStarts } from './part-starts.js';
import type { PipelineMeter } from './pipeline-meter.js';
import type { PartCounts } from './step-meter.js';

/*
 * A step, and whoever wants to know what becomes of its parts: how many wait and run, how long, and where requests are lost. Between the
 * pipeline and what runs the step; neither knows of it.
 */

export interface ObservedStepOptions {
  readonly name: string;
  readonly kind: 'model' | 'function';
  /** The model's name, or the step's. */
  readonly target: string;
  readonly nowMs: () => number;
  readonly meter: PipelineMeter;
  /** Its place among the pipeline's steps. */
  readonly index: number;
  readonly starts: PartStarts;
  readonly tracing: Tracing | null;
}

/** For whoever is called on the request's behalf. */
export interface PassedOn {
  readonly traceparent: string;
  readonly tracestate?: string;
}

interface Part {
  readonly requestSequence: number;
  readonly counts: PartCounts;
  readonly trace: PartTrace | null;
  /** At a model; null before, and of a function's. */
  sequence: number | null;
}

export class ObservedStep implements StepPort {
  readonly #options: ObservedStepOptions;
  /** By the part's id. */
  readonly #parts = new Map<number, Part>();
  #port: StepPort | null = null;

  constructor(options: ObservedStepOptions) {
    this.#options = options;
  }

  /** @param port what runs the step; once, before anything is asked */
  over(port: StepPort): this {
    this.#port = port;
    return this;
  }

  outlook(): StepOutlook | null {
    return this.#port!.outlook();
  }

  get unavailable(): string {
    return this.#port!.unavailable;
  }

  submit(work: PartWork, onOutcome: (outcome: PartOutcome) => void): void {
    const { nowMs, meter, index, tracing, name, kind, target } = this.#options;
    const { id, request } = work;
    const counts = meter.begin(request.sequence, index, work.part, nowMs());
    const trace = tracing?.partOf(request.sequence, name, kind, target) ?? null;
    const part: Part = { requestSequence: request.sequence, counts, trace, sequence: null };
    this.#parts.set(id, part);
    this.#port!.submit(work, (outcome) => {
      // One that was given up has been told of.
      if (this.#parts.get(id) === part) this.#end(id, part, outcome);
      onOutcome(outcome);
    });
  }

  cancel(id: number): void {
    const part = this.#parts.get(id);
    if (part !== undefined) this.#end(id, part, null);
    this.#port!.cancel(id);
  }

  /** The part is, at its model, the request of that sequence. */
  sentAs(id: number, sequence: number): void {
    const part = this.#parts.get(id);
    if (part === undefined) return;
    const { tracing, starts, meter, index, nowMs } = this.#options;
    part.sequence = sequence;
    starts.add(sequence, () => meter.run(index, part.counts, nowMs()));
    if (part.trace !== null) tracing?.watchPart(sequence, part.trace);
  }

  /** A function has begun with it. @returns what it may pass on; null where nobody traces */
  began(id: number): PassedOn | null {
    const part = this.#parts.get(id);
    if (part === undefined) return null;
    const { meter, index } = this.#options;
    const nowMs = this.#options.nowMs();
    meter.run(index, part.counts, nowMs);
    return part.trace?.began(nowMs) ?? null;
  }

  /** @param outcome null of one that nobody waits for any more */
  #end(id: number, { requestSequence, counts, trace, sequence }: Part, outcome: PartOutcome | null): void {
    this.#parts.delete(id);
    if (sequence !== null) this.#options.starts.delete(sequence);
    const nowMs = this.#options.nowMs();
    const { meter, index } = this.#options;
    meter.end(requestSequence, index, counts, nowMs, outcome);
    trace?.ended(nowMs, outcome === null ? 'cancelled' : outcome.kind === 'done' ? '' : outcome.outcome.reason);
  }
}
