/*
 * The controller is the control loop: monitor → estimator → planner → scaler. It listens to the data plane's events,
 * plans at each tick and (event-driven planners) when an arrival breaks the plan or a batch ends, and publishes the plan,
 * which allocations follow as soon as that is worth it (`resizer.ts`).
 */
import { NO_LATENCY } from '../domain/latency.js';
import type { Clock, Timer } from '../clock/clock.js';
import type { Event } from '../domain/event.js';
import type { Plan } from '../domain/plan.js';
import type { ModelDemandReport } from '../domain/demand-report.js';
import type { ModelOutlook } from '../domain/pod-report.js';
import { requestsPerBatch, type ShapeClass } from '../domain/request.js';
import type { LatencyModels } from '../perf-model/model-source.js';
import type { IdleRules } from './allocations.js';
import type { ControlledPlane } from './controlled-plane.js';
import type { CoreBudget } from './core-budget.js';
import { DemandRecord } from './demand-record.js';
import { Estimator } from './estimator.js';
import { outlookOf } from './outlook.js';
import { firstDueAtMs, isWindowUnsalvageable, nextFreeAtMs } from './planned-queue.js';
import type { Planner, PlannerView } from './planner.js';
import { Resizer } from './resizer.js';
import type { ResizeResult, Scaler } from './scaler.js';
import { provisionalPlan, withUnplanned, type WithUnplanned } from './unplanned.js';

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
  readonly #emit: (event: Event) => void;
  readonly #estimator = new Estimator();
  readonly #demand = new DemandRecord();
  readonly #resizer: Resizer;
  readonly #readCounters = (): ReturnType<Scaler['readCounters']> => this.#resizer.each[0]!.readCounters();

  #plane: ControlledPlane | null = null;
  #plan: Plan;
  #arrivalClass: ShapeClass | null = null;
  #tickTimer: Timer | null = null;
  #wakeTimer: Timer | null = null;
  #isPlanning = false;
  /** What asks for a plan before the turn of the event loop is over; null while nothing does. */
  #soon: SoonTrigger | null = null;
  #hasArrivalWhilePlanning = false;

  constructor(options: ControllerOptions) {
    const { planner } = options;
    this.#clock = options.clock;
    this.#models = options.models;
    this.#planner = planner;
    this.#emit = options.emit;
    this.#plan = options.initialPlan;
    this.#resizer = new Resizer({
      ...options,
      areApart: planner.plansInstances,
      appliesAtOnce: planner.appliesAtOnce,
      onRoom: () => this.#retry(),
    });
  }

  get plan(): Plan {
    return this.#plan;
  }

  /** The largest allocation that can be had now. */
  get mostMillicores(): number {
    return this.#resizer.limits.maxMillicores;
  }

  /** Of each instance where they are alike, else of all together. */
  get grantedMillicores(): number {
    return this.#resizer.grantedMillicores;
  }

  /** In force, by instance; one where they are alike. */
  get allocations(): readonly number[] {
    return this.#resizer.each.map(({ grantedMillicores }) => grantedMillicores);
  }

  /** What other models run on, that share the cores. */
  get busyBesideMillicores(): number {
    return this.#resizer.busyBesideMillicores;
  }

  get #areApart(): boolean {
    return this.#planner.plansInstances;
  }

  start(plane: ControlledPlane): void {
    this.#plane = plane;
    this.#resizer.begin(plane);
    this.#replan('start');
    this.#scheduleTick(this.#clock.nowMs() + this.#planner.tickMs);
  }

  stop(): void {
    this.#tickTimer?.cancel();
    this.#wakeTimer?.cancel();
    this.#plane = null;
    this.#resizer.stop();
  }

  /** As of a node's model; nothing where it shares no cores. */
  readonly setFloor = (floorFraction: number | undefined): void => this.#resizer.setFloor(floorFraction);

  /** Reads the data plane's events; its own, and unknown ones, are ignored. */
  observe(event: Event): void {
    this.#demand.observe(event);
    switch (event.kind) {
      case 'request-admitted':
        this.#estimator.observeArrival(event.atMs, event.request.dueAtMs - event.request.receivedAtMs);
        this.#arrivalClass = event.request.shapeClass;
        if (this.#resizer.noteBusy() && !this.#planner.isEventDriven) this.#resizer.resize();
        if (this.#planner.isEventDriven) this.#planSoon('arrival');
        return;
      case 'batch-started':
        // Another instance may start the next one; this one's is on its way first.
        if (this.#areApart && this.#planner.isEventDriven) this.#planSoon('batch-start');
        return;
      case 'batch-ended':
        this.#resizer.noteIdle(); // Its members may all have left before it ended.
        if (!this.#planner.isEventDriven) this.#resizer.resize();
        // Where nobody waits for the plan, whoever waits for an answer comes first.
        else if (this.#plane?.isIdle === true) this.#planSoon('batch-end');
        else this.#replan('batch-end');
        return;
      case 'request-finished':
        // The queue may have become empty without a batch: expiry, cancellation.
        this.#resizer.noteIdle();
        // Its run may be wanted all the same.
        if (this.#plane?.isExploring === true && !this.#isPlanning && !this.#resizer.isLent) this.#resizer.resize();
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

  /** As of the resizer: no plan is made while it is lent. */
  lend(onWanted: () => void): boolean {
    return this.#resizer.lend(onWanted);
  }

  takeBack(): void {
    this.#resizer.takeBack();
    this.#replan('worker');
  }

  /** As of the resizer, on the borrower's behalf. */
  resizeTo(cpuMillicores: number, onApplied: (result: ResizeResult) => void): void {
    this.#resizer.resizeTo(cpuMillicores, onApplied);
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
    const isRunnable = this.#resizer.suffices(this.#withUnplanned(this.#plan, view).plan, this.#plane!);
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
    if (this.#areApart) {
      this.#resizer.waitFor(view.nowMs, {
        wantedMillicores: Math.max(decision.wantedMillicores ?? 0, unplanned.wantedMillicores),
        dueAtMs: firstDueAtMs(view.snapshot),
        nextFreeAtMs: nextFreeAtMs(view),
      });
    }
    this.#plan = unplanned.plan;
    this.#resizer.setPlan(this.#plan);
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
    this.#resizer.noteIdle();
    this.#resizer.resize();
    this.#resizer.settle();
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

  /** As of a system. */
  demand(likely: ShapeClass, heldRequests: number): ModelDemandReport | null {
    const view = this.#viewOf(this.#arrivalClass ?? likely);
    if (view === null) return null;
    const { arrivalModel, arrivalRowCount, snapshot, instances } = view;
    const maxRequests = requestsPerBatch(snapshot.maxBatchSize, arrivalRowCount);
    const count = Math.max(instances.length, snapshot.instanceCount, 1);
    return this.#demand.report(arrivalModel, maxRequests, count, heldRequests);
  }

  #view(): PlannerView | null {
    return this.#resizer.isLent ? null : this.#viewOf(this.#arrivalClass);
  }

  #viewOf(arrivalClass: ShapeClass | null): PlannerView | null {
    if (this.#plane === null) return null;
    const snapshot = this.#plane.snapshot();
    const models = snapshot.classes.map((shapeClass) => this.#models.forClass(shapeClass));
    const runningModels = snapshot.running.map(({ shapeClass }) => this.#models.forClass(shapeClass));
    const nowMs = this.#clock.nowMs();
    const { budgetMillicores, reachMillicores, coresFreeAtMs, isContended } = this.#resizer.coresInReach(
      nowMs,
      firstDueAtMs(snapshot),
    );
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
      limits: this.#resizer.limits,
      current: this.#plan,
      resizeDelayMs: this.#resizer.delay.typicalMs,
      isActuatorSlow: this.#resizer.delay.isSlow,
      instances: this.#resizer.each.map(({ requestedMillicores }, instance) => ({
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
      restingMillicores: this.#resizer.restingMillicores,
      grantedMillicores: this.grantedMillicores,
      readCounters: this.#readCounters,
    };
  }

  /** Others gave up cores that this waits for. */
  #retry(): void {
    if (!this.#isPlanning) this.#replan('worker');
  }
}
