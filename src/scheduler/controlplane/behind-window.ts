/*
 * Whether there is time for those who wait behind the window that a plan looks at.
 *
 * Of them a plan knows marks (`domain/queue-snapshot.ts`): so many are due by then. They are taken to be of the window's own mix of
 * shape classes, and to be served one after another at the pace of full batches. That is a relaxation: batches end together, and
 * between two marks somebody may be due sooner. Who is late by it is late; who is not may still be by one batch, or by
 * `MARK_SPACING` of the time left, and is seen exactly once the window has come to it.
 */
import type { QueueMark } from '../domain/queue-snapshot.js';

/** Of the window, and of what is behind it. */
export interface WaitingMix {
  /** By place in the window; null where all are of the first class. */
  readonly classIndexes: readonly number[] | null;
  /** Absent or empty where the window is all. */
  readonly behind?: readonly QueueMark[] | undefined;
}

/**
 * The place of the first mark that is late, −1 where none is.
 * @param taken so many of the first are gone   @param msEachOf a request of a class takes of the time from `freeAtMs` on
 */
export function firstLateMark(
  { classIndexes, behind }: WaitingMix,
  taken: number,
  freeAtMs: number,
  msEachOf: (classIndex: number) => number,
): number {
  if (behind === undefined || behind.length === 0) return -1;
  const msEach = classIndexes === null ? msEachOf(0) : meanOf(classIndexes, msEachOf);
  const late = behind.find(({ place, dueAtMs }) => freeAtMs + (place + 1 - taken) * msEach > dueAtMs);
  return late?.place ?? -1;
}

/** Over the requests of the window. */
function meanOf(classIndexes: readonly number[], msEachOf: (classIndex: number) => number): number {
  const counts: number[] = [];
  for (const classIndex of classIndexes) counts[classIndex] = (counts[classIndex] ?? 0) + 1;
  const sumMs = counts.reduce((sum, count, classIndex) => sum + count * msEachOf(classIndex), 0);
  return sumMs / classIndexes.length;
}

/** The rate at which requests have to be served so that every mark is met, per ms. */
export function rateAskedBehind({ behind = [] }: WaitingMix, nowMs: number): number {
  return behind.reduce((most, { place, dueAtMs }) => {
    return dueAtMs > nowMs ? Math.max(most, (place + 1) / (dueAtMs - nowMs)) : most;
  }, 0);
}
