/*
 * What was asked of a model since it was loaded, and what became of it: counts, and a sample of budgets, of refused requests too. For those who
 * decide how many servers there are; nothing here plans by it.
 */
import { MOST_TOLD_BUDGETS, type LatencyGrid, type ModelDemandReport } from '../domain/demand-report.js';
import type { Event } from '../domain/event.js';
import type { LatencyModel } from '../domain/latency.js';
import type { Outcome } from '../domain/outcome.js';
import { BudgetSample } from './budget-sample.js';

/** Half as much again each: between them the formula's terms are met exactly, and a table's to a few percent. */
const TOLD_MILLICORES = [
  100, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 12_000, 16_000, 24_000, 32_000,
];
const TOLD_SIZES = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];

export class DemandRecord {
  readonly #budgets = new BudgetSample();
  #arrived = 0;
  #ended = 0;
  #missed = 0;

  observe(event: Event): void {
    if (event.kind === 'request-received') {
      this.#arrived += 1;
      this.#budgets.observe(event.request.dueAtMs - event.request.receivedAtMs);
    } else if (event.kind === 'request-finished') this.#count(event.outcome);
  }

  /** @param maxRequests of a batch */
  report(latency: LatencyModel, maxRequests: number, instances: number, heldRequests: number): ModelDemandReport {
    return {
      ...{ arrived: this.#arrived, ended: this.#ended, missed: this.#missed, heldRequests, instances },
      budgetsMs: this.#toldBudgets(),
      latency: gridOf(latency, maxRequests),
    };
  }

  #toldBudgets(): readonly number[] {
    if (this.#arrived === 0) return [];
    return Array.from({ length: MOST_TOLD_BUDGETS }, (_, index) =>
      toUs(this.#budgets.quantileMs(index / MOST_TOLD_BUDGETS)),
    );
  }

  #count(outcome: Outcome): void {
    switch (outcome.kind) {
      case 'completed':
        this.#ended += 1;
        if (outcome.isLate) this.#missed += 1;
        return;
      case 'rejected-overload':
      case 'expired':
        this.#ended += 1;
        this.#missed += 1;
        return;
      // Not for want of pods or cores: no allocation meets it, its client left, or the model failed.
      case 'rejected-infeasible':
      case 'cancelled':
      case 'failed':
    }
  }
}

function gridOf(latency: LatencyModel, maxRequests: number): LatencyGrid {
  const batchSizes = [...TOLD_SIZES.filter((size) => size < maxRequests), maxRequests];
  const plannedMs = batchSizes.map((size) => TOLD_MILLICORES.map((each) => toUs(latency.plannedLatencyMs(size, each))));
  return { batchSizes, millicores: TOLD_MILLICORES, plannedMs };
}

/** To microseconds. */
function toUs(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
