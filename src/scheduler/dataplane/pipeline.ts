/*
 * The data plane: admission → EDF queue → batcher → dispatcher → worker. This file joins the stages; what they share is
 * the requests that are held (`held-requests.ts`), each of which ends with exactly one outcome.
 */
import type { Clock } from '../clock/clock.js';
import type { Event } from '../domain/event.js';
import type { FailedOutcome } from '../domain/outcome.js';
import type { Plan } from '../domain/plan.js';
import type { QueuedWork, QueueSnapshot } from '../domain/queue-snapshot.js';
import type { InferRequest } from '../domain/request.js';
import type { LatencyModels } from '../perf-model/model-source.js';
import type { QueueLimits } from './admission.js';
import { ClassTable } from './class-table.js';
import { ClientShares } from './client-shares.js';
import { CrashingClients, poisonRefusal } from './crashing-clients.js';
import { Dispatcher, type DispatcherConfig } from './dispatcher.js';
import { Exploration } from './exploration.js';
import { HeldRequests } from './held-requests.js';
import { LoadShedder } from './load-shedder.js';
import type { DispatchPolicy } from './policy.js';
import { mayBeLate, type OnOutcome, type QueueEntry } from './queue-entry.js';
import type { WorkerPool } from './worker-pool.js';

export interface PipelineConfig extends DispatcherConfig {
  readonly queueLimits: QueueLimits;
}

export interface PipelineOptions {
  readonly clock: Clock;
  readonly workers: WorkerPool;
  readonly models: LatencyModels;
  readonly policy: DispatchPolicy;
  readonly config: PipelineConfig;
  readonly initialPlan: Plan;
  /** What other models run on now, that share the cores; 0 where absent. */
  readonly busyBesideMillicores?: () => number;
  /** A worker died of this request, and of it alone; its client may have left. It must not call into the pipeline. */
  readonly onPoison?: ((request: InferRequest) => void) | undefined;
  readonly emit: (event: Event) => void;
}

export class Pipeline {
  readonly #clock: Clock;
  readonly #workers: WorkerPool;
  readonly #models: LatencyModels;
  readonly #policy: DispatchPolicy;
  readonly #config: PipelineConfig;
  readonly #emit: (event: Event) => void;
  readonly #held: HeldRequests;
  readonly #dispatcher: Dispatcher;
  readonly #shedder: LoadShedder;
  readonly #exploration = new Exploration();
  readonly #shares = new ClientShares();
  readonly #clients = new CrashingClients();
  readonly #backlogMs = (): number => this.#shedder.backlogMs(this.#clock.nowMs());
  #isDraining = false;

