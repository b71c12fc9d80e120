import { describe, expect, it } from 'vitest';
import { aRun } from '../../test/fixtures/run-header.js';
import type { ModelRecord, RunHeader } from '../scheduler/domain/event-record.js';
import { instanceLines, modelCoreLines, type BarLine } from './watch-cores.js';
import { WatchedRun } from './watch-state.js';
import { plainLines, viewLines } from './watch-view.js';

function resting(count: number): RunHeader {
  return aRun({ model: { instances: count, cpuMillicores: 100, allocations: new Array<number>(count).fill(100) } });
}

/** Several models that rest on so many millicores. */
function models(granted: readonly number[], budgetMillicores?: number): RunHeader {
  const header = aRun();
  const all = granted.map((cpuMillicores, index) => ({ ...header.models[0]!, name: `m${index}`, cpuMillicores }));
  return { ...header, models: all, ...(budgetMillicores === undefined ? {} : { budgetMillicores }) };
}

function watched(header: RunHeader, records: readonly Partial<ModelRecord>[] = [], untilMs = 1000): WatchedRun {
  const run = new WatchedRun(header);
  run.apply({ atMs: 0, records: [] });
  run.apply({ atMs: untilMs, records: records.map((record) => ({ model: 0, ...record }) as ModelRecord) });
  return run;
}

function started(atMs: number, batchId: number, instance: number): Partial<ModelRecord> {
  return { kind: 'batch-started', atMs, batchId, instance, batchSize: 3, sequences: [], predictedLatencyMs: 200 };
}

function resized(atMs: number, instance: number, cpuMillicores: number): Partial<ModelRecord> {
  return { kind: 'resized', atMs, instance, cpuMillicores };
}

const textOf = (lines: readonly BarLine[]): string[] => lines.map(({ head, bar, tail }) => head + bar + tail);

describe('lines of instances', () => {
  it('say what each runs, how far it is and on how many cores, or that it rests', () => {
    const run = watched(resting(3), [
      resized(890, 0, 1500),
      started(900, 1, 0),
      resized(899, 2, 1000),
      started(900, 2, 2),
      { kind: 'batch-ended', atMs: 950, batchId: 2, batchSize: 3 },
    ]);
    // 100 ms of 200: half of ten blocks.
    expect(textOf(instanceLines(run.models[0]!, 1000))).toEqual([
      'inst 0  █████·····  batch of 3 on 1.5 cores, 100 of about 200 ms',
      'inst 1  ··········  rests on 0.1 cores',
      'inst 2  ··········  rests on 1 core',
    ]);
    // Longer than predicted: the bar is full, and the numbers say so.
    expect(textOf(instanceLines(run.models[0]!, 1200))[0]).toBe(
      'inst 0  ██████████  batch of 3 on 1.5 cores, 300 of about 200 ms',
    );
  });

  it('are eight at most', () => {
    const lines = textOf(instanceLines(watched(resting(64), [started(900, 1, 60)]).models[0]!, 1000));
    expect(lines).toHaveLength(9);
    expect(lines.at(-1)).toBe('        56 more: 1 run, 55 rest');
  });

  it('are none of one instance, nor of instances that are alike', () => {
    expect(instanceLines(watched(aRun()).models[0]!, 1000)).toEqual([]);
    expect(instanceLines(watched(aRun({ model: { instances: 3 } })).models[0]!, 1000)).toEqual([]);
  });

  it('leave out what is of no instance that the header knows', () => {
    const { models: all } = watched(resting(2), [started(900, 1, 7)]);
    expect(all[0]!.instancesApart.map(({ batch }) => batch)).toEqual([null, null]);
  });
});

describe('lines of models', () => {
  it('are as long as their share of all cores', () => {
    // Of 8 cores 4 and 2; 1 + 8 + 20 + 17 columns.
    expect(textOf(modelCoreLines(watched(models([4000, 2000], 8000)), 1000, 46))).toEqual([
      'cores   ███████████████····· 6 of 8 cores',
      'm0      ██████████·········· 4',
      'm1      █████··············· 2',
    ]);
  });

  it('have all limits together where no budget is shared', () => {
    // Two of 2 cores each.
    expect(textOf(modelCoreLines(watched(models([500, 500])), 1000, 46))[0]).toMatch(/ 1 of 4 cores$/);
  });

  it('are of the largest eight and the others', () => {
    const granted = Array.from({ length: 49 }, (_, index) => (index < 8 ? 100 : 10));
    const lines = textOf(modelCoreLines(watched(models(granted.toReversed(), 8000)), 1000, 80));
    expect(lines.map((line) => line.split(' ')[0])).toEqual([
      'cores',
      ...['m41', 'm42', 'm43', 'm44', 'm45', 'm46', 'm47', 'm48'],
      '41',
    ]);
    // 41 · 10 millicores.
    expect(lines.at(-1)).toMatch(/^41 others .* 0\.41$/);
  });

  it('are none of one model', () => {
    expect(modelCoreLines(watched(aRun()), 1000, 80)).toEqual([]);
  });
});

describe('the view of several', () => {
  it.each([20, 60, 120])('fits %i columns', (columns) => {
    const run = watched(models([1000, 500]), [started(900, 1, 0)]);
    const several = watched(resting(12), [started(900, 1, 0)]);
    for (const line of [run, several].flatMap((each) => viewLines(each, 1000, 'x', { columns, isColored: false }))) {
      expect(line.length, line).toBeLessThan(Math.max(40, columns));
    }
  });

  it('says in one line how many run, and what they have together', () => {
    const plan = { kind: 'feasible', instances: 2, cpuMillicores: 0, batchSize: 8, boundBy: { kind: 'idle' } } as const;
    const planned = {
      kind: 'planned',
      atMs: 900,
      plan: { ...plan, allocations: [1500, 0] },
      trigger: 'batch-start',
    } as const;
    const run = watched(resting(2), [resized(890, 0, 1500), started(900, 1, 0), planned], 1000);
    const [line] = plainLines(run, 1000);
    expect(line).toContain('a: 1.6 of 2 cores; 1 of 2 instances run; queue 0;');
    expect(line).toMatch(/plan 1\.5 cores on 1 of 2 instances, batch 8: idle$/);
  });
});
