import { percentText } from '../scheduler/domain/percent.js';
import type { PolicySummary } from '../simulator/comparison/summary.js';

/* The table of `sponge simulate`: a line a policy. */

export interface PolicyColumn {
  readonly heading: string;
  readonly unit?: string;
  readonly text: (policy: PolicySummary, referenceCoreSeconds: number | null) => string;
}

export const POLICY_COLUMNS: readonly PolicyColumn[] = [
  { heading: 'violations', unit: 'all', text: (policy) => percent(policy.violationRate) },
  { heading: 'violations', unit: 'feasible', text: (policy) => percent(policy.violationRateFeasible) },
  { heading: 'late', text: ({ late }) => count(late) },
  { heading: 'refused', text: (policy) => count(policy.rejectedInfeasible + policy.rejectedOverload) },
  { heading: 'expired', text: ({ expired }) => count(expired) },
  { heading: 'cores', unit: 'mean', text: ({ meanCores }) => meanCores.toFixed(2) },
  { heading: 'p99', unit: 'cores', text: ({ p99Cores }) => p99Cores.toFixed(1) },
  { heading: 'peak', unit: 'cores', text: ({ peakCores }) => peakCores.toFixed(1) },
  { heading: 'core-s', text: ({ coreSeconds }) => count(Math.round(coreSeconds)) },
  {
    heading: '/ reference',
    text: ({ coreSeconds, instances, instanceReferenceCoreSeconds }, reference) =>
      ratio(coreSeconds, instances === 1 ? reference : instanceReferenceCoreSeconds),
  },
  { heading: '/ bound', text: ({ coreSeconds, boundCoreSeconds }) => ratio(coreSeconds, boundCoreSeconds) },
  { heading: 'resizes', text: ({ resizes }) => count(resizes) },
  { heading: 'batch', unit: 'mean', text: ({ meanBatch }) => meanBatch.toFixed(1) },
  { heading: 'p50', unit: 'ms', text: ({ latencyMs }) => milliseconds(latencyMs.p50) },
  { heading: 'p99', unit: 'ms', text: ({ latencyMs }) => milliseconds(latencyMs.p99) },
];

/** Beside them of a pipeline. */
export const PIPELINE_COLUMNS: readonly PolicyColumn[] = [
  {
    heading: '/ bound',
    unit: 'mean',
    text: ({ coreSeconds, work }) => ratio(coreSeconds, work?.meanBoundCoreSeconds ?? null),
  },
  {
    heading: 'lost',
    unit: 'work',
    text: ({ work }) =>
      work === undefined || work.workCoreSeconds === 0 ? '–' : percent(work.lostCoreSeconds / work.workCoreSeconds),
  },
];

/** Of a model with variants. */
export const ACCURACY_COLUMNS: readonly PolicyColumn[] = [
  { heading: 'accuracy', unit: 'mean', text: ({ meanAccuracy }) => meanAccuracy?.toFixed(2) ?? '–' },
  { heading: '/ most', unit: 'all', text: ({ accuracyToMost }) => accuracyToMost?.toFixed(3) ?? '–' },
];

function percent(share: number): string {
  return percentText(share, share > 0 && share < 0.01 ? 3 : 2);
}

function count(value: number): string {
  return value.toLocaleString('en');
}

function ratio(value: number, to: number | null): string {
  return to === null || to === 0 ? '–' : (value / to).toFixed(2);
}

function milliseconds(value: number | null): string {
  return value === null ? '–' : count(Math.round(value));
}
