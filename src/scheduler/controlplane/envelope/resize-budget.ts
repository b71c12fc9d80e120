/*
 * How often a limit may be changed that others carry out: so many at once, and so many a second in the long run. Each change of a pod's
 * limit is an object written by the API server and two by the kubelet, told to everyone who watches pods; a hundred pods that each did it
 * ten times a second would be all that a cluster does.
 */

export interface ResizeRate {
  readonly perSec: number;
  /** That may be spent at once after a pause. */
  readonly burst: number;
}

export class ResizeBudget {
  readonly #rate: ResizeRate;
  #left: number;
  #atMs: number;

  constructor(nowMs: number, rate: ResizeRate) {
    this.#rate = rate;
    this.#left = rate.burst;
    this.#atMs = nowMs;
  }

  /** When so many are there; now where they are. */
  readyAtMs(nowMs: number, count: number): number {
    this.#refill(nowMs);
    const missing = count - this.#left;
    return missing <= 0 ? nowMs : nowMs + (1000 * missing) / this.#rate.perSec;
  }

  spend(nowMs: number): void {
    this.#refill(nowMs);
    this.#left = Math.max(0, this.#left - 1);
  }

  #refill(nowMs: number): void {
    const { perSec, burst } = this.#rate;
    this.#left = Math.min(burst, this.#left + (perSec * (nowMs - this.#atMs)) / 1000);
    this.#atMs = nowMs;
    // A third of a nanosecond short of a whole one is a whole one: `readyAtMs` would return now + ε for ever.
    if (Math.abs(this.#left - Math.round(this.#left)) < 1e-9) this.#left = Math.round(this.#left);
  }
}
