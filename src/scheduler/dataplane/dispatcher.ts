/*
 * The dispatcher gives a free worker its next batch and every batch its result. Between the queue and the worker; what to
 * run is the policy's decision.
 *
 * Invariants:
 * - at most `workers.instanceCount` batches run, each on an instance of its own;
 * - nothing is dispatched that is not staged, and nothing is staged while all workers are lost;
 * - beside a request that a worker may die of nothing runs in its process; what becomes of a batch that broke is for
 *   `broken-batches.ts`.
 */
import type { Clock, Timer } from '../clock/clock.js';
import type { Event } from '../domain/event.js';
import { hopefulLatencyMs, type LatencyModel } from '../domain/latency.js';
import type { Plan } from '../domain/plan.js';
import type { InferRequest } from '../domain/request.js';
import type { LatencyModels } from '../perf-model/model-source.js';
import { BrokenBatches } from './broken-batches.js';
import { endedAtMs, learnFrom } from './batch-lessons.js';
import { ClassTable } from './class-table.js';
import type { CrashingClients } from './crashing-clients.js';
import type { Exploration } from './exploration.js';
import type { HeldRequests } from './held-requests.js';
import { InstanceSlots, threadsFor, type SlotsView } from './instance-slots.js';
import type { Outage } from './outage.js';
import type { DispatchPolicy } from './policy.js';
import { mayBeLate, type QueueEntry } from './queue-entry.js';
import { Recovery } from './recovery.js';
import type { RunningBatch } from './running-batch.js';
import { SetAsideTurns } from './set-aside-turns.js';
import { stagedByMs, stagedHead } from './staged-head.js';
import { Suspects } from './suspects.js';
import type { BatchResult, WorkerPool, WorkerPoolEvent } from './worker-pool.js';

export interface DispatcherConfig {
  readonly maxMillicores: number;
  /** At the start: by instance where each has one of its own, else one that all share. */
  readonly allocations: readonly number[];
  readonly areInstancesApart: boolean;
  /** On so little nothing is started. */
  readonly restingMillicores: number;
  /** Input bytes that may share a batch; a single larger request still runs. */
  readonly maxBatchBytes: number;
  /** One allocation for ever. */
  readonly isAllocationFixed: boolean;
}

export interface DispatcherOptions {
  readonly clock: Clock;
  readonly workers: WorkerPool;
  readonly models: LatencyModels;
  readonly policy: DispatchPolicy;
  readonly config: DispatcherConfig;
  readonly initialPlan: Plan;
  readonly held: HeldRequests;
  readonly exploration: Exploration;
  readonly clients: CrashingClients;
  /** A worker died of it, and of it alone. */
  readonly onPoison: (request: InferRequest) => void;
  /** What other models run on now, that share the cores; 0 where absent. */
  readonly busyBesideMillicores?: () => number;
  /** Gives a queued request up for overload. */
  readonly refuse: (nowMs: number, entry: QueueEntry) => void;
  readonly emit: (event: Event) => void;
}

export class Dispatcher {
  readonly #clock: Clock;
  readonly #workers: WorkerPool;
  readonly #models: LatencyModels;
  readonly #policy: DispatchPolicy;
  readonly #config: DispatcherConfig;
  readonly #held: HeldRequests;
  readonly #exploration: Exploration;
  readonly #refuse: DispatcherOptions['refuse'];
  readonly #emit: (event: Event) => void;
  readonly #slots: InstanceSlots;
  readonly #broken: BrokenBatches;
  readonly #recovery: Recovery;
  readonly #turns = new SetAsideTurns();
  readonly #suspects: Suspects;

  #nextBatchId = 1;
  #plan: Plan;
  #requestedInstances: number;
  #isLeased = false;
  #wakeTimer: Timer | null = null;

