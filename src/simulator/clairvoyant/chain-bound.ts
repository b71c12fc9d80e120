import type { PowerCurve } from '../../scheduler/perf-model/power-curve.js';
import { fluidBound, type WindowedWork } from './fluid-bound.js';

/*
 * The least core-seconds for requests that go through several models, known beforehand, fluid.
 *
 * Say a schedule answers them in time. A part of a step cannot begin before what comes before it has ended, which takes at least the least
 * times of those steps one behind the other, along the longest way: its head. It has to end while what comes behind it can still be done: its
 * tail. So a batch with it lies within [received + head, due − tail], and what model m does there and what it holds meanwhile are
 * a schedule of m's own work in m's own windows, which holds at least m's fluid bound. Models may hold cores at the same time and hold no core
 * twice, so together they hold at least the sum. What is left out makes it less and never more: that a step begins when the one before it
 * really ends, and not when it could at the soonest; that models share a budget; that batches are not fluid. What functions take is in heads
 * and tails, as it really is, and costs no model's cores.
 *
 * It is true at the least service time that any batch of the run had (heads, tails and work by that), and a yardstick at the mean one.
 */

export interface ChainModel {
  /** What so many of its instances may run on. */
  readonly curve: PowerCurve;
  /** Of every part of every step of it. */
  readonly work: WindowedWork;
}

/** Null where a window is too short for what is in it: it was used up to its end, and rounding is beyond it. */
export function chainBound(models: readonly ChainModel[], durationMs: number): number | null {
  let coreSeconds = 0;
  for (const { curve, work } of models) {
    const bound = fluidBound(curve, work, durationMs);
    if (bound.kind === 'infeasible') return null;
    coreSeconds += bound.coreSeconds;
  }
  return coreSeconds;
}

/** The same where not all can be done, of what can be: at a service time that was not met, the windows may be too short. */
export function servableChainBound(models: readonly ChainModel[], durationMs: number): number {
  return models.reduce((sum, { curve, work }) => sum + fluidBound(curve, work, durationMs).coreSeconds, 0);
}
