import type { Event } from '../domain/event.js';

/*
 * Who was served of late. Where not everybody can be, the exact program serves the most requests, whoever sent them; this
 * keeps a floor for each client, so that nobody starves beside one that sends more, or declares tighter budgets, than all others.
 *
 * Bounded by forgetting the client heard of longest ago.
 */

/** What was served counts half after so long. */
const HALF_LIFE_MS = 5000;
const DECAY_PER_MS = Math.LN2 / HALF_LIFE_MS;
/** Of the share that would be everybody's if all clients had the same. */
const FLOOR_FRACTION = 0.5;
/** A client counts as one of those that share while it has sent about one request in ten seconds. */
const ACTIVE_WEIGHT = 0.5;
const MOST_CLIENTS = 1024;

interface Client {
  asked: number;
  served: number;
  /** The instant that both are decayed to. */
  atMs: number;
}

export class ClientShares {
  readonly #clients = new Map<string, Client>();

  observe(event: Event): void {
    if (event.kind === 'request-received') this.#client(event.request.client, event.atMs).asked += 1;
    else if (event.kind === 'request-finished' && event.outcome.kind === 'completed' && !event.outcome.isLate) {
      this.#client(event.request.client, event.atMs).served += 1;
    }
  }

  /** Requests served in time of late, each half as much after five seconds. */
  servedOf(name: string, nowMs: number): number {
    const client = this.#clients.get(name);
    return client === undefined ? 0 : client.served * keptAt(client, nowMs);
  }

  /** What each client is to have at least, if it asks for it: half of an equal share of all that was served. */
  floor(nowMs: number): number {
    let active = 0;
    let served = 0;
    for (const client of this.#clients.values()) {
      const kept = keptAt(client, nowMs);
      if (client.asked * kept >= ACTIVE_WEIGHT) active += 1;
      served += client.served * kept;
    }
    return active < 2 ? 0 : (FLOOR_FRACTION * served) / active;
  }

  #client(name: string, nowMs: number): Client {
    const known = this.#clients.get(name);
    if (known !== undefined) {
      const kept = keptAt(known, nowMs);
      known.asked *= kept;
      known.served *= kept;
      known.atMs = nowMs;
      return known;
    }
    if (this.#clients.size >= MOST_CLIENTS) this.#forgetOne();
    const client = { asked: 0, served: 0, atMs: nowMs };
    this.#clients.set(name, client);
    return client;
  }

  #forgetOne(): void {
    let oldest: string | null = null;
    let oldestAtMs = Infinity;
    for (const [name, { atMs }] of this.#clients) {
      if (atMs < oldestAtMs) [oldest, oldestAtMs] = [name, atMs];
    }
    this.#clients.delete(oldest!);
  }
}

/** What is left of what a client had. */
function keptAt({ atMs }: Client, nowMs: number): number {
  return Math.exp((atMs - nowMs) * DECAY_PER_MS);
}
