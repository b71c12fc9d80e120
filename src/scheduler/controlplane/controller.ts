/*
 * The controller is the control loop: monitor → estimator → planner → scaler. It listens to the data plane's events,
 * plans at each tick and (event-driven planners) when an arrival breaks the plan or a batch ends, publishes the plan and
 * resizes the worker in place.
 *
 * Each plan is published, and followed by the allocations as soon as that is worth it: one that all instances have alike
 * (`shared-allocation.ts`), or one for each (`own-allocations.ts`).
 */
import type { Clock, Timer } from '../clock/clock.js';
import type { Event } from '../domain/event.js';
import type { Plan } from '../domain/plan.js';
import type { ModelOutlook } from '../domain/pod-report.js';
import type { ShapeClass } from '../domain/request.js';
import type { LatencyModels } from '../perf-model/model-source.js';
import { ActuatorDelay } from './actuator-delay.js';
import { restingMillicores, type Allocations, type IdleRules } from './allocations.js';
import type { ControlledPlane } from './controlled-plane.js';
import type { CoreBudget } from './core-budget.js';
import { coresInReach } from './cores-in-reach.js';
import { Estimator } from './estimator.js';
import { InstanceAllocation } from './instance-allocation.js';
import { outlookOf } from './outlook.js';
import { OwnAllocations } from './own-allocations.js';
import { firstDueAtMs, isWindowUnsalvageable, nextFreeAtMs } from './planned-queue.js';
import type { Planner, PlannerView } from './planner.js';
import { ReachableLimits } from './reachable-limits.js';
import type { ResizeResult, Scaler } from './scaler.js';
import { SharedAllocation } from './shared-allocation.js';
import { NO_LATENCY, provisionalPlan, withUnplanned, type WithUnplanned } from './unplanned.js';

export interface ControllerOptions {
  readonly clock: Clock;
  /** One of all instances, or one of each. */
  readonly scalers: readonly Scaler[];
  /** That instances with a scaler each share, and maybe other models with them. */
  readonly budget: CoreBudget;
  /** Of it: what these may have in a backlog before other models get more; undefined for an equal share. */
  readonly floorFraction: number | undefined;
  readonly models: LatencyModels;
  readonly planner: Planner;
  readonly config: IdleRules;
  /** In force when the controller starts: start-up and model loading run at the largest allocation. */
  readonly initialPlan: Plan;
  readonly emit: (event: Event) => void;
}

type Trigger = Extract<Event, { kind: 'planned' }>['trigger'];
type SoonTrigger = Extract<Trigger, 'arrival' | 'batch-start' | 'batch-end'>;

export class Controller {
  readonly #clock: Clock;
  readonly #models: LatencyModels;
  readonly #planner: Planner;
  readonly #config: IdleRules;
  readonly #emit: (event: Event) => void;
  readonly #delay: ActuatorDelay;
  readonly #reachable: ReachableLimits;
  readonly #estimator = new Estimator();
  readonly #allocations: Allocations;
  /** The same where each instance has its own; else null. */
  readonly #own: OwnAllocations | null = null;
  readonly #budget: CoreBudget;
  readonly #readCounters = (): ReturnType<Scaler['readCounters']> => this.#allocations.each[0]!.readCounters();

  #plane: ControlledPlane | null = null;
  #plan: Plan;
  #resizeCount = 0;
  #arrivalClass: ShapeClass | null = null;
  #tickTimer: Timer | null = null;
  #wakeTimer: Timer | null = null;
  #idleSinceMs: number | null = null;
  #isLent = false;
  #isPlanning = false;
  /** What asks for a plan before the turn of the event loop is over; null while nothing does. */
  #soon: SoonTrigger | null = null;
  #hasArrivalWhilePlanning = false;

