import type { AdmittedRequest } from '../domain/request.js';
import type { Tensor } from '../domain/tensor.js';

/** One batch on its way to a worker. */
export interface BatchRun {
  readonly batchId: number;
  /** On which instance, 0 … `instanceCount` − 1 and free; a pool whose instances are alike may take another. */
  readonly instance: number;
  /** Members, EDF order; each is staged. */
  readonly sequences: readonly number[];
  /** ONNX Runtime intra-op threads to run with; the worker has a session for it. */
  readonly threadCount: number;
}

export type BatchResult =
  | {
      readonly kind: 'completed';
      /** In the order of `BatchRun.sequences`; null for a member that was dropped while it ran. */
      readonly outputs: readonly (readonly Tensor[] | null)[];
      /** Time inside the model, measured by the worker. */
      readonly computeMs: number;
      /** At most so long ago it ended: the router stood still and had not read it. Absent: just now. */
      readonly unreadMs?: number;
    }
  /** The model refused the batch; the worker lives on. */
  | { readonly kind: 'backend-error'; readonly message: string }
  /** It was ended before its time: all its members had left, or it ran longer than is allowed. */
  | { readonly kind: 'aborted'; readonly message: string }
  /**
   * The process died, hung or lost its connection while the batch ran. `areOthersReady`: other instances go on, and with them
   * whatever is staged; `lost` does not follow. `isCrash`: it died of a signal that an input can cause, rather than being killed.
   */
  | {
      readonly kind: 'worker-lost';
      readonly message: string;
      readonly areOthersReady?: boolean;
      readonly isCrash?: boolean;
    };

export type WorkerPoolEvent =
  /**
   * No instance is left that runs, and staged inputs are gone; `restartEstimateMs` until one should be ready again. Reported
   * after the running batch's result.
   */
  | { readonly kind: 'lost'; readonly message: string; readonly restartEstimateMs: number }
  /** Ready, with nothing staged. `isTakeover`: by a process that stood by. */
  | { readonly kind: 'ready'; readonly isTakeover?: boolean }
  /** `instanceCount` has changed. */
  | { readonly kind: 'instances-changed' }
  /** `spare.isComing` has changed to false. */
  | { readonly kind: 'spare-settled' };

/**
 * Runs batches of staged requests. Every callback comes once, never inside the call that caused it. Implementations:
 * `server/workers/process-pool.ts` has one worker process, `replicated-pool.ts` beside it several,
 * `sim/simulated-worker.ts` either.
 */
export interface WorkerPool {
  /** Batches that can run side by side now. */
  readonly instanceCount: number;
  /** Its instances share a process: what ends one ends all. Absent: each has its own. */
  readonly isOneProcess?: boolean;
  /** The process that is to take over when this one is lost: whether it is being loaded, or about to be. Absent: there never is one. */
  readonly spare?: { readonly isComing: boolean };
  /** Whether an instance can run batches now; absent where any of `instanceCount` can. */
  isReady?(instance: number): boolean;
  /** Thread counts that the worker keeps sessions for, ascending. */
  readonly threadCounts: readonly number[];
  /** The most rows that memory lets share a batch; 1 for a model that is not batchable. A request of more runs alone. */
  readonly maxBatchSize: number;
  /** Called by the system, once, before anything else. */
  listen(onEvent: (event: WorkerPoolEvent) => void): void;
  /** Sends a request's inputs. No answer comes if the worker is lost first; the pool then reports `lost`. */
  stage(request: AdmittedRequest, onStaged: () => void): void;
  /** Forgets a staged request; during its run only its slot's result is dropped. Unknown sequences are ignored. */
  unstage(sequence: number): void;
  /**
   * Starts one batch; at most `instanceCount` at a time. The members are forgotten by the worker afterwards. It ends: one whose
   * members have all been unstaged, or that runs longer than is allowed, as `aborted`; one that hangs as `worker-lost`.
   */
  start(run: BatchRun, onDone: (result: BatchResult) => void): void;
  /**
   * Asks for another number of instances; absent where there is one only. New ones are ready after their cold start; one
   * that is given up ends its batch first. `instances-changed` tells of each step.
   * @param instances integer ≥ 1
   */
  scaleTo?(instances: number): void;
}
