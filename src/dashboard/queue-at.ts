import type { ModelState } from './model-state.js';
import { quantileOf, rowsWithin, sortedValues } from './binning.js';

/* Who was there at an instant: what waited in the queue and what the worker had in hand. */

export interface PresentRequest {
  readonly isRunning: boolean;
  /** Deadline − instant, ms; negative when overdue. */
  readonly leftMs: number;
}

/** By deadline, the earliest first. */
export function requestsAt({ requests }: ModelState, instantMs: number): PresentRequest[] {
  const receivedAtMs = requests.column('atMs');
  const admittedAtMs = requests.column('admittedAtMs');
  const leftAtMs = requests.column('leftAtMs');
  const finishedAtMs = requests.column('finishedAtMs');
  const dueAtMs = requests.column('dueAtMs');
  const present: PresentRequest[] = [];
  for (let row = receivedAtMs.length - 1; row >= 0; row--) {
    // NaN compares false: not admitted yet is absent, not finished yet is present.
    const isPresent = admittedAtMs[row]! <= instantMs && !(finishedAtMs[row]! <= instantMs);
    if (!isPresent) continue;
    const isRunning = leftAtMs[row]! <= instantMs;
    present.push({ isRunning, leftMs: dueAtMs[row]! - instantMs });
  }
  return present.sort((a, b) => a.leftMs - b.leftMs);
}

/** How recent the batches are that say what is typical. */
const RECENT_MS = 10_000;

/** The median time that a batch took recently: a waiting request with less left than this is in danger. Null without any. */
export function typicalBatchMs({ batches }: ModelState, instantMs: number): number | null {
  const [from, to] = rowsWithin(batches, { fromMs: instantMs - RECENT_MS, toMs: instantMs });
  return quantileOf(sortedValues(batches.column('latencyMs'), from, to), 0.5);
}
