import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';

/** An hour, µs; two digits of each. */
const RANGE = { lowest: 1, highest: 3.6e9, figures: 2 };
const US_PER_MS = 1e3;
const US_PER_SECOND = 1e6;

/** The median, one in a hundred, one in a thousand, and the longest; of the looks there were. */
export const DELAY_QUANTILES = [0.5, 0.99, 0.999, 1] as const;

/**
 * How late the router's own event loop is: what everybody waits for, whatever they are sent or are owed. Since the last look, as a stop of
 * an hour ago says nothing of now.
 *
 * Rejected: Node's `monitorEventLoopDelay`, a timer of its own beside that of `EventLoopWatch`. Looking every 10 ms it was two of three
 * times that an idle server woke.
 */
export class LoopDelays {
  readonly #histogram: RecordableHistogram;

  /** @param shared of another thread, as it was sent */
  constructor(shared: RecordableHistogram = createHistogram(RANGE)) {
    this.#histogram = shared;
  }

  /** For another thread, which reads what this one records: sent, it is the same histogram. */
  get shared(): RecordableHistogram {
    return this.#histogram;
  }

  /** What a timer was late by. */
  record(lateMs: number): void {
    this.#histogram.record(Math.min(RANGE.highest, Math.max(RANGE.lowest, Math.round(lateMs * US_PER_MS))));
  }

  /** Seconds, in the order of `DELAY_QUANTILES`; 0 where nothing was recorded since. */
  sinceLast(): readonly number[] {
    const histogram = this.#histogram;
    const isEmpty = histogram.count === 0;
    const delays = DELAY_QUANTILES.map((quantile) =>
      isEmpty ? 0 : histogram.percentile(100 * quantile) / US_PER_SECOND,
    );
    histogram.reset();
    return delays;
  }
}