  constructor(options: ControllerOptions) {
    this.#clock = options.clock;
    this.#delay = new ActuatorDelay(options.scalers[0]!.expectedDelayMs);
    this.#reachable = new ReachableLimits(options.config.limits, options.scalers[0]!);
    this.#models = options.models;
    this.#planner = options.planner;
    this.#config = options.config;
    this.#emit = options.emit;
    this.#plan = options.initialPlan;
    this.#budget = options.budget;
    const each = this.#allocationOfEach(options);
    const rules = { clock: options.clock, delay: this.#delay, rules: options.config, again: () => this.#resize() };
    if (this.#areApart) {
      const { budget, floorFraction } = options;
      this.#own = new OwnAllocations(each, { ...rules, budget, floorFraction, retry: () => this.#retry() });
    }
    this.#allocations = this.#own ?? new SharedAllocation(each[0]!, options.planner.appliesAtOnce, rules);
  }

  #allocationOfEach({ clock, scalers, initialPlan, emit }: ControllerOptions): InstanceAllocation[] {
    return scalers.map((scaler, index) => {
      const allocation: InstanceAllocation = new InstanceAllocation({
        clock,
        scaler,
        delay: this.#delay,
        instance: this.#areApart ? index : null,
        initialMillicores: initialPlan.allocations?.[index] ?? initialPlan.cpuMillicores,
        nextResizeId: () => ++this.#resizeCount,
        emit,
        onAnswer: (result, isSettled) => this.#onAnswer(index, allocation, isSettled && result.kind === 'applied'),
      });
      // What was asked for is in force by now, or is not any more: asked for again, it is read.
      scaler.watch?.(() => this.#isLent || allocation.resizeTo(allocation.requestedMillicores, () => this.#retry()));
      return allocation;
    });
  }

  get plan(): Plan {
    return this.#plan;
  }

  /** The largest allocation that can be had now. */
  get mostMillicores(): number {
    return this.#reachable.limits.maxMillicores;
  }

  /** Of each instance where they are alike, else of all together. */
  get grantedMillicores(): number {
    return this.#allocations.each.reduce((sum, { grantedMillicores }) => sum + grantedMillicores, 0);
  }

  /** In force, by instance; one where they are alike. */
  get allocations(): readonly number[] {
    return this.#allocations.each.map(({ grantedMillicores }) => grantedMillicores);
  }

  /** What other models run on, that share the cores. */
  get busyBesideMillicores(): number {
    return this.#own === null ? 0 : this.#budget.busyBesideMillicores(this.#own);
  }

  get #areApart(): boolean {
    return this.#planner.plansInstances;
  }

  start(plane: ControlledPlane): void {
    this.#plane = plane;
    this.#replan('start');
    this.#scheduleTick(this.#clock.nowMs() + this.#planner.tickMs);
  }

  stop(): void {
    this.#tickTimer?.cancel();
    this.#allocations.stop();
    this.#wakeTimer?.cancel();
    this.#plane = null;
    this.#own?.leave();
  }

  /** As of a node's model; nothing where it shares no cores. */
  readonly setFloor = (floorFraction: number | undefined): void => this.#own?.setFloor(floorFraction);

