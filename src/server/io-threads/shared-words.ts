/* A few numbers that all threads read at any time, and one of them writes. */

const SNAPSHOT_VERSION = 0;
const LOG_LEVEL = 1;
/** Of the planning thread; those of the io threads follow. */
const DELAYS = 2;
const US_PER_MS = 1000;

export class SharedWords {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array<SharedArrayBuffer>;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
  }

  static create(threadCount: number): SharedWords {
    return new SharedWords(new SharedArrayBuffer((DELAYS + 1 + threadCount) * Int32Array.BYTES_PER_ELEMENT));
  }

  /** Of what the models are; a thread that has an older one has been sent a newer. */
  get snapshotVersion(): number {
    return Atomics.load(this.#words, SNAPSHOT_VERSION);
  }

  set snapshotVersion(version: number) {
    Atomics.store(this.#words, SNAPSHOT_VERSION, version);
  }

  /** As an index. */
  get logLevel(): number {
    return Atomics.load(this.#words, LOG_LEVEL);
  }

  set logLevel(level: number) {
    Atomics.store(this.#words, LOG_LEVEL, level);
  }

  /** How late the planning thread's event loop has been of late, ms. */
  get plannerLoopDelayMs(): number {
    return Atomics.load(this.#words, DELAYS) / US_PER_MS;
  }

  /** The same of whichever is latest. */
  get longestLoopDelayMs(): number {
    return Math.max(...this.#words.subarray(DELAYS)) / US_PER_MS;
  }

  /** @param thread −1 is the planning thread */
  tellLoopDelay(thread: number, delayMs: number): void {
    Atomics.store(this.#words, DELAYS + 1 + thread, Math.round(delayMs * US_PER_MS));
  }
}
