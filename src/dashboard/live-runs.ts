import type { ModelRecord, RunHeader } from '../scheduler/domain/event-record.js';
import { RunClock } from './run-clock.js';
import { RunState } from './run-state.js';

/*
 * The runs of the live feed: the one that is shown and the one that is heard, which are the same but while a view is held.
 * The feed begins anew after a break and when a model is added; whoever looks at a part of the run before keeps it until the
 * view goes on, and the new one is folded beside it. At most two are kept.
 */

interface LiveRun {
  readonly run: RunState;
  readonly clock: RunClock;
}

export class LiveRuns {
  #shown: LiveRun | null = null;
  #heard: LiveRun | null = null;

  get shown(): RunState | null {
    return this.#shown?.run ?? null;
  }

  /** The feed begins. @param isHeld whether what is shown is to stay @returns whether another run is shown now */
  begin(header: RunHeader, isHeld: boolean): boolean {
    this.#heard = { run: new RunState(header), clock: new RunClock() };
    return isHeld && this.#shown !== null ? false : this.catchUp();
  }

  /** @param atMs by the run's clock   @param nowMs by the page's */
  hear(atMs: number, records: readonly ModelRecord[], nowMs: number): void {
    if (this.#heard === null) return;
    this.#heard.run.apply(atMs, records);
    this.#heard.clock.hear(atMs, nowMs);
  }

  /** Shows what is heard. @returns whether that is another run */
  catchUp(): boolean {
    const isOther = this.#shown !== this.#heard;
    this.#shown = this.#heard;
    return isOther;
  }

  /** The newest instant of the shown run that may be shown. */
  shownMs(nowMs: number): number {
    if (this.#shown === null) return 0;
    return Math.max(this.#shown.run.header.startedAtMs, this.#shown.clock.read(nowMs));
  }

  clear(): void {
    this.#shown = this.#heard = null;
  }
}
