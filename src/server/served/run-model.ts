import type { RunModel } from '../../scheduler/domain/event-record.js';
import type { ChosenPolicy } from '../../scheduler/policies/chosen-policy.js';
import type { ServedModel } from './served-model.js';

/** What the live feed and the event log say of a model before its first record. */
export function describeRun(
  { source, limits, pool, system, instanceCount, sharesCores }: ServedModel,
  policy: ChosenPolicy,
): RunModel {
  const { name, version } = source;
  const cpuMillicores = system.status().grantedMillicores;
  const { maxBatchSize } = pool;
  const { allocations } = system.status();
  return {
    name,
    version,
    policy: policy.name,
    limits,
    cpuMillicores,
    instances: instanceCount,
    ...(allocations.length > 1 || sharesCores ? { allocations } : {}),
    maxBatchSize,
  };
}
