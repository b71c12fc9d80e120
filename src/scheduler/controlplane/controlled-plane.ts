import type { Plan } from '../domain/plan.js';
import type { QueueSnapshot } from '../domain/queue-snapshot.js';

/** What the controller needs of the data plane. */
export interface ControlledPlane {
  /** Threads of the batch that an instance is running now, 0 when it runs none; the most of all where they share one allocation. */
  runningThreads(instance: number): number;
  /** Its process is starting, again or for the first time: it can run nothing now. */
  isAway(instance: number): boolean;
  /** And it is loaded on the CPU that it has. */
  isLoading(instance: number): boolean;
  /** Nothing is queued and nothing runs. */
  readonly isIdle: boolean;
  /** A request is to run next, alone, that only the largest allocation may be enough for. */
  readonly isExploring: boolean;
  snapshot(): QueueSnapshot;
  /** @param awaited by allocation: nothing is started on it until `setAllocation` tells of it */
  setPlan(plan: Plan, awaited: readonly boolean[]): void;
  /** @param allocation of which instance; 0 where all share one */
  setAllocation(allocation: number, cpuMillicores: number, isAwaited: boolean): void;
  giveUp(sequences: readonly number[]): void;
  shed(sequences: readonly number[]): void;
}
