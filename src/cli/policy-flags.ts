import { MOST_INSTANCES } from '../server/served/instance-groups.js';
import type { ServerOptions } from '../server/server-options.js';
import { UserError } from './options.js';

/* The flags of `sponge serve` that choose how it plans, and what cannot go together among them. */

export interface PolicyFlags {
  readonly policy: ServerOptions['policy']['name'];
  readonly instances: number | 'auto';
  readonly instancesPerProcess: number | 'all';
  readonly prefer: 'cpu' | 'latency';
  readonly cpu?: number;
  readonly batch?: number;
  readonly order?: 'edf' | 'fifo';
  readonly unitCores?: number;
}

export function policyChoice(flags: PolicyFlags): ServerOptions['policy'] {
  const { policy, prefer, cpu, batch, order, unitCores, instances } = flags;
  if (instances !== 'auto' && instances > 1 && policy !== 'sponge')
    throw new UserError(`--instances belongs to --policy sponge; ${policy} does not plan them one by one`);
  if (instances !== 'auto' && instances > MOST_INSTANCES)
    throw new UserError(`--instances ${instances}: use at most ${MOST_INSTANCES}`);
  if (order !== undefined && policy !== 'static')
    throw new UserError(`--order belongs to --policy static; ${policy} has an order of its own`);
  if (unitCores !== undefined && policy !== 'fa2')
    throw new UserError(`--unit-cores belongs to --policy fa2; ${policy} has no replicas`);
  switch (policy) {
    case 'static':
      if (cpu === undefined || batch === undefined)
        throw new UserError('--policy static needs --cpu <cores> and --batch <n>');
      return { name: policy, cpuMillicores: cpu, batchSize: batch, order: order ?? 'edf' };
    case 'fa2':
      return { name: policy, unitMillicores: unitCores ?? null };
    case 'sponge':
    case 'paper':
      return { name: policy, prefer };
  }
}

/** A mix, several processes of several instances, is not there. */
export function instancesPerProcess({ instances, instancesPerProcess: asked }: PolicyFlags): 'all' | 1 {
  if (asked === 'all' || asked === 1) return asked;
  if (asked === instances) return 'all';
  throw new UserError(`--instances-per-process ${asked}: use 1 (a process each) or all (threads of one process)`);
}
