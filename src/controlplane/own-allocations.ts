/*
 * An allocation for each instance, out of one budget of cores.
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
import type { CoreBudget } from './core-budget.js';
import { SHRINK_FRACTION, type InstanceAllocation } from './instance-allocation.js';

/** A process that is started loads its model on this: more would speed little up, and on an idle floor it would take for ever. */
const STARTING_MILLICORES = 1000;

export class OwnAllocations implements Allocations {
  readonly each: readonly InstanceAllocation[];
  readonly #budget: CoreBudget;
  readonly #options: AllocationsOptions;
  /** By instance; null while it is not to rest. */
  readonly #restingSinceMs: (number | null)[];
  #timer: Timer | null = null;

  constructor(each: readonly InstanceAllocation[], budget: CoreBudget, options: AllocationsOptions) {
    this.each = each;
    this.#budget = budget;
    this.#options = options;
    this.#restingSinceMs = each.map(() => null);
    for (const allocation of each) budget.join(allocation);
  }

  follow(nowMs: number, wanted: Wanted): void {
    this.stop();
    const targets = this.each.map((_, instance) => this.#target(nowMs, instance, wanted));
    this.#shrink(nowMs, targets, this.#lacks(targets));
    this.each.forEach((allocation, instance) => {
      const target = targets[instance]!;
      if (target > allocation.requestedMillicores && target <= this.#budget.roomFor(allocation))
        allocation.growTo(target);
    });
    this.#budget.assertKept();
  }

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
