import { describe, expect, it } from 'vitest';
import type { ModelRecord, RunHeader } from '../scheduler/domain/event-record.js';
import { LiveRuns } from './live-runs.js';

const header = (title: string): RunHeader => ({
  kind: 'run',
  schemaVersion: 1,
  source: 'live',
  title,
  startedAtMs: 0,
  startedAt: null,
  models: [
    {
      name: 'a',
      version: '1',
      policy: 'sponge',
      limits: { minMillicores: 1000, maxMillicores: 4000, stepMillicores: 100 },
      cpuMillicores: 1000,
      instances: 1,
      maxBatchSize: 8,
    },
  ],
});
const resized = (atMs: number): ModelRecord => ({
  kind: 'resized',
  model: 0,
  atMs,
  resizeId: 1,
  cpuMillicores: 2000,
  isWritten: true,
  tookMs: 1,
});

describe('the runs of a feed', () => {
  it('are one after another while the view follows', () => {
    const runs = new LiveRuns();
    expect(runs.begin(header('first'), false)).toBe(true);
    expect(runs.begin(header('second'), false)).toBe(true);
    expect(runs.shown!.header.title).toBe('second');
    expect(runs.catchUp()).toBe(false);
  });

  it('stay as they are while the view is held, and nothing of the next one is missing when it goes on', () => {
    const runs = new LiveRuns();
    runs.begin(header('first'), false);
    runs.hear(5000, [resized(4900)], 100);
    expect(runs.begin(header('second'), true)).toBe(false);
    runs.hear(200, [resized(150), resized(180)], 200);
    expect(runs.shown!.header.title).toBe('first');
    expect(runs.shown!.recordCount).toBe(1);
    // Heard at 5000, 100 ms ago, and shown 130 ms late.
    expect(runs.shownMs(200)).toBe(4970);
    expect(runs.catchUp()).toBe(true);
    expect(runs.shown!.header.title).toBe('second');
    expect(runs.shown!.recordCount).toBe(2);
    expect(runs.shownMs(200)).toBe(70);
  });

  it('begin at once, held or not, where nothing is shown', () => {
    const runs = new LiveRuns();
    expect(runs.begin(header('first'), true)).toBe(true);
    runs.clear();
    expect(runs.shown).toBeNull();
    expect(runs.shownMs(0)).toBe(0);
  });
});
