/*
 * The most requests that a worker at a fixed allocation can answer in time when all arrivals are known beforehand: the
 * serial-batching machine with release times, equal work and a largest batch. All members of a batch end together, and it
 * starts only when all are there. Shares no code and no types with `src/`.
 *
 * Give instants and latencies as integers, so that sums in different order are equal.
 */

export interface BatchingInstance {
  readonly requests: readonly { readonly releaseAtMs: number; readonly dueAtMs: number }[];
  /** By batch size, from 1 on, non-decreasing; s + p·m for the machine in the literature, but any will do. */
  readonly latenciesMs: readonly number[];
}

/** Plain search over every order of every set of batches; ≤ 7 requests. */
export function mostOnTimeByExhaustion({ requests, latenciesMs }: BatchingInstance): number {
  const mostOf = (left: number, freeAtMs: number): number => {
    let most = 0;
    for (let batch = left; batch > 0; batch = (batch - 1) & left) {
      const members = requests.filter((_, index) => (batch >> index) & 1);
      const latencyMs = latenciesMs[members.length - 1];
      if (latencyMs === undefined) continue;
      const endAtMs = Math.max(freeAtMs, ...members.map(({ releaseAtMs }) => releaseAtMs)) + latencyMs;
      if (members.some(({ dueAtMs }) => endAtMs > dueAtMs)) continue;
      most = Math.max(most, members.length + mostOf(left & ~batch, endAtMs));
    }
    return most;
  };
  return mostOf((1 << requests.length) - 1, Number.NEGATIVE_INFINITY);
}

/** A batch that others have to fit in with. */
interface FixedBatch {
  readonly startAtMs: number;
  readonly endAtMs: number;
}

/**
 * Polynomial dynamic program after Baptiste ("Batching identical jobs", Math. Methods of OR 52, 2000), with a cap on the
 * batch. Requests are in order of deadline.
 *
 * most(k, left, right, open) is the most of the first k requests, of those released after `left` starts and until `right`
 * starts, that are answered in time by batches between `left` and `right` and by exactly `open` places in `right`.
 * Request k is given up, or takes a place in `right`, or is the latest due of a batch of m between them. In the last case
 * the others of it, and all batches before, are of requests released until its start, and all batches after it are of
 * requests released later: an earlier-due request that could have been in the batch of k and runs later can change places
 * with k. So the two sides are independent: most(k − 1, left, batch, m − 1) + most(k − 1, batch, right, open).
 *
 * A batch starts at a release, or right after others that began at a release: O(n³) instants if l(m) = s + p·m.
 */
export function mostOnTime({ requests, latenciesMs }: BatchingInstance): number {
  const byDue = [...requests].sort((a, b) => a.dueAtMs - b.dueAtMs);
  const starts = possibleStarts({ requests, latenciesMs });
  const known = new Map<string, number>();

  const most = (count: number, left: FixedBatch, right: FixedBatch, open: number): number => {
    if (open > count) return Number.NEGATIVE_INFINITY;
    if (count === 0) return 0;
    const key = [count, left.startAtMs, left.endAtMs, right.startAtMs, right.endAtMs, open].join(' ');
    let best = known.get(key);
    if (best === undefined) {
      best = mostWithLast(count, left, right, open);
      known.set(key, best);
    }
    return best;
  };

  const mostWithLast = (count: number, left: FixedBatch, right: FixedBatch, open: number): number => {
    const { releaseAtMs, dueAtMs } = byDue[count - 1]!;
    let best = most(count - 1, left, right, open);
    if (releaseAtMs <= left.startAtMs || releaseAtMs > right.startAtMs) return best;
    if (open > 0 && right.endAtMs <= dueAtMs) best = Math.max(best, 1 + most(count - 1, left, right, open - 1));
    for (const startAtMs of starts) {
      if (startAtMs < Math.max(releaseAtMs, left.endAtMs)) continue;
      for (const [index, latencyMs] of latenciesMs.entries()) {
        const batch = { startAtMs, endAtMs: startAtMs + latencyMs };
        if (batch.endAtMs > Math.min(dueAtMs, right.startAtMs)) break;
        const before = most(count - 1, left, batch, index);
        if (before < 0) break;
        best = Math.max(best, 1 + before + most(count - 1, batch, right, open));
      }
    }
    return best;
  };

  const never = { startAtMs: Number.NEGATIVE_INFINITY, endAtMs: Number.NEGATIVE_INFINITY };
  const forever = { startAtMs: Number.POSITIVE_INFINITY, endAtMs: Number.POSITIVE_INFINITY };
  return most(byDue.length, never, forever, 0);
}

/** Every instant at which a batch can start in a schedule without needless waiting, and still end in time for someone. */
function possibleStarts({ requests, latenciesMs }: BatchingInstance): readonly number[] {
  const lastStartAtMs = Math.max(...requests.map(({ dueAtMs }) => dueAtMs)) - latenciesMs[0]!;
  /** Instant → the fewest requests that are run from a release until then. */
  let reached = new Map(requests.map(({ releaseAtMs }) => [releaseAtMs, 0]));
  const all = new Set(reached.keys());
  while (reached.size > 0) {
    const next = new Map<number, number>();
    for (const [atMs, ran] of reached) {
      for (const [index, latencyMs] of latenciesMs.entries()) {
        const laterMs = atMs + latencyMs;
        const ranThen = ran + index + 1;
        if (laterMs > lastStartAtMs || ranThen >= requests.length) continue;
        if (ranThen < (next.get(laterMs) ?? Number.POSITIVE_INFINITY)) next.set(laterMs, ranThen);
      }
    }
    for (const atMs of next.keys()) all.add(atMs);
    reached = next;
  }
  return [...all].sort((a, b) => a - b);
}
