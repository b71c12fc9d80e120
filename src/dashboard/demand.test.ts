import { describe, expect, it } from 'vitest';
import { needOfArrivals } from './demand.js';
import { LIVE_CAPACITIES, ModelState } from './model-state.js';

function stateWith(arrivals: readonly (readonly [atMs: number, coreMs: number])[]): ModelState {
  const limits = { minMillicores: 1000, maxMillicores: 4000, stepMillicores: 100 };
  const model = { name: 'm', version: '1', policy: 'p', limits, cpuMillicores: 1000, instances: 1, maxBatchSize: 8 };
  const state = new ModelState(model, LIVE_CAPACITIES);
  for (const [atMs, coreMs] of arrivals) {
    const unknown = {
      dueAtMs: NaN,
      receivedAtMs: NaN,
      delayMs: 0,
      source: 0,
      admittedAtMs: NaN,
      leftAtMs: NaN,
      finishedAtMs: NaN,
    };
    state.requests.push({ ...unknown, atMs, coreMs });
  }
  return state;
}

describe('the need of arriving work', () => {
  const bins = { startMs: 0, binMs: 1000, count: 4 };

  it('is their core time over the time in which they came', () => {
    // 300 + 200 core-ms within a second: half a core.
    const state = stateWith([
      [100, 300],
      [900, 200],
      [1500, 2000],
    ]);
    expect(needOfArrivals(state, bins, 4000)).toEqual([500, 2000, 0, 0]);
  });

  it('is over the part of a second that has passed, once that says something', () => {
    const state = stateWith([
      [100, 300],
      [1200, 300],
    ]);
    expect(needOfArrivals(state, bins, 1500).slice(0, 2)).toEqual([300, 600]);
    // After 100 ms it is still that of the second before.
    expect(needOfArrivals(state, bins, 1100).slice(0, 2)).toEqual([300, 300]);
  });

  it('leaves out those whose cost nobody knows yet', () => {
    expect(needOfArrivals(stateWith([[100, NaN]]), bins, 4000)[0]).toBe(0);
  });
});
