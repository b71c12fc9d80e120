import type { Outcome } from './outcome.js';
import type { Plan } from './plan.js';
import type { InferRequest } from './request.js';

/**
 * What happened, in order. The one stream that the estimator, metrics, logs, reports and the dashboard read; live and
 * simulated runs look alike in it.
 */
export type Event =
  | { readonly kind: 'request-received'; readonly atMs: number; readonly request: InferRequest }
  | {
      readonly kind: 'request-admitted';
      readonly atMs: number;
      readonly request: InferRequest;
      readonly queueDepth: number;
    }
  | {
      readonly kind: 'request-finished';
      readonly atMs: number;
      readonly request: InferRequest;
      readonly outcome: Outcome;
    }
  | {
      readonly kind: 'batch-started';
      readonly atMs: number;
      readonly batchId: number;
      /** Where it runs, where each instance has an allocation of its own. */
      readonly instance?: number;
      /** Of the members that have no outcome yet; all of them but where `isExploring`. */
      readonly sequences: readonly number[];
      /** Requests, and rows of all of them. */
      readonly batchSize: number;
      readonly rowCount: number;
      readonly cpuMillicores: number;
      readonly threadCount: number;
      readonly predictedLatencyMs: number;
      readonly plannedLatencyMs: number;
      readonly shapeClassKey: string;
      /** It tests a belief by which its request would have been refused. */
      readonly isExploring: boolean;
    }
  | {
      readonly kind: 'batch-ended';
      readonly atMs: number;
      readonly batchId: number;
      readonly batchSize: number;
      readonly rowCount: number;
      readonly result: 'completed' | 'backend-error' | 'aborted' | 'worker-lost';
      readonly latencyMs: number;
      readonly computeMs: number;
      /** Actual over predicted, weighted over the allocations it ran at; null when it did not complete. */
      readonly actualToPredicted: number | null;
    }
  | {
      readonly kind: 'planned';
      readonly atMs: number;
      readonly plan: Plan;
      readonly trigger: 'arrival' | 'batch-start' | 'batch-end' | 'tick' | 'timer' | 'worker' | 'start';
    }
  | {
      readonly kind: 'resize-requested';
      readonly atMs: number;
      /** Of this resize; its one answer has the same. Answers may come in another order than requests. */
      readonly resizeId: number;
      /** Whose; of all instances alike where it is absent. */
      readonly instance?: number;
      readonly fromMillicores: number;
      readonly toMillicores: number;
    }
  | {
      readonly kind: 'resized';
      readonly atMs: number;
      readonly resizeId: number;
      readonly instance?: number;
      readonly cpuMillicores: number;
      readonly isWritten: boolean;
      readonly tookMs: number;
    }
  | {
      readonly kind: 'resize-refused';
      readonly atMs: number;
      readonly resizeId: number;
      readonly instance?: number;
      readonly message: string;
    }
  /** Horizontal scaling: a plan asks for another number of worker instances. */
  | {
      readonly kind: 'instances-requested';
      readonly atMs: number;
      readonly fromInstances: number;
      readonly toInstances: number;
    }
  /** So many can run batches now: some have finished their cold start, or one that is given up has ended its batch. */
  | { readonly kind: 'instances-changed'; readonly atMs: number; readonly instances: number }
  | {
      readonly kind: 'worker-lost';
      readonly atMs: number;
      readonly message: string;
      readonly restartEstimateMs: number;
    }
  /** `isTakeover`: a spare process stood by. */
  | { readonly kind: 'worker-ready'; readonly atMs: number; readonly isTakeover?: boolean }
  /** The router itself stood still until now: whatever waited for it, of this model or another, waited so much longer. Live only. */
  | { readonly kind: 'router-standstill'; readonly atMs: number; readonly standstillMs: number };
