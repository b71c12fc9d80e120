/*
 * Whom to give up when not all can be met: whole requests, as few as possible of those for whom nothing was done. Pure.
 *
 * In order of their deadlines, the work of each resource is added up; whenever it exceeds what there is until a deadline, the request with
 * the most work left is given up, which is the newest work where requests are alike. For one resource that is Moore and Hodgson's rule (Moore
 * 1968), which gives up the fewest that any choice can. Who has something done already is not given up for others: what was done for it
 * would be lost, which costs more than it saves (`crops` at 0.9 of capacity: the same share in time, and two thirds more work lost).
 *
 * Invariant: who is not given up, has not begun, and is not lost by itself, can be met if work is as predicted.
 */

export interface PendingRequest {
  readonly sequence: number;
  readonly dueAtMs: number;
  /** What is left of it takes so long at least, were it alone. */
  readonly aloneMs: number;
  /** Something was done for it. */
  readonly hasBegun: boolean;
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
        if (victim === null) break;
        kept.splice(kept.indexOf(victim), 1);
        given.add(victim.sequence);
        sumMs -= workOf(victim, resource);
      }
    }
  }
  return given;
}

/**
 * Whether a newcomer would be too much, or make somebody who is due after it too much, were all work so many times what is predicted. Who is
 * due before it is none of its affair.
 */
export function isTooMuch(
  nowMs: number,
  pending: readonly PendingRequest[],
  newcomer: PendingRequest,
  caution: number,
): boolean {
  const behind = pending.filter(({ dueAtMs }) => dueAtMs > newcomer.dueAtMs).sort((a, b) => a.dueAtMs - b.dueAtMs);
  for (const [resource, ownMs] of newcomer.workMs) {
    if (ownMs === 0) continue;
    let sumMs = ownMs;
    for (const request of pending) if (request.dueAtMs <= newcomer.dueAtMs) sumMs += workOf(request, resource);
    if (nowMs + caution * sumMs > newcomer.dueAtMs) return true;
    for (const request of behind) {
      sumMs += workOf(request, resource);
      if (nowMs + caution * sumMs > request.dueAtMs) return true;
    }
  }
  return false;
}

/** The newest of several; null where all have begun. */
function largest(kept: readonly PendingRequest[], resource: string): PendingRequest | null {
  let most: PendingRequest | null = null;
  for (const each of kept) {
    if (each.hasBegun) continue;
    const more = most === null ? 1 : workOf(each, resource) - workOf(most, resource);
    if (more > 0 || (more === 0 && each.sequence > most!.sequence)) most = each;
  }
  return most;
}

function workOf({ workMs }: PendingRequest, resource: string): number {
  return workMs.get(resource) ?? 0;
}
