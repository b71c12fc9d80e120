import type { Event } from './event.js';
import type { RunHeader } from './event-record.js';

/*
 * What is granted to a model's instances, as its events tell: as much to each where they are alike, or each its own.
 */

export interface Granted {
  /** Of each instance that is ready, where they are alike. */
  readonly cpuMillicores: number;
  /** Ready to run batches. */
  readonly instances: number;
  /** By instance, where each has its own; absent where they are alike. */
  readonly allocations?: readonly number[];
}

/** What changes it. */
type Change =
  | Pick<Extract<Event, { kind: 'resized' }>, 'kind' | 'cpuMillicores' | 'instance'>
  | Pick<Extract<Event, { kind: 'instances-changed' }>, 'kind' | 'instances'>;

export function grantedAfter<G extends Granted>(granted: G, change: Change): G {
  if (change.kind === 'instances-changed') return { ...granted, instances: change.instances };
  const { instance, cpuMillicores } = change;
  if (granted.allocations === undefined || instance === undefined) return { ...granted, cpuMillicores };
  return { ...granted, allocations: granted.allocations.with(instance, cpuMillicores) };
}

/** Of all instances together. */
export function grantedMillicores({ cpuMillicores, instances, allocations }: Granted): number {
  return allocations?.reduce((sum, each) => sum + each, 0) ?? cpuMillicores * instances;
}

/** What a model's instances may have together: each its limit where they are alike, else they share it. */
export function limitMillicores({ limits, allocations, instances }: RunHeader['models'][number]): number {
  return allocations === undefined ? limits.maxMillicores * instances : limits.maxMillicores;
}

/** What all models of a run may have together. */
export function budgetMillicores({ budgetMillicores: shared, models }: RunHeader): number {
  const served = models.filter(({ isGone }) => isGone !== true);
  return shared ?? served.reduce((sum, model) => sum + limitMillicores(model), 0);
}
