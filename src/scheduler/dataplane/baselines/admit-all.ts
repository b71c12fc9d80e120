import type { AdmittedRequest, InferRequest } from '../../domain/request.js';
import { admit, type AdmissionDecision, type AdmissionView } from '../admission.js';

/**
 * Admission of servers that know no deadlines: refused is only what there is no room for, and everything while draining.
 * Those are our own rules, asked about a request that may be as late as it likes; nothing is set aside.
 */
export function admitAll(nowMs: number, request: InferRequest, view: AdmissionView): AdmissionDecision {
  const decision = admit(nowMs, { ...request, isBestEffort: true }, view);
  if (decision.kind === 'refuse') return decision;
  // Admission has said yes to the copy; it is the request itself that is admitted.
  return { kind: 'admit', request: request as AdmittedRequest, isSetAside: false, isExploring: false };
}
