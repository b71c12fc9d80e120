import type { ModelOutlook } from '../../scheduler/domain/pod-report.js';

/* A pod as those before it see it, whatever it is inside: a whole scheduler, or a shorter one that does nearly the same. */

export interface PodRequest {
  /** Unique in a run. */
  readonly sequence: number;
  readonly dueAtMs: number;
}

/** `completed`: in time or late. `refused`: there is no room, another pod may have some. `lost`: with the pod. */
export type PodAnswer = 'completed' | 'refused' | 'lost';

export interface SimulatedPod {
  /** `onAnswer` is called once; before this returns where it is refused at once. */
  submit(request: PodRequest, onAnswer: (answer: PodAnswer) => void): void;
  /** As its report says it. */
  outlook(): ModelOutlook;
  /** Queued and running. */
  readonly heldRequests: number;
  /** In force from now on. Nothing runs on 0. */
  resize(cpuMillicores: number): void;
  /** It dies with what it has. */
  die(): void;
  /** Cumulative, what batches used. */
  readonly usedCoreSeconds: number;
  /** Requests in all batches that were run, and those batches. */
  readonly batchedRequests: number;
  readonly batches: number;
}
