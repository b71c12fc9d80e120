import { admit } from '../admission.js';
import type { DispatchPolicy } from '../policy.js';
import { admitAll } from './admit-all.js';
import type { BatchingRule } from './fill-batch.js';

/** The choices that make up a dispatch policy, each by itself, so that any order can be tried with any batching rule. */
export interface DispatchRules {
  /** Ties, and under FIFO everything is one, are broken by priority, then by arrival. */
  readonly order: 'edf' | 'fifo';
  readonly batching: BatchingRule;
  /** `sponge` refuses what cannot be on time even alone at the largest allocation; `none` only what there is no room for. */
  readonly admission: 'sponge' | 'none';
  readonly isDeadlineAware: boolean;
}

export function dispatchPolicy({ order, batching, admission, isDeadlineAware }: DispatchRules): DispatchPolicy {
  return {
    orderKeyMs: order === 'edf' ? (request) => request.dueAtMs : () => 0,
    admit: admission === 'sponge' ? admit : admitAll,
    batch: batching,
    isDeadlineAware,
  };
}
