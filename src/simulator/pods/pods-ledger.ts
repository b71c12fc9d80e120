import type { SimulatedPod } from './pod.js';

/** `lost`: with a pod, and nobody else took it in time. */
export type PodsEnd = 'on-time' | 'late' | 'refused-by-front' | 'refused-by-pod' | 'lost';

export interface PodsResult {
  readonly sent: number;
  readonly ends: Readonly<Record<PodsEnd, number>>;
  /** By budget: sent, and answered in time. */
  readonly sentByBudget: readonly number[];
  readonly onTimeByBudget: readonly number[];
  readonly retries: number;
  readonly coreSeconds: number;
  readonly meanBatchSize: number;
  /** Of all batches, the least that one took of what it was believed to. */
  readonly leastFactor: number;
  /** Of what happened to every request, when: two runs that agree in it agree. */
  readonly digest: string;
}

export function violationRate({ sent, ends }: PodsResult): number {
  return sent === 0 ? 0 : 1 - ends['on-time'] / sent;
}

const END_CODES: Readonly<Record<PodsEnd, number>> = {
  'on-time': 1,
  late: 2,
  'refused-by-front': 3,
  'refused-by-pod': 4,
  lost: 5,
};

export class PodsLedger {
  readonly #ends: Record<PodsEnd, number> = {
    'on-time': 0,
    late: 0,
    'refused-by-front': 0,
    'refused-by-pod': 0,
    lost: 0,
  };
  readonly #sentByBudget: number[];
  readonly #onTimeByBudget: number[];
  #sent = 0;
  #ended = 0;
  #retries = 0;
  #leastFactor = Infinity;
  readonly #digest = new Float64Array(1);
  readonly #digestBits = new Uint32Array(this.#digest.buffer);
  #hash = 0x811c9dc5;

  constructor(budgetCount: number) {
    this.#sentByBudget = new Array<number>(budgetCount).fill(0);
    this.#onTimeByBudget = new Array<number>(budgetCount).fill(0);
  }

  sent(budgetIndex: number): void {
    this.#sent += 1;
    this.#sentByBudget[budgetIndex]! += 1;
  }

  retried(): void {
    this.#retries += 1;
  }

  /** A batch takes so much of what it is believed to. */
  ran(factor: number): void {
    if (factor < this.#leastFactor) this.#leastFactor = factor;
  }

  ended(sequence: number, budgetIndex: number, end: PodsEnd, atMs: number): void {
    this.#ended += 1;
    this.#ends[end] += 1;
    if (end === 'on-time') this.#onTimeByBudget[budgetIndex]! += 1;
    this.#digest[0] = atMs;
    for (const each of [sequence, END_CODES[end], this.#digestBits[0]!, this.#digestBits[1]!])
      this.#hash = Math.imul(this.#hash ^ each, 0x01000193) ^ (this.#hash >>> 15);
  }

  /** @throws Error where a request has no outcome, or more than one: a simulation that is wrong says nothing */
  result(pods: readonly SimulatedPod[]): PodsResult {
    if (this.#ended !== this.#sent) throw new Error(`${this.#sent} requests were sent and ${this.#ended} ended`);
    const sumOf = (of: (pod: SimulatedPod) => number): number => pods.reduce((sum, pod) => sum + of(pod), 0);
    return {
      sent: this.#sent,
      ends: this.#ends,
      sentByBudget: this.#sentByBudget,
      onTimeByBudget: this.#onTimeByBudget,
      retries: this.#retries,
      coreSeconds: sumOf(({ usedCoreSeconds }) => usedCoreSeconds),
      meanBatchSize:
        sumOf(({ batchedRequests }) => batchedRequests) /
        Math.max(
          1,
          sumOf(({ batches }) => batches),
        ),
      leastFactor: this.#leastFactor,
      digest: (this.#hash >>> 0).toString(16).padStart(8, '0'),
    };
  }
}
