import type { EventRecord, RunModel } from '../scheduler/domain/event-record.js';
import type { OutcomeName } from '../scheduler/domain/outcome.js';
import { plannedMillicores, type Plan } from '../scheduler/domain/plan.js';
import { reasonKindText } from '../scheduler/domain/plan-bound.js';
import { QueueCount } from '../scheduler/domain/queue-count.js';
import type { NetworkDelaySource } from '../scheduler/domain/request.js';
import { Columns } from './columns.js';
import { PipelineHistory } from '../scheduler/domain/pipeline-history.js';
import { grantedAfter, grantedMillicores, type Granted } from '../scheduler/domain/granted.js';

/*
 * One model's records folded into tables, one pass, a few additions a record. Charts and numbers are computed from these for
 * whatever range is looked at, so the same tables serve the live window, a held view and the whole of an event log.
 *
 * Rows are in order of their `atMs`. What a later record tells of an earlier row (when a request left the queue, how long a
 * batch took) is written into that row; NaN until then. A feed may be joined in the middle of a run: records of requests
 * and batches that began before it are counted where that is possible, and otherwise ignored.
 */

/** In the order in which they are stacked and listed; a code is an index into it. */
export const OUTCOMES = [
  'completed_on_time',
  'completed_late',
  'rejected_infeasible',
  'rejected_overload',
  'expired',
  'cancelled',
  'failed',
] as const satisfies readonly OutcomeName[];

export const SOURCES = [
  'none',
  'transfer',
  'declared_upload',
  'send_stamp',
] as const satisfies readonly NetworkDelaySource[];

export const RESIZE = { written: 0, unchanged: 1, refused: 2 } as const;

export interface PlanNote {
  readonly atMs: number;
  readonly trigger: string;
  readonly plan: Plan;
}

/** A batch that was started, and the plan that it follows; null: one from before the first that is known. */
export interface StartNote {
  readonly atMs: number;
  readonly instance: number;
  readonly batchSize: number;
  readonly cpuMillicores: number;
  readonly plan: Plan | null;
}

export interface Capacities {
  /** Requests, batches and resizes, of each. */
  readonly rows: number;
  /** Changes of the allocation or the plan, and of the queue's depth, of each. */
  readonly steps: number;
  readonly plans: number;
}

/** Five minutes, the widest live window, at 200 requests a second and some hundreds of resizes. */
export const LIVE_CAPACITIES: Capacities = { rows: 65_536, steps: 131_072, plans: 4_096 };

/** Requests and batches under way; a run that has more of them forgets the oldest. */
const MAX_OPEN = 65_536;
/** Kinds of reasons that are told apart; a policy has a handful. */
const MAX_REASONS = 24;
/** Weight of the newest batch in what a request costs: the last ten or so count. */
const COST_WEIGHT = 0.1;

interface RunningBatch {
  readonly row: number;
  /** Of its members, as far as they are known. */
  readonly requestRows: readonly number[];
}

/** Millicores of all instances together; instances that are ready, and that are asked for. */
interface Step {
  readonly granted: number;
  readonly wanted: number;
  readonly ready: number;
  readonly asked: number;
  readonly reason: number;
}

const UNKNOWN_RESIZE = { instance: NaN, cpuMillicores: NaN, tookMs: NaN, result: RESIZE.refused };
export class ModelState {
  readonly model: RunModel;
  /** Null of a model that is none. */
  readonly pipeline: PipelineHistory | null;
  /**
   * `receivedAtMs`: its last byte was there, by which latency and the time left count; at `atMs`, not before that, it was
   * handed to admission. `admittedAtMs` is NaN for one that was refused at once.
   */
  readonly requests;
  /** `leftMs`: from the answer to the deadline; negative of one that was late. */
  readonly finished;
  /** A row for each change of a `Step`. */
  readonly steps;
  readonly queue;
  /** `expectedMs`: the typical latency, over the allocations that the batch ran at; NaN where none was predicted. */
  readonly batches;
  /** `instance`, where each has its own allocation, and what is in force for it; NaN of one that was refused. */
  readonly resizes;
  /** `forMs`: until `atMs` the router itself stood still. */
  readonly standstills;
  /** Only plans that differ from the one before. */
  readonly plans: PlanNote[] = [];
  /** Where each instance is planned by itself. */
  readonly starts: StartNote[] = [];
  /** Why plans are as they are, without the numbers; `reason` of a step is an index into it. */
  readonly reasons: string[] = ['no plan yet'];
  /** Ready or asked for, at any time. */
  mostInstances: number;
  losses = { count: 0, takenOver: 0, last: '' };
  lastRefusal = '';

