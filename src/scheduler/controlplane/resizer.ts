/*
 * Puts plans in force: the half of the control loop that changes allocations, and knows what is granted, lent, given back or waited for.
 * What the plan is, and when it is made anew, is the controller's.
 *
 * Where instances are planned one by one each has an allocation of its own, out of a budget of cores that other models may share
 * (`own-allocations.ts`); else all have one alike (`shared-allocation.ts`). The first may be lent to somebody who profiles: until it is
 * taken back no plan is put in force.
 */
import type { Clock } from '../clock/clock.js';
import type { Event } from '../domain/event.js';
import type { Plan } from '../domain/plan.js';
import { ActuatorDelay } from './actuator-delay.js';
import { restingMillicores, type Allocations, type IdleRules } from './allocations.js';
import type { ControlledPlane } from './controlled-plane.js';
import type { CoreBudget } from './core-budget.js';
import { coresInReach } from './cores-in-reach.js';
import { InstanceAllocation } from './instance-allocation.js';
import { OwnAllocations, type WaitingForCores } from './own-allocations.js';
import type { PlannerView } from './planner.js';
import { ReachableLimits } from './reachable-limits.js';
import type { ResizeResult, Scaler } from './scaler.js';
import { SharedAllocation } from './shared-allocation.js';

export interface ResizerOptions {
  readonly clock: Clock;
  /** One of all instances, or one of each. */
  readonly scalers: readonly Scaler[];
  /** Whether each instance has its own. */
  readonly areApart: boolean;
  /** Whether each plan is put in force as it is, at once, whatever runs. */
  readonly appliesAtOnce: boolean;
  readonly budget: CoreBudget;
  readonly floorFraction: number | undefined;
  readonly config: IdleRules;
  readonly initialPlan: Plan;
  readonly emit: (event: Event) => void;
  /** There may be cores that a plan waits for. */
  readonly onRoom: () => void;
}

export class Resizer {
  readonly delay: ActuatorDelay;
  readonly #clock: Clock;
  readonly #config: IdleRules;
  readonly #areApart: boolean;
  readonly #budget: CoreBudget;
  readonly #reachable: ReachableLimits;
  readonly #allocations: Allocations;
  /** The same where each instance has its own; else null. */
  readonly #own: OwnAllocations | null = null;
  #plane: ControlledPlane | null = null;
  #plan: Plan;
  #resizeCount = 0;
  #idleSinceMs: number | null = null;
  #isLent = false;
  #plansWaiting = false;
  /** For cores, before the plan was made. */
  #wasWaiting = false;

  constructor(options: ResizerOptions) {
    const { clock, scalers, config, areApart, budget, floorFraction, onRoom } = options;
    this.#clock = clock;
    this.#config = config;
    this.#areApart = areApart;
    this.#budget = budget;
    this.#plan = options.initialPlan;
    this.delay = new ActuatorDelay(scalers[0]!.expectedDelayMs);
    this.#reachable = new ReachableLimits(config.limits, scalers[0]!);
    const each = this.#allocationOfEach(options);
    const rules = { clock, delay: this.delay, rules: config, again: () => this.resize() };
    if (areApart) this.#own = new OwnAllocations(each, { ...rules, budget, floorFraction, retry: onRoom });
    this.#allocations = this.#own ?? new SharedAllocation(each[0]!, options.appliesAtOnce, rules);
  }

  #allocationOfEach({ clock, scalers, initialPlan, emit, onRoom }: ResizerOptions): InstanceAllocation[] {
    return scalers.map((scaler, index) => {
      const allocation: InstanceAllocation = new InstanceAllocation({
        clock,
        scaler,
        delay: this.delay,
        instance: this.#areApart ? index : null,
        initialMillicores: initialPlan.allocations?.[index] ?? initialPlan.cpuMillicores,
        nextResizeId: () => ++this.#resizeCount,
        emit,
        onAnswer: (result, isSettled) => this.#onAnswer(index, allocation, isSettled && result.kind === 'applied'),
      });
      // What was asked for is in force by now, or is not any more: asked for again, it is read.
      scaler.watch?.(() => this.#isLent || allocation.resizeTo(allocation.requestedMillicores, onRoom));
      return allocation;
    });
  }

  // ---- what is granted ---------------------------------------------------------------------------------------------

  get limits(): PlannerView['limits'] {
    return this.#reachable.limits;
  }

  get each(): readonly InstanceAllocation[] {
    return this.#allocations.each;
  }

  /** Of each instance where they are alike, else of all together. */
  get grantedMillicores(): number {
    return this.each.reduce((sum, { grantedMillicores }) => sum + grantedMillicores, 0);
  }

