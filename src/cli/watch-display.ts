import type { FeedMessage } from '../scheduler/domain/event-log.js';
import type { RunHeader } from '../scheduler/domain/event-record.js';
import { WatchedRun } from './watch-state.js';
import { plainLines, viewLines } from './watch-view.js';

/*
 * Shows a run while it goes on: on a terminal a block that is drawn over in place, elsewhere a plain line a second of each
 * model.
 */

export interface DisplayOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  readonly writableNeedDrain?: boolean;
  write(text: string): unknown;
  on?(event: 'error', listener: (error: Error) => void): unknown;
}

export interface WatchDisplayOptions {
  readonly output: DisplayOutput;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Milliseconds since some origin: time goes on between messages too. */
  readonly readNowMs: () => number;
  /** What is said beside the title. */
  readonly status: string;
}

const FRAME_MS = 250;
/** What is shown is so old, so that it has been heard: a feed's flush of 100 ms, and a little for the way. */
const LAG_MS = 200;
const HIDE_CURSOR = '\u001b[?25l';
const SHOW_CURSOR = '\u001b[?25h';
const CLEAR_TO_END = '\u001b[J';

export class WatchDisplay {
  readonly isInPlace: boolean;
  readonly #options: WatchDisplayOptions;
  readonly #isColored: boolean;
  #run: WatchedRun | null = null;
  #status: string;
  /** Of the run's clock, when it was last told, and ours at that moment. */
  #told: { readonly atMs: number; readonly heardAtMs: number } | null = null;
  /** Of the run's clock: what the last frame showed. It never goes back. */
  #shownAtMs: number | null = null;
  #drawnLines = 0;
  #printedSecond = NaN;
  #timer: NodeJS.Timeout | null = null;
  #isBroken = false;

  constructor(options: WatchDisplayOptions) {
    this.#options = options;
    this.#status = options.status;
    const { output, environment } = options;
    this.isInPlace = output.isTTY === true && environment['TERM'] !== 'dumb';
    this.#isColored = this.isInPlace && (environment['NO_COLOR'] ?? '') === '';
    // A reader that has seen enough, `| head` for example: nobody is shown anything from here on, and all else goes on.
    output.on?.('error', () => this.#break());
  }

  begin(): void {
    if (this.#isBroken) return;
    if (this.isInPlace) this.#options.output.write(HIDE_CURSOR);
    this.#timer = setInterval(() => this.refresh(), FRAME_MS);
  }

  /** Leaves what is shown, and the terminal as it was. Safe to call twice. */
  end(): void {
    if (this.#timer === null) return;
    this.refresh();
    clearInterval(this.#timer);
    this.#timer = null;
    if (this.isInPlace) this.#options.output.write(SHOW_CURSOR);
    // What is written from here on goes below the last frame.
    this.#drawnLines = 0;
  }

  #break(): void {
    this.#isBroken = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#drawnLines = 0;
  }

  onRun(header: RunHeader): void {
    this.#run = new WatchedRun(header);
    this.#told = null;
    this.#shownAtMs = null;
    this.#status = this.#options.status;
  }

  onMessage(message: FeedMessage): void {
    this.#run?.apply(message);
    this.#told = { atMs: message.atMs, heardAtMs: this.#options.readNowMs() };
    // Of what was before the first message nothing is shown.
    this.#shownAtMs ??= message.atMs;
  }

  /** The run is not heard of any more: time stands still until the next header. */
  onLost(cause: string): void {
    this.#status = cause;
    this.#told = null;
    if (this.#timer === null) return;
    if (this.isInPlace) this.refresh();
    else this.#options.output.write(`${cause}\n`);
  }

  /** Lets something else be written, a log line, above the block. */
  aside(write: () => void): void {
    if (this.#drawnLines > 0) this.#options.output.write(`\u001b[${this.#drawnLines}A\r${CLEAR_TO_END}`);
    this.#drawnLines = 0;
    write();
  }

  /** The terminal has another size: where the block's lines have gone is not known, so the screen begins anew. */
  onResize(): void {
    if (this.isInPlace && this.#drawnLines > 0) this.#options.output.write('\u001b[2J\u001b[H');
    this.#drawnLines = 0;
    this.refresh();
  }

  refresh(): void {
    const run = this.#run;
    if (this.#timer === null) return;
    // A terminal that does not keep up is given fewer frames.
    if (run === null || this.#options.output.writableNeedDrain === true) return;
    if (this.#told !== null) {
      const nowMs = this.#told.atMs + this.#options.readNowMs() - this.#told.heardAtMs - LAG_MS;
      this.#shownAtMs = Math.max(this.#shownAtMs ?? nowMs, nowMs);
      run.apply({ atMs: this.#shownAtMs, records: [] });
    }
    if (this.isInPlace) this.#draw(run);
    else if (this.#told !== null) this.#print(run);
  }

  #draw(run: WatchedRun): void {
    const { output } = this.#options;
    const { columns = 80, rows = 24 } = output;
    const lines = viewLines(run, this.#shownAtMs ?? run.header.startedAtMs, this.#status, {
      columns,
      isColored: this.#isColored,
    });
    // The cursor stands below the block; what does not fit above it could not be drawn over.
    const shown = lines.length < rows ? lines : [...lines.slice(0, Math.max(1, rows - 2)), '…'];
    const up = this.#drawnLines > 0 ? `\u001b[${this.#drawnLines}A\r` : '';
    output.write(`${up}${shown.map((line) => `${line}\u001b[K\n`).join('')}${CLEAR_TO_END}`);
    this.#drawnLines = shown.length;
  }

  #print(run: WatchedRun): void {
    const nowMs = this.#shownAtMs!;
    const second = Math.floor(nowMs / 1000);
    if (second === this.#printedSecond) return;
    const isFirst = Number.isNaN(this.#printedSecond);
    this.#printedSecond = second;
    // The second in which watching began is not whole.
    if (!isFirst)
      this.#options.output.write(
        plainLines(run, nowMs)
          .map((line) => `${line}\n`)
          .join(''),
      );
  }
}