  constructor(options: DispatcherOptions) {
    this.#clock = options.clock;
    this.#workers = options.workers;
    this.#models = options.models;
    this.#policy = options.policy;
    this.#config = options.config;
    this.#held = options.held;
    this.#exploration = options.exploration;
    this.#refuse = options.refuse;
    this.#emit = options.emit;
    this.#plan = options.initialPlan;
    this.#requestedInstances = options.initialPlan.instances;
    const { clock, workers, models, busyBesideMillicores, held, clients, onPoison } = options;
    const stage = (entry: QueueEntry): void => this.stage(entry);
    this.#suspects = new Suspects({ clock, workers, maxMillicores: options.config.maxMillicores, stage });
    this.#broken = new BrokenBatches({ held, clients, onPoison, stage });
    this.#slots = new InstanceSlots({
      ...options.config,
      interference: () => models.interference ?? 0,
      ...(busyBesideMillicores === undefined ? {} : { busyBesideMillicores }),
    });
    this.#recovery = new Recovery({
      clock,
      held,
      isDeadlineAware: options.policy.isDeadlineAware,
      maxMillicores: options.config.maxMillicores,
      stage,
      settleBroken: (nowMs, message) => this.#broken.settle(nowMs, message),
      emit: options.emit,
    });
    this.#workers.listen((event) => this.#onWorkerEvent(event));
  }

  get isWorkerReady(): boolean {
    return !this.#recovery.outage.isOn;
  }

  get outage(): Pick<Outage, 'message' | 'readyAtMs' | 'refusal' | 'endOfPatienceAtMs'> {
    return this.#recovery.outage;
  }

  /** What runs where; only the dispatcher changes it. */
  get slots(): SlotsView {
    return this.#slots;
  }

  /** Time that running batches still need at the largest allocation, until all, or one of several that are apart, is free. */
  inFlightRemainingMs(nowMs: number, quantile: keyof LatencyModel): number {
    return this.#slots.freeInMs(nowMs, this.#workers.instanceCount, quantile, this.#config.maxMillicores);
  }

  /** Sends a queued request's inputs; while the worker is away they are sent once it is back. */
  stage(entry: QueueEntry): void {
    if (this.#recovery.outage.isOn || this.#suspects.mustWait(entry)) return;
    this.#workers.stage(entry.request, () => {
      if (entry.state !== 'queued') return;
      entry.isStaged = true;
      this.#dispatch();
    });
  }

  /** @param awaited by allocation: dispatching waits for `setAllocation`, which will follow within about a millisecond */
  setPlan(plan: Plan, awaited: readonly boolean[]): void {
    this.#plan = plan;
    this.#slots.setAwaited(awaited);
    this.#scaleTo(plan.instances);
    // No resize may have to come before it.
    if (this.#slots.areApart && this.#canStart() && this.#nextInstance() !== null) this.wake();
  }

  /** The allocation now in force; another one may be on its way. */
  setAllocation(allocation: number, cpuMillicores: number, isAwaited: boolean): void {
    this.#slots.setAllocation(this.#clock.nowMs(), allocation, cpuMillicores, isAwaited);
    this.#dispatch();
  }

  /** While leased, nothing is dispatched. */
  setLeased(isLeased: boolean): void {
    this.#isLeased = isLeased;
    if (!isLeased) this.#dispatch();
  }

  /** Something that waited may be started now; it is not, from inside the call. */
  wake(): void {
    this.#clock.schedule(this.#clock.nowMs(), () => this.#dispatch());
  }

  /** Cancels all timers, as the server shuts down. A running batch's result is still taken. */
  stop(): void {
    this.#wakeTimer?.cancel();
    this.#recovery.stop();
    this.#suspects.stop();
  }

  #scaleTo(instances: number): void {
    if (instances === this.#requestedInstances || this.#workers.scaleTo === undefined) return;
    const fromInstances = this.#requestedInstances;
    this.#requestedInstances = instances;
    this.#emit({ kind: 'instances-requested', atMs: this.#clock.nowMs(), fromInstances, toInstances: instances });
    this.#workers.scaleTo(instances);
  }

  // ---- starting ----------------------------------------------------------------------------------------------------

  #dispatch(): void {
    this.#wakeTimer?.cancel();
    this.#wakeTimer = null;
    for (;;) {
      const instance = this.#canStart() ? this.#nextInstance() : null;
      if (instance === null) return;
      const nowMs = this.#clock.nowMs();
      if (this.#held.isTimeToExplore(nowMs, this.#config.maxMillicores)) {
        if (this.#mustWait(this.#held.exploring)) return;
        this.#start(nowMs, instance, [this.#held.takeExploring()]);
        continue;
      }
      const stagedAtMs = stagedByMs(this.#held.queue, this.#plan);
      if (stagedAtMs > nowMs) {
        this.#wakeTimer = this.#clock.schedule(stagedAtMs, () => this.#dispatch());
        return;
      }
      const table = new ClassTable();
      const candidates = this.#isTurnOfSetAside(nowMs) ? [] : stagedHead(this.#held.queue, table, () => true);
      const decision = this.#policy.batch(nowMs, {
        candidates,
        queueDepth: this.#held.queueDepth,
        setAside:
          candidates.length === 0
            ? stagedHead(this.#held.setAside, table, (entry) => this.#isWorthTrying(nowMs, entry))
            : [],
        models: table.models,
        rowCounts: table.rowCounts,
        plan: this.#plan,
        cpuMillicores: this.#slots.millicoresOf(instance),
        maxBatchSize: this.#workers.maxBatchSize,
        maxBatchBytes: this.#config.maxBatchBytes,
        isAllocationFixed: this.#config.isAllocationFixed,
      });
      if (decision.kind === 'idle') return;
      if (decision.kind === 'refuse') {
        this.#refuseAll(nowMs, decision.sequences);
        continue;
      }
      if (decision.kind === 'wait') {
        this.#wakeTimer = this.#clock.schedule(decision.untilMs, () => this.#dispatch());
        return;
      }
      // It runs alone, so that the first one is all of them.
      if (this.#mustWait(this.#held.get(decision.sequences[0]!))) return;
      this.#start(
        nowMs,
        instance,
        decision.sequences.map((sequence) => this.#held.take(sequence)),
      );
    }
  }

  /** Only one that can run: its turn would keep others waiting for nothing. */
  #isTurnOfSetAside(nowMs: number): boolean {
    const first = this.#held.setAside.peek();
    if (first === undefined) this.#turns.nothingWaits();
    const mayRun = first?.isStaged === true && this.#isWorthTrying(nowMs, first) && !this.#slots.runsSetAside;
    return mayRun && this.#turns.isNext(nowMs, first.dueAtMs);
  }

  /** Whoever is told may cancel others of them. */
  #refuseAll(nowMs: number, sequences: readonly number[]): void {
    for (const sequence of sequences) {
      const entry = this.#held.get(sequence);
      if (entry?.state === 'queued') this.#refuse(nowMs, entry);
    }
  }

  /** Until what runs has ended: it would die with the suspect, and not be told apart from it. */
  #mustWait(entry: QueueEntry | null | undefined): boolean {
    return this.#workers.isOneProcess === true && entry?.isSuspect === true && this.#slots.runningCount > 0;
  }

  #nextInstance(): number | null {
    if (this.#workers.isOneProcess === true && this.#slots.runsSuspect) return null;
    return this.#slots.next(this.#plan, this.#workers);
  }

  #canStart(): boolean {
    const isAllowed = !this.#recovery.outage.isOn && !this.#isLeased;
    return isAllowed && (this.#held.queueDepth > 0 || this.#held.exploring !== null);
  }

  /** Work that cannot be on time is not begun for a request that must be; where no deadline ends its wait, it is served late. */
  #isWorthTrying(nowMs: number, entry: QueueEntry): boolean {
    if (!this.#policy.isDeadlineAware) return true;
    const finishAtMs = nowMs + hopefulLatencyMs(entry.model, 1, this.#config.maxMillicores);
    return mayBeLate(entry.request) || finishAtMs <= entry.request.dueAtMs;
  }

  #start(nowMs: number, instance: number, members: readonly QueueEntry[]): void {
    const sequences = members.map(({ sequence }) => sequence);
    const cpuMillicores = this.#slots.millicoresOf(instance);
    const threadCount = threadsFor(cpuMillicores, this.#workers.threadCounts);
    const batch = this.#slots.start(this.#nextBatchId++, instance, members, threadCount, nowMs);
    if (!batch.isExploring) this.#exploration.batchStarted(nowMs, batch.shapeClass.key);
    const { batchId } = batch;
    const tell = (): void =>
      this.#emit({
        kind: 'batch-started',
        atMs: nowMs,
        batchId,
        ...(this.#slots.areApart ? { instance } : {}),
        // One that is only run for what it tells has left the queue before.
        sequences: members.filter(({ state }) => state !== 'finished').map(({ sequence }) => sequence),
        batchSize: batch.size,
        rowCount: batch.rowCount,
        cpuMillicores,
        threadCount,
        predictedLatencyMs: batch.predictedLatencyMs,
        plannedLatencyMs: batch.plannedLatencyMs,
        shapeClassKey: batch.shapeClass.key,
        isExploring: batch.isExploring,
      });
    this.#held.starting(tell, () =>
      this.#workers.start({ batchId, instance, sequences, threadCount }, (result) => this.#onDone(batch, result)),
    );
  }

  // ---- results -----------------------------------------------------------------------------------------------------

  #onDone(batch: RunningBatch, result: BatchResult): void {
    const nowMs = this.#clock.nowMs();
    const ended = endedAtMs(nowMs, batch, result);
    const actualToPredicted = learnFrom(batch, ended, result.kind === 'completed', this.#models, this.#exploration);
    this.#slots.end(nowMs, batch);
    if (batch.isSetAside) this.#turns.setAsideRan(nowMs, nowMs - batch.startedAtMs);
    else if (this.#held.setAside.size > 0) this.#turns.othersRan(nowMs - batch.startedAtMs);

    if (result.kind === 'completed') this.#complete(nowMs, batch, result);
    else if (result.kind === 'backend-error' || result.kind === 'aborted')
      this.#broken.refused(nowMs, batch.members, result.message);
    else if (result.areOthersReady === true) this.#broken.lost(nowMs, batch.members, result);
    else {
      this.#recovery.outage.begin(nowMs, result.message, 0); // The pool's `lost` event, which says for how long, follows.
      this.#broken.keep(batch.members, result);
    }

    this.#emit({
      kind: 'batch-ended',
      atMs: nowMs,
      batchId: batch.batchId,
      batchSize: batch.size,
      rowCount: batch.rowCount,
      result: result.kind,
      latencyMs: nowMs - batch.startedAtMs,
      computeMs: result.kind === 'completed' ? result.computeMs : 0,
      actualToPredicted,
    });
    this.#dispatch();
  }

  #complete(nowMs: number, batch: RunningBatch, result: Extract<BatchResult, { kind: 'completed' }>): void {
    batch.members.forEach((entry, index) => {
      // No effect where the client left while it ran.
      this.#held.finish(nowMs, entry, {
        kind: 'completed',
        isLate: nowMs > entry.request.dueAtMs,
        outputs: result.outputs[index] ?? [],
        service: batch.serviceRecord(nowMs, entry),
      });
    });
  }

  // ---- worker lost and found ---------------------------------------------------------------------------------------

  #onWorkerEvent(event: WorkerPoolEvent): void {
    switch (event.kind) {
      case 'ready':
        this.#recovery.onReady(event.isTakeover === true);
        return;
      case 'lost':
        this.#recovery.onLost(event.message, event.restartEstimateMs);
        return;
      case 'spare-settled':
        this.#suspects.release();
        return;
      case 'instances-changed':
        this.#emit({ kind: 'instances-changed', atMs: this.#clock.nowMs(), instances: this.#workers.instanceCount });
        this.#dispatch();
        return;
    }
  }
}
