import type { Event } from './event.js';

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