  constructor(options: PipelineOptions) {
    const { clock, workers, config } = options;
    const shares = this.#shares;
    const clients = this.#clients;
    const emit = (event: Event): void => {
      shares.observe(event);
      clients.observe(event);
      options.emit(event);
    };
    this.#clock = clock;
    this.#workers = workers;
    this.#models = options.models;
    this.#policy = options.policy;
    this.#config = config;
    this.#emit = emit;
    const exploration = this.#exploration;
    this.#held = new HeldRequests({
      clock,
      workers,
      exploration,
      emit,
      isDeadlineAware: options.policy.isDeadlineAware,
      onTriedInstead: () => this.#dispatcher.wake(),
    });
    this.#dispatcher = new Dispatcher({
      ...options,
      emit,
      held: this.#held,
      exploration,
      clients,
      onPoison: options.onPoison ?? (() => undefined),
      refuse: (nowMs, entry) => this.#shedder.refuse(nowMs, entry),
    });
    this.#shedder = new LoadShedder(this.#held, this.#dispatcher, workers, config, shares);
  }

  get queueDepth(): number {
    return this.#held.queueDepth;
  }

  get heldRequests(): number {
    return this.#held.count;
  }

  get isWorkerReady(): boolean {
    return this.#dispatcher.isWorkerReady;
  }

  /** Why the worker is not ready; '' while it is. */
  get workerLoss(): string {
    return this.#dispatcher.outage.message;
  }

  /** Until there is one, as far as is known; 0 while there is. */
  get readyInMs(): number {
    const nowMs = this.#clock.nowMs();
    return Math.max(0, this.#dispatcher.outage.readyAtMs(nowMs) - nowMs);
  }

  get isIdle(): boolean {
    return this.#held.count === 0 && this.#dispatcher.slots.runningCount === 0 && this.#held.exploring === null;
  }

  /** One is to be run next, alone, on all there is: whether its class takes as long as is believed. */
  get isExploring(): boolean {
    return this.#held.exploring !== null;
  }

  get isRunning(): boolean {
    return this.runningBatches > 0;
  }

  get runningBatches(): number {
    return this.#dispatcher.slots.runningCount;
  }

  /** Of the batch that an instance runs, 0 when it runs none; the most of all where they share one allocation. */
  runningThreads(instance: number): number {
    return this.#dispatcher.slots.threadsOf(instance);
  }

  /** It is being started on the CPU that it has. Where all are started together, the first one's is used. */
  isAway(instance: number): boolean {
    return !(this.#workers.isReady?.(instance) ?? (instance > 0 || this.isWorkerReady));
  }

  /** A process makes the sessions of all its instances on the first one's CPU. */
  isLoading(instance: number): boolean {
    return this.isAway(instance) && (instance === 0 || this.#workers.isOneProcess !== true);
  }

  /** `onOutcome` is called exactly once; before this returns when the request is refused at once. */
  submit(request: InferRequest, onOutcome: OnOutcome): void {
    const nowMs = this.#clock.nowMs();
    this.#emit({ kind: 'request-received', atMs: nowMs, request });
    const model = this.#models.forClass(request.shapeClass);
    const standing = this.#clients.standing(nowMs, request.client);
    const barred = poisonRefusal(request, standing) ?? this.#outageRefusal(nowMs, request);
    if (barred !== null) {
      this.#held.report(nowMs, request, barred, onOutcome);
      return;
    }
    const decision = this.#policy.admit(nowMs, request, {
      isDraining: this.#isDraining,
      workerReadyAtMs: this.#dispatcher.outage.readyAtMs(nowMs),
      workerLoss: this.#dispatcher.outage.message,
      model,
      maxMillicores: this.#config.maxMillicores,
      heldRequests: this.#held.count,
      heldBytes: this.#held.byteCount,
      limits: this.#config.queueLimits,
      backlogMs: this.#backlogMs,
      mayExplore: () => this.#held.mayExplore(nowMs, request),
      mayAwaitRestart: () => this.#exploration.mayAwaitRestart(nowMs),
    });
    if (decision.kind === 'refuse') {
      this.#held.report(nowMs, request, decision.outcome, onOutcome);
      return;
    }
    const entry: QueueEntry = {
      request: decision.request,
      sequence: request.sequence,
      dueAtMs: this.#policy.orderKeyMs(request),
      priority: request.priority,
      byteCount: request.byteCount,
      admittedAtMs: nowMs,
      shapeClass: this.#held.classOf(request),
      model,
      onOutcome,
      candidate: {
        sequence: request.sequence,
        dueAtMs: request.dueAtMs,
        admittedAtMs: nowMs,
        classIndex: 0,
        byteCount: request.byteCount,
        mustRunAlone: request.mustRunAlone === true,
      },
      isStaged: false,
      isSetAside: decision.isSetAside,
      isExploring: decision.isExploring,
      isRetry: false,
      wasKilled: false,
      isSuspect: standing.kind === 'alone',
      state: 'queued',
    };
    if (!entry.isExploring) this.#exploration.othersAsked(nowMs);
    this.#held.hold(entry);
    this.#emit({ kind: 'request-admitted', atMs: nowMs, request, queueDepth: this.queueDepth });
    // The plan that this arrival caused may have shed it.
    if (entry.state === 'queued') this.#dispatcher.stage(entry);
  }

  /** The worker has been away for so long that nobody is let in who would wait without an end. */
  #outageRefusal(nowMs: number, request: InferRequest): FailedOutcome | null {
    const { outage } = this.#dispatcher;
    const waitsForEver = !this.#policy.isDeadlineAware || mayBeLate(request);
    return waitsForEver && nowMs >= outage.endOfPatienceAtMs ? outage.refusal(nowMs) : null;
  }

  /** The client left. Unknown or finished sequences are ignored. */
  cancel(sequence: number): void {
    const entry = this.#held.get(sequence);
    if (entry === undefined) return;
    const nowMs = this.#clock.nowMs();
    const lateByMs = nowMs - entry.request.dueAtMs;
    this.#held.withdraw(
      nowMs,
      entry,
      lateByMs >= 0 ? { kind: 'expired', reason: 'expired', lateByMs } : { kind: 'cancelled', reason: 'cancelled' },
    );
  }

  /** Held, and in no batch. */
  isWaiting(sequence: number): boolean {
    return this.#held.get(sequence)?.state === 'queued';
  }

  /** Queued requests that no allocation can save: they wait behind all others, or are refused. */
  giveUp(sequences: readonly number[]): void {
    this.#shedder.giveUp(this.#clock.nowMs(), sequences);
  }

  /** Queued requests that the plan does without, so that the others are met: they are told at once. */
  shed(sequences: readonly number[]): void {
    this.#shedder.shedThese(this.#clock.nowMs(), sequences);
  }

  /**
   * Publishes a plan. One that plans each instance by itself says whom of the window to give up (`shed`).
   * @param awaited by allocation: dispatching waits for `setAllocation`, which will follow within about a millisecond
   */
  setPlan(plan: Plan, awaited: readonly boolean[]): void {
    this.#dispatcher.setPlan(plan, awaited);
    if (plan.kind !== 'infeasible' || plan.reason !== 'deadlines') return;
    const nowMs = this.#clock.nowMs();
    if (plan.allocations === undefined) this.#shedder.shed(nowMs);
    this.#shedder.shedBehind(nowMs);
  }

  /** Now in force; `isAwaited`: another one is about to be. @param allocation of which instance; 0 where all share one */
  setAllocation(allocation: number, cpuMillicores: number, isAwaited: boolean): void {
    this.#dispatcher.setAllocation(allocation, cpuMillicores, isAwaited);
  }

  /** What a plan depends on: of the queue a window, and marks behind it, so that it costs the same however long that is. */
  snapshot(): QueueSnapshot {
    const table = new ClassTable();
    const work: QueuedWork[] = [];
    const sequences: number[] = [];
    for (const entry of this.#held.window()) {
      const classIndex = table.indexOf(entry);
      work.push(classIndex === 0 ? entry.candidate : { ...entry.candidate, classIndex });
      sequences.push(entry.sequence);
    }
    const running = this.#dispatcher.slots.snapshot(this.#clock.nowMs());
    return {
      work,
      sequences,
      behind: this.#held.marksBehind().map(({ place, item: { dueAtMs } }) => ({ place, dueAtMs })),
      classes: table.classes,
      inFlight: running[0] ?? null,
      running,
      instanceCount: this.#workers.instanceCount,
      maxBatchSize: this.#workers.maxBatchSize,
      belowFloor: () => this.#belowFloor(sequences),
      setAsideCount: this.#held.setAside.size,
      setAsideDueAtMs: this.#held.setAside.peek()?.dueAtMs ?? Infinity,
    };
  }

  #belowFloor(sequences: readonly number[]): ReadonlySet<number> {
    const nowMs = this.#clock.nowMs();
    const floor = this.#shares.floor(nowMs);
    const places = new Set<number>();
    if (floor === 0) return places;
    sequences.forEach((sequence, place) => {
      const client = this.#held.get(sequence)?.request.client;
      if (client !== undefined && this.#shares.servedOf(client, nowMs) < floor) places.add(place);
    });
    return places;
  }

  /** Refuses new work and calls back once nothing is held any more. */
  drain(onDrained: () => void): void {
    this.#isDraining = true;
    this.#held.whenEmpty(onDrained);
  }

  /** Ends every held request with `failed/draining` and all timers: the bounded end of a drain. New work is refused. */
  abandon(): void {
    this.#isDraining = true;
    this.#dispatcher.stop();
    this.#held.abandon(this.#clock.nowMs());
  }

  /** While leased, nothing is dispatched: the worker runs profiling batches. Only possible when no batch runs. */
  setLeased(isLeased: boolean): void {
    this.#dispatcher.setLeased(isLeased);
  }
}
