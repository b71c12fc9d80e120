import { parseFeedMessage, parseRunHeader } from '../scheduler/domain/event-log.js';
import type { ModelRecord, RunHeader } from '../scheduler/domain/event-record.js';

/*
 * The server's live feed. It is come back to for as long as the page is open; the server then begins anew with the header and
 * the last minute, so nothing here is remembered across a break.
 */

export interface FeedListener {
  onRun(header: RunHeader): void;
  onRecords(atMs: number, records: readonly ModelRecord[]): void;
  /** The connection broke, or what came over it made no sense; it is tried again. */
  onBreak(problem: string): void;
}

/** The browser comes back by itself after a break, but gives up when it is answered with an error. */
const RETRY_MS = 2_000;
/** The server says something at least once a second; a connection that is silent for so long is a dead one. */
const SILENCE_MS = 6_000;

export class LiveFeed {
  readonly #url: string;
  readonly #listener: FeedListener;
  #source: EventSource | null = null;
  #header: RunHeader | null = null;
  #retryTimer = 0;
  #silenceTimer = 0;

  constructor(url: string, listener: FeedListener) {
    this.#url = url;
    this.#listener = listener;
  }

  open(): void {
    this.close();
    const source = new EventSource(this.#url);
    this.#source = source;
    this.#heard();
    source.addEventListener('run', (event: MessageEvent<string>) => this.#read(() => this.#onRun(event.data)));
    source.addEventListener('message', (event: MessageEvent<string>) => this.#read(() => this.#onMessage(event.data)));
    source.addEventListener('error', () => this.#again('no connection to the server'));
  }

  close(): void {
    this.#source?.close();
    this.#source = null;
    this.#header = null;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#silenceTimer);
  }

  #onRun(json: string): void {
    this.#header = parseRunHeader(json, 'the live feed');
    this.#listener.onRun(this.#header);
  }

  #onMessage(json: string): void {
    if (this.#header === null) return;
    const { atMs, records } = parseFeedMessage(json, this.#header);
    this.#listener.onRecords(atMs, records);
  }

  #read(message: () => void): void {
    this.#heard();
    try {
      message();
    } catch (error) {
      this.#again((error as Error).message);
    }
  }

  #heard(): void {
    clearTimeout(this.#silenceTimer);
    this.#silenceTimer = window.setTimeout(() => this.#again('the server has gone silent'), SILENCE_MS);
  }

  #again(problem: string): void {
    this.close();
    this.#listener.onBreak(problem);
    this.#retryTimer = window.setTimeout(() => this.open(), RETRY_MS);
  }
}
