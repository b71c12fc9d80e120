import { monitorEventLoopDelay, type IntervalHistogram } from 'node:perf_hooks';

/** A timer is looked for so often; what it is late by is how long the loop stood still. */
const RESOLUTION_MS = 10;
const NS_PER_MS = 1e6;

/** The median, one in a hundred, one in a thousand, and the longest; of looks that are 10 ms apart. */
export const DELAY_QUANTILES = [0.5, 0.99, 0.999, 1] as const;

/**
 * How late the router's own event loop is: what everybody waits for, whatever they are sent or are owed. Since the last look, as a stop of
 * an hour ago says nothing of now; without what is before the first look after that, which Node does not count.
 */
export class EventLoopDelay {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  constructor() {
    this.#histogram.enable();
  }

  /** Seconds, in the order of `DELAY_QUANTILES`; 0 where nothing was looked at since. */
  sinceLast(): readonly number[] {
    const histogram = this.#histogram;
    const delays = DELAY_QUANTILES.map((quantile) => {
      // It counts from one look to the next, so the resolution is in it.
      const intervalMs = histogram.count === 0 ? 0 : histogram.percentile(100 * quantile) / NS_PER_MS;
      return Math.max(0, intervalMs - RESOLUTION_MS) / 1000;
    });
    histogram.reset();
    return delays;
  }

  stop(): void {
    this.#histogram.disable();
  }
}
