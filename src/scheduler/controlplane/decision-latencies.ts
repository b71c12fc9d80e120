import type { LatencyModel } from '../domain/latency.js';
import { requestsPerBatch } from '../domain/request.js';
import type { BatchQuestion } from './pricing.js';

/** Standard deviations of the logarithm between the typical and the planned latency. */
export const PLANNED_DEVIATIONS = 2.33;

/** Clients choose shapes, and no batch may end for long. A window has no more classes; 1 KB for each allocation looked at. */
const MOST_KNOWN = 256;

/**
 * The latencies that one decision looks at. A model stands still while a decision is made, and a decision asks for the same few of
 * them thousands of times: each is asked of the model once.
 */
export class DecisionLatencies {
  readonly #models: readonly LatencyModel[];
  /** By class index. */
  readonly limits: readonly number[];
  readonly #of: AskLatencies;
  readonly #known = new Map<number, readonly AllocationLatencies[]>();

  constructor(
    { models, maxBatchSize, rowCounts }: Pick<BatchQuestion, 'models' | 'maxBatchSize' | 'rowCounts'>,
    of: AskLatencies = (model, cpuMillicores, limit) => new AllocationLatencies(model, cpuMillicores, limit),
  ) {
    this.#models = models;
    this.#of = of;
    this.limits = models.map((_, classIndex) => requestsPerBatch(maxBatchSize, rowCounts?.[classIndex]));
  }

  /** By class index. */
  on(cpuMillicores: number): readonly AllocationLatencies[] {
    let known = this.#known.get(cpuMillicores);
    if (known === undefined) {
      known = this.#models.map((model, index) => this.#of(model, cpuMillicores, this.limits[index]!));
      this.#known.set(cpuMillicores, known);
    }
    return known;
  }
}

/** @param limit the most requests of a batch */
type AskLatencies = (model: LatencyModel, cpuMillicores: number, limit: number) => AllocationLatencies;

/**
 * What models have said since any of them changed, which is when a batch ends: between two ends many requests arrive, and each asks
 * the same again.
 */
export class KnownLatencies {
  #revision: number | undefined;
  readonly #known = new Map<LatencyModel, Map<number, AllocationLatencies>>();

  /** @param revision of all models; undefined where they do not tell when they change */
  standAt(revision: number | undefined): void {
    const isSame = revision !== undefined && revision === this.#revision;
    if (isSame && this.#known.size <= MOST_KNOWN) return;
    this.#revision = revision;
    this.#known.clear();
  }

  readonly of: AskLatencies = (model, cpuMillicores, limit) => {
    let ofModel = this.#known.get(model);
    if (ofModel === undefined) this.#known.set(model, (ofModel = new Map<number, AllocationLatencies>()));
    let latencies = ofModel.get(cpuMillicores);
    if (latencies?.limit !== limit) {
      latencies = new AllocationLatencies(model, cpuMillicores, limit);
      ofModel.set(cpuMillicores, latencies);
    }
    return latencies;
  };
}

/** Of one class on one allocation, by batch size, up to the most that may share one. */
export class AllocationLatencies {
  readonly #model: LatencyModel;
  readonly #cpuMillicores: number;
  readonly limit: number;
  readonly #slowdown: number;
  /** NaN where nobody asked yet. */
  readonly #predictedMs: Float64Array;
  #plannedMs: Float64Array | null = null;
  #cautious: CautiousLatencies | null = null;
  #bestSize = 0;
  #leastMsEach: Float64Array | null = null;

  /** @param slowdown by what is busy beside a batch */
  constructor(model: LatencyModel, cpuMillicores: number, limit: number, slowdown = 1) {
    this.#model = model;
    this.#cpuMillicores = cpuMillicores;
    this.limit = limit;
    this.#slowdown = slowdown;
    this.#predictedMs = new Float64Array(limit + 1).fill(Number.NaN);
  }

  predictedMs(batchSize: number): number {
    let latencyMs = this.#predictedMs[batchSize]!;
    if (Number.isNaN(latencyMs)) {
      latencyMs = this.#slowdown * this.#model.predictedLatencyMs(batchSize, this.#cpuMillicores);
      this.#predictedMs[batchSize] = latencyMs;
    }
    return latencyMs;
  }

  plannedMs(batchSize: number): number {
    this.#plannedMs ??= new Float64Array(this.limit + 1).fill(Number.NaN);
    let latencyMs = this.#plannedMs[batchSize]!;
    if (Number.isNaN(latencyMs)) {
      latencyMs = this.#slowdown * this.#model.plannedLatencyMs(batchSize, this.#cpuMillicores);
      this.#plannedMs[batchSize] = latencyMs;
    }
    return latencyMs;
  }

  /** So many standard deviations above the typical latency. */
  cautious(deviations: number): CautiousLatencies {
    if (this.#cautious?.deviations !== deviations) this.#cautious = new CautiousLatencies(this, deviations);
    return this.#cautious;
  }

  /** Requests of the batch that does most. */
  get bestSize(): number {
    if (this.#bestSize > 0) return this.#bestSize;
    let [best, bestRatePerMs] = [1, 0];
    for (let size = 1; size <= this.limit; size++) {
      const ratePerMs = size / this.predictedMs(size);
      if (ratePerMs > bestRatePerMs * (1 + 1e-9)) [best, bestRatePerMs] = [size, ratePerMs];
    }
    this.#bestSize = best;
    return best;
  }

  /** Of a request, in batches of up to so many. */
  leastMsEach(sizeLimit: number): number {
    if (this.#leastMsEach === null) {
      this.#leastMsEach = new Float64Array(this.limit + 1).fill(Infinity);
      for (let size = 1; size <= this.limit; size++) {
        this.#leastMsEach[size] = Math.min(this.#leastMsEach[size - 1]!, this.predictedMs(size) / size);
      }
    }
    return this.#leastMsEach[Math.min(sizeLimit, this.limit)]!;
  }

  /** Requests per ms in batches of up to so many. */
  bestRate(sizeLimit: number): number {
    let best = 0;
    for (let size = 1; size <= sizeLimit; size++) best = Math.max(best, size / this.predictedMs(size));
    return best;
  }
}

/** Latencies that leave some room for what cannot be foreseen, by batch size: between the typical and the planned ones, so more for more requests. */
export class CautiousLatencies {
  readonly deviations: number;
  readonly #ms: Float64Array;

  constructor(latencies: AllocationLatencies, deviations: number) {
    this.deviations = deviations;
    this.#ms = new Float64Array(latencies.limit + 1);
    for (let size = 1; size <= latencies.limit; size++) {
      const typicalMs = latencies.predictedMs(size);
      this.#ms[size] = typicalMs * (latencies.plannedMs(size) / typicalMs) ** (deviations / PLANNED_DEVIATIONS);
    }
  }

  /** The most requests, of up to so many, whose batch takes no longer than that; 0 where not even one alone does. */
  mostWithin(leftMs: number, sizeLimit: number): number {
    const ms = this.#ms;
    if (ms[sizeLimit]! <= leftMs) return sizeLimit;
    // In an overload many are too late even for that.
    if (ms[1]! > leftMs) return 0;
    let [fits, tooMany] = [1, sizeLimit];
    while (tooMany - fits > 1) {
      const size = (fits + tooMany) >> 1;
      if (ms[size]! <= leftMs) fits = size;
      else tooMany = size;
    }
    return fits;
  }
}
