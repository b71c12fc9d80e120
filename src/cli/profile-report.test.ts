import { describe, expect, it } from 'vitest';
import { summaryOf } from '../server/profiler/profile-summary.js';
import { profileCell } from '../scheduler/perf-model/profile-cell.js';
import type { Profile } from '../scheduler/perf-model/profile.js';
import { reportJson, reportText, type ProfileReport } from './profile-report.js';

/** l(b, c) = 10·b/c ms; what is not in `left` is measured. */
function report(left: string[] = []): ProfileReport {
  const cells = [1, 2, 8].flatMap((batchSize) =>
    [300, 1000, 1750].map((cpuMillicores) =>
      profileCell({ batchSize, cpuMillicores, threadCount: 1 }, [(10_000 * batchSize) / cpuMillicores]),
    ),
  );
  const profile: Profile = {
    schemaVersion: 1,
    name: 'ocr',
    fingerprint: null,
    elementCount: 1,
    quality: 'full',
    measuredAt: '',
    cells: cells.filter((cell) => !left.includes(`${cell.batchSize}@${cell.cpuMillicores}`)),
  };
  return {
    profile,
    summary: summaryOf(profile),
    elapsedMs: 12_340,
    scalerDescription: 'a group',
    throttledFraction: 0.125,
    notBatchableReason: '',
    profilePath: '/m/ocr.profile.json',
    picturePath: null,
  };
}

describe('the report of a profile', () => {
  it('has a row a batch size and a column an allocation, and a dash where nothing was measured', () => {
    const lines = reportText(report(['8@300'])).split('\n');
    const head = lines.findIndex((line) => line.startsWith('  batch'));
    const numbers = lines.slice(head, head + 4).map((line) => line.trim().split(/ +/));
    expect(numbers).toEqual([
      ['batch', '0.3', '1', '1.75'],
      ['1', '33.3', '10', '5.71'], // 10/0.3, 10/1, 10/1.75
      ['2', '66.7', '20', '11.4'],
      ['8', '-', '80', '45.7'],
    ]);
  });

  it('says what the model is, how wrong it is on unseen cells, and where things are', () => {
    const text = reportText(report());
    expect(text).toContain('l(b, c) = 10·b/c + 0/c + 0·b + 0 ms');
    expect(text).toMatch(/unseen cells: fit 0\.0 %, table [\d.]+ %; plans with the (fit|table)/);
    expect(text).toContain('in 12.5 % of the quota periods');
    expect(text).toContain('/m/ocr.profile.json');
    expect(text).toMatch(/picture +not stored/);
    expect(text).toContain('9 cells, 9 runs in 12.3 s');
  });

  it('says so where there are too few cells to hold one out', () => {
    expect(reportText(report(['1@300', '2@300', '8@300', '2@1000']))).toContain('too few cells to tell');
  });

  it('is one line of JSON for machines, with the profile in it', () => {
    const text = reportJson(report());
    expect(text).not.toContain('\n');
    const json = JSON.parse(text) as Record<string, unknown>;
    expect(json).toMatchObject({ model: 'ocr', throttledFraction: 0.125, picturePath: null });
    expect((json['coefficients'] as { gamma: number }).gamma).toBeCloseTo(10);
    expect((json['profile'] as Profile).cells).toHaveLength(9);
    expect(['fit', 'table']).toContain(json['chosen']);
  });
});
