import { describe, expect, it } from 'vitest';
import { aPipeline, counts, noCounts, pipelineModel } from '../../test/fixtures/pipeline-run.js';
import { aRun } from '../../test/fixtures/run-header.js';
import { stepsCounted, type ModelRecord, type RunHeader } from '../scheduler/domain/event-record.js';
import { WatchedRun } from './watch-state.js';
import { plainLines, viewLines } from './watch-view.js';

const NAMES = ['cut', 'read'];
const PLAIN = { columns: 80, isColored: false };

/** Two models, and a pipeline of them. */
function header(names: readonly string[] = NAMES): RunHeader {
  const [model] = aRun({ model: { name: 'read' } }).models;
  const pipeline = { ...model!, name: 'page', ...pipelineModel(aPipeline(names)) };
  return { ...aRun(), models: [{ ...model!, name: 'other' }, model!, pipeline] };
}

function watched(run = new WatchedRun(header())): WatchedRun {
  run.apply({ atMs: 0, records: [] });
  const counted = stepsCounted(9500, {
    door: { queue_full: 4 },
    steps: [
      counts({ requests: 10, parts: 10, done: 10, spanMs: 1000, waitedMs: 200, ranMs: 800, coreMs: 1000 }),
      // 10 requests of 6 parts; three quarters of the time, and as much of 4 core-seconds in 10.
      counts({
        ...{ waiting: 12, running: 3, requests: 10, parts: 60, done: 58, lost: 2, spanMs: 3000 },
        ...{ waitedMs: 1000, ranMs: 8000, coreMs: 3000, dropped: { expired: 2 } },
      }),
    ],
  });
  const records = [
    { kind: 'request-admitted', atMs: 9000, sequence: 1, queueDepth: 2 },
    { ...counted },
  ] as unknown as ModelRecord[];
  run.apply({ atMs: 10_000, records: records.map((record) => ({ ...record, model: 2 })) });
  return run;
}

describe('a pipeline that is watched', () => {
  it('has a line for each step, with its share of the time and of the cores, and what is lost there', () => {
    const lines = viewLines(watched(), 10_000, 'here', PLAIN).map((line) => line.trimEnd());
    const begin = lines.findIndex((line) => line.startsWith('page version 1, a pipeline of 2 steps'));
    expect(lines.slice(begin + 1).map((line) => line.slice(0, 7))).toEqual([
      ...[' held  ', ' missed', ' 60 s  ', '       ', ' step  ', ' (door)', ' cut   ', ' read  '],
    ]);
    // Of 4 s of requests' time 1 and 3; on 0.1 and 0.3 cores.
    expect(lines.slice(-4)).toEqual([
      ' step              time  request cores       parts done/s wait run lost',
      ' (door)                                                               4',
      ' cut     ██······  25 %   100 ms   0.1  25 %    ×1    1.0    0   0    0',
      ' read    ██████··  75 %   300 ms   0.3  75 %    ×6    5.8   12   3    2',
    ]);
  });

  it('fits 80 columns, whatever its steps are called and however many there are', () => {
    const names = Array.from({ length: 40 }, (_, index) => `a step of a name that is long, ${index}`);
    const run = new WatchedRun(header(names));
    run.apply({ atMs: 0, records: [] });
    run.apply({ atMs: 1000, records: [{ ...stepsCounted(500, { door: {}, steps: names.map(noCounts) }), model: 2 }] });
    const lines = viewLines(run, 1000, '', PLAIN);
    for (const line of lines) expect(line.length, line).toBeLessThan(80);
    expect(lines.at(-1)).toMatch(/24 more steps$/);
  });

  it('has no part in the cores, which its models have', () => {
    const text = viewLines(watched(), 10_000, '', PLAIN).join('\n');
    expect(text).toMatch(/^ cores .* 2 of 4 cores$/m);
    expect(text).not.toMatch(/^ page .*█/m);
  });

  it('is one line where there is no terminal', () => {
    const line = plainLines(watched(), 10_000).at(-1)!;
    expect(line).toMatch(/ page: held 2; .*; cut 0 wait 0 run, read 12 wait 3 run, lost 4 at \(door\) and 2 at read$/);
    expect(line).not.toContain('plan');
  });

  it('keeps a minute of what is counted, whatever is sent', () => {
    const run = new WatchedRun(header());
    run.apply({ atMs: 0, records: [] });
    for (let at = 1; at <= 5000; at++) {
      const steps = [counts({ done: at }), noCounts()];
      run.apply({ atMs: 250 * at, records: [{ ...stepsCounted(250 * at, { door: {}, steps }), model: 2 }] });
    }
    const { steps } = run.models[2]!.stepsSince(1190, 1_250_000)!;
    // Four a second.
    expect(steps[0]!.donePerSec).toBeCloseTo(4, 1);
  });
});
