import type { InferRequest } from '../domain/request.js';
import { admit, type AdmissionDecision, type AdmissionView } from './admission.js';
import { decideBatch, type BatchDecision, type BatchView } from './batcher.js';

/** The data plane's half of a policy: in which order, who enters, what runs next. All pure. */
export interface DispatchPolicy {
  /** Queue key, least first; ties by priority, then arrival. The deadline for EDF, a constant for FIFO. */
  orderKeyMs(request: InferRequest): number;
  admit(nowMs: number, request: InferRequest, view: AdmissionView): AdmissionDecision;
  batch(nowMs: number, view: BatchView): BatchDecision;
  /**
   * Whether a request's stated deadline ends its wait. False for queues that know no deadlines: what they hold is served,
   * however late.
   */
  readonly isDeadlineAware: boolean;
}

/** Earliest deadline first, the admission and batching rules of this folder. */
export const edfPolicy: DispatchPolicy = {
  orderKeyMs: (request) => request.dueAtMs,
  admit,
  batch: decideBatch,
  isDeadlineAware: true,
};
