import type { Scaler } from '../../scheduler/controlplane/scaler.js';
import type { ModelSignature } from '../../scheduler/domain/tensor.js';
import { printable } from '../doors/printable.js';
import { asDeclared, contractOf, type TensorContract } from '../triton-config/tensor-contract.js';
import { oneLine } from '../workers/load-failure.js';
import type { InstanceCount } from '../served/instance-count.js';
import { CONFIG_FILE } from './model-config-file.js';
import type { ModelSource } from './model-repository.js';

/* What a model's `config.pbtxt` says of how it is served, where nothing that counts more does. */

/** Fields without effect; whoever wrote more of them reads his file. */
const MOST_NAMED = 20;

type Configured = Pick<ModelSource, 'settings'>;

/** @throws Error of one line where the model is not as its configuration says */
export function contractWith({ settings: { config } }: Configured, signature: ModelSignature): TensorContract {
  if (config === null) return asDeclared(signature);
  try {
    return contractOf(config.tensors, signature);
  } catch (error) {
    throw new Error(`${CONFIG_FILE}: ${oneLine(error)}`, { cause: error });
  }
}

/** Null where it does not say. */
export function statedThreadCounts({ settings: { config } }: Configured): readonly number[] | null {
  const count = config?.threadCount ?? null;
  return count === null ? null : [count];
}

/** As many as it says where the command line leaves it open, and instances can be limited one by one. */
export function instancesAsked(
  { settings: { config } }: Configured,
  asked: InstanceCount,
  { kind }: Scaler,
): InstanceCount {
  const canBeLimited = kind === 'cgroup-v1' || kind === 'cgroup-v2';
  return asked === 'auto' && canBeLimited ? (config?.instances ?? asked) : asked;
}

/** Of a request that states none, or one that is no level here: the ordinary one, as in Triton. */
export function priorityOf({ settings: { config } }: Configured, stated = 0): number {
  const priorities = config?.priorities ?? null;
  if (priorities === null) return stated;
  return stated >= 1 && stated <= priorities.levels ? stated : priorities.ordinary;
}

/** The tighter one counts. */
export function queueLimitsOf<Limits extends { readonly maxRequests: number }>(
  { settings: { config } }: Configured,
  limits: Limits,
): Limits {
  return { ...limits, maxRequests: Math.min(limits.maxRequests, config?.maxQueuedRequests ?? Infinity) };
}

/** One line of all that it says and that has no effect; null where there is nothing. */
export function ignoredNotice({ settings: { config } }: Configured): string | null {
  if (config === null || config.ignored.length === 0) return null;
  const named = config.ignored.slice(0, MOST_NAMED).map((field) => printable(field.slice(0, 64)));
  const others = config.ignored.length - named.length;
  return `${CONFIG_FILE}: without effect here: ${named.join(', ')}${others > 0 ? ` and ${others} more` : ''}`;
}
