import type { Event } from '../../src/scheduler/domain/event.js';
import type { LatencyCurve } from '../../src/scheduler/perf-model/curve.js';
import { quantile } from '../../src/scheduler/perf-model/quantile.js';
import type { OutcomeReport } from '../../src/simulator/sim/outcome-ledger.js';

/** What a run came to, live or simulated. */
export interface Judgement {
  readonly meanCores: number;
  /** ∫ max(granted, used) dt. */
  readonly coreSeconds: number;
  readonly usedCoreSeconds: number | null;
  /** Of all that were sent. */
  readonly onTimeShare: number;
  /** Written while clients sent. */
  readonly resizes: number;
  readonly batches: number;
  readonly meanBatchSize: number;
  /** Send → answer of those that were answered. */
  readonly latencyP50Ms: number;
  readonly latencyP99Ms: number;
  /** Median over the batches: latency / what the profile says of its size and the allocations it ran on. */
  readonly toProfile: number;
}

export interface RunTotals {
  readonly durationMs: number;
  readonly coreSeconds: number;
  readonly usedCoreSeconds: number | null;
  readonly outcomes: OutcomeReport;
}

/** Follows the events of a run, and judges it. */
export class Judge {
  readonly #profile: LatencyCurve;
  readonly #predictedToProfile = new Map<number, number>();
  readonly #toProfile: number[] = [];
  #resizes = 0;
  #batched = 0;

  constructor(profile: LatencyCurve) {
    this.#profile = profile;
  }

  observe(event: Event): void {
    switch (event.kind) {
      case 'resized':
        if (event.isWritten && event.atMs >= 0) this.#resizes += 1;
        return;
      case 'batch-started': {
        const { batchId, batchSize, cpuMillicores, predictedLatencyMs } = event;
        this.#batched += batchSize;
        this.#predictedToProfile.set(batchId, predictedLatencyMs / this.#profile.latencyMs(batchSize, cpuMillicores));
        return;
      }
      case 'batch-ended':
        this.#toProfile.push(event.actualToPredicted! * this.#predictedToProfile.get(event.batchId)!);
        return;
      default:
        return;
    }
  }

  judge({ durationMs, coreSeconds, usedCoreSeconds, outcomes }: RunTotals): Judgement {
    const batches = this.#toProfile.length;
    return {
      meanCores: coreSeconds / (durationMs / 1000),
      coreSeconds,
      usedCoreSeconds,
      onTimeShare: outcomes.onTime / outcomes.sent,
      resizes: this.#resizes,
      batches,
      meanBatchSize: this.#batched / batches,
      latencyP50Ms: quantileOf(outcomes.latenciesMs, 0.5),
      latencyP99Ms: quantileOf(outcomes.latenciesMs, 0.99),
      toProfile: quantileOf(this.#toProfile, 0.5),
    };
  }
}

export function quantileOf(values: ArrayLike<number>, q: number): number {
  return quantile(Float64Array.from(values).sort(), q);
}
