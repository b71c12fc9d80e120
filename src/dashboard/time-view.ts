import type { TimeRange } from './binning.js';

/*
 * Which part of the run is looked at. A live view follows the newest instant until it is held, by a pause or by zooming into
 * a part of it; the view of a log is always held, and at first is the whole run. Holding changes only what is shown: records
 * keep being folded.
 */

/** A narrower zoom would show single events, which charts of bins do not. */
const LEAST_ZOOM_MS = 50;

export class TimeView {
  readonly isLog: boolean;
  #windowMs: number;
  #held: TimeRange | null;
  /** What a zoom out goes back to. */
  #whole: TimeRange | null;

  /** @param whole of a log, all of it; null when live */
  constructor(windowMs: number, whole: TimeRange | null) {
    this.isLog = whole !== null;
    this.#windowMs = windowMs;
    this.#whole = whole;
    this.#held = whole;
  }

  get windowMs(): number {
    return this.#windowMs;
  }

  get isHeld(): boolean {
    return this.#held !== null;
  }

  /** Something narrower than the whole log or the held window. */
  get isZoomed(): boolean {
    return this.#held !== this.#whole;
  }

  /** @param nowMs the newest instant to show while following */
  range(nowMs: number): TimeRange {
    return this.#held ?? { fromMs: nowMs - this.#windowMs, toMs: nowMs };
  }

  /** Stops or goes on following; a log has nothing to follow. */
  togglePause(nowMs: number): void {
    if (this.isLog) return;
    this.#whole = this.#held === null ? this.range(nowMs) : null;
    this.#held = this.#whole;
  }

  /** Another width: with the same end while live, about the same centre in a log. */
  setWindow(windowMs: number): void {
    this.#windowMs = windowMs;
    if (this.#held === null || this.#whole === null) return;
    if (this.isLog) {
      const { fromMs, toMs } = this.#whole;
      const centreMs = (this.#held.fromMs + this.#held.toMs) / 2;
      const startMs = Math.max(fromMs, Math.min(centreMs - windowMs / 2, toMs - windowMs));
      this.#held = { fromMs: startMs, toMs: Math.min(toMs, startMs + windowMs) };
    } else {
      this.#whole = { fromMs: this.#whole.toMs - windowMs, toMs: this.#whole.toMs };
      this.#held = this.#whole;
    }
  }

  /** Into a part of what is shown; a live view is paused by it. */
  zoom(range: TimeRange, nowMs: number): void {
    if (range.toMs - range.fromMs < LEAST_ZOOM_MS) return;
    this.#whole ??= this.range(nowMs);
    this.#held = range;
  }

  /** Back to the whole log or to the window as it was paused. */
  zoomOut(): void {
    this.#held = this.#whole;
  }
}
