import { open, unlink, type FileHandle } from 'node:fs/promises';
import type { LogGap } from '../../scheduler/domain/event-log.js';
import type { RunHeader } from '../../scheduler/domain/event-record.js';

/*
 * An event log that is written while the run goes on: JSON Lines, appended asynchronously, one write at a time. What comes
 * while the disk is busy waits in memory up to a bound; beyond it records are dropped, whole ones, and a line in their place
 * says how many. A disk that fails ends the log at what has been written, maybe in the middle of a line; serving goes on.
 */

/** Of a log that we make. */
const OWNERS_ALONE = 0o600;

const MAX_WAITING_BYTES = 8 * 1024 * 1024;

export interface RecordWriterOptions {
  readonly path: string;
  /** One line, once for each kind of trouble. */
  readonly onTrouble: (line: string) => void;
  readonly maxWaitingBytes?: number;
}

/** Whole ones. */
interface Lines {
  readonly text: string;
  readonly recordCount: number;
}

export class RecordWriter {
  readonly #options: RecordWriterOptions;
  readonly #file: FileHandle;
  /** Made by us, and nothing in it so far. */
  #isOursAndEmpty: boolean;
  #hasBegun = false;
  #isReplaced = false;
  #waiting: Lines[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | null = null;
  #hasFailed = false;
  #droppedRecords = 0;
  /** Of them, those of which the log does not say so yet. */
  #untoldRecords = 0;

  private constructor(options: RecordWriterOptions, file: FileHandle, isNew: boolean) {
    this.#options = options;
    this.#file = file;
    this.#isOursAndEmpty = isNew;
  }

  /** One that we make is for its owner alone: it tells whom requests are from. What is in the file stays there until the log begins. @throws Error, in one line, when it cannot be written */
  static async open(options: RecordWriterOptions): Promise<RecordWriter> {
    try {
      try {
        return new RecordWriter(options, await open(options.path, 'ax', OWNERS_ALONE), true);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        return new RecordWriter(options, await open(options.path, 'a'), false);
      }
    } catch (error) {
      const cause = (error as Error).message;
      throw new Error(`event log: ${cause}; give --event-log a file in a folder that can be written to`, {
        cause: error,
      });
    }
  }

  /** What a failing disk was writing counts as dropped, although some of it may be in the file. */
  get droppedRecords(): number {
    return this.#droppedRecords;
  }

  /** Before the records, and again when a model has come or gone. */
  begin(header: RunHeader): void {
    this.#hasBegun = true;
    this.#isOursAndEmpty = false;
    this.#append({ text: `${JSON.stringify(header)}\n`, recordCount: 0 });
  }

  /** @param lines of one record each */
  write(lines: readonly string[]): void {
    if (!this.#hasBegun) throw new Error('an event log begins with its header');
    const { maxWaitingBytes = MAX_WAITING_BYTES } = this.#options;
    if (this.#hasFailed || this.#waitingBytes > maxWaitingBytes) {
      if (this.#droppedRecords === 0 && !this.#hasFailed) {
        this.#options.onTrouble(`event log ${this.#options.path}: the disk cannot keep up, so records are left out`);
      }
      this.#droppedRecords += lines.length;
      this.#untoldRecords += lines.length;
      return;
    }
    this.#tellGap();
    this.#append({ text: `${lines.join('\n')}\n`, recordCount: lines.length });
  }

  /** Resolves when everything is in the file, and it is closed. */
  async close(): Promise<void> {
    this.#tellGap();
    await this.#writing;
    await this.#file.close().catch(() => undefined);
    if (this.#isOursAndEmpty) await unlink(this.#options.path).catch(() => undefined);
    if (this.#droppedRecords > 0) {
      this.#options.onTrouble(`event log ${this.#options.path}: ${this.#droppedRecords} records were left out in all`);
    }
  }

  /** Nothing is told where the file takes no more. */
  #tellGap(): void {
    if (this.#untoldRecords === 0 || this.#hasFailed) return;
    const gap: LogGap = { kind: 'gap', droppedRecords: this.#untoldRecords };
    this.#untoldRecords = 0;
    this.#append({ text: `${JSON.stringify(gap)}\n`, recordCount: 0 });
  }

  #append(lines: Lines): void {
    this.#waiting.push(lines);
    this.#waitingBytes += lines.text.length;
    this.#writing ??= this.#writeWaiting();
  }

  /** Until nothing waits. What was in the file before is replaced by the header. */
  async #writeWaiting(): Promise<void> {
    let writing: readonly Lines[] = [];
    try {
      if (!this.#isReplaced && (await this.#file.stat()).isFile()) await this.#file.truncate();
      this.#isReplaced = true;
      while (this.#waiting.length > 0) {
        writing = this.#waiting;
        this.#waiting = [];
        const text = writing.map((each) => each.text).join('');
        await this.#file.appendFile(text);
        this.#waitingBytes -= text.length;
        writing = [];
      }
    } catch (error) {
      this.#hasFailed = true;
      for (const { recordCount } of [...writing, ...this.#waiting]) this.#droppedRecords += recordCount;
      this.#waiting = [];
      this.#options.onTrouble(`event log ${this.#options.path}: ${(error as Error).message}; it ends here`);
    }
    this.#writing = null;
  }
}
