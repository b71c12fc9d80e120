import { describe, expect, it } from 'vitest';
import { cellKey, ProfileRun, type ProfilingPlan, type ProfilingTarget } from './profile-runner.js';

const PLAN: ProfilingPlan = {
  quality: 'full',
  maxBatchSize: 4,
  limits: { minMillicores: 100, maxMillicores: 2000, stepMillicores: 100 },
  threadCounts: [1, 2],
  budgetMs: 1e9,
  maxRunMs: Infinity,
  maxStepRunMs: Infinity,
  seed: 1,
};

/** l(b, c) = 20·b / c ms; records what was asked. */
function fakeTarget(): ProfilingTarget & { readonly runs: string[] } {
  let cpuMillicores = 0;
  const runs: string[] = [];
  return {
    runs,
    resize: (millicores) => {
      cpuMillicores = millicores;
      return Promise.resolve();
    },
    run: (batchSize, threadCount) => {
      runs.push(`${cellKey({ batchSize, cpuMillicores })} × ${threadCount}`);
      return Promise.resolve({ latencyMs: (20_000 * batchSize) / cpuMillicores });
    },
  };
}

async function finish(run: ProfileRun): Promise<void> {
  for (let steps = 0; !run.isDone; steps++) {
    expect(steps).toBeLessThan(10_000);
    await run.step();
  }
}

describe('a profile run', () => {
  it('measures every cell twenty times, with the threads that serving would use', async () => {
    const target = fakeTarget();
    const run = new ProfileRun(target, PLAN);
    await finish(run);
    const cells = run.cells();
    expect(cells.map((cell) => cell.batchSize)).toEqual(expect.arrayContaining([1, 2, 4]));
    for (const cell of cells) {
      expect(cell.samplesMs).toHaveLength(20);
      expect(cell.p50Ms).toBeCloseTo((20_000 * cell.batchSize) / cell.cpuMillicores);
      expect(cell.threadCount).toBe(cell.cpuMillicores > 1000 ? 2 : 1);
    }
    expect(run.progress.done).toBe(run.progress.total);
  });

  it('interleaves: no cell is finished before every cell was begun', async () => {
    const target = fakeTarget();
    const run = new ProfileRun(target, PLAN);
    const firstFull = (): boolean => run.cells().some((cell) => cell.samplesMs.length >= 20);
    while (!firstFull()) await run.step();
    const sizes = new Set(run.cells().map((cell) => cellKey(cell)));
    await finish(run);
    expect(new Set(run.cells().map((cell) => cellKey(cell)))).toEqual(sizes);
  });

  it('says what there is now, which stays so while it goes on', async () => {
    const run = new ProfileRun(fakeTarget(), PLAN);
    for (let step = 0; step < 10; step++) await run.step();
    const cells = run.cells();
    const before = structuredClone(cells);
    await finish(run);
    expect(cells).toEqual(before);
    expect(run.cells()).not.toEqual(before);
  });

  it('goes on from what an earlier run measured', async () => {
    const first = new ProfileRun(fakeTarget(), PLAN);
    for (let step = 0; step < 40; step++) await first.step();
    const target = fakeTarget();
    const second = new ProfileRun(target, PLAN, first.cells());
    await finish(second);
    const whole = fakeTarget();
    await finish(new ProfileRun(whole, PLAN));
    expect(target.runs.length).toBeLessThan(whole.runs.length - 60);
    for (const cell of second.cells()) expect(cell.samplesMs.length).toBeGreaterThanOrEqual(20);
  });

  it('leaves out what would keep a request waiting too long, but keeps what was measured of it before', async () => {
    const first = new ProfileRun(fakeTarget(), { ...PLAN, quality: 'quick' });
    await finish(first);
    const target = fakeTarget();
    // l(2, 2 cores) = 20 ms, l(4, 2 cores) = 40 ms.
    const run = new ProfileRun(target, { ...PLAN, maxRunMs: 25 }, first.cells());
    await finish(run);
    expect(target.runs.some((line) => line.startsWith('4@'))).toBe(false);
    expect(target.runs.some((line) => line.startsWith('2@'))).toBe(true);
    expect(
      run.cells().find((cell) => cell.batchSize === 4 && cell.cpuMillicores === 2000)?.samplesMs.length,
    ).toBeGreaterThan(0);
  });

  it('leaves out runs that would hold requests at their own allocation, but for one request on the most CPU', async () => {
    const target = fakeTarget();
    // l(1, c) = 20 ms · 1000 / c: 10, 20, 40 … ms.
    const run = new ProfileRun(target, { ...PLAN, maxRunMs: 15, maxStepRunMs: 15 });
    await finish(run);
    expect(run.cells().map(cellKey)).toEqual(['1@1000', '1@2000']);
  });

  it('runs two together once where no batch of the grid is short enough: company need not cost as much again', async () => {
    // 1000 ms, and 100 more for each that joins.
    const runs: number[] = [];
    const target: ProfilingTarget = {
      resize: () => Promise.resolve(),
      run: (batchSize) => {
        runs.push(batchSize);
        return Promise.resolve({ latencyMs: 900 + 100 * batchSize });
      },
    };
    const run = new ProfileRun(target, { ...PLAN, quality: 'quick', budgetMs: 3000 });
    await finish(run);
    expect(runs.filter((batchSize) => batchSize > 1)).toEqual([2]);
    expect(run.cells().map(({ batchSize, p50Ms }) => [batchSize, p50Ms])).toContainEqual([2, 1100]);
  });

  it('drops the dearest cells when the budget is short', async () => {
    const target = fakeTarget();
    const run = new ProfileRun(target, { ...PLAN, quality: 'quick', budgetMs: 1500 });
    await finish(run);
    const keys = run.cells().map((cell) => cellKey(cell));
    expect(keys).toContain('1@2000');
    expect(keys).toContain('4@2000');
    expect(keys).not.toContain('4@300');
  });

  it('runs cells less often before it gives up more than half of them', async () => {
    // A round of all cells takes (1 + 2 + 4)·20·(1/0.3 + 1/0.5 + 1 + 1/2) = 957 ms and its warm-ups: 20 rounds, 19 s and more.
    const run = new ProfileRun(fakeTarget(), { ...PLAN, budgetMs: 5000 });
    await finish(run);
    expect(run.cells().length).toBeGreaterThanOrEqual(6);
    for (const cell of run.cells()) expect(cell.samplesMs.length).toBeGreaterThanOrEqual(3);
    expect(run.fewestRuns).toBeLessThan(20);
  });

  it('tells what is next and how much is left, and at the end that nothing is', async () => {
    const run = new ProfileRun(fakeTarget(), { ...PLAN, quality: 'quick' });
    expect([run.nextCell, run.remainingMs, run.fewestRuns]).toEqual([null, 0, 0]);
    await run.step();
    const { nextCell, remainingMs } = run;
    expect(run.fewestRuns).toBe(0);
    await run.step();
    expect(run.cells().map(cellKey)).toEqual([cellKey(nextCell!)]);
    expect(run.remainingMs).toBeLessThan(remainingMs);
    await finish(run);
    expect([run.nextCell, run.remainingMs]).toEqual([null, 0]);
    expect(run.fewestRuns).toBeGreaterThanOrEqual(5);
  });
});
