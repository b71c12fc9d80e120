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
  /** What these may have in a backlog before others that share the budget get more. */
  readonly floorMillicores: number;
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
  /** By instance: growth that there is no room for yet. */
  readonly #lackingMillicores: number[];
  #waiting = WAITING_FOR_NOTHING;
  #timer: Timer | null = null;

  constructor(each: readonly InstanceAllocation[], options: OwnAllocationsOptions) {
    this.each = each;
    this.#budget = options.budget;
    this.#options = options;
    this.#restingSinceMs = each.map(() => null);
    this.#lackingMillicores = each.map(() => 0);
    this.#budget.join(this, options.floorMillicores);
  }

  follow(nowMs: number, wanted: Wanted): void {
    this.stop();
    const targets = this.each.map((_, instance) => this.#target(nowMs, instance, wanted));
    const isNeeded = this.#lacks(targets) || this.#budget.isWantedBeside(this);
    this.#shrink(nowMs, targets, isNeeded);
    this.each.forEach((allocation, instance) => {
      const growth = targets[instance]! - allocation.requestedMillicores;
      const hasRoom = targets[instance]! <= this.#budget.roomFor(allocation);
      this.#lackingMillicores[instance] = hasRoom ? 0 : Math.max(0, growth);
      if (growth > 0 && hasRoom) allocation.growTo(targets[instance]!);
    });
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
  waitFor(waiting: WaitingForCores): void {
    this.#waiting = waiting;
    this.#lackingMillicores.fill(0);
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

  release(): void {
    const resting = restingMillicores(this.#options.rules);
    this.each.forEach((allocation, instance) => {
      const isResting = this.#restingSinceMs[instance] !== null;
      if (isResting && resting < allocation.requestedMillicores && this.#mayShrink(allocation, resting))
        allocation.resizeTo(resting);
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
    this.#restingSinceMs[instance] = isResting ? (this.#restingSinceMs[instance] ?? nowMs) : null;
    if (isResting && plane.isAway(instance))
      return Math.min(this.#options.rules.limits.maxMillicores, STARTING_MILLICORES);
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

  #shrink(nowMs: number, targets: readonly number[], isNeeded: boolean): void {
    let againAtMs = Infinity;
    this.each.forEach((allocation, instance) => {
      const target = targets[instance]!;
      if (target >= allocation.requestedMillicores || !this.#mayShrink(allocation, target)) return;
      const sinceMs = this.#restingSinceMs[instance] ?? null;
      const mayRestAtMs = sinceMs === null || isNeeded ? nowMs : sinceMs + this.#holdMs();
      if (mayRestAtMs <= nowMs) allocation.resizeTo(target);
      else againAtMs = Math.min(againAtMs, mayRestAtMs);
    });
    if (againAtMs < Infinity) this.#timer = this.#options.clock.schedule(againAtMs, this.#options.again);
  }

  /** A slow growth under way is not called off for a moment's need of less, and not for a little. */
  #mayShrink({ requestedMillicores, grantedMillicores }: InstanceAllocation, target: number): boolean {
    if (!this.#options.delay.isSlow) return true;
    return requestedMillicores <= grantedMillicores && target <= requestedMillicores * SHRINK_FRACTION;
  }

  #holdMs(): number {
    return RELEASE_DELAYS * this.#options.delay.typicalMs;
  }
}
