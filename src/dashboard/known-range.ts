import type { TimeRange } from './binning.js';
import type { ModelState } from './model-state.js';
import type { RunState } from './run-state.js';

/** The part of a range of which something is known: rates are per second of it. */
export function knownRange({ coveredFromMs }: RunState, { completeFromMs }: ModelState, range: TimeRange): TimeRange {
  return { fromMs: Math.max(range.fromMs, coveredFromMs ?? range.fromMs, completeFromMs), toMs: range.toMs };
}
