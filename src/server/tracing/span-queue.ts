/*
 * Spans that wait to be sent, as many as there may be: what comes when it is full is dropped, and counted. A collector that takes none, or takes
 * its time, costs so much memory and no more.
 */

export interface SpanCounts {
  readonly exported: number;
  /** Sent, and not taken. */
  readonly failed: number;
  readonly dropped: number;
}

/** Some spans that belong together, as they are sent. */
export interface EncodedSpans {
  readonly bytes: Uint8Array;
  readonly spanCount: number;
}

export interface SpanQueueOptions {
  /** Spans that wait. */
  readonly capacity: number;
  /** Spans that are sent at once, or somewhat more. */
  readonly batchSize: number;
  /** Sendings at a time. */
  readonly mostInFlight: number;
  /** Resolves with whether they were taken; never rejects. */
  readonly send: (spans: readonly EncodedSpans[]) => Promise<boolean>;
}

export class SpanQueue {
  readonly #options: SpanQueueOptions;
  #waiting: EncodedSpans[] = [];
  #waitingCount = 0;
  #inFlight = 0;
  #exported = 0;
  #failed = 0;
  #dropped = 0;
  #onEmpty: (() => void)[] = [];

  constructor(options: SpanQueueOptions) {
    this.#options = options;
  }

  /** All of them, or none: half a trace is worth little. */
  push(spans: EncodedSpans): void {
    const { capacity, batchSize } = this.#options;
    if (this.#waitingCount + spans.spanCount > capacity) {
      this.#dropped += spans.spanCount;
      return;
    }
    this.#waiting.push(spans);
    this.#waitingCount += spans.spanCount;
    if (this.#waitingCount >= batchSize) this.sendNext();
  }

  /** What waits, as far as it may be sent now. */
  sendNext(): void {
    const { batchSize, mostInFlight, send } = this.#options;
    while (this.#waiting.length > 0 && this.#inFlight < mostInFlight) {
      let count = 0;
      let end = 0;
      while (end < this.#waiting.length && count < batchSize) count += this.#waiting[end++]!.spanCount;
      const batch = this.#waiting.slice(0, end);
      this.#waiting = this.#waiting.slice(end);
      this.#waitingCount -= count;
      this.#inFlight += 1;
      void send(batch).then((isTaken) => this.#sent(count, isTaken));
    }
  }

  /** Since the last call. */
  takeCounts(): SpanCounts {
    const counts = { exported: this.#exported, failed: this.#failed, dropped: this.#dropped };
    this.#exported = this.#failed = this.#dropped = 0;
    return counts;
  }

  /** Resolves once all that waits has been sent, and was taken or not. */
  drained(): Promise<void> {
    this.sendNext();
    if (this.#isEmpty) return Promise.resolve();
    return new Promise((resolve) => this.#onEmpty.push(resolve));
  }

  get #isEmpty(): boolean {
    return this.#waiting.length === 0 && this.#inFlight === 0;
  }

  #sent(count: number, isTaken: boolean): void {
    this.#inFlight -= 1;
    if (isTaken) this.#exported += count;
    else this.#failed += count;
    if (this.#waitingCount >= this.#options.batchSize || this.#onEmpty.length > 0) this.sendNext();
    if (!this.#isEmpty) return;
    const tell = this.#onEmpty;
    this.#onEmpty = [];
    tell.forEach((each) => each());
  }
}
