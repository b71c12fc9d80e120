import type { CpuCounters } from '../../scheduler/controlplane/scaler.js';

const NOTHING_USED: CpuCounters = { usedSeconds: 0, periods: 0, throttledPeriods: 0, throttledSeconds: 0 };

/**
 * A group that is made again counts from zero; its readers are promised counters that never decrease. Each is continued by itself:
 * of the trees that cgroup v1 counts in, one may have been removed and the other not.
 */
export class GrowingCounters {
  #past = NOTHING_USED;
  #last = NOTHING_USED;

  /** What is read next counts from zero, however much it is. */
  startAnew(): void {
    this.continuedBy(NOTHING_USED);
  }

  /** @param counters as the group has them now */
  continuedBy(counters: CpuCounters): CpuCounters {
    this.#past = mapCounters((of) => of(this.#past) + (of(counters) < of(this.#last) ? of(this.#last) : 0));
    this.#last = counters;
    return mapCounters((of) => of(this.#past) + of(counters));
  }
}

function mapCounters(value: (of: (counters: CpuCounters) => number) => number): CpuCounters {
  return {
    usedSeconds: value(({ usedSeconds }) => usedSeconds),
    periods: value(({ periods }) => periods),
    throttledPeriods: value(({ throttledPeriods }) => throttledPeriods),
    throttledSeconds: value(({ throttledSeconds }) => throttledSeconds),
  };
}
