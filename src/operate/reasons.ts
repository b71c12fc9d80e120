import type { Sizing } from './sizing.js';

/* Decisions in a sentence, for events and status. */

export function coresText(millicores: number): string {
  const cores = Math.round(millicores / 10) / 100;
  return `${cores} ${cores === 1 ? 'core' : 'cores'}`;
}

export function rateText(ratePerSec: number): string {
  return `${ratePerSec >= 10 ? Math.round(ratePerSec) : Math.round(10 * ratePerSec) / 10} requests/s`;
}

export function growText(
  ratePerSec: number,
  podCount: number,
  fromMillicores: number,
  neededMillicores: number | null,
  mostMillicores: number,
): string {
  const from = coresText(fromMillicores);
  return neededMillicores === null
    ? `${rateText(ratePerSec)} are more than ${podCount} pods can do: from ${from} to as many as each may have, ${coresText(mostMillicores)}`
    : `${rateText(ratePerSec)} need ${coresText(neededMillicores)} in each of ${podCount} pods: grown from ${from} at once`;
}

export interface AddedPods {
  readonly ratePerSec: number;
  readonly replicas: { readonly before: number; readonly after: number };
  /** That each would need without them; null where nothing is enough. */
  readonly neededMillicores: number | null;
  readonly usualMillicores: number;
  readonly isNodeFull: boolean;
  readonly coldStartMs: number;
  readonly rises: boolean;
}

export function addText(added: AddedPods): string {
  const { ratePerSec, replicas, neededMillicores, usualMillicores, isNodeFull, coldStartMs, rises } = added;
  const load = `${rateText(ratePerSec)}${rises ? ', as the rate goes on rising,' : ''}`;
  const lack =
    neededMillicores === null
      ? `are more than ${replicas.before} pods can do${isNodeFull ? ', as a node has no more cores' : ''}`
      : `would need ${coresText(neededMillicores)} in each of ${replicas.before} pods, above the ${coresText(usualMillicores)} up to which they only grow`;
  return `${load} ${lack}: ${replicas.after} pods, the new ones expected in ${Math.round(coldStartMs / 1000)} s`;
}

export function removeText({ replicas, cpuMillicores }: Sizing, isPrepared: boolean, holdMs: number): string {
  const enough = `${replicas} ${replicas === 1 ? 'pod' : 'pods'} would have been enough for all of the last ${Math.round(holdMs / 1000)} s, and cost less`;
  return isPrepared ? `${enough}: one goes` : `${enough}: first ${coresText(cpuMillicores)} each, then one goes`;
}
