/*
 * An allocation for each instance, out of one budget of cores, which the models of a node may share.
 *
 * What an instance gives up can be given to another only once it was read back, so shrinks go first, and a growth that there is
 * no room for waits for them. An instance that runs keeps what its batch was planned with. One that rests holds nothing but
 * the idle floor: not at once, where it may be wanted again sooner than the CPU could be got back, unless another needs it.
 *
 * Nothing runs on what is shrunk here, so neither threads nor the kernel's refilled bucket have to be minded.
 */
import type { Timer } from '../clock/clock.js';
import type { Plan } from '../domain/plan.js';
import {
  RELEASE_DELAYS,
  restingMillicores,
  type Allocations,
  type AllocationsOptions,
  type Wanted,
} from './allocations.js';
import type { BudgetMember, CoreBudget } from './core-budget.js';
import { SHRINK_FRACTION, type InstanceAllocation } from './instance-allocation.js';

/** A process that is started loads its model on this: more would speed little up, and on an idle floor it would take for ever. */
const STARTING_MILLICORES = 1000;

/** What a plan leaves wanting. */
export interface WaitingForCores {
  /** What a start waits for; 0 where none does. */
  readonly wantedMillicores: number;
  /** Of the first request; Infinity without any. */
  readonly dueAtMs: number;
  /** When the first batch that runs is expected to end; Infinity without any. */
  readonly nextFreeAtMs: number;
}

export interface OwnAllocationsOptions extends AllocationsOptions {
  readonly budget: CoreBudget;
  /** Of the budget: what these may have in a backlog before others that share it get more; undefined for an equal share. */
  readonly floorFraction: number | undefined;
  /** Plans again: others gave up cores that these wait for. */
  readonly retry: () => void;
}

const WAITING_FOR_NOTHING: WaitingForCores = { wantedMillicores: 0, dueAtMs: Infinity, nextFreeAtMs: Infinity };

export class OwnAllocations implements Allocations, BudgetMember {
  readonly each: readonly InstanceAllocation[];
  readonly #budget: CoreBudget;
  readonly #options: OwnAllocationsOptions;
  /** By instance; null while it is not to rest. */
  readonly #restingSinceMs: (number | null)[];
  /** By instance: a process is started on what it has. */
  readonly #isLoading: boolean[];
  /** By instance: growth that there is no room for yet. */
  readonly #lackingMillicores: number[];
  #waiting = WAITING_FOR_NOTHING;
  #lastBusyAtMs = -Infinity;
  /** While the first one is lent: to be told when others lack cores. */
  #onWanted: (() => void) | null = null;
  #timer: Timer | null = null;

  constructor(each: readonly InstanceAllocation[], options: OwnAllocationsOptions) {
    this.each = each;
    this.#budget = options.budget;
    this.#options = options;
    this.#restingSinceMs = each.map(() => null);
    this.#isLoading = each.map(() => false);
    this.#lackingMillicores = each.map(() => 0);
    this.#budget.join(this, options.floorFraction);
  }

