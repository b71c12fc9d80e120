import type { Plan } from '../domain/plan.js';
import { CANDIDATE_LIMIT, type Candidate } from './batcher.js';
import type { ClassTable } from './class-table.js';
import type { QueueView } from './held-requests.js';
import type { QueueEntry } from './queue-entry.js';

/** The first staged entries in queue order. Entries still being staged are few; twice the limit looks past them. */
export function stagedHead(
  queue: QueueView,
  table: ClassTable,
  isEligible: (entry: QueueEntry) => boolean,
): Candidate[] {
  const candidates: Candidate[] = [];
  for (const entry of queue.firstInOrder(2 * CANDIDATE_LIMIT)) {
    if (!entry.isStaged || !isEligible(entry)) continue;
    const classIndex = table.indexOf(entry);
    const isApart = entry.isRetry || entry.isSuspect;
    const isPlain = classIndex === 0 && !isApart;
    const mustRunAlone = isApart || entry.candidate.mustRunAlone;
    candidates.push(isPlain ? entry.candidate : { ...entry.candidate, classIndex, mustRunAlone });
    if (candidates.length === CANDIDATE_LIMIT) break;
  }
  return candidates;
}

/** So long after its arrival a batch no longer waits for a member's inputs. */
const STAGING_PATIENCE_MS = 5;

/**
 * Until when a batch that was planned as it is waits for members whose inputs are on their way, which takes tenths of a
 * millisecond: whoever is staged would run without them, on CPU that is for all. −Infinity where it need not.
 */
export function stagedByMs(queue: QueueView, { allocations, batchSize }: Plan): number {
  let untilMs = -Infinity;
  if (allocations === undefined) return untilMs;
  for (const entry of queue.firstInOrder(Math.min(batchSize, CANDIDATE_LIMIT))) {
    if (!entry.isStaged) untilMs = Math.max(untilMs, entry.admittedAtMs + STAGING_PATIENCE_MS);
  }
  return untilMs;
}
