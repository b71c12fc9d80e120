/*
 * Whom to give up when not all can be met: whole requests, as few as possible. Pure.
 *
 * In order of their deadlines, the work of each resource is added up; whenever it exceeds what there is until a deadline, the request with
 * the most work left is given up, which is the newest work where requests are alike: what was done for a request is not to be lost, and
 * what is not done yet is what can be saved. For one resource that is Moore and Hodgson's rule (Moore 1968), which gives up the fewest that
 * any choice can.
 *
 * Invariant: who is not given up, and is not lost by itself, can be met if work is as predicted.
 */

export interface PendingRequest {
  readonly sequence: number;
  readonly dueAtMs: number;
  /** What is left of it takes so long at least, were it alone. */
  readonly aloneMs: number;
  /** Of each resource's time what it still takes, ms. */
  readonly workMs: ReadonlyMap<string, number>;
}

/** @returns sequences to give up, in no order */
export function requestsToGiveUp(nowMs: number, pending: readonly PendingRequest[]): ReadonlySet<number> {
  const given = new Set<number>();
  const inOrder = pending
    // Lost in any case: it is dropped before its next step, and takes nobody's time until then.
    .filter(({ dueAtMs, aloneMs }) => nowMs + aloneMs <= dueAtMs)
    .sort((a, b) => a.dueAtMs - b.dueAtMs || a.sequence - b.sequence);
  const resources = new Set(inOrder.flatMap(({ workMs }) => [...workMs.keys()]));
  for (const resource of resources) {
    const kept: PendingRequest[] = [];
    let sumMs = 0;
    for (const request of inOrder) {
      const ownMs = workOf(request, resource);
      if (given.has(request.sequence) || ownMs === 0) continue;
      kept.push(request);
      sumMs += ownMs;
      while (nowMs + sumMs > request.dueAtMs && kept.length > 0) {
        const victim = largest(kept, resource);
        kept.splice(kept.indexOf(victim), 1);
        given.add(victim.sequence);
        sumMs -= workOf(victim, resource);
      }
    }
  }
  return given;
}

/** The newest of several. */
function largest(kept: readonly PendingRequest[], resource: string): PendingRequest {
  return kept.reduce((most, each) => {
    const more = workOf(each, resource) - workOf(most, resource);
    return more > 0 || (more === 0 && each.sequence > most.sequence) ? each : most;
  });
}

function workOf({ workMs }: PendingRequest, resource: string): number {
  return workMs.get(resource) ?? 0;
}
