import { open, unlink, type FileHandle } from 'node:fs/promises';
import type { RunHeader } from '../../domain/event-record.js';

/*
 * An event log that is written while the run goes on: JSON Lines, appended asynchronously, one write at a time. What comes
 * while the disk is busy waits in memory up to a bound; beyond it records are dropped, whole ones, and counted. A disk that
 * fails ends the log at what has been written; serving goes on.
 */

const MAX_WAITING_BYTES = 8 * 1024 * 1024;

export interface RecordWriterOptions {
  readonly path: string;
  /** One line, once for each kind of trouble. */
  readonly onTrouble: (line: string) => void;
  readonly maxWaitingBytes?: number;
}

export class RecordWriter {
  readonly #options: RecordWriterOptions;
  readonly #file: FileHandle;
  /** Made by us, and nothing in it so far. */
  #isOursAndEmpty: boolean;
  #hasBegun = false;
  #isReplaced = false;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | null = null;
  #hasFailed = false;
  #droppedRecords = 0;

  private constructor(options: RecordWriterOptions, file: FileHandle, isNew: boolean) {
    this.#options = options;
    this.#file = file;
    this.#isOursAndEmpty = isNew;
  }

  /** What is in the file stays there until the log begins. @throws Error, in one line, when it cannot be written */
  static async open(options: RecordWriterOptions): Promise<RecordWriter> {
    try {
      try {
        return new RecordWriter(options, await open(options.path, 'ax'), true);
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

  get droppedRecords(): number {
    return this.#droppedRecords;
  }

  /** Once, before the records. */
  begin(header: RunHeader): void {
    if (this.#hasBegun) throw new Error('an event log has one header');
    this.#hasBegun = true;
    this.#isOursAndEmpty = false;
    this.#append(`${JSON.stringify(header)}\n`);
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
      return;
    }
    this.#append(`${lines.join('\n')}\n`);
  }

  /** Resolves when everything is in the file, and it is closed. */
  async close(): Promise<void> {
    await this.#writing;
    await this.#file.close().catch(() => undefined);
    if (this.#isOursAndEmpty) await unlink(this.#options.path).catch(() => undefined);
    if (this.#droppedRecords > 0) {
      this.#options.onTrouble(`event log ${this.#options.path}: ${this.#droppedRecords} records were left out in all`);
    }
  }

  #append(text: string): void {
    this.#waiting.push(text);
    this.#waitingBytes += text.length;
    this.#writing ??= this.#writeWaiting();
  }

  /** Until nothing waits. What was in the file before is replaced by the header. */
  async #writeWaiting(): Promise<void> {
    try {
      if (!this.#isReplaced && (await this.#file.stat()).isFile()) await this.#file.truncate();
      this.#isReplaced = true;
      while (this.#waiting.length > 0) {
        const text = this.#waiting.join('');
        this.#waiting = [];
        await this.#file.appendFile(text);
        this.#waitingBytes -= text.length;
      }
    } catch (error) {
      this.#hasFailed = true;
      this.#waiting = [];
      this.#options.onTrouble(`event log ${this.#options.path}: ${(error as Error).message}; it ends here`);
    }
    this.#writing = null;
  }
}
