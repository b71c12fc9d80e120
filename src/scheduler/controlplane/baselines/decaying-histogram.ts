/**
 * Weights of samples in buckets that widen exponentially, old samples counting less: the histogram of the Kubernetes
 * Vertical Pod Autoscaler (kubernetes/autoscaler `vertical-pod-autoscaler/pkg/recommender/util/{decaying_,}histogram.go`).
 * Bucket i begins at first·(ratioⁱ − 1)/(ratio − 1), and the last one has no end.
 *
 * Upstream lets new samples weigh more instead of old ones less, which is the same up to a constant, and takes buckets below
 * a tiny weight for empty.
 */
export interface HistogramOptions {
  readonly firstBucketSize: number;
  readonly ratio: number;
  /** The last bucket begins here or above. */
  readonly maxValue: number;
  readonly halfLifeMs: number;
}

export class DecayingHistogram {
  readonly #options: HistogramOptions;
  readonly #weights: Float64Array;
  #decayedAtMs = 0;

  constructor(options: HistogramOptions) {
    this.#options = options;
    this.#weights = new Float64Array(Math.ceil(this.#position(options.maxValue)) + 1);
  }

  /**
   * @param value ≥ 0
   * @param weight > 0
   * @param atMs no sooner than that of the sample before
   */
  add(value: number, weight: number, atMs: number): void {
    const remaining = 2 ** ((this.#decayedAtMs - atMs) / this.#options.halfLifeMs);
    this.#decayedAtMs = atMs;
    for (let bucket = 0; bucket < this.#weights.length; bucket++) this.#weights[bucket]! *= remaining;
    const bucket = Math.min(this.#weights.length - 1, Math.floor(this.#position(value)));
    this.#weights[bucket]! += weight;
  }

  /**
   * The end of the bucket in which the quantile lies (the start of the last one), 0 where there are no samples.
   * @param quantile in (0, 1]
   */
  quantile(quantile: number): number {
    const total = this.#weights.reduce((sum, weight) => sum + weight, 0);
    if (total === 0) return 0;
    let sum = 0;
    for (let bucket = 0; bucket < this.#weights.length - 1; bucket++) {
      sum += this.#weights[bucket]!;
      if (sum >= quantile * total) return this.#startOf(bucket + 1);
    }
    return this.#startOf(this.#weights.length - 1);
  }

  /** In buckets: its whole part is the index. */
  #position(value: number): number {
    const { firstBucketSize, ratio } = this.#options;
    return Math.log((value / firstBucketSize) * (ratio - 1) + 1) / Math.log(ratio);
  }

  #startOf(bucket: number): number {
    const { firstBucketSize, ratio } = this.#options;
    return (firstBucketSize * (ratio ** bucket - 1)) / (ratio - 1);
  }
}
