/*
 * The least CPU at which requests go through two models one behind the other in time, by exhaustive search over tiny instances: every order,
 * partition into batches and allocation of both. Shares no code and no types with `src/`.
 *
 * Each model has one instance; between them passes a time of the request's own. Nothing waits on purpose: idle time costs the same wherever it
 * is. Cores are not shared out between the models, which can only make it cheaper.
 */

export interface TinyChain {
  readonly requests: readonly {
    readonly releaseAtMs: number;
    readonly dueAtMs: number;
    /** Between the models. */
    readonly betweenMs: number;
    /** Of the second model. */
    readonly parts: number;
  }[];
  readonly allocations: readonly number[];
  readonly maxBatchSize: number;
  readonly latenciesMs: readonly [Latency, Latency];
}

type Latency = (batchSize: number, cpuMillicores: number) => number;

interface Job {
  readonly releaseAtMs: number;
  readonly dueAtMs: number;
}

/** Core-ms of batches; null if no schedule answers all in time. */
export function leastChainCoreMs({ requests, allocations, maxBatchSize, latenciesMs }: TinyChain): number | null {
  const ends = new Array<number>(requests.length).fill(0);

  /** What batches of the jobs in `left` cost, and what comes of it once they have ended. */
  const least = (
    jobs: readonly Job[],
    latencyMs: Latency,
    left: number,
    freeAtMs: number,
    onEnd: (job: number, endAtMs: number) => void,
    then: () => number,
  ): number => {
    if (left === 0) return then();
    let cheapest = Infinity;
    for (let batch = left; batch > 0; batch = (batch - 1) & left) {
      const members = jobs.map((_, index) => index).filter((index) => (batch >> index) & 1);
      if (members.length > maxBatchSize) continue;
      const startAtMs = Math.max(freeAtMs, ...members.map((index) => jobs[index]!.releaseAtMs));
      for (const cpuMillicores of allocations) {
        const tookMs = latencyMs(members.length, cpuMillicores);
        const endAtMs = startAtMs + tookMs;
        if (members.some((index) => endAtMs > jobs[index]!.dueAtMs)) continue;
        for (const index of members) onEnd(index, endAtMs);
        const rest = least(jobs, latencyMs, left & ~batch, endAtMs, onEnd, then);
        cheapest = Math.min(cheapest, (cpuMillicores / 1000) * tookMs + rest);
      }
    }
    return cheapest;
  };

  const second = (): number => {
    const jobs = requests.flatMap(({ dueAtMs, betweenMs, parts }, index) =>
      Array.from({ length: parts }, () => ({ releaseAtMs: ends[index]! + betweenMs, dueAtMs })),
    );
    return least(
      jobs,
      latenciesMs[1],
      2 ** jobs.length - 1,
      -Infinity,
      () => undefined,
      () => 0,
    );
  };
  const onEnd = (job: number, endAtMs: number): void => {
    ends[job] = endAtMs;
  };
  const coreMs = least(requests, latenciesMs[0], 2 ** requests.length - 1, -Infinity, onEnd, second);
  return coreMs === Infinity ? null : coreMs;
}
