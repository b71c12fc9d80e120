import type { AllocationLimits } from '../domain/plan.js';
import type { Scaler } from './scaler.js';

/*
 * Allocations that can be had now, or after a resize: fewer than there are while whoever carries resizes out has no room for more. Plans,
 * refusals and what is given up follow it, so that nobody is promised what will not come.
 */

export class ReachableLimits {
  readonly #all: AllocationLimits;
  readonly #scaler: Scaler;
  /** The same object as long as it says the same: planners keep what they made of it. */
  #latest: AllocationLimits;

  /** @param scaler one of those that share what can be had */
  constructor(all: AllocationLimits, scaler: Scaler) {
    this.#all = all;
    this.#scaler = scaler;
    this.#latest = all;
  }

  get limits(): AllocationLimits {
    const { minMillicores, maxMillicores, stepMillicores } = this.#all;
    const reachable = this.#scaler.reachableMillicores ?? maxMillicores;
    if (reachable >= maxMillicores) this.#latest = this.#all;
    else {
      const steps = Math.max(0, Math.floor((reachable - minMillicores) / stepMillicores));
      const most = minMillicores + steps * stepMillicores;
      if (this.#latest.maxMillicores !== most) this.#latest = { ...this.#all, maxMillicores: most };
    }
    return this.#latest;
  }

  /** What all that share it cannot have together of what they could. */
  get missingMillicores(): number {
    return this.#all.maxMillicores - this.limits.maxMillicores;
  }
}
