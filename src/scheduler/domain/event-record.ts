import type { Event } from './event.js';
import type { Granted } from './granted.js';
import { outcomeName, type OutcomeName, type Reason } from './outcome.js';
import type { AllocationLimits } from './plan.js';
import type { NetworkDelaySource } from './request.js';
import type { PipelineCounts, StepCounts } from './step-counts.js';

/*
 * The event stream as plain data: a line of an event log, an item of the live feed. Live and simulated runs look alike in
 * it, and it is all that the dashboard, `--watch` and the reports of experiments know of a run. Everything of an event is
 * kept but tensors and what repeats: a request is told in full once, when it is received, and by its sequence afterwards.
 *
 * Instants are those of the run's own clock, ms, to the microsecond; `RunHeader.startedAtMs` is where it began.
 */

type EventOf<Kind extends Event['kind']> = Extract<Event, { kind: Kind }>;

/** What is told of a completed request beside its outcome. */
export interface ServiceNote {
  readonly queuedMs: number;
  readonly slackAtDispatchMs: number;
  readonly batchId: number;
  readonly latencyMs: number;
}

/**
 * What goes on at the steps of a pipeline: no event, but what was counted of many, taken down now and then while it changes. Totals, so
 * that what happened between two of them is their difference.
 */
export interface StepsCounted extends PipelineCounts {
  readonly kind: 'steps-counted';
  readonly atMs: number;
}

export type EventRecord =
  | {
      readonly kind: 'request-received';
      /** It was decoded and checked, and the data plane heard of it. */
      readonly atMs: number;
      /** Its last byte was there; its deadline counts from then. Not after `atMs`. */
      readonly receivedAtMs: number;
      readonly sequence: number;
      readonly sloMs: number;
      readonly networkDelayMs: number;
      readonly networkDelaySource: NetworkDelaySource;
      readonly dueAtMs: number;
      /** Empty in the live feed: watchers need not know whom a request is from. */
      readonly client: string;
      readonly isDeadlineDefaulted: boolean;
    }
  | {
      readonly kind: 'request-admitted';
      readonly atMs: number;
      readonly sequence: number;
      readonly queueDepth: number;
    }
  | {
      readonly kind: 'request-finished';
      readonly atMs: number;
      readonly sequence: number;
      readonly outcome: OutcomeName;
      /** Null for a request that was completed. */
      readonly reason: Reason | null;
      /** Null for one that was not. */
      readonly service: ServiceNote | null;
    }
  | StepsCounted
  | EventOf<
      | 'batch-started'
      | 'batch-ended'
      | 'planned'
      | 'resize-requested'
      | 'resized'
      | 'resize-refused'
      | 'instances-requested'
      | 'instances-changed'
      | 'worker-lost'
      | 'worker-ready'
      | 'router-standstill'
    >;

/** One of several models' records: `model` is an index into `RunHeader.models`. */
export type ModelRecord = EventRecord & { readonly model: number };

/** The first line of an event log, the first message of the live feed: what the records are of. */
export interface RunHeader {
  readonly kind: 'run';
  readonly schemaVersion: 1;
  readonly source: 'live' | 'simulated';
  /** For people: the server's name, the scenario and its policy. */
  readonly title: string;
  /** Instant of the run's clock at which it began, and the wall time then (ISO 8601); null where there is none. */
  readonly startedAtMs: number;
  readonly startedAt: string | null;
  /** What all models may have together, where they share it; absent where each has up to its own limit. */
  readonly budgetMillicores?: number;
  readonly models: readonly RunModel[];
}

/** With what was granted when the run began; in the live feed, before the first record that follows. */
export interface RunModel extends Granted {
  readonly name: string;
  readonly version: string;
  readonly policy: string;
  readonly limits: AllocationLimits;
  readonly maxBatchSize: number;
  /** Of a pipeline: it has no cores and no plan of its own, which its models have, so that all of those are 0 here. */
  readonly pipeline?: RunPipeline;
  /** It is not served any more: what is told of it is the past. */
  readonly isGone?: true;
}

