import type { Clock, Timer } from '../../scheduler/clock/clock.js';
import { stepsCounted, type StepsCounted } from '../../scheduler/domain/event-record.js';
import type { PipelineCounts } from '../../scheduler/domain/step-counts.js';

/*
 * What goes on at the steps of a pipeline, for whoever watches: taken down a few times a second for as long as there is something to tell,
 * however many parts come and go meanwhile. A pipeline that nobody asks costs nothing.
 *
 * Rejected: a record for each part. A request may have hundreds, and their models tell of each already.
 */

/** As often as a page writes numbers: what comes between is not seen by anybody. */
const EVERY_MS = 250;

export interface StepRecordsOptions {
  readonly clock: Clock;
  readonly read: () => PipelineCounts;
  /** It holds requests: what is counted goes on changing. */
  readonly isBusy: () => boolean;
  readonly tell: (counted: StepsCounted) => void;
}

export class StepRecords {
  readonly #options: StepRecordsOptions;
  #timer: Timer | null = null;
  #told: string;

  constructor(options: StepRecordsOptions) {
    this.#options = options;
    this.#told = JSON.stringify(options.read());
  }

  /** Something has happened to one of its requests. */
  touch(): void {
    const { clock } = this.#options;
    this.#timer ??= clock.schedule(clock.nowMs() + EVERY_MS, () => this.#take());
  }

  /** The rest is told. */
  close(): void {
    this.#timer?.cancel();
    if (this.#timer !== null) this.#tell();
    this.#timer = null;
  }

  #take(): void {
    this.#timer = null;
    this.#tell();
    if (this.#options.isBusy()) this.touch();
  }

  /** Nothing where nothing has changed: a request that waits for long. */
  #tell(): void {
    const { clock, read, tell } = this.#options;
    const counts = read();
    const text = JSON.stringify(counts);
    if (text === this.#told) return;
    this.#told = text;
    tell(stepsCounted(clock.nowMs(), counts));
  }
}
