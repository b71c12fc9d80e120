import { describe, expect, it } from 'vitest';
import { restartDelayMs } from './worker-supervisor.js';

describe('the delay before a restart', () => {
  it('is none after the first failure in a row, then 100 ms, doubling up to 10 s', () => {
    const delaysMs = [0, 1, 2, 3, 7, 8, 1000].map(restartDelayMs);
    // 100 × 2^6 = 6400; 100 × 2^7 = 12 800, cut to 10 000.
    expect(delaysMs).toEqual([0, 100, 200, 400, 6400, 10_000, 10_000]);
  });
});
