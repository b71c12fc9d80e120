import type { RunStep } from './event-record.js';
import type { Reason } from './outcome.js';
import type { Drops, PipelineCounts, StepCounts } from './step-counts.js';

/*
 * What happened at the steps of a pipeline between two instants at which they were counted: where the time of requests went, where cores
 * went, and where requests were lost. Pure; for the dashboard and `sponge watch`.
 */

export interface Drop {
  readonly reason: Reason;
  readonly requests: number;
}

export interface StepSummary extends RunStep {
  /** Parts, at the end. */
  readonly waiting: number;
  readonly running: number;
  /** Parts that were done. */
  readonly donePerSec: number;
  /** Null where no request has left. */
  readonly partsPerRequest: number | null;
  /** Of a request: from its first part's coming until its last one has left; null where none has. */
  readonly spanMs: number | null;
  /** Of all requests' time at the steps, in [0, 1]: this step's, and how much of that its parts waited. 0 of nothing. */
  readonly timeFraction: number;
  readonly waitFraction: number;
  /** Of a part, means; null where none has left. */
  readonly waitMs: number | null;
  readonly workMs: number | null;
  /** On average over the time between. */
  readonly millicores: number;
  /** Of the pipeline's, in [0, 1]. */
  readonly coresFraction: number;
  /** Requests that were lost here or on the way here, the most frequent reason first. */
  readonly drops: readonly Drop[];
}

export interface PipelineSummary {
  /** Requests that were lost at the door. */
  readonly drops: readonly Drop[];
  readonly steps: readonly StepSummary[];
  /** Of all steps. */
  readonly millicores: number;
  readonly dropped: number;
}

/** @param to not before `from`, of the same steps   @param durationMs > 0 */
export function summaryBetween(
  steps: readonly RunStep[],
  from: PipelineCounts,
  to: PipelineCounts,
  durationMs: number,
): PipelineSummary {
  const between = steps.map((_, index) => difference(from.steps[index]!, to.steps[index]!));
  const total = (read: (counts: StepCounts) => number): number => between.reduce((sum, each) => sum + read(each), 0);
  const [spanMs, coreMs] = [total((each) => each.spanMs), total((each) => each.coreMs)];
  const drops = dropsOf(from.door, to.door);
  const summaries = steps.map((step, index): StepSummary => {
    const own = between[index]!;
    const left = own.done + own.lost;
    return {
      ...step,
      waiting: own.waiting,
      running: own.running,
      donePerSec: (1000 * own.done) / durationMs,
      partsPerRequest: ratio(own.parts, own.requests),
      spanMs: ratio(own.spanMs, own.requests),
      timeFraction: ratio(own.spanMs, spanMs) ?? 0,
      waitFraction: ratio(own.waitedMs, own.waitedMs + own.ranMs) ?? 0,
      waitMs: ratio(own.waitedMs, left),
      workMs: ratio(own.ranMs, left),
      millicores: (1000 * own.coreMs) / durationMs,
      coresFraction: ratio(own.coreMs, coreMs) ?? 0,
      drops: dropsOf(from.steps[index]!.dropped, to.steps[index]!.dropped),
    };
  });
  const dropped = [drops, ...summaries.map((each) => each.drops)]
    .flat()
    .reduce((sum, { requests }) => sum + requests, 0);
  return { drops, steps: summaries, millicores: (1000 * coreMs) / durationMs, dropped };
}

/** What is there now is of the end. */
function difference(from: StepCounts, to: StepCounts): StepCounts {
  return {
    ...to,
    requests: to.requests - from.requests,
    parts: to.parts - from.parts,
    spanMs: to.spanMs - from.spanMs,
    done: to.done - from.done,
    lost: to.lost - from.lost,
    waitedMs: to.waitedMs - from.waitedMs,
    ranMs: to.ranMs - from.ranMs,
    coreMs: to.coreMs - from.coreMs,
  };
}

function dropsOf(from: Drops, to: Drops): readonly Drop[] {
  return Object.entries(to)
    .map(([reason, count]) => ({ reason: reason as Reason, requests: count - (from[reason as Reason] ?? 0) }))
    .filter(({ requests }) => requests > 0)
    .sort((a, b) => b.requests - a.requests);
}

/** Null of nothing. */
function ratio(part: number, whole: number): number | null {
  return whole > 0 ? part / whole : null;
}