  get restingMillicores(): number {
    return restingMillicores(this.#config);
  }

  /** What other models run on, that share the cores. */
  get busyBesideMillicores(): number {
    return this.#own === null ? 0 : this.#budget.busyBesideMillicores(this.#own);
  }

  /** What a plan may be made with. @param firstDueAtMs of those that wait */
  coresInReach(nowMs: number, firstDueAtMs: number): ReturnType<typeof coresInReach> {
    const { missingMillicores } = this.#reachable;
    return coresInReach(this.#budget, this.#own, { missingMillicores, firstDueAtMs, nowMs });
  }

  /** Whether what is granted lets a plan run. */
  suffices(plan: Plan, plane: ControlledPlane): boolean {
    return this.#allocations.suffices(plan, plane);
  }

  // ---- following the plan ------------------------------------------------------------------------------------------

  begin(plane: ControlledPlane): void {
    this.#plane = plane;
  }

  stop(): void {
    this.#allocations.stop();
    this.#plane = null;
    this.#own?.leave();
  }

  /** As of a node's model; nothing where it shares no cores. */
  readonly setFloor = (floorFraction: number | undefined): void => this.#own?.setFloor(floorFraction);

  /** To be followed from the next `resize` on. */
  setPlan(plan: Plan): void {
    this.#plan = plan;
  }

  resize(): void {
    if (this.#plane === null || this.#isLent) return;
    this.#allocations.follow(this.#clock.nowMs(), {
      plan: this.#plan,
      plane: this.#plane,
      idleSinceMs: this.#idleSinceMs,
    });
    this.#plane.setPlan(
      this.#plan,
      this.each.map((_, index) => this.#allocations.isAwaited(index)),
    );
  }

  /** What the plan waits for, before it is put in force; `settle` once it is. */
  waitFor(nowMs: number, waiting: WaitingForCores): void {
    this.#wasWaiting = this.#isWaiting;
    this.#plansWaiting = waiting.wantedMillicores > 0;
    this.#own?.waitFor(nowMs, waiting);
  }

  settle(): void {
    if (this.#own === null) return;
    // Those that were lent some may end what they do.
    if (this.#plansWaiting) this.#budget.reclaim(this.#own);
    if (this.#wasWaiting && !this.#isWaiting) this.#budget.offer(this.#own);
  }

  get #isWaiting(): boolean {
    return (this.#own?.claim.wantedMillicores ?? 0) > 0;
  }

  /** Nothing waits or runs, as far as may be seen: CPU is released after a while. */
  noteIdle(): void {
    if (this.#plane === null || this.#isLent) return;
    if (!this.#plane.isIdle) this.#idleSinceMs = null;
    else if (this.#idleSinceMs === null) {
      this.#idleSinceMs = this.#clock.nowMs();
      this.resize();
    }
  }

  /** Somebody has come. @returns whether nothing was to be done before: CPU may have been released */
  noteBusy(): boolean {
    const wasIdle = this.#idleSinceMs !== null;
    this.#idleSinceMs = null;
    return wasIdle;
  }

  #onAnswer(index: number, allocation: InstanceAllocation, isInForce: boolean): void {
    this.#plane?.setAllocation(index, allocation.grantedMillicores, this.#allocations.isAwaited(index));
    // A slow growth may now be followed by another one; what one gave up, another may have waited for.
    if (isInForce && (this.delay.isSlow || this.#areApart)) this.resize();
    if (this.#own !== null) this.#budget.offer(this.#own);
  }

  // ---- lending the first allocation --------------------------------------------------------------------------------

  get isLent(): boolean {
    return this.#isLent;
  }

  /**
   * From now on the (first) allocation is somebody else's, who profiles.
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
    this.each[0]!.forgetDwell(); // The borrower's resizes are no reason to wait with ours.
  }

  /** A resize on the borrower's behalf, seen by everyone like any other; to no more than others leave. */
  resizeTo(cpuMillicores: number, onApplied: (result: ResizeResult) => void): void {
    const allocation = this.each[0]!;
    if (this.#own !== null && this.#budget.roomFor(allocation) < cpuMillicores) this.#budget.reclaim(this.#own);
    const room = this.#own === null ? Infinity : this.#budget.roomFor(allocation);
    const isTooLittle = room < Math.min(cpuMillicores, this.#config.limits.minMillicores);
    allocation.resizeTo(isTooLittle ? this.restingMillicores : Math.min(cpuMillicores, room), onApplied);
    if (this.#own !== null) this.#budget.assertKept();
  }
}
