/*
 * The controller is the control loop: monitor → estimator → planner → scaler. It listens to the data plane's events,
 * plans at each tick and (event-driven planners) when an arrival breaks the plan or a batch ends, publishes the plan and
 * resizes the worker in place.
 *
 * When it resizes: growth at once, but not beyond the threads of the running batch while a fast scaler can do the rest in
 * time for the next one. A shrink only to 95 % or less of what is granted, and not sooner than `SHRINK_DWELL_MS`
 * after the last resize (every quota write refills the kernel's bucket, so frequent writes would undo the quota), and
 * never below the threads of the running batch: it keeps its threads, and more threads than CPU stall each other. A batch
 * starts when a resize that takes no time is done, so growth is quota first, then threads, and a shrink is in force before
 * threads are chosen.
 *
 * A refused resize: the allocation stays, the event says why, the next plan tries again. The paper retries three times.
 */
import type { Clock, Timer } from '../clock/clock.js';
import type { Event } from '../domain/event.js';
import { exactLatency, type LatencyModel } from '../domain/latency.js';
import type { AllocationLimits, Plan } from '../domain/plan.js';
import type { QueueSnapshot } from '../domain/queue-snapshot.js';
import type { ShapeClass } from '../domain/request.js';
import type { LatencyModels } from '../perf-model/model-source.js';
import { ActuatorDelay } from './actuator-delay.js';
import type { ControlledPlane } from './controlled-plane.js';
import { Estimator } from './estimator.js';
import type { PlanDecision, Planner, PlannerView } from './planner.js';
import type { ResizeResult, Scaler } from './scaler.js';

/** Five quota periods of 10 ms: a write gives away one period's quota at most. */
const SHRINK_DWELL_MS = 50;
const SHRINK_FRACTION = 0.95;
const WELL_UNDER_WAY_FRACTION = 0.85;
/** A release is worth it when idleness has lasted for so many times what getting the CPU back takes. */
const RELEASE_DELAYS = 10;
/** On this much, at least, requests run that nobody waits for by a deadline. */
const SET_ASIDE_MILLICORES = 1000;

export interface ControllerConfig {
  /** Allocations on which batches may run. */
  readonly limits: AllocationLimits;
  /** Kept while idle; nothing runs on it. */
  readonly idleMillicores: number;
  /** Release CPU this long after the last work; null never. */
  readonly idleReleaseMs: number | null;
}

export interface ControllerOptions {
  readonly clock: Clock;
  readonly scaler: Scaler;
  readonly models: LatencyModels;
  readonly planner: Planner;
  readonly config: ControllerConfig;
  /** In force when the controller starts: start-up and model loading run at the largest allocation. */
  readonly initialPlan: Plan;
  readonly emit: (event: Event) => void;
}

type Trigger = Extract<Event, { kind: 'planned' }>['trigger'];

export class Controller {
  readonly #clock: Clock;
  readonly #scaler: Scaler;
  readonly #models: LatencyModels;
  readonly #planner: Planner;
  readonly #config: ControllerConfig;
  readonly #emit: (event: Event) => void;
  readonly #delay: ActuatorDelay;
  readonly #estimator = new Estimator();
  readonly #readCounters = (): ReturnType<Scaler['readCounters']> => this.#scaler.readCounters();

  #plane: ControlledPlane | null = null;
  #plan: Plan;
  /** Read back. */
  #grantedMillicores: number;
  /** Asked for last; equals granted when no resize is under way. */
  #requestedMillicores: number;
  #resizeCount = 0;
  /** The newest resize that was answered. */
  #answeredId = 0;
  #lastResizeAtMs = -Infinity;
  #arrivalClass: ShapeClass | null = null;
  #tickTimer: Timer | null = null;
  #shrinkTimer: Timer | null = null;
  #wakeTimer: Timer | null = null;
  #idleSinceMs: number | null = null;
  #isPaused = false;
  #isPlanning = false;
  #hasArrivalWhilePlanning = false;

  constructor(options: ControllerOptions) {
    this.#clock = options.clock;
    this.#scaler = options.scaler;
    this.#delay = new ActuatorDelay(options.scaler.expectedDelayMs);
    this.#models = options.models;
    this.#planner = options.planner;
    this.#config = options.config;
    this.#emit = options.emit;
    this.#plan = options.initialPlan;
    this.#grantedMillicores = options.initialPlan.cpuMillicores;
    this.#requestedMillicores = this.#grantedMillicores;
  }

