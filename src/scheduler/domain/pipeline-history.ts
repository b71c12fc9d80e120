import type { RunPipeline, RunStep, StepsCounted } from './event-record.js';
import { summaryBetween, type PipelineSummary } from './pipeline-summary.js';
import type { PipelineCounts } from './step-counts.js';

/*
 * What was counted at the steps of one pipeline, a few times a second: for any range the difference between what was known at its ends. Of
 * bounded size.
 */

interface CountNote {
  readonly atMs: number;
  readonly counts: PipelineCounts;
}

export class PipelineHistory {
  readonly steps: readonly RunStep[];
  readonly #capacity: number;
  /** In order; the first is from before the run, or the oldest that is kept. */
  readonly #notes: CountNote[];

  /** @param capacity at least so many are kept, and at most twice as many */
  constructor({ steps, counts }: RunPipeline, capacity: number) {
    this.steps = steps;
    this.#capacity = capacity;
    this.#notes = [{ atMs: -Infinity, counts }];
  }

  /** @throws Error where it is of another pipeline */
  apply({ atMs, door, steps }: StepsCounted): void {
    const known = this.steps.length;
    if (steps.length !== known) throw new Error(`it counts ${steps.length} steps of a pipeline that has ${known}`);
    this.#notes.push({ atMs, counts: { door, steps } });
    if (this.#notes.length > 2 * this.#capacity) this.#notes.splice(0, this.#capacity);
  }

  /** @param toMs not before `fromMs` */
  summary(fromMs: number, toMs: number): PipelineSummary {
    return summaryBetween(this.steps, this.#at(fromMs), this.#at(toMs), Math.max(1, toMs - fromMs));
  }

  /** As it was known at that instant. */
  #at(instantMs: number): PipelineCounts {
    let [low, high] = [0, this.#notes.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#notes[middle]!.atMs <= instantMs) low = middle + 1;
      else high = middle;
    }
    return this.#notes[Math.max(0, low - 1)]!.counts;
  }
}
