import { fa2PublishedPlanner } from '../../scheduler/controlplane/baselines/fa2-published.js';
import { staticPlanner } from '../../scheduler/controlplane/baselines/static.js';
import { jointPlanner } from '../../scheduler/controlplane/joint-planner.js';
import { pricedPlanner } from '../../scheduler/controlplane/priced-planner.js';
import { paperPlanner, type Preference } from '../../scheduler/controlplane/program-planner.js';
import { dispatchPolicy } from '../../scheduler/dataplane/baselines/dispatch.js';
import { greedy } from '../../scheduler/dataplane/baselines/greedy.js';
import { edfPolicy } from '../../scheduler/dataplane/policy.js';
import type { Policy } from '../../scheduler/system.js';
import type { PolicyContext } from './served-model-options.js';

/*
 * The policies that can be served: ours, and the baselines that a live comparison needs. Each is the same code that is
 * simulated under a name of its own (docs/policies.md).
 */

export type PolicyChoice =
  | { readonly name: 'sponge' | 'paper'; readonly prefer: Preference }
  | {
      readonly name: 'static';
      readonly cpuMillicores: number;
      readonly batchSize: number;
      /** `fifo`: a server that knows nothing of deadlines. */
      readonly order: 'edf' | 'fifo';
    }
  | {
      readonly name: 'fa2';
      /** Allocation of each replica; null: one core, or the largest allocation where that is less. */
      readonly unitMillicores: number | null;
    };

/** First come, first served, batches of whatever waits; nothing is refused, or given up, for its deadline. */
const plain = dispatchPolicy({ order: 'fifo', batching: greedy, admission: 'none', isDeadlineAware: false });

/** A new one for each model: some remember. */
export function policyOf(
  choice: PolicyChoice,
  { limits, maxInstances, instances, sharesCores, defaultSloMs }: PolicyContext,
): Policy {
  switch (choice.name) {
    case 'static': {
      const cpuMillicores = Math.min(limits.maxMillicores, Math.max(limits.minMillicores, choice.cpuMillicores));
      return {
        name: 'static',
        dispatch: choice.order === 'edf' ? edfPolicy : plain,
        planner: staticPlanner(cpuMillicores, choice.batchSize),
        isAllocationFixed: true,
      };
    }
    case 'fa2': {
      const unitMillicores = limits.maxMillicores;
      const baseline = fa2PublishedPlanner({ sloMs: defaultSloMs, maxInstances, unitMillicores });
      return { name: 'fa2', dispatch: plain, isAllocationFixed: false, ...baseline };
    }
    case 'paper':
      return { name: 'paper', dispatch: edfPolicy, planner: paperPlanner(choice.prefer), isAllocationFixed: false };
    case 'sponge':
      return {
        name: 'sponge',
        dispatch: edfPolicy,
        planner: instances > 1 || sharesCores ? jointPlanner(choice.prefer) : pricedPlanner({ prefer: choice.prefer }),
        isAllocationFixed: false,
      };
  }
}
