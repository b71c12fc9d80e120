import type { Event } from '../domain/event.js';

/*
 * Who was served of late. Where not everybody can be, the exact program serves the most requests, whoever sent them; this
 * keeps a floor for each client, so that nobody starves beside one that sends more, or declares tighter budgets, than all others.
 *
 * Bounded by forgetting the client heard of longest ago.
 */

/** What was served counts half after so long. */
const HALF_LIFE_MS = 5000;
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
  /** Those heard of last are at the end. */
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
    return client === undefined ? 0 : decayed(client.served, client, nowMs);
  }

  /** What each client is to have at least, if it asks for it: half of an equal share of all that was served. */
  floor(nowMs: number): number {
    let active = 0;
    let served = 0;
    for (const client of this.#clients.values()) {
      if (decayed(client.asked, client, nowMs) >= ACTIVE_WEIGHT) active += 1;
      served += decayed(client.served, client, nowMs);
    }
    return active < 2 ? 0 : (FLOOR_FRACTION * served) / active;
  }

  #client(name: string, nowMs: number): Client {
    let client = this.#clients.get(name);
    if (client === undefined) client = { asked: 0, served: 0, atMs: nowMs };
    else {
      client.asked = decayed(client.asked, client, nowMs);
      client.served = decayed(client.served, client, nowMs);
      client.atMs = nowMs;
      this.#clients.delete(name);
    }
    this.#clients.set(name, client);
    if (this.#clients.size > MOST_CLIENTS) this.#clients.delete(this.#clients.keys().next().value!);
    return client;
  }
}

function decayed(value: number, { atMs }: Client, nowMs: number): number {
  return value * 2 ** ((atMs - nowMs) / HALF_LIFE_MS);
}
