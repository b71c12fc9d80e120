/*
 * Whether something that failed is tried again, and when. Pure: chance and time are handed in.
 *
 * Five attempts in about eight seconds: who waits for a server to start wants to hear soon that a host is not there, and a server that
 * is being restarted, or a load balancer that has lost one, is there again by then. What gets on counts anew.
 */

/** In a row, without any progress between them. */
const MOST_ATTEMPTS = 5;
/** In all, for one file: a connection that is cut again and again is not followed for ever. */
const MOST_CUTS = 100;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 8000;
/** A server that asks for more is not there, as far as a start is concerned. */
const LONGEST_ASKED_MS = 60_000;

export interface Attempts {
  /** Without progress since. */
  readonly inARow: number;
  readonly inAll: number;
}

export type NextAttempt = { readonly kind: 'retry'; readonly afterMs: number } | { readonly kind: 'give-up' };

/**
 * @param failed attempts that have failed, this one included
 * @param askedMs what the server asked for, null where it did not
 * @param chance in [0, 1): clients that were cut at the same time do not come back at the same time
 */
export function nextAttempt({ inARow, inAll }: Attempts, askedMs: number | null, chance: number): NextAttempt {
  if (inARow >= MOST_ATTEMPTS || inAll >= MOST_CUTS) return { kind: 'give-up' };
  if (askedMs !== null) return askedMs > LONGEST_ASKED_MS ? { kind: 'give-up' } : { kind: 'retry', afterMs: askedMs };
  const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.max(0, inARow - 1));
  return { kind: 'retry', afterMs: pauseMs * (0.5 + chance / 2) };
}

/** Of a status that says nothing of the request: too many, or the server's own trouble. */
export function isPassingStatus(status: number): boolean {
  return status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505);
}

/** `Retry-After`, seconds or a date; null where it is neither. */
export function retryAfterMs(header: string | undefined, nowUnixMs: number): number | null {
  if (header === undefined) return null;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const atMs = Date.parse(header);
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - nowUnixMs);
}
