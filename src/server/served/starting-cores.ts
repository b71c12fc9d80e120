import type { BudgetMember, CoreBudget } from '../../scheduler/controlplane/core-budget.js';
import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import type { Node } from '../../scheduler/node.js';

/*
 * What a model holds of its node's cores while it is loaded and profiled: it has no plans of its own yet, and others may be served
 * already. It waits for what it needs like somebody whose request is due soon, and then before all of them: beside a server in overload,
 * where somebody is always below its floor, it would wait for ever. A profile is a few dozen steps on all cores, so what it waits for is
 * a matter of what it takes: beside others it has a fifth of the time, however many steps it is made of.
 */

/** After which whoever waits comes before all others, at the latest. */
const MOST_PATIENCE_MS = 1000;
/** However short a step was: batches that others have planned are not pushed out of its way. */
const LEAST_PATIENCE_MS = 20;
/** That it is to wait for each ms that it had cores to work on. */
const PATIENCE_PER_MS = 4;

/** On this a model is loaded beside others: making sessions is mostly one thread's work. */
export const LOADING_MILLICORES = 1000;
/** Two can be loaded at a time. */
export const LOADING_FRACTION = 0.5;

export interface StartingCoresOptions {
  readonly node: Node;
  /** Whether the node is, or will be, that of other models too. */
  readonly isShared: boolean;
  /** What each of its instances holds while it does nothing. */
  readonly idleMillicores: number;
  readonly instances: number;
  readonly nowMs: () => number;
}

interface Waiting {
  readonly cpuMillicores: number;
  readonly sinceMs: number;
  readonly dueAtMs: number;
  readonly fulfil: (cpuMillicores: number) => void;
}

export class StartingCores implements BudgetMember {
  readonly nextFreeAtMs = Infinity;
  readonly lastBusyAtMs = -Infinity;
  readonly restingMillicores: number;
  readonly holders = [this];
  /** Floors of the instances that are still to come: held from the start. */
  readonly #reservedMillicores: number;
  /** A model that is served lacks cores. */
  onWanted: () => void = () => undefined;
  readonly #isShared: boolean;
  readonly #budget: CoreBudget;
  readonly #nowMs: () => number;
  #heldMillicores = 0;
  /** That it is to wait, before it comes first, for what it has worked until `#settledAtMs`. */
  #owedMs = MOST_PATIENCE_MS;
  #settledAtMs: number;
  #waiting: Waiting | null = null;

  constructor({ node, isShared, idleMillicores, instances, nowMs }: StartingCoresOptions) {
    this.restingMillicores = instances * idleMillicores;
    this.#reservedMillicores = (instances - 1) * idleMillicores;
    this.#isShared = isShared;
    this.#budget = node.budget;
    this.#nowMs = nowMs;
    this.#settledAtMs = nowMs();
    this.#budget.join(this, 0);
  }

  /** To load the model on; one of the allocations within the limits. */
  loadingMillicores({ minMillicores, maxMillicores, stepMillicores }: AllocationLimits): number {
    if (!this.#isShared) return this.mostMillicores;
    const most = Math.min(LOADING_MILLICORES, LOADING_FRACTION * maxMillicores);
    return Math.max(minMillicores, Math.floor(most / stepMillicores) * stepMillicores);
  }

  /** The most that one instance can get: what others rest on is theirs. */
  get mostMillicores(): number {
    const { totalMillicores, restingMillicores } = this.#budget;
    return totalMillicores - restingMillicores + this.restingMillicores - this.#reservedMillicores;
  }

  /** The most that all of its instances can get together. */
  get mostTogetherMillicores(): number {
    return this.mostMillicores + this.#reservedMillicores;
  }

  /** Resolves when so much, or the most there can be, is held for all instances together: `keep` goes back to the first alone. */
  async acquireTogether(cpuMillicores: number): Promise<void> {
    await this.acquire(Math.max(0, cpuMillicores - this.#reservedMillicores));
  }

  /**
   * Resolves when so much is held for the first instance; one call at a time.
   * @returns the same, or the most there can be
   */
  acquire(cpuMillicores: number): Promise<number> {
    return new Promise((fulfil) => {
      const nowMs = this.#nowMs();
      this.#settle(nowMs);
      const dueAtMs = nowMs + Math.max(LEAST_PATIENCE_MS, this.#owedMs);
      this.#waiting = { cpuMillicores, sinceMs: nowMs, dueAtMs, fulfil };
      this.retry();
      if (this.claim.wantedMillicores === 0) return;
      this.#budget.reclaim(this);
      this.retry();
    });
  }

  #settle(nowMs: number): void {
    const workedMs = this.#heldMillicores > this.#reservedMillicores ? nowMs - this.#settledAtMs : 0;
    this.#owedMs = Math.min(MOST_PATIENCE_MS, this.#owedMs + PATIENCE_PER_MS * workedMs);
    this.#settledAtMs = nowMs;
  }

  /** Of what was acquired, so much is in force. */
  keep(cpuMillicores: number): void {
    this.#heldMillicores = cpuMillicores + this.#reservedMillicores;
    this.#budget.assertKept();
    this.#budget.offer(this);
  }

  /** The model has plans from now on, or is given up. */
  leave(): void {
    this.#waiting = null;
    this.#budget.leave(this);
  }

  // ---- for the budget ----------------------------------------------------------------------------------------------

  get heldMillicores(): number {
    return this.#heldMillicores;
  }

  get startingMillicores(): number {
    return this.#heldMillicores;
  }

  get claim(): BudgetMember['claim'] {
    const neededMillicores = this.#heldMillicores;
    if (this.#waiting === null) return { neededMillicores, wantedMillicores: 0, dueAtMs: Infinity };
    const totalMillicores = this.#wantedInAll(this.#waiting);
    const { dueAtMs } = this.#waiting;
    // Nobody is to make way while what is lacking is held by who makes none: another one that is started.
    const canBeHad = totalMillicores <= this.#budget.totalMillicores - this.#budget.startingBesideMillicores(this);
    const isOverdueStart = canBeHad && this.#nowMs() >= dueAtMs;
    return {
      neededMillicores,
      wantedMillicores: Math.max(0, totalMillicores - neededMillicores),
      dueAtMs,
      isOverdueStart,
    };
  }

  release(claimant: BudgetMember): void {
    if (!(claimant instanceof StartingCores)) this.onWanted();
  }

  retry(): void {
    if (this.#waiting === null) return;
    const { sinceMs, fulfil } = this.#waiting;
    const wanted = this.#wantedInAll(this.#waiting);
    if (wanted > this.#heldMillicores && wanted > this.#budget.roomFor(this)) return;
    this.#waiting = null;
    this.#heldMillicores = Math.max(this.#heldMillicores, wanted);
    this.#settledAtMs = this.#nowMs();
    this.#owedMs = Math.max(0, this.#owedMs - (this.#settledAtMs - sinceMs));
    fulfil(wanted - this.#reservedMillicores);
  }

  /** Of all its instances; no more than there can be. */
  #wantedInAll({ cpuMillicores }: Waiting): number {
    return Math.min(cpuMillicores, this.mostMillicores) + this.#reservedMillicores;
  }
}
