import type { LatencyModel } from '../domain/latency.js';
import type { Outcome } from '../domain/outcome.js';
import type { Candidate } from './batcher.js';
import type { AdmittedRequest, InferRequest, ShapeClass } from '../domain/request.js';

export type OnOutcome = (outcome: Outcome) => void;

/** An admitted request while the data plane holds it. */
export interface QueueEntry {
  readonly request: AdmittedRequest;
  readonly sequence: number;
  /** The queue's key: the deadline under EDF. */
  readonly dueAtMs: number;
  readonly priority: number;
  readonly byteCount: number;
  readonly admittedAtMs: number;
  /** The request's, as the one object that stands for it among all that are held (`held-classes.ts`). */
  readonly shapeClass: ShapeClass;
  /** Of its shape class. */
  readonly model: LatencyModel;
  readonly onOutcome: OnOutcome;
  /** Its inputs are in the worker. */
  isStaged: boolean;
  /** Waits behind all others. */
  isSetAside: boolean;
  /** Would have been refused, and is to run next, alone, to see whether that is right. */
  isExploring: boolean;
  /** As decisions see it that know one class, or meet this one first: nearly all. Made once, as decisions are many. */
  readonly candidate: Candidate;
  /** Was in a batch that broke: runs alone. */
  isRetry: boolean;
  /** Its worker was lost once, to nobody's known fault: it is not tried a third time. */
  wasKilled: boolean;
  /** A worker may die of it: it runs alone, and in its process nothing beside it. */
  isSuspect: boolean;
  /** Where it is; `finished` once its outcome is out. */
  state: 'queued' | 'running' | 'finished';
}

/** No deadline was stated, or none counts: it is served late rather than refused or expired. */
export function mayBeLate(request: InferRequest): boolean {
  return request.isDeadlineDefaulted || request.isBestEffort;
}