export interface RunPipeline {
  /** Each behind all that it waits for. */
  readonly steps: readonly RunStep[];
  /** As of the run's beginning; in the live feed, before the first record that follows. */
  readonly counts: PipelineCounts;
}

export interface RunStep {
  readonly name: string;
  readonly kind: 'model' | 'function';
  /** The model's name, or what the function is called. */
  readonly target: string;
  /** Indexes of steps whose outputs it takes. */
  readonly before: readonly number[];
}

/** @param counts as of then */
export function stepsCounted(atMs: number, { door, steps }: PipelineCounts): StepsCounted {
  return { kind: 'steps-counted', atMs: toMicrosecond(atMs), door, steps: steps.map(roundedCounts) };
}

function roundedCounts(counts: StepCounts): StepCounts {
  const { spanMs, waitedMs, ranMs, coreMs } = counts;
  return {
    ...counts,
    ...{ spanMs: toMicrosecond(spanMs), waitedMs: toMicrosecond(waitedMs) },
    ...{ ranMs: toMicrosecond(ranMs), coreMs: toMicrosecond(coreMs) },
  };
}

export function recordOf(event: Event): EventRecord {
  const atMs = toMicrosecond(event.atMs);
  switch (event.kind) {
    case 'request-received': {
      const { sequence, receivedAtMs, sloMs, networkDelayMs, networkDelaySource, dueAtMs, client } = event.request;
      return {
        kind: event.kind,
        atMs,
        receivedAtMs: toMicrosecond(receivedAtMs),
        sequence,
        sloMs,
        networkDelayMs: toMicrosecond(networkDelayMs),
        networkDelaySource,
        dueAtMs: toMicrosecond(dueAtMs),
        client,
        isDeadlineDefaulted: event.request.isDeadlineDefaulted,
      };
    }
    case 'request-admitted':
      return { kind: event.kind, atMs, sequence: event.request.sequence, queueDepth: event.queueDepth };
    case 'request-finished': {
      const { outcome } = event;
      const service = outcome.kind === 'completed' ? serviceNote(outcome.service) : null;
      const reason = outcome.kind === 'completed' ? null : outcome.reason;
      return {
        kind: event.kind,
        atMs,
        sequence: event.request.sequence,
        outcome: outcomeName(outcome),
        reason,
        service,
      };
    }
    case 'batch-started':
      return {
        ...event,
        atMs,
        predictedLatencyMs: toMicrosecond(event.predictedLatencyMs),
        plannedLatencyMs: toMicrosecond(event.plannedLatencyMs),
      };
    case 'batch-ended':
      return {
        ...event,
        atMs,
        latencyMs: toMicrosecond(event.latencyMs),
        computeMs: toMicrosecond(event.computeMs),
        actualToPredicted: event.actualToPredicted === null ? null : toMicrosecond(event.actualToPredicted),
      };
    case 'router-standstill':
      return { ...event, atMs, standstillMs: toMicrosecond(event.standstillMs) };
    case 'resized':
      return { ...event, atMs, tookMs: toMicrosecond(event.tookMs) };
    case 'planned':
    case 'resize-requested':
    case 'resize-refused':
    case 'instances-requested':
    case 'instances-changed':
    case 'worker-lost':
    case 'worker-ready':
      return { ...event, atMs };
  }
}

function serviceNote(service: ServiceNote): ServiceNote {
  return {
    queuedMs: toMicrosecond(service.queuedMs),
    slackAtDispatchMs: toMicrosecond(service.slackAtDispatchMs),
    batchId: service.batchId,
    latencyMs: toMicrosecond(service.latencyMs),
  };
}

/** Three decimals: enough for anything that is measured in ms, and half the bytes of a double in JSON. */
function toMicrosecond(value: number): number {
  return Math.round(value * 1000) / 1000;
}
