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

export interface SpanQueueOptions<Span> {
  /** Spans that wait. */
  readonly capacity: number;
  /** Spans that are sent at once. */
  readonly batchSize: number;
  /** Sendings at a time. */
  readonly mostInFlight: number;
  /** Resolves with whether they were taken; never rejects. */
  readonly send: (spans: readonly Span[]) => Promise<boolean>;
}

export class SpanQueue<Span> {
  readonly #options: SpanQueueOptions<Span>;
  #waiting: Span[] = [];
  #inFlight = 0;
  #exported = 0;
  #failed = 0;
  #dropped = 0;
  #onEmpty: (() => void)[] = [];

  constructor(options: SpanQueueOptions<Span>) {
    this.#options = options;
  }

  /** All of them, or none: half a trace is worth little. */
  push(spans: readonly Span[]): void {
    if (this.#waiting.length + spans.length > this.#options.capacity) {
      this.#dropped += spans.length;
      return;
    }
    for (const span of spans) this.#waiting.push(span);
    if (this.#waiting.length >= this.#options.batchSize) this.sendNext();
  }

  /** What waits, as far as it may be sent now. */
  sendNext(): void {
    while (this.#waiting.length > 0 && this.#inFlight < this.#options.mostInFlight) {
      const batch = this.#waiting.slice(0, this.#options.batchSize);
      this.#waiting = this.#waiting.slice(batch.length);
      this.#inFlight += 1;
      void this.#options.send(batch).then((isTaken) => this.#sent(batch.length, isTaken));
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
    const isWanted = this.#waiting.length >= this.#options.batchSize || this.#onEmpty.length > 0;
    if (isWanted) this.sendNext();
    if (!this.#isEmpty) return;
    const tell = this.#onEmpty;
    this.#onEmpty = [];
    tell.forEach((each) => each());
  }
}
