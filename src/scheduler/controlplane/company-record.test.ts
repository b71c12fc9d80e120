import { describe, expect, it } from 'vitest';
import { Prng } from '../random/prng.js';
import { CompanyRecord } from './company-record.js';

const GAPS = 8;

/** Waits of so long each, into which requests come at the given instants. */
function wait(record: CompanyRecord, lengthMs: number, arrivalsAtMs: readonly number[]): void {
  let latestAtMs = 0;
  for (const atMs of arrivalsAtMs) {
    record.observe(atMs - latestAtMs, true);
    latestAtMs = atMs;
  }
  record.observe(lengthMs - latestAtMs, false);
  record.fade();
}

describe('the record of company', () => {
  it('lets nobody be waited for longer than so many gaps, before it knows anything', () => {
    expect(new CompanyRecord().longestSilenceMs(GAPS, 20)).toBe(160);
  });

  it('does not shorten waits for arrivals that know nothing of each other', () => {
    const [record, prng, gapMs] = [new CompanyRecord(), new Prng(5), 20];
    for (let batch = 0; batch < 2000; batch++) {
      const arrivals: number[] = [];
      for (let atMs = prng.exponential(gapMs); atMs < 100; atMs += prng.exponential(gapMs)) arrivals.push(atMs);
      wait(record, 100, arrivals);
      expect(record.longestSilenceMs(GAPS, gapMs)).toBe(GAPS * gapMs);
    }
  });

  it('ends a silence after which nobody ever came', () => {
    const record = new CompanyRecord();
    // Eight clients wait for each other: eight in 176 ms are one in 22.
    wait(record, 176, [0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 3.1]);
    // The last silences are of 1.3 and 172.9 ms: 1 came in (172.9 − 1) + (1.3 − 1) ms beyond 1 ms, and one more in 22 is assumed.
    // Beyond 2 ms nobody came in 170.9 ms.
    expect(record.longestSilenceMs(GAPS, 22)).toBe(2);
    for (let batch = 0; batch < 20; batch++) wait(record, 2, [0.3, 0.6, 0.9, 1.2, 1.5, 1.8]);
    expect(record.longestSilenceMs(GAPS, 0.3)).toBe(0.5);
  });

  it('is for no wait at all where nobody ever comes', () => {
    const record = new CompanyRecord();
    for (let batch = 0; batch < 500; batch++) wait(record, 0.5, []);
    expect(record.longestSilenceMs(GAPS, 1)).toBe(0);
  });

  it('forgets, so that it is tried again', () => {
    const record = new CompanyRecord();
    wait(record, 176, []);
    expect(record.longestSilenceMs(GAPS, 20)).toBe(0);
    for (let batch = 0; batch < 64; batch++) record.fade();
    expect(record.longestSilenceMs(GAPS, 20)).toBe(160);
  });
});