  /** Reads the data plane's events; its own, and unknown ones, are ignored. */
  observe(event: Event): void {
    switch (event.kind) {
      case 'request-admitted':
        this.#estimator.observeArrival(event.atMs, event.request.dueAtMs - event.request.receivedAtMs);
        this.#arrivalClass = event.request.shapeClass;
        if (this.#planner.isEventDriven) {
          this.#idleSinceMs = null;
          this.#planSoon('arrival');
        } else if (this.#idleSinceMs !== null) {
          this.#idleSinceMs = null;
          this.#resize(); // The CPU may have been released.
        }
        return;
      case 'batch-started':
        // Another instance may start the next one; this one's is on its way first.
        if (this.#areApart && this.#planner.isEventDriven) this.#planSoon('batch-start');
        return;
      case 'batch-ended':
        this.#noteIdle(); // Its members may all have left before it ended.
        if (!this.#planner.isEventDriven) this.#resize();
        // Where nobody waits for the plan, whoever waits for an answer comes first.
        else if (this.#plane?.isIdle === true) this.#planSoon('batch-end');
        else this.#replan('batch-end');
        return;
      case 'request-finished':
        // The queue may have become empty without a batch: expiry, cancellation.
        this.#noteIdle();
        // Its run may be wanted all the same.
        if (this.#plane?.isExploring === true && !this.#isPlanning && !this.#isLent) this.#resize();
        return;
      case 'worker-ready':
        this.#replan('worker');
        return;
      case 'worker-lost':
      case 'instances-changed':
        // One that is started needs CPU for that, whatever is planned.
        if (this.#areApart) this.#replan('worker');
        else if (event.kind === 'instances-changed') this.#replanIfBroken('worker');
        return;
      default:
        return;
    }
  }

  /**
   * From now on the (first) allocation is somebody else's, who profiles, and no plan is made.
   * @param onWanted other models lack cores
   * @returns false where it cannot be lent, as others lack cores already
   */
  lend(onWanted: () => void): boolean {
    if (this.#own !== null && this.#budget.isWantedBeside(this.#own)) return false;
    this.#isLent = true;
    this.#own?.lend(onWanted);
    return true;
  }

  takeBack(): void {
    this.#isLent = false;
    this.#own?.lend(null);
    this.#allocations.each[0]!.forgetDwell(); // The borrower's resizes are no reason to wait with ours.
    this.#replan('worker');
  }

  /** A resize on the borrower's behalf, seen by everyone like any other; to no more than others leave. */
  resizeTo(cpuMillicores: number, onApplied: (result: ResizeResult) => void): void {
    const allocation = this.#allocations.each[0]!;
    if (this.#own !== null && this.#budget.roomFor(allocation) < cpuMillicores) this.#budget.reclaim(this.#own);
    const room = this.#own === null ? Infinity : this.#budget.roomFor(allocation);
    const isTooLittle = room < Math.min(cpuMillicores, this.#config.limits.minMillicores);
    allocation.resizeTo(isTooLittle ? restingMillicores(this.#config) : Math.min(cpuMillicores, room), onApplied);
    if (this.#own !== null) this.#budget.assertKept();
  }

  // ---- planning ----------------------------------------------------------------------------------------------------

  #scheduleTick(atMs: number): void {
    this.#tickTimer = this.#clock.schedule(atMs, () => {
      this.#replan('tick');
      if (this.#plane !== null) this.#scheduleTick(atMs + this.#planner.tickMs);
    });
  }

  /** Once for all that happens in one turn of the event loop, unless something else has brought a plan by then. */
  #planSoon(trigger: SoonTrigger): void {
    const isFirst = this.#soon === null;
    // Only what arrives may leave the plan as it is.
    if (isFirst || this.#soon === 'arrival') this.#soon = trigger;
    if (!isFirst) return;
    this.#clock.whenSettled(() => {
      if (this.#soon === 'arrival') this.#replanIfBroken('arrival');
      else if (this.#soon !== null) this.#replan(this.#soon);
      this.#soon = null;
    });
  }

  #replanIfBroken(trigger: Trigger): void {
    // Somebody was told that a request is given up, and sent another one.
    this.#hasArrivalWhilePlanning = this.#isPlanning;
    if (this.#isPlanning) return;
    const view = this.#view();
    if (view === null) return;
    // The plan may hold and still nothing should run on what is granted: the CPU was released, or is for an empty queue.
    const isRunnable = this.#allocations.suffices(this.#withUnplanned(this.#plan, view).plan, this.#plane!);
    if (isRunnable && this.#planner.isStillValid(view)) return;
    this.#replanFrom(view, trigger);
  }

  #replan(trigger: Trigger): void {
    const view = this.#view();
    if (view !== null) this.#replanFrom(view, trigger);
  }

  #replanFrom(view: PlannerView, trigger: Trigger): void {
    this.#isPlanning = true;
    this.#soon = null;
    const decision = this.#models.isProvisional ? provisionalPlan(view, this.#areApart) : this.#planner.plan(view);
    const { unsalvageable, shed = [], wakeAtMs } = decision;
    const unplanned = this.#withUnplanned(decision.plan, view);
    const wantedMillicores = Math.max(decision.wantedMillicores ?? 0, unplanned.wantedMillicores);
    const wasWaiting = (this.#own?.claim.wantedMillicores ?? 0) > 0;
    this.#own?.waitFor(view.nowMs, {
      wantedMillicores,
      dueAtMs: firstDueAtMs(view.snapshot),
      nextFreeAtMs: nextFreeAtMs(view),
    });
    this.#plan = unplanned.plan;
    this.#emit({ kind: 'planned', atMs: view.nowMs, plan: this.#plan, trigger });
    const { sequences } = view.snapshot;
    if (unsalvageable.length > 0) this.#plane!.giveUp(unsalvageable.map((index) => sequences[index]!));
    if (shed.length > 0) this.#plane!.shed(shed.map((index) => sequences[index]!));
    this.#isPlanning = false;
    if (isWindowUnsalvageable(view, unsalvageable)) {
      // Nothing was planned for whoever waits behind them.
      this.#replan(trigger);
      return;
    }
    this.#wakeTimer?.cancel();
    this.#wakeTimer = wakeAtMs === undefined ? null : this.#clock.schedule(wakeAtMs, () => this.#replan('timer'));
    this.#noteIdle();
    this.#resize();
    // Those that were lent some may end what they do.
    if (wantedMillicores > 0 && this.#own !== null) this.#budget.reclaim(this.#own);
    if (wasWaiting && this.#own?.claim.wantedMillicores === 0) this.#budget.offer(this.#own);
    if (!this.#hasArrivalWhilePlanning) return;
    this.#hasArrivalWhilePlanning = false;
    this.#replanIfBroken('arrival');
  }

  #withUnplanned(plan: Plan, view: PlannerView): WithUnplanned {
    return withUnplanned(plan, view, { areApart: this.#areApart, isExploring: this.#plane!.isExploring });
  }

  /** As of a system. While somebody profiles, it is as if nobody did: that ends for a request. @param readyInMs until there is a worker */
  outlook(likely: ShapeClass, readyInMs: number): ModelOutlook | null {
    const view = this.#viewOf(this.#arrivalClass ?? likely);
    return view === null ? null : outlookOf(view, readyInMs);
  }

  #view(): PlannerView | null {
    return this.#isLent ? null : this.#viewOf(this.#arrivalClass);
  }

  #viewOf(arrivalClass: ShapeClass | null): PlannerView | null {
    if (this.#plane === null) return null;
    const snapshot = this.#plane.snapshot();
    const models = snapshot.classes.map((shapeClass) => this.#models.forClass(shapeClass));
    const runningModels = snapshot.running.map(({ shapeClass }) => this.#models.forClass(shapeClass));
    const nowMs = this.#clock.nowMs();
    const { budgetMillicores, reachMillicores, coresFreeAtMs, isContended } = coresInReach(this.#budget, this.#own, {
      missingMillicores: this.#reachable.missingMillicores,
      firstDueAtMs: firstDueAtMs(snapshot),
      nowMs,
    });
    return {
      nowMs,
      snapshot,
      models,
      modelsRevision: this.#models.revision,
      inFlightModel: runningModels[0] ?? null,
      runningModels,
      arrivalModel: arrivalClass === null ? NO_LATENCY : this.#models.forClass(arrivalClass),
      arrivalRowCount: arrivalClass?.rowCount ?? 1,
      forecast: this.#estimator.forecast(nowMs),
      limits: this.#reachable.limits,
      current: this.#plan,
      resizeDelayMs: this.#delay.typicalMs,
      isActuatorSlow: this.#delay.isSlow,
      instances: this.#allocations.each.map(({ requestedMillicores }, instance) => ({
        requestedMillicores,
        isRunning: this.#plane!.runningThreads(instance) > 0,
        isAway: this.#plane!.isAway(instance),
      })),
      budgetMillicores,
      reachMillicores,
      coresFreeAtMs,
      isContended,
      interference: this.#models.interference ?? 0,
      isInterferenceUntested: this.#models.isInterferenceUntested ?? false,
      busyBesideMillicores: this.busyBesideMillicores,
      restingMillicores: restingMillicores(this.#config),
      grantedMillicores: this.grantedMillicores,
      readCounters: this.#readCounters,
    };
  }

  // ---- resizing ----------------------------------------------------------------------------------------------------

  #noteIdle(): void {
    if (this.#plane === null || this.#isLent) return;
    if (!this.#plane.isIdle) this.#idleSinceMs = null;
    else if (this.#idleSinceMs === null) {
      this.#idleSinceMs = this.#clock.nowMs();
      this.#resize();
    }
  }

  #resize(): void {
    if (this.#plane === null || this.#isLent) return;
    const wanted = { plan: this.#plan, plane: this.#plane, idleSinceMs: this.#idleSinceMs };
    this.#allocations.follow(this.#clock.nowMs(), wanted);
    this.#plane.setPlan(
      this.#plan,
      this.#allocations.each.map((_, index) => this.#allocations.isAwaited(index)),
    );
  }

  #onAnswer(index: number, allocation: InstanceAllocation, isInForce: boolean): void {
    this.#plane?.setAllocation(index, allocation.grantedMillicores, this.#allocations.isAwaited(index));
    // A slow growth may now be followed by another one; what one gave up, another may have waited for.
    if (isInForce && (this.#delay.isSlow || this.#areApart)) this.#resize();
    if (this.#own !== null) this.#budget.offer(this.#own);
  }

  /** Others gave up cores that this waits for. */
  #retry(): void {
    if (!this.#isPlanning) this.#replan('worker');
  }
}
