import type { BudgetMember, CoreBudget } from '../../scheduler/controlplane/core-budget.js';
import type { Scaler } from '../../scheduler/controlplane/scaler.js';
import { LOADING_FRACTION, LOADING_MILLICORES } from './starting-cores.js';

/*
 * What a spare is loaded on: cores of the node that nobody uses at the moment, as far as a model is loaded on at all. It waits for none, and
 * gives them back as soon as somebody lacks them; what is left to it then is the least quota that the kernel takes, so that it
 * is ready some time, however busy the others are.
 *
 * Unlike somebody who waits in line for cores, it claims nothing: plans are made as if it did not exist.
 */

/** How soon it sees cores that came free. A model is loaded in a second or more. */
const LOOK_EVERY_MS = 20;

export class SpareCores implements BudgetMember {
  readonly nextFreeAtMs = Infinity;
  readonly lastBusyAtMs = -Infinity;
  readonly restingMillicores = 0;
  readonly startingMillicores = 0;
  readonly holders = [this];
  readonly claim = { neededMillicores: 0, wantedMillicores: 0, dueAtMs: Infinity } as const;
  #heldMillicores = 0;
  readonly #budget: CoreBudget;
  readonly #scaler: Scaler;
  readonly #timer: NodeJS.Timeout;

  /**
   * Joins the budget.
   * @param scaler of its group, which is at rest
   */
  constructor(budget: CoreBudget, scaler: Scaler) {
    this.#budget = budget;
    this.#scaler = scaler;
    budget.join(this, 0);
    this.#timer = setInterval(() => this.retry(), LOOK_EVERY_MS).unref();
    this.retry();
  }

  get heldMillicores(): number {
    return this.#heldMillicores;
  }

  release(): void {
    if (this.#heldMillicores > 0) this.#shrink();
  }

  retry(): void {
    const { minMillicores, stepMillicores } = this.#scaler.limits;
    const most = Math.min(LOADING_MILLICORES, LOADING_FRACTION * this.#budget.totalMillicores);
    const room = Math.min(most, this.#budget.roomFor(this));
    const cpuMillicores = Math.floor(room / stepMillicores) * stepMillicores;
    if (cpuMillicores < minMillicores || cpuMillicores <= this.#heldMillicores) return;
    this.#heldMillicores = cpuMillicores;
    this.#budget.assertKept();
    this.#scaler.resize(cpuMillicores, () => undefined);
  }

  /** It has loaded, or is given up. */
  leave(): void {
    clearInterval(this.#timer);
    this.#shrink();
    this.#budget.leave(this);
  }

  #shrink(): void {
    this.#scaler.resize(this.#scaler.idleMillicores, () => {
      this.#heldMillicores = 0;
      this.#budget.offer(this);
    });
  }
}
