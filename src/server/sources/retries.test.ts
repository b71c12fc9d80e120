import { describe, expect, it } from 'vitest';
import { isPassingStatus, nextAttempt, retryAfterMs } from './retries.js';

describe('what has failed', () => {
  it('is tried five times, after pauses that double', () => {
    const pauses = [1, 2, 3, 4].map((inARow) => nextAttempt({ inARow, inAll: inARow }, null, 1));
    // 500 ms · 2^(n-1), all of it at the largest chance.
    expect(pauses).toEqual([500, 1000, 2000, 4000].map((afterMs) => ({ kind: 'retry', afterMs })));
    expect(nextAttempt({ inARow: 5, inAll: 5 }, null, 1)).toEqual({ kind: 'give-up' });
  });

  it('is spread: by half a pause at least', () => {
    expect(nextAttempt({ inARow: 1, inAll: 1 }, null, 0)).toEqual({ kind: 'retry', afterMs: 250 });
  });

  it('waits as long as the server asks, up to a minute', () => {
    expect(nextAttempt({ inARow: 1, inAll: 1 }, 60_000, 0)).toEqual({ kind: 'retry', afterMs: 60_000 });
    expect(nextAttempt({ inARow: 1, inAll: 1 }, 60_001, 0)).toEqual({ kind: 'give-up' });
  });

  it('is given up after a hundred cuts, whatever got on between them', () => {
    expect(nextAttempt({ inARow: 1, inAll: 99 }, null, 1).kind).toBe('retry');
    expect(nextAttempt({ inARow: 1, inAll: 100 }, null, 1).kind).toBe('give-up');
  });

  it('is only what may pass', () => {
    expect([408, 429, 500, 502, 503, 504].map(isPassingStatus)).toEqual(Array(6).fill(true));
    expect([301, 400, 401, 403, 404, 416, 501, 505].map(isPassingStatus)).toEqual(Array(8).fill(false));
  });

  it('says how long in seconds or by a date', () => {
    const now = Date.UTC(2026, 0, 1);
    expect(retryAfterMs('7', now)).toBe(7000);
    expect(retryAfterMs('Thu, 01 Jan 2026 00:00:05 GMT', now)).toBe(5000);
    expect(retryAfterMs('Wed, 31 Dec 2025 00:00:00 GMT', now)).toBe(0);
    expect([retryAfterMs('soon', now), retryAfterMs(undefined, now)]).toEqual([null, null]);
  });
});