  readonly #capacities: Capacities;
  readonly #open = new Map<number, number>();
  readonly #running = new Map<number, RunningBatch>();
  readonly #queueCount = new QueueCount();
  #step: Step;
  #granted: Granted;
  #depth = 0;
  #coreMsPerRequest = NaN;
  /** Of the last plan by which something starts. */
  #startPlan: Plan | null = null;
  #arePlansDropped = false;

  constructor(model: RunModel, capacities: Capacities) {
    const { rows, steps } = capacities;
    this.model = model;
    this.pipeline = model.pipeline === undefined ? null : new PipelineHistory(model.pipeline, capacities.plans);
    this.#capacities = capacities;
    this.requests = new Columns(
      ['atMs', 'receivedAtMs', 'dueAtMs', 'delayMs', 'source', 'admittedAtMs', 'leftAtMs', 'finishedAtMs', 'coreMs'],
      rows,
    );
    this.finished = new Columns(['atMs', 'outcome', 'latencyMs', 'leftMs'], rows);
    this.steps = new Columns(['atMs', 'granted', 'wanted', 'ready', 'asked', 'reason'], steps);
    this.queue = new Columns(['atMs', 'depth'], steps);
    this.batches = new Columns(
      ['atMs', 'instance', 'size', 'cpuMillicores', 'plannedMs', 'expectedMs', 'latencyMs', 'endedAtMs'],
      rows,
    );
    this.standstills = new Columns(['atMs', 'forMs'], steps);
    this.resizes = new Columns(['atMs', 'instance', 'cpuMillicores', 'tookMs', 'result'], rows);
    this.#granted = model;
    const { instances } = model;
    this.mostInstances = instances;
    this.#step = {
      granted: grantedMillicores(model),
      wanted: NaN,
      ready: instances,
      asked: instances,
      reason: 0,
    };
  }

  /**
   * What the header says is in force from here on, the first instant that is known; of what was before, nothing is said.
   * The queue is taken as empty until an admission tells its depth.
   */
  begin(atMs: number): void {
    this.steps.push({ atMs, ...this.#step });
    this.queue.push({ atMs, depth: this.#depth });
  }

  /** From here on nothing is missing, as far as memory goes; −∞ while nothing was forgotten. */
  get completeFromMs(): number {
    const tables = [this.requests, this.finished, this.steps, this.queue, this.batches, this.resizes];
    return tables.reduce(
      (latest, table) => (table.dropped === 0 ? latest : Math.max(latest, table.column('atMs')[0]!)),
      -Infinity,
    );
  }

  /** Of plans: from here on all that differed are in `plans`. */
  get plansCompleteFromMs(): number {
    return this.#arePlansDropped ? this.plans[0]!.atMs : -Infinity;
  }

  apply(record: EventRecord): void {
    this.#fold(record);
    this.#queueCount.apply(record);
    this.#noteDepth(record.atMs);
  }

  #fold(record: EventRecord): void {
    const { atMs } = record;
    switch (record.kind) {
      case 'request-received':
        this.#receive(record);
        return;
      case 'request-admitted': {
        const row = this.#open.get(record.sequence);
        if (row !== undefined) this.requests.set(row, 'admittedAtMs', atMs);
        return;
      }
      case 'request-finished':
        this.#finish(record);
        return;
      case 'batch-started':
        this.#startBatch(record);
        return;
      case 'batch-ended':
        this.#endBatch(record);
        return;
      case 'planned':
        this.#notePlan(record);
        return;
      case 'resized': {
        const { isWritten, tookMs, instance = 0, cpuMillicores } = record;
        this.#granted = grantedAfter(this.#granted, record);
        this.#stepTo(atMs, { granted: grantedMillicores(this.#granted) });
        const result = isWritten ? RESIZE.written : RESIZE.unchanged;
        this.resizes.push({ atMs, instance, cpuMillicores, tookMs, result });
        return;
      }
      case 'resize-refused':
        this.lastRefusal = record.message;
        this.resizes.push({ ...UNKNOWN_RESIZE, atMs });
        return;
      case 'instances-requested':
        this.#stepTo(atMs, { asked: record.toInstances });
        return;
      case 'instances-changed':
        this.#granted = grantedAfter(this.#granted, record);
        this.#stepTo(atMs, { ready: record.instances, granted: grantedMillicores(this.#granted) });
        return;
      case 'worker-lost':
        this.losses = { ...this.losses, count: this.losses.count + 1, last: record.message };
        return;
      case 'router-standstill':
        this.standstills.push({ atMs, forMs: record.standstillMs });
        return;
      case 'worker-ready':
        if (record.isTakeover === true) this.losses.takenOver += 1;
        return;
      case 'steps-counted':
        this.pipeline?.apply(record);
        return;
      case 'resize-requested':
        return;
    }
  }

  #receive(record: Extract<EventRecord, { kind: 'request-received' }>): void {
    const { atMs, receivedAtMs, dueAtMs, networkDelayMs: delayMs } = record;
    const row = this.requests.push({
      atMs,
      receivedAtMs,
      dueAtMs,
      delayMs,
      source: SOURCES.indexOf(record.networkDelaySource),
      admittedAtMs: NaN,
      leftAtMs: NaN,
      finishedAtMs: NaN,
      // Until its own batch has told better, and for good where it is refused.
      coreMs: this.#coreMsPerRequest,
    });
    remember(this.#open, record.sequence, row);
  }

  #finish(record: Extract<EventRecord, { kind: 'request-finished' }>): void {
    const { atMs, sequence, service } = record;
    const row = this.#open.get(sequence);
    const isKnown = row !== undefined;
    // Of one that was received before this page looked, the time from admission to answer is as good as that.
    const sinceReceivedMs = isKnown ? atMs - this.requests.get(row, 'receivedAtMs') : NaN;
    const sinceAdmittedMs = service === null ? NaN : service.queuedMs + service.latencyMs;
    const latencyMs = Number.isNaN(sinceReceivedMs) ? sinceAdmittedMs : sinceReceivedMs;
    const outcome = OUTCOMES.indexOf(record.outcome);
    if (outcome === -1)
      throw new Error(`request ${sequence} ended as ${JSON.stringify(record.outcome)}, which is no outcome`);
    this.finished.push({
      atMs,
      outcome,
      latencyMs: service === null ? NaN : latencyMs,
      leftMs: service === null || !isKnown ? NaN : this.requests.get(row, 'dueAtMs') - atMs,
    });
    if (!isKnown) return;
    this.#open.delete(sequence);
    this.requests.set(row, 'finishedAtMs', atMs);
    this.#leaveQueue(row, atMs);
  }

  /** No effect where it is not in the queue. */
  #leaveQueue(row: number, atMs: number): void {
    if (Number.isNaN(this.requests.get(row, 'admittedAtMs'))) return;
    if (Number.isNaN(this.requests.get(row, 'leftAtMs'))) this.requests.set(row, 'leftAtMs', atMs);
  }

  #startBatch(record: Extract<EventRecord, { kind: 'batch-started' }>): void {
    const { atMs, sequences, instance = 0, batchSize, cpuMillicores } = record;
    if (this.model.allocations !== undefined) {
      this.starts.push({ atMs, instance, batchSize, cpuMillicores, plan: this.#startPlan });
      forgetHalf(this.starts, this.#capacities.plans);
    }
    const row = this.batches.push({
      atMs,
      instance,
      size: batchSize,
      cpuMillicores,
      plannedMs: record.plannedLatencyMs,
      expectedMs: record.predictedLatencyMs,
      latencyMs: NaN,
      endedAtMs: NaN,
    });
    const requestRows = sequences.flatMap((sequence) => this.#open.get(sequence) ?? []);
    for (const requestRow of requestRows) this.#leaveQueue(requestRow, atMs);
    remember(this.#running, record.batchId, { row, requestRows });
  }

  #endBatch(record: Extract<EventRecord, { kind: 'batch-ended' }>): void {
    const { atMs, batchId, batchSize, latencyMs, actualToPredicted } = record;
    const batch = this.#running.get(batchId);
    if (batch === undefined) return;
    this.#running.delete(batchId);
    this.batches.set(batch.row, 'endedAtMs', atMs);
    if (record.result !== 'completed') {
      this.#requeue(batch.requestRows);
      return;
    }
    this.batches.set(batch.row, 'latencyMs', latencyMs);
    // Before there is a profile nothing is predicted: there is nothing to compare with.
    const isCompared = actualToPredicted !== null && actualToPredicted > 0 && actualToPredicted < Infinity;
    this.batches.set(batch.row, 'expectedMs', isCompared ? latencyMs / actualToPredicted : NaN);
    const coreMs = (latencyMs * this.batches.get(batch.row, 'cpuMillicores')) / 1000 / batchSize;
    for (const requestRow of batch.requestRows) this.requests.set(requestRow, 'coreMs', coreMs);
    const known = this.#coreMsPerRequest;
    this.#coreMsPerRequest = Number.isNaN(known) ? coreMs : known + COST_WEIGHT * (coreMs - known);
  }

  /** Members of a broken batch that have no outcome yet are tried again. */
  #requeue(requestRows: readonly number[]): void {
    for (const row of requestRows) {
      if (Number.isNaN(this.requests.get(row, 'finishedAtMs'))) this.requests.set(row, 'leftAtMs', NaN);
    }
  }

  #notePlan({ atMs, trigger, plan }: Extract<EventRecord, { kind: 'planned' }>): void {
    const reason = this.#reasonOf(plan);
    if (plan.cpuMillicores > 0) this.#startPlan = plan;
    const before = this.plans.at(-1);
    const isSame =
      before !== undefined &&
      before.plan.kind === plan.kind &&
      plannedMillicores(before.plan) === plannedMillicores(plan) &&
      before.plan.batchSize === plan.batchSize &&
      before.plan.instances === plan.instances &&
      reason === this.#step.reason;
    this.#stepTo(atMs, { wanted: plannedMillicores(plan), asked: plan.instances, reason });
    if (isSame) return;
    this.plans.push({ atMs, trigger, plan });
    if (forgetHalf(this.plans, this.#capacities.plans)) this.#arePlansDropped = true;
  }

  #reasonOf(plan: Plan): number {
    const text = reasonKindText(plan);
    const known = this.reasons.indexOf(text);
    if (known !== -1) return known;
    if (this.reasons.length >= MAX_REASONS) return this.reasons.length - 1;
    return this.reasons.push(this.reasons.length === MAX_REASONS - 1 ? 'other' : text) - 1;
  }

  #stepTo(atMs: number, change: Partial<Step>): void {
    const next = { ...this.#step, ...change };
    const { granted, wanted, ready, asked, reason } = this.#step;
    const isSame =
      next.granted === granted && Object.is(next.wanted, wanted) && next.ready === ready && next.asked === asked;
    if (isSame && next.reason === reason) return;
    this.#step = next;
    this.mostInstances = Math.max(this.mostInstances, next.ready, next.asked);
    this.steps.push({ atMs, ...next });
  }

  #noteDepth(atMs: number): void {
    const { depth } = this.#queueCount;
    if (depth === this.#depth) return;
    this.#depth = depth;
    this.queue.push({ atMs, depth });
  }
}

function remember<V>(map: Map<number, V>, key: number, value: V): void {
  map.set(key, value);
  if (map.size <= MAX_OPEN) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}

/** In bulk: shifting an array an item at a time costs its length each time. @returns whether anything was forgotten */
function forgetHalf(items: unknown[], capacity: number): boolean {
  if (items.length <= 2 * capacity) return false;
  items.splice(0, capacity);
  return true;
}