  get plan(): Plan {
    return this.#plan;
  }

  get grantedMillicores(): number {
    return this.#grantedMillicores;
  }

  start(plane: ControlledPlane): void {
    this.#plane = plane;
    this.#replan('start');
    this.#scheduleTick(this.#clock.nowMs() + this.#planner.tickMs);
  }

  stop(): void {
    this.#tickTimer?.cancel();
    this.#shrinkTimer?.cancel();
    this.#wakeTimer?.cancel();
    this.#plane = null;
  }

  /** Reads the data plane's events; its own, and unknown ones, are ignored. */
  observe(event: Event): void {
    switch (event.kind) {
      case 'request-admitted':
        this.#estimator.observeArrival(event.atMs, event.request.dueAtMs - event.request.receivedAtMs);
        this.#arrivalClass = event.request.shapeClass;
        if (this.#planner.isEventDriven) {
          this.#idleSinceMs = null;
          this.#replanIfBroken('arrival');
        } else if (this.#idleSinceMs !== null) {
          this.#idleSinceMs = null;
          this.#resize(); // The CPU may have been released.
        }
        return;
      case 'batch-ended':
        this.#noteIdle(); // Its members may all have left before it ended.
        if (this.#planner.isEventDriven) this.#replan('batch-end');
        else this.#resize();
        return;
      case 'request-finished':
        // The queue may have become empty without a batch: expiry, cancellation.
        this.#noteIdle();
        // Its run may be wanted all the same.
        if (this.#plane?.isExploring === true && !this.#isPlanning && !this.#isPaused) this.#resize();
        return;
      case 'worker-ready':
        this.#replan('worker');
        return;
      case 'instances-changed':
        this.#replanIfBroken('worker');
        return;
      default:
        return;
    }
  }

  /** While paused the allocation belongs to somebody else (profiling) and no plan is made. */
  setPaused(isPaused: boolean): void {
    this.#isPaused = isPaused;
    if (isPaused) return;
    this.#lastResizeAtMs = -Infinity; // The borrower's resizes are no reason to wait with ours.
    this.#replan('worker');
  }

  /** A resize on somebody else's behalf, seen by everyone like any other. */
  resizeTo(cpuMillicores: number, onApplied: (result: ResizeResult) => void = () => undefined): void {
    const nowMs = this.#clock.nowMs();
    const resizeId = ++this.#resizeCount;
    this.#emit({
      kind: 'resize-requested',
      atMs: nowMs,
      resizeId,
      fromMillicores: this.#grantedMillicores,
      toMillicores: cpuMillicores,
    });
    this.#requestedMillicores = cpuMillicores;
    this.#lastResizeAtMs = nowMs;
    this.#scaler.resize(cpuMillicores, (result) => {
      this.#onApplied(resizeId, result);
      onApplied(result);
    });
  }

  // ---- planning ----------------------------------------------------------------------------------------------------

  #scheduleTick(atMs: number): void {
    this.#tickTimer = this.#clock.schedule(atMs, () => {
      this.#replan('tick');
      if (this.#plane !== null) this.#scheduleTick(atMs + this.#planner.tickMs);
    });
  }

  #replanIfBroken(trigger: Trigger): void {
    if (this.#isPlanning) {
      // Somebody was told that a request is given up, and sent another one.
      this.#hasArrivalWhilePlanning = true;
      return;
    }
    const view = this.#view();
    if (view === null) return;
    if (this.#isRunnable(view.snapshot) && this.#planner.holds(view)) return;
    this.#replanFrom(view, trigger);
  }

  /** The plan may hold and still nothing should run on what is granted: the CPU was released, or is for an empty queue. */
  #isRunnable(snapshot: QueueSnapshot): boolean {
    const { cpuMillicores } = this.#withSetAside(this.#plan, snapshot);
    return this.#requestedMillicores >= this.#usableMillicores(this.#withExploring(cpuMillicores));
  }

  #replan(trigger: Trigger): void {
    const view = this.#view();
    if (view !== null) this.#replanFrom(view, trigger);
  }

  #replanFrom(view: PlannerView, trigger: Trigger): void {
    this.#isPlanning = true;
    const { plan, hopeless, wakeAtMs } = this.#models.isProvisional
      ? this.#provisionalPlan()
      : this.#planner.plan(view);
    this.#plan = this.#withSetAside(plan, view.snapshot);
    this.#emit({ kind: 'planned', atMs: view.nowMs, plan: this.#plan, trigger });
    if (hopeless.length > 0) this.#plane!.giveUp(hopeless.map((index) => view.snapshot.sequences[index]!));
    this.#isPlanning = false;
    this.#wakeTimer?.cancel();
    this.#wakeTimer = wakeAtMs === undefined ? null : this.#clock.schedule(wakeAtMs, () => this.#replan('timer'));
    this.#noteIdle();
    this.#resize();
    if (!this.#hasArrivalWhilePlanning) return;
    this.#hasArrivalWhilePlanning = false;
    this.#replanIfBroken('arrival');
  }

  /** Until anything was measured: the largest allocation, one at a time. */
  #provisionalPlan(): PlanDecision {
    const cpuMillicores = this.#config.limits.maxMillicores;
    return {
      plan: { kind: 'feasible', instances: 1, cpuMillicores, batchSize: 1, boundBy: 'no profile yet' },
      hopeless: [],
    };
  }

  #withSetAside(plan: Plan, snapshot: QueueSnapshot): Plan {
    if (snapshot.setAsideCount === 0 || snapshot.work.length > 0) return plan;
    const cpuMillicores = Math.min(this.#config.limits.maxMillicores, SET_ASIDE_MILLICORES);
    return plan.cpuMillicores >= cpuMillicores ? plan : { ...plan, cpuMillicores };
  }

  /** What is believed to be too little even of all there is is tried on all there is. */
  #withExploring(cpuMillicores: number): number {
    return this.#plane!.isExploring ? this.#config.limits.maxMillicores : cpuMillicores;
  }

  #view(): PlannerView | null {
    if (this.#plane === null || this.#isPaused) return null;
    const snapshot = this.#plane.snapshot();
    const models = snapshot.classes.map((shapeClass) => this.#models.forClass(shapeClass));
    const inFlightModel = snapshot.inFlight === null ? null : this.#models.forClass(snapshot.inFlight.shapeClass);
    const nowMs = this.#clock.nowMs();
    return {
      nowMs,
      snapshot,
      models,
      inFlightModel,
      arrivalModel: this.#arrivalClass === null ? ZERO_LATENCY : this.#models.forClass(this.#arrivalClass),
      arrivalRowCount: this.#arrivalClass?.rowCount ?? 1,
      forecast: this.#estimator.forecast(nowMs),
      limits: this.#config.limits,
      current: this.#plan,
      resizeDelayMs: this.#delay.typicalMs,
      isActuatorSlow: this.#delay.isSlow,
      grantedMillicores: this.#grantedMillicores,
      readCounters: this.#readCounters,
    };
  }

  // ---- resizing ----------------------------------------------------------------------------------------------------

  #noteIdle(): void {
    if (this.#plane === null || this.#isPaused) return;
    if (!this.#plane.isIdle) this.#idleSinceMs = null;
    else if (this.#idleSinceMs === null) {
      this.#idleSinceMs = this.#clock.nowMs();
      this.#resize();
    }
  }

  /** What should be granted now: the plan, or the idle allocation once there was nothing to do for a while. */
  #targetMillicores(nowMs: number): number {
    const { idleReleaseMs, idleMillicores } = this.#config;
    const isReleased =
      this.#idleSinceMs !== null && idleReleaseMs !== null && nowMs - this.#idleSinceMs >= this.#releaseAfterMs();
    return isReleased ? idleMillicores : this.#usableMillicores(this.#withExploring(this.#plan.cpuMillicores));
  }

  /** Idleness that a release waits for: what takes long to get back is not given up for a moment. */
  #releaseAfterMs(): number {
    return Math.max(this.#config.idleReleaseMs!, this.#delay.isSlow ? RELEASE_DELAYS * this.#delay.typicalMs : 0);
  }

  /**
   * CPU beyond the threads of the running batch serves only the next one: where growing takes no time, that one's start
   * is soon enough. What is granted already stays.
   */
  #usableMillicores(cpuMillicores: number): number {
    const { runningThreads } = this.#plane!;
    if (runningThreads === 0 || this.#planner.appliesAtOnce) return cpuMillicores;
    if (this.#delay.isSlow) return cpuMillicores;
    return Math.min(cpuMillicores, Math.max(this.#requestedMillicores, runningThreads * 1000));
  }

  #resize(): void {
    if (this.#plane === null || this.#isPaused) return;
    const nowMs = this.#clock.nowMs();
    const target = this.#targetMillicores(nowMs);
    this.#shrinkTimer?.cancel();
    this.#shrinkTimer = null;
    if (target < this.#requestedMillicores) this.#shrink(nowMs, target);
    else {
      if (target > this.#requestedMillicores && !this.#isWellUnderWay(target)) this.resizeTo(target);
      this.#scheduleIdleRelease(nowMs);
    }
    this.#plane.setPlan(this.#plan, this.#isResizeAwaited());
  }

  /** A slow growth is not begun anew for a little more: a newer request calls it off, and nothing would ever be in force. */
  #isWellUnderWay(target: number): boolean {
    const isGrowing = this.#requestedMillicores > this.#grantedMillicores;
    return this.#delay.isSlow && isGrowing && target * WELL_UNDER_WAY_FRACTION <= this.#requestedMillicores;
  }

  #shrink(nowMs: number, target: number): void {
    if (this.#planner.appliesAtOnce) {
      this.resizeTo(target);
      this.#scheduleIdleRelease(nowMs);
      return;
    }
    // A slow growth under way is not called off for a moment's need of less: its read-back comes here again.
    if (this.#delay.isSlow && this.#requestedMillicores > this.#grantedMillicores) return;
    const mayShrinkAtMs = this.#lastResizeAtMs + SHRINK_DWELL_MS;
    const isWorthIt = target <= this.#requestedMillicores * SHRINK_FRACTION;
    // The running batch keeps its threads; its end comes back here.
    const isHeldByThreads = Math.ceil(target / 1000) < this.#plane!.runningThreads;
    const mayShrink = isWorthIt && !isHeldByThreads;
    if (mayShrink && nowMs < mayShrinkAtMs) {
      this.#shrinkTimer = this.#clock.schedule(mayShrinkAtMs, () => this.#resize());
      return;
    }
    if (mayShrink) this.resizeTo(target);
    this.#scheduleIdleRelease(nowMs);
  }

  #scheduleIdleRelease(nowMs: number): void {
    const { idleReleaseMs } = this.#config;
    if (this.#idleSinceMs === null || idleReleaseMs === null) return;
    const atMs = this.#idleSinceMs + this.#releaseAfterMs();
    if (atMs > nowMs) this.#shrinkTimer = this.#clock.schedule(atMs, () => this.#resize());
  }

  #isResizeAwaited(): boolean {
    return this.#requestedMillicores !== this.#grantedMillicores && !this.#delay.isSlow;
  }

  #onApplied(resizeId: number, result: ResizeResult): void {
    const atMs = this.#clock.nowMs();
    // Superseded by a newer one otherwise, whose own answer comes too.
    const isCurrent = resizeId === this.#resizeCount;
    if (result.kind === 'refused') {
      if (isCurrent) this.#requestedMillicores = this.#grantedMillicores;
      this.#emit({ kind: 'resize-refused', atMs, resizeId, message: result.message });
    } else {
      // What an older one found is no longer so once a newer one was answered.
      if (resizeId >= this.#answeredId) this.#grantedMillicores = result.cpuMillicores;
      this.#answeredId = Math.max(this.#answeredId, resizeId);
      const [cpuMillicores, { isWritten, tookMs }] = [this.#grantedMillicores, result];
      if (isCurrent) this.#requestedMillicores = cpuMillicores;
      if (isWritten) this.#delay.observe(tookMs);
      this.#emit({ kind: 'resized', atMs, resizeId, cpuMillicores, isWritten, tookMs });
    }
    this.#plane?.setAllocation(this.#grantedMillicores, this.#isResizeAwaited());
    if (isCurrent && this.#delay.isSlow && result.kind === 'applied') this.#resize();
  }
}

/** No request was seen yet: any allocation keeps up with none. */
const ZERO_LATENCY: LatencyModel = exactLatency(() => 0);
