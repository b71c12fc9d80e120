import { choosePolicy, type ChosenPolicy } from '../scheduler/policies/chosen-policy.js';
import { MOST_INSTANCES } from '../server/served/instance-groups.js';
import { UserError } from './options.js';

/* The flags of `sponge serve` that choose how it plans, and what cannot go together among them. */

/** Those of all there are that have flags. */
export const SERVED_POLICIES = ['sponge', 'paper', 'static', 'fa2-published'] as const;

export interface PolicyFlags {
  readonly policy: (typeof SERVED_POLICIES)[number];
  readonly instances: number | 'auto';
  readonly instancesPerProcess: number | 'all';
  readonly prefer: 'cpu' | 'latency';
  readonly cpu?: number;
  readonly batch?: number;
  readonly order?: 'edf' | 'fifo';
  readonly unitCores?: number;
}

/** As it is simulated by the same name, with the parameters that its flags stand for (docs/policies.md). */
export function policyChoice(flags: PolicyFlags): ChosenPolicy {
  const { policy, order, unitCores, instances } = flags;
  if (order !== undefined && policy !== 'static')
    throw new UserError(`--order belongs to --policy static; ${policy} has an order of its own`);
  const chosen = choosePolicy(policy, parametersOf(flags));
  const { kind } = chosen.scaling;
  if (instances !== 'auto' && instances > 1 && kind !== 'instances')
    throw new UserError(`--instances belongs to --policy sponge; ${policy} does not plan them one by one`);
  if (instances !== 'auto' && instances > MOST_INSTANCES)
    throw new UserError(`--instances ${instances}: use at most ${MOST_INSTANCES}`);
  if (unitCores !== undefined && kind !== 'replicas')
    throw new UserError(`--unit-cores belongs to --policy fa2-published; ${policy} has no replicas`);
  return chosen;
}

/** A fixed allocation is dispatched as ours is, unless it is to be a server that knows nothing of deadlines. */
const BY_DEADLINE = { order: 'edf', batching: 'sponge', admission: 'sponge', expiry: 'on' };

function parametersOf({ policy, prefer, cpu, batch, order, unitCores }: PolicyFlags): Record<string, string> {
  switch (policy) {
    case 'static':
      if (cpu === undefined || batch === undefined)
        throw new UserError('--policy static needs --cpu <cores> and --batch <n>');
      return { cores: String(cpu / 1000), batch: String(batch), ...(order === 'fifo' ? {} : BY_DEADLINE) };
    case 'fa2-published':
      return unitCores === undefined ? {} : { unit: String(unitCores / 1000) };
    case 'sponge':
    case 'paper':
      return { prefer };
  }
}

/** A mix, several processes of several instances, is not there. */
export function instancesPerProcess({ instances, instancesPerProcess: asked }: PolicyFlags): 'all' | 1 {
  if (asked === 'all' || asked === 1) return asked;
  if (asked === instances) return 'all';
  throw new UserError(`--instances-per-process ${asked}: use 1 (a process each) or all (threads of one process)`);
}
