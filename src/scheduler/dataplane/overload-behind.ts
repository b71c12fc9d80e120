/*
 * How many of those that wait behind the window have to be given up, where not everyone can be met.
 *
 * Of the first k + 1 due, no more can be in time than are served by the deadline of the k-th, and they are served no faster than in the
 * batches that do most. What is more than that is too many, whoever of them it is: Moore and Hodgson's choice of the victim is free
 * where all cost the same (1968). So this gives up nobody for whom there is room; it may keep some for whom there is none, by one batch
 * and by the spacing of the marks, and those are seen once the window has come to them (`overload.ts`, or the plan).
 */
import type { QueueMark } from '../domain/queue-snapshot.js';

export interface Excess {
  /** Of the mark. */
  readonly place: number;
  /** To be given up of those up to it, beside what is for earlier marks. */
  readonly count: number;
}

/** @param msEach of the time from `freeAtMs` on, for one request @returns by ascending place */
export function excessBehind(marks: readonly QueueMark[], freeAtMs: number, msEach: number): readonly Excess[] {
  const excess: Excess[] = [];
  let givenUp = 0;
  for (const { place, dueAtMs } of marks) {
    const served = Math.max(0, Math.floor((dueAtMs - freeAtMs) / msEach));
    const count = place + 1 - givenUp - served;
    if (count <= 0) continue;
    excess.push({ place, count });
    givenUp += count;
  }
  return excess;
}
