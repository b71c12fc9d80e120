import type { TraceId, TraceParent } from '../../protocol/trace-context.js';
import type { OutcomeName } from '../../scheduler/domain/outcome.js';

/*
 * Which requests become spans. Decided once a request is over, when it is known what became of it: those that were late, refused or failed
 * always do; of the others the caller's decision counts, and of those without one the ratio.
 */

export interface Sampling {
  /** Of traces that begin here, in [0, 1]. */
  readonly ratio: number;
  /** Whether the caller's decision counts. */
  readonly isParentBased: boolean;
}

const ALWAYS: ReadonlySet<OutcomeName> = new Set<OutcomeName>([
  'completed_late',
  'rejected_infeasible',
  'rejected_overload',
  'expired',
  'failed',
]);

/** Whether it is kept whatever becomes of it; whoever is called on its behalf is told the same. */
export function isSampled(traceId: TraceId, parent: TraceParent | null, { ratio, isParentBased }: Sampling): boolean {
  if (parent !== null && isParentBased) return parent.isSampled;
  // The last 56 bits are the random ones (W3C Trace Context, level 2); of them the first 32 are fine enough.
  const random = ((traceId[2] & 0x00ff_ffff) * 2 ** 8 + (traceId[3] >>> 24)) / 2 ** 32;
  return random >= 1 - ratio;
}

/** @param outcome null where it never was a request @param isRefused for that */
export function isAlwaysKept(outcome: OutcomeName | null, isRefused: boolean): boolean {
  return outcome === null ? isRefused : ALWAYS.has(outcome);
}
