import type { StepCounts } from '../../scheduler/domain/step-counts.js';
import { FollowedTotals } from './followed-totals.js';
import type { MetricSet } from './metric-set.js';

/** A pipeline as its metrics know it. */
export interface MeteredPipeline {
  readonly model: string;
  readonly version: string;
  /** Of each step, and of the door before the first, as of now. */
  readonly counts: () => readonly { readonly name: string; readonly counts: StepCounts }[];
}

/** The series of a pipeline's steps: as many as there are steps, times the reasons that there are. */
export class StepSeries {
  readonly #metrics: MetricSet;
  readonly #pipeline: MeteredPipeline;
  readonly #totals = new FollowedTotals();

  constructor(metrics: MetricSet, pipeline: MeteredPipeline) {
    this.#metrics = metrics;
    this.#pipeline = pipeline;
  }

  /** Copies what is counted elsewhere into its series, for a scrape. */
  publish(): void {
    const { model, version, counts: read } = this.#pipeline;
    const { stepParts, stepPartsTotal, stepSeconds, stepCoreSeconds, pipelineDrops } = this.#metrics;
    read().forEach(({ name: step, counts }, index) => {
      const own = { model, version, step };
      for (const [reason, count] of Object.entries(counts.dropped)) {
        this.#totals.follow(pipelineDrops.of({ ...own, reason }), count);
      }
      // No part is at the door.
      if (index === 0) return;
      for (const state of ['waiting', 'running'] as const) stepParts.of({ ...own, state }).value = counts[state];
      for (const result of ['done', 'lost'] as const) {
        this.#totals.follow(stepPartsTotal.of({ ...own, result }), counts[result]);
      }
      this.#totals.follow(stepSeconds.of({ ...own, stage: 'wait' }), counts.waitedMs / 1000);
      this.#totals.follow(stepSeconds.of({ ...own, stage: 'run' }), counts.ranMs / 1000);
      this.#totals.follow(stepCoreSeconds.of(own), counts.coreMs / 1000);
    });
  }
}
