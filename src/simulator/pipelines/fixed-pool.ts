import { HeldCores } from '../sim/held-cores.js';
import type { AllocationReport } from '../sim/allocation-ledger.js';

/*
 * Cores for instances of fixed size, of all steps: whoever has something to run takes what is free, and whose head has waited longest goes
 * first. That is more than servers of such kind have, whose instances are divided among models beforehand; it takes from what ours is compared
 * with the chance to be divided badly.
 *
 * What is charged is what runs, and the floor of each model while it does not: what is idle costs them no more than it does us.
 */

export interface PoolMember {
  /** Since when its first waits that could run now; Infinity: there is none. */
  readyHeadAtMs(nowMs: number): number;
  /** Takes `cores` of the pool. */
  startNext(nowMs: number): void;
  readonly cores: number;
}

export class FixedPool {
  readonly #budgetCores: number;
  readonly #idleMillicores: number;
  readonly #members: PoolMember[] = [];
  readonly #held = new HeldCores(0);
  #busyCores = 0;
  readonly #runningByMember = new Map<PoolMember, number>();

  /** @param idleMillicores of each model that runs nothing */
  constructor(budgetCores: number, idleMillicores: number) {
    this.#budgetCores = budgetCores;
    this.#idleMillicores = idleMillicores;
  }

  join(member: PoolMember): void {
    this.#members.push(member);
    this.#runningByMember.set(member, 0);
  }

  /** Starts what can start. */
  serve(nowMs: number): void {
    for (;;) {
      const room = this.#budgetCores - this.#busyCores + 1e-9;
      let next: PoolMember | null = null;
      let earliestAtMs = Infinity;
      for (const member of this.#members) {
        if (member.cores > room) continue;
        const headAtMs = member.readyHeadAtMs(nowMs);
        if (headAtMs < earliestAtMs) [next, earliestAtMs] = [member, headAtMs];
      }
      if (next === null) return;
      this.#change(next, nowMs, 1);
      next.startNext(nowMs);
    }
  }

  ended(member: PoolMember, nowMs: number): void {
    this.#change(member, nowMs, -1);
  }

  report(endAtMs: number): AllocationReport {
    this.#held.accrue(endAtMs, this.#chargedMillicores);
    const heldMs = this.#held.heldMs();
    const coreSeconds = heldMs.reduce((sum, [millicores, durationMs]) => sum + (millicores * durationMs) / 1e6, 0);
    return {
      coreSeconds,
      grantedCoreSeconds: coreSeconds,
      heldMs,
      coresBySecond: this.#held.coresBySecond(),
      resizes: 0,
    };
  }

  get #chargedMillicores(): number {
    const resting = [...this.#runningByMember.values()].filter((running) => running === 0).length;
    return Math.round(1000 * this.#busyCores) + resting * this.#idleMillicores;
  }

  #change(member: PoolMember, nowMs: number, by: 1 | -1): void {
    this.#held.accrue(nowMs, this.#chargedMillicores);
    this.#busyCores += by * member.cores;
    this.#runningByMember.set(member, this.#runningByMember.get(member)! + by);
  }
}
