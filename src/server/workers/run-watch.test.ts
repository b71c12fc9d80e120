import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RunWatch } from './run-watch.js';

/** A look each second, while no run may take a minute. */
const STANDSTILL_MS = 5000;
const MAX_RUN_MS = 60_000;

describe('the watch over runs', () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] }));
  afterEach(() => vi.useRealTimers());

  /** @param usedSeconds CPU time at each look, from the first; the last one stays; null where it cannot be told */
  function watch(usedSeconds: readonly (number | null)[]) {
    let look = 0;
    return watchOf(() => usedSeconds[Math.min(look++, usedSeconds.length - 1)]!);
  }

  function watchOf(usedSeconds: (instance: number) => number | null) {
    const said: string[] = [];
    const startMs = Date.now();
    const runs = new RunWatch({
      usedSeconds,
      nowMs: () => Date.now(),
      standstillMs: STANDSTILL_MS,
      maxRunMs: MAX_RUN_MS,
      onOverrun: (batchId, message) => said.push(`${Date.now() - startMs}: ${batchId} ${message}`),
      onHang: (message) => {
        said.push(`${Date.now() - startMs}: ${message}`);
        runs.reset();
      },
    });
    return { said, runs };
  }

  const computing = Array.from({ length: 1000 }, (_, look) => look);

  it('gives up, once, a run whose threads use no CPU', async () => {
    const { said, runs } = watch([7]);
    runs.begin(1, 0);
    await vi.advanceTimersByTimeAsync(60_000);
    // The first look, and five that find no more than it did.
    expect(said).toEqual(['6000: the run hung: it used no CPU for 5000 ms']);
  });

  it('counts anew when the threads go on: one tick of 10 ms in five seconds is enough', async () => {
    const { said, runs } = watch([7, 7, 7, 7, 7, 7.01]);
    runs.begin(1, 0);
    await vi.advanceTimersByTimeAsync(10_990);
    expect(said).toEqual([]);
    await vi.advanceTimersByTimeAsync(10);
    expect(said).toHaveLength(1);
  });

  it('lets a run compute as long as is allowed, then asks it to end, then gives it up', async () => {
    const { said, runs } = watch(computing);
    runs.begin(1, 0);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(said).toEqual([
      '60000: 1 the run took longer than 60000 ms and was stopped; see --max-run-ms',
      '65000: the run hung: it did not end 5000 ms after it was stopped at 60000 ms',
    ]);
  });

  it('keeps to the limit alone where the platform does not tell of CPU time', async () => {
    const { said, runs } = watch([null]);
    runs.begin(1, 0);
    await vi.advanceTimersByTimeAsync(62_000);
    expect(said).toEqual(['60000: 1 the run took longer than 60000 ms and was stopped; see --max-run-ms']);
  });

  it('does not add up the standstills of several runs', async () => {
    const { said, runs } = watch([7]);
    for (let batchId = 1; batchId <= 20; batchId++) {
      runs.begin(batchId, 0);
      await vi.advanceTimersByTimeAsync(3000);
      runs.end(batchId);
    }
    expect(said).toEqual([]);
  });

  it('finds one that stands still beside others that compute and end', async () => {
    const { said, runs } = watchOf((instance) => (instance === 0 ? 7 : Date.now() / 1000));
    runs.begin(1, 0);
    for (let batchId = 2; said.length === 0 && batchId <= 20; batchId++) {
      runs.begin(batchId, 1);
      await vi.advanceTimersByTimeAsync(1000);
      runs.end(batchId);
    }
    expect(said).toEqual(['6000: the run hung: it used no CPU for 5000 ms']);
  });

  it('blames no run for the time that the router itself stood still', async () => {
    const { said, runs } = watch(computing);
    runs.begin(1, 0);
    await vi.advanceTimersByTimeAsync(2000);
    vi.setSystemTime(Date.now() + 100_000);
    // The run's answer waits to be read: it is, before anything is said.
    setImmediate(() => runs.end(1));
    await vi.advanceTimersByTimeAsync(2000);
    expect(said).toEqual([]);
  });

  it('leaves no timer behind when nothing runs', async () => {
    const { runs } = watch([7]);
    runs.begin(1, 0);
    runs.end(1);
    await vi.advanceTimersByTimeAsync(1000);
    expect(vi.getTimerCount()).toBe(0);
  });
});
