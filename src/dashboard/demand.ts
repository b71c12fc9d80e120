import { forEachBin, type Bins, type Series } from './binning.js';
import type { ModelState } from './model-state.js';

/*
 * What arriving work needs, as it turned out: each request is charged its share of what its batch cost, at the moment in which
 * it arrived. No model and no plan is in it, so it can be held against both.
 */

/** Millicores: core time of the requests that arrived in each bin, over its length so far. */
export function needOfArrivals({ requests }: ModelState, bins: Bins, untilMs: number): Series {
  const coreMs = requests.column('coreMs');
  const needs: Series = [];
  forEachBin(requests, bins, untilMs, (bin, from, to) => {
    let sum = 0;
    for (let row = from; row < to; row++) if (!Number.isNaN(coreMs[row]!)) sum += coreMs[row]!;
    const startMs = bins.startMs + bin * bins.binMs;
    const lengthMs = Math.min(bins.binMs, untilMs - startMs);
    // A bin that has just begun says nothing yet.
    needs.push(lengthMs < bins.binMs / 4 ? (needs[bin - 1] ?? null) : (1000 * sum) / lengthMs);
  });
  return needs;
}
