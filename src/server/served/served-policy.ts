import { builtPolicy, type ChosenPolicy } from '../../scheduler/policies/chosen-policy.js';
import type { PolicySetting } from '../../scheduler/policies/declaration.js';
import type { Policy } from '../../scheduler/system.js';
import type { Replication } from './replicas.js';

export interface PolicyContext extends Pick<PolicySetting, 'limits' | 'maxBatchSize' | 'sloMs' | 'sharesCores'> {
  /** Warm ones that there are. */
  readonly instances: number;
  /** Null where it does not scale by replicas. */
  readonly replication: Replication | null;
}

/** The policy of one served model. */
export function servedPolicy(chosen: ChosenPolicy, { limits, replication, ...setting }: PolicyContext): Policy {
  const { policy } = builtPolicy(chosen, {
    ...setting,
    // What is planned once, by a person, need not be a step that plans are made in.
    limits: chosen.scaling.kind === 'fixed' ? { ...limits, stepMillicores: 1 } : limits,
    replicas: replication ?? { unitMillicores: limits.maxMillicores, maxInstances: 1 },
  });
  return policy;
}
