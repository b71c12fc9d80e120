import { setTimeout as delay } from 'node:timers/promises';
import { inferBinary, slowInput, slowPlace, type Reply } from './clients.js';
import type { RunningServer } from './harness.js';

/*
 * A client that sends at a steady rate whatever comes of it, and keeps count of what did: for what happens to others' requests while a
 * server is busy with something else.
 */

export interface Tally {
  readonly sent: number;
  /** Answered, by what a marker sent at place 0 came back at. */
  readonly byPlace: ReadonlyMap<number, number>;
  /** Refused for their deadline, or answered after it: what a busy machine may be to blame for. */
  readonly late: number;
  /** Anything else: none is to be expected. */
  readonly failures: readonly string[];
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly mostMs: number;
}

export interface SteadyClientOptions {
  readonly model: string;
  readonly everyMs: number;
  readonly sloMs: number;
}

export class SteadyClient {
  readonly #server: RunningServer;
  readonly #options: SteadyClientOptions;
  readonly #elapsedMs: number[] = [];
  readonly #byPlace = new Map<number, number>();
  readonly #failures: string[] = [];
  readonly #calls: Promise<void>[] = [];
  #late = 0;
  #hasEnded = false;
  readonly #sending: Promise<void>;

  constructor(server: RunningServer, options: SteadyClientOptions) {
    this.#server = server;
    this.#options = options;
    this.#sending = this.#send();
  }

  /** Resolves when all that was sent is answered. */
  async end(): Promise<Tally> {
    this.#hasEnded = true;
    await this.#sending;
    await Promise.all(this.#calls);
    const sorted = this.#elapsedMs.sort((a, b) => a - b);
    return {
      sent: this.#calls.length,
      byPlace: this.#byPlace,
      late: this.#late,
      failures: this.#failures,
      p50Ms: sorted[sorted.length >> 1] ?? NaN,
      p99Ms: sorted[Math.floor(0.99 * sorted.length)] ?? NaN,
      mostMs: sorted.at(-1) ?? NaN,
    };
  }

  async #send(): Promise<void> {
    const { model, everyMs, sloMs } = this.#options;
    const startedAtMs = performance.now();
    while (!this.#hasEnded) {
      const call = inferBinary(this.#server, model, [slowInput(0)], { sloMs });
      this.#calls.push(
        call.then(
          (reply) => this.#note(reply),
          (error: unknown) => void this.#failures.push(String(error)),
        ),
      );
      await delay(Math.max(0, startedAtMs + this.#calls.length * everyMs - performance.now()));
    }
  }

  #note(reply: Reply): void {
    const { status, json, elapsedMs } = reply;
    if (status === 429 || status === 504) {
      this.#late += 1;
      return;
    }
    if (status !== 200) {
      this.#failures.push(`${status} ${json.error ?? ''}`);
      return;
    }
    const place = slowPlace(reply);
    this.#byPlace.set(place, (this.#byPlace.get(place) ?? 0) + 1);
    this.#elapsedMs.push(elapsedMs);
    if (elapsedMs > this.#options.sloMs) this.#late += 1;
  }
}