  follow(nowMs: number, wanted: Wanted): void {
    this.stop();
    const targets = this.each.map((_, instance) => this.#target(nowMs, instance, wanted));
    const isNeeded = this.#lacks(targets) || this.#budget.isWantedBeside(this);
    const againAtMs = Math.min(this.#shrink(nowMs, targets, isNeeded), this.#grow(nowMs, targets));
    if (againAtMs < Infinity) this.#timer = this.#options.clock.schedule(againAtMs, this.#options.again);
    if (this.#lackingMillicores.some((lacking) => lacking > 0)) this.#budget.reclaim(this);
    this.#budget.assertKept();
  }

  isAwaited(instance: number): boolean {
    // Less than was planned may not be enough for the batch that it was planned for.
    const isLacking = this.#lackingMillicores[instance]! > 0 && !this.#options.delay.isSlow;
    return isLacking || this.each[instance]!.isAwaited;
  }

  // ---- beside others -----------------------------------------------------------------------------------------------

  /** What the plan that is about to be followed leaves wanting. */
  waitFor(nowMs: number, waiting: WaitingForCores): void {
    if (this.#isBusy || isBusy(waiting)) this.#lastBusyAtMs = nowMs;
    this.#waiting = waiting;
    this.#lackingMillicores.fill(0);
  }

  /**
   * Until it is called with null, the first allocation is somebody else's, who needs all that it holds.
   * @param onWanted others lack cores
   */
  lend(onWanted: (() => void) | null): void {
    this.#onWanted = onWanted;
    this.#restingSinceMs[0] = null;
  }

  /** Of the budget: what these may have in a backlog from now on before others get more. */
  setFloor(floorFraction: number | undefined): void {
    this.#budget.setFloor(this, floorFraction);
  }

  /** None is counted, and none is waited for any more. */
  leave(): void {
    this.stop();
    this.#budget.leave(this);
  }

  get holders(): BudgetMember['holders'] {
    return this.each;
  }

  get claim(): BudgetMember['claim'] {
    const { wantedMillicores, dueAtMs } = this.#waiting;
    const lacking = this.#lackingMillicores.reduce((sum, each) => sum + each, wantedMillicores);
    return { neededMillicores: this.#neededMillicores(), wantedMillicores: lacking, dueAtMs };
  }

  get nextFreeAtMs(): number {
    return this.#waiting.nextFreeAtMs;
  }

  get restingMillicores(): number {
    return this.each.length * restingMillicores(this.#options.rules);
  }

  get startingMillicores(): number {
    return this.each.reduce(
      (sum, { heldMillicores }, instance) => sum + (this.#isLoading[instance]! ? heldMillicores : 0),
      0,
    );
  }

  get lastBusyAtMs(): number {
    return this.#isBusy ? Infinity : this.#lastBusyAtMs;
  }

  get #isBusy(): boolean {
    return isBusy(this.#waiting);
  }

  release(): void {
    this.#onWanted?.();
    const resting = restingMillicores(this.#options.rules);
    this.each.forEach((allocation, instance) => {
      const isResting = this.#restingSinceMs[instance] !== null;
      const mayShrink = this.#mayShrink(allocation, resting) && allocation.mayResizeAtMs <= this.#options.clock.nowMs();
      if (isResting && resting < allocation.requestedMillicores && mayShrink) allocation.resizeTo(resting);
    });
  }

  retry(): void {
    this.#options.retry();
  }

  #neededMillicores(): number {
    const resting = restingMillicores(this.#options.rules);
    return this.each.reduce((sum, { heldMillicores }, instance) => {
      return sum + (this.#restingSinceMs[instance] === null ? heldMillicores : Math.min(resting, heldMillicores));
    }, 0);
  }

  // ---- targets -----------------------------------------------------------------------------------------------------

  suffices({ allocations }: Plan): boolean {
    return this.each.every(({ requestedMillicores }, index) => (allocations?.[index] ?? 0) <= requestedMillicores);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #target(nowMs: number, instance: number, { plan, plane }: Wanted): number {
    const planned = plan.allocations?.[instance] ?? 0;
    const isResting = planned === 0 && plane.runningThreads(instance) === 0;
    const isLoading = isResting && plane.isLoading(instance);
    this.#isLoading[instance] = isLoading;
    // One that is being started needs what it has, whoever else wants it.
    this.#restingSinceMs[instance] = isResting && !isLoading ? (this.#restingSinceMs[instance] ?? nowMs) : null;
    if (isLoading) return Math.min(this.#options.rules.limits.maxMillicores, STARTING_MILLICORES);
    if (isResting) return restingMillicores(this.#options.rules);
    return planned === 0 ? this.each[instance]!.requestedMillicores : planned;
  }

  /** Whether some growth has no room beside what the others hold. */
  #lacks(targets: readonly number[]): boolean {
    return this.each.some((allocation, instance) => {
      const target = targets[instance]!;
      return target > allocation.requestedMillicores && target > this.#budget.roomFor(allocation);
    });
  }

  /** @returns when to try again; Infinity for never */
  #grow(nowMs: number, targets: readonly number[]): number {
    let againAtMs = Infinity;
    this.each.forEach((allocation, instance) => {
      const growth = targets[instance]! - allocation.requestedMillicores;
      const hasRoom = targets[instance]! <= this.#budget.roomFor(allocation);
      this.#lackingMillicores[instance] = hasRoom ? 0 : Math.max(0, growth);
      if (growth <= 0 || !hasRoom) return;
      if (allocation.mayResizeAtMs <= nowMs) allocation.growTo(targets[instance]!);
      else againAtMs = Math.min(againAtMs, allocation.mayResizeAtMs);
    });
    return againAtMs;
  }

  /** @returns when to try again; Infinity for never */
  #shrink(nowMs: number, targets: readonly number[], isNeeded: boolean): number {
    let againAtMs = Infinity;
    this.each.forEach((allocation, instance) => {
      const target = targets[instance]!;
      if (target >= allocation.requestedMillicores || !this.#mayShrink(allocation, target)) return;
      const sinceMs = this.#restingSinceMs[instance] ?? null;
      const mayRestAtMs = sinceMs === null || isNeeded ? nowMs : sinceMs + this.#holdMs();
      const mayShrinkAtMs = Math.max(mayRestAtMs, allocation.mayResizeAtMs);
      if (mayShrinkAtMs <= nowMs) allocation.resizeTo(target);
      else againAtMs = Math.min(againAtMs, mayShrinkAtMs);
    });
    return againAtMs;
  }

  /** A slow growth under way is not called off for a moment's need of less, and not for a little. */
  #mayShrink({ requestedMillicores, isGrowing }: InstanceAllocation, target: number): boolean {
    if (!this.#options.delay.isSlow) return true;
    return !isGrowing && target <= requestedMillicores * SHRINK_FRACTION;
  }

  #holdMs(): number {
    return RELEASE_DELAYS * this.#options.delay.typicalMs;
  }
}

function isBusy({ dueAtMs, nextFreeAtMs }: WaitingForCores): boolean {
  return dueAtMs < Infinity || nextFreeAtMs < Infinity;
}
