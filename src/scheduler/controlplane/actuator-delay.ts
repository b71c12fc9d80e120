import { SlidingWindow } from '../perf-model/sliding-window.js';

/*
 * How long resizes really take, and so which of two regimes planning is in: an allocation for each batch, or one that is held.
 * The median of the last nine: begun with what the scaler expects, overruled by five that say otherwise, moved by no outlier.
 */

const WINDOW = 9;
/** A batch waits this long for the CPU that it was planned with. */
const AWAITED_MS = 5;
/** The regime changes back only where resizes are clearly quick again. */
const QUICK_AGAIN_MS = 3;

export class ActuatorDelay {
  readonly #tookMs: SlidingWindow;
  #isSlow: boolean;

  constructor(expectedMs: number) {
    this.#tookMs = new SlidingWindow(WINDOW, new Array<number>(WINDOW).fill(expectedMs));
    this.#isSlow = expectedMs > AWAITED_MS;
  }

  /** Decision → read back. */
  get typicalMs(): number {
    return this.#tookMs.median();
  }

  /** Resizes take longer than a batch can wait for one. */
  get isSlow(): boolean {
    return this.#isSlow;
  }

  observe(tookMs: number): void {
    this.#tookMs.push(tookMs);
    this.#isSlow = this.typicalMs > (this.#isSlow ? QUICK_AGAIN_MS : AWAITED_MS);
  }
}
