/*
 * Clients whose requests have ended workers of late: each such crash costs everybody a restart. From the second on their requests
 * run alone, so that a crash is theirs and nobody else's; from the third on they are refused, for a while that doubles.
 *
 * What many share (the address of a proxy) sends good requests too: every hundred that are served make up for one crash.
 * Bounded: beyond so many clients the one that crashed longest ago is forgotten. Rejected: to refuse at the first crash; a client does
 * not know what its input does.
 */
import type { Event } from '../domain/event.js';
import type { FailedOutcome } from '../domain/outcome.js';
import type { InferRequest } from '../domain/request.js';

/** So many crashes and a client's requests run alone; one more and it is refused. */
const CRASHES_UNTIL_ALONE = 2;
/** After the third crash, doubling with each. A restart takes about a second: less than a tenth of the time goes to one client. */
const FIRST_REFUSAL_MS = 10_000;
const LONGEST_REFUSAL_MS = 300_000;
/** Nothing is held against a client that caused no crash for so long, twice the longest refusal. */
const FORGOTTEN_AFTER_MS = 600_000;
/** So many requests served make up for a crash. */
const SERVED_PER_CRASH = 100;
const MAX_CLIENTS = 1000;

interface ClientRecord {
  crashes: number;
  /** Since the latest crash, or since they made up for one. */
  served: number;
  crashedAtMs: number;
  refusedUntilMs: number;
}

export type Standing =
  | { readonly kind: 'free' }
  | { readonly kind: 'alone' }
  | { readonly kind: 'refused'; readonly crashes: number; readonly retryAfterMs: number };

const FREE: Standing = { kind: 'free' };
const ALONE: Standing = { kind: 'alone' };

export class CrashingClients {
  /** Least recent crash first. */
  readonly #records = new Map<string, ClientRecord>();

  /** Its request was alone in a worker that died of it. */
  crashed(nowMs: number, client: string): void {
    const record = this.#touch(nowMs, client);
    record.crashes += 1;
    const refusals = record.crashes - CRASHES_UNTIL_ALONE;
    if (refusals > 0)
      record.refusedUntilMs = nowMs + Math.min(LONGEST_REFUSAL_MS, FIRST_REFUSAL_MS * 2 ** (refusals - 1));
  }

  /**
   * It left while its request was in a batch that a worker died of. Whose doing that was is not known any more, so it counts as far
   * as running alone: then the next one tells.
   */
  suspected(nowMs: number, client: string): void {
    const record = this.#touch(nowMs, client);
    record.crashes = Math.max(record.crashes, Math.min(CRASHES_UNTIL_ALONE, record.crashes + 1));
  }

  observe(event: Event): void {
    if (this.#records.size === 0 || event.kind !== 'request-finished' || event.outcome.kind !== 'completed') return;
    const { client } = event.request;
    const record = this.#records.get(client);
    if (record === undefined || ++record.served < SERVED_PER_CRASH) return;
    record.served = 0;
    record.crashes -= 1;
    if (record.crashes === 0) this.#records.delete(client);
  }

  standing(nowMs: number, client: string): Standing {
    const record = this.#records.size === 0 ? undefined : this.#recordOf(nowMs, client);
    if (record === undefined || record.crashes < CRASHES_UNTIL_ALONE) return FREE;
    const retryAfterMs = record.refusedUntilMs - nowMs;
    return retryAfterMs > 0 ? { kind: 'refused', crashes: record.crashes, retryAfterMs } : ALONE;
  }

  #recordOf(nowMs: number, client: string): ClientRecord | undefined {
    const record = this.#records.get(client);
    if (record === undefined || nowMs - record.crashedAtMs < FORGOTTEN_AFTER_MS) return record;
    this.#records.delete(client);
    return undefined;
  }

  #touch(nowMs: number, client: string): ClientRecord {
    const record = this.#recordOf(nowMs, client) ?? {
      crashes: 0,
      served: 0,
      crashedAtMs: nowMs,
      refusedUntilMs: nowMs,
    };
    record.crashedAtMs = nowMs;
    record.served = 0;
    this.#records.delete(client);
    this.#records.set(client, record);
    if (this.#records.size > MAX_CLIENTS) {
      const [longestAgo] = this.#records.keys();
      this.#records.delete(longestAgo!);
    }
    return record;
  }
}

/** Null for one that may enter the queue. */
export function poisonRefusal({ isPoison = false }: InferRequest, standing: Standing): FailedOutcome | null {
  if (isPoison) {
    const message = 'a request with the same inputs ended its worker a short time ago; it is not tried again';
    return { kind: 'failed', reason: 'poison', message };
  }
  if (standing.kind !== 'refused') return null;
  const { crashes, retryAfterMs } = standing;
  const message = `${crashes} requests of this client ended their worker; try again in ${Math.ceil(retryAfterMs / 1000)} s`;
  return { kind: 'failed', reason: 'poison', message, retryAfterMs };
}
