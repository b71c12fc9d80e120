import { describe, expect, it } from 'vitest';
import { aRun } from '../../test/fixtures/run-header.js';
import type { ModelRecord } from '../scheduler/domain/event-record.js';
import { WatchedRun } from './watch-state.js';
import { plainLines, sparkline, viewLines } from './watch-view.js';

const HEADER = aRun({
  title: 'sponge',
  startedAtMs: 1000,
  startedAt: '2026-01-31T09:30:00.000Z',
  model: { name: 'ocr', version: '3', limits: { minMillicores: 200, maxMillicores: 1750, stepMillicores: 100 } },
});

function watchedRun(header = HEADER): WatchedRun {
  const run = new WatchedRun(header);
  run.apply({ atMs: 1000, records: [] });
  const records: Partial<ModelRecord>[] = [
    {
      kind: 'planned',
      atMs: 2000,
      plan: {
        kind: 'feasible',
        instances: 1,
        cpuMillicores: 1300,
        batchSize: 4,
        boundBy: { kind: 'deadline', sequence: 17, inMs: 84 },
      },
      trigger: 'arrival',
    },
    { kind: 'request-received', atMs: 60_100, receivedAtMs: 60_100, sequence: 7 },
    { kind: 'request-admitted', atMs: 60_100, sequence: 7, queueDepth: 1 },
    {
      kind: 'request-finished',
      atMs: 60_200,
      sequence: 1,
      outcome: 'completed_on_time',
      service: { queuedMs: 20, slackAtDispatchMs: 0, batchId: 1, latencyMs: 100 },
      reason: null,
    },
    { kind: 'request-finished', atMs: 60_300, sequence: 2, outcome: 'expired', service: null, reason: 'expired' },
  ];
  run.apply({ atMs: 61_000, records: records.map((record) => ({ model: 0, ...record }) as ModelRecord) });
  return run;
}

const PLAIN = { columns: 80, isColored: false };

describe('the view of a run', () => {
  it('shows allocation, queue, misses, numbers, and the plan with its reason', () => {
    const text = viewLines(watchedRun(), 61_000, 'here', PLAIN).join('\n');
    // 61 000 − 1000 ms after 09:30.
    expect(text).toContain('sponge  09:31:00  here');
    expect(text).toContain('ocr version 3, sponge, 0.2 to 1.75 cores');
    expect(text).toMatch(/^ granted .*▆ {5}1 {2}1\.3$/m);
    expect(text).toMatch(/^ planned .*█ {3}1\.3 {2}1\.3$/m);
    expect(text).toMatch(/^ queue .*█ {5}1 {4}1$/m);
    expect(text).toMatch(/^ missed .*█ {3}1\/s {4}1$/m);
    expect(text).toContain('50.0 % on time  0 late  0 refused  1 expired  0 failed');
    expect(text).toMatch(/p50 1[12]\d ms {2}p99 1[12]\d ms/);
    expect(text).toContain('plan    1.3 cores, batch 4: deadline of request 17 in 84 ms (arrival)');
  });

  it.each([20, 60, 80, 120])('fits %i columns, and is never narrower than makes sense', (columns) => {
    for (const line of viewLines(watchedRun(), 61_000, 'a status that is longer than the line is wide, by far', {
      ...PLAIN,
      columns,
    })) {
      expect(line.length, line).toBeLessThan(Math.max(40, columns));
    }
  });

  it('has colours only where they are wanted, and then the same text', () => {
    const escapes = new RegExp(String.raw`\u001b\[\d+m`, 'g');
    const coloured = viewLines(watchedRun(), 61_000, 'here', { columns: 80, isColored: true }).join('\n');
    const plain = viewLines(watchedRun(), 61_000, 'here', PLAIN).join('\n');
    expect(coloured).toMatch(escapes);
    expect(plain).not.toContain('\u001b');
    expect(coloured.replaceAll(escapes, '')).toBe(plain);
  });

  it('lets no name speak to the terminal', () => {
    const name = 'a\u001b[2Jb\nc';
    const run = watchedRun({ ...HEADER, title: name, models: [{ ...HEADER.models[0]!, name }] });
    for (const line of [...viewLines(run, 61_000, '', PLAIN), ...plainLines(run, 61_000)]) {
      expect(line).not.toMatch(/\p{Cc}/u);
    }
  });

  it('is one line of the last whole second where there is no terminal', () => {
    expect(plainLines(watchedRun(), 61_400)).toEqual([
      expect.stringMatching(
        /^09:31:00 ocr: 1 of 1\.75 cores; queue 1; 1\.0\/s, 50\.0 % on time, 0 late, 0 refused, 1 expired, 0 failed; p50 .*; plan 1\.3 cores, batch 4: deadline of request 17 in 84 ms$/,
      ),
    ]);
  });
});

describe('a sparkline', () => {
  it('has the lowest block for zero alone, the highest for the top, blanks where nothing is known', () => {
    expect(sparkline([null, 0, 0.001, 4, 8], 8)).toBe(' ▁▂▅█');
    expect(sparkline([0, 0], 0)).toBe('▁▁');
    expect(sparkline([16], 8)).toBe('█');
  });
});
