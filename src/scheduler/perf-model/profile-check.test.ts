import { describe, expect, it } from 'vitest';
import { cellsToCheck, checkProfile } from './profile-check.js';
import { profileCell } from './profile-cell.js';
import type { Profile } from './profile.js';

const cell = (batchSize: number, cpuMillicores: number, latencyMs: number) =>
  profileCell({ batchSize, cpuMillicores, threadCount: 1 }, [latencyMs, latencyMs, latencyMs]);

const PROFILE: Profile = {
  schemaVersion: 1,
  name: 'm',
  fingerprint: null,
  elementCount: 4,
  quality: 'full',
  measuredAt: '',
  cells: [cell(1, 1000, 20), cell(1, 2000, 10), cell(4, 2000, 40), cell(16, 2000, 160), cell(16, 1000, 320)],
};

describe('checking a stored profile', () => {
  const chosen = (cells: Profile['cells']): (readonly number[])[] =>
    cellsToCheck({ ...PROFILE, cells }).map(({ batchSize, cpuMillicores }) => [batchSize, cpuMillicores]);

  it('runs one request and the largest batch on all CPU again, and one request on half of it', () => {
    expect(chosen(PROFILE.cells)).toEqual([[1, 2000], [16, 2000], [1, 1000]]); // prettier-ignore
    expect(chosen([cell(1, 1000, 20)])).toEqual([[1, 1000]]);
  });

  it('leaves out what takes too long for a start', () => {
    const slow = [cell(1, 500, 1200), cell(1, 1000, 600), cell(1, 2000, 200), cell(2, 2000, 240), cell(4, 2000, 700)];
    expect(chosen(slow)).toEqual([[1, 2000], [2, 2000]]); // prettier-ignore
    // Nothing is affordable: one more request than one tells whether the shape holds.
    expect(chosen([cell(1, 2000, 900), cell(2, 2000, 1800), cell(4, 2000, 3600)])).toEqual([[1, 2000], [2, 2000]]); // prettier-ignore
  });

  const reruns = (single: readonly number[], batch: readonly number[]) => [
    { cell: PROFILE.cells[1]!, samplesMs: single },
    { cell: PROFILE.cells[3]!, samplesMs: batch },
  ];

  it('holds within what a shared machine scatters; one stalled run of three changes nothing', () => {
    expect(checkProfile(PROFILE, reruns([12, 300, 13], [200, 150, 190]))).toEqual({ kind: 'holds' });
  });

  it('is scaled where all is slower or faster alike, and planned with as a quick one', () => {
    // 300 / 10 and 4800 / 160: stored by a machine thirty times as fast.
    const check = checkProfile(PROFILE, reruns([300], [4800]));
    expect(check).toMatchObject({ kind: 'scaled', ratio: 30, profile: { quality: 'quick' } });
    const cells = check.kind === 'scaled' ? check.profile.cells : [];
    expect(cells.map(({ p50Ms }) => p50Ms)).toEqual([600, 300, 1200, 4800, 9600]);
    // 1/30, which refused everything.
    expect(checkProfile(PROFILE, reruns([10 / 30], [160 / 30]))).toMatchObject({ kind: 'scaled', ratio: 1 / 30 });
  });

  it('is measured anew where one request is as it was and a batch is not', () => {
    const check = checkProfile(PROFILE, reruns([10], [640]));
    expect(check).toEqual({ kind: 'broken', leastRatio: 1, greatestRatio: 4 });
  });
});
