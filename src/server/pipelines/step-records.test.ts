import { describe, expect, it } from 'vitest';
import { counts } from '../../../test/fixtures/pipeline-run.js';
import { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { StepsCounted } from '../../scheduler/domain/event-record.js';
import { StepRecords } from './step-records.js';

function setUp() {
  const clock = new VirtualClock();
  const told: StepsCounted[] = [];
  const pipeline = { done: 0, held: 0 };
  const records = new StepRecords({
    clock,
    read: () => ({ door: {}, steps: [counts({ done: pipeline.done, ranMs: pipeline.done / 3 })] }),
    isBusy: () => pipeline.held > 0,
    tell: (counted) => told.push(counted),
  });
  const heard = (): unknown => told.map(({ atMs, steps }) => [atMs, steps[0]!.done]);
  return { clock, told, pipeline, records, heard };
}

describe('records of what is counted at steps', () => {
  it('are taken four times a second while there is something new, however much happens', () => {
    const { clock, pipeline, records, heard, told } = setUp();
    pipeline.held = 1;
    for (let at = 0; at < 1000; at += 10) {
      clock.advanceTo(at);
      pipeline.done += 1;
      records.touch();
    }
    // At 250 those of 0, 10, … 240 are counted.
    expect(heard()).toEqual([
      [250, 25],
      [500, 50],
      [750, 75],
    ]);
    // To the microsecond: 25 / 3.
    expect(told[0]!.steps[0]!.ranMs).toBe(8.333);
  });

  it('go on while it holds requests, are left out while these only wait, and end with what the last one did', () => {
    const { clock, pipeline, records, heard } = setUp();
    pipeline.held = 1;
    records.touch();
    clock.advanceTo(5000);
    expect(heard()).toEqual([]);
    pipeline.done = 1;
    clock.advanceTo(5250);
    pipeline.done = 2;
    pipeline.held = 0;
    clock.advanceTo(9000);
    expect(heard()).toEqual([
      [5250, 1],
      [5500, 2],
    ]);
  });

  it('are none of a pipeline that nobody asks', () => {
    const { clock, told } = setUp();
    clock.advanceTo(60_000);
    expect(told).toEqual([]);
    expect(clock.nowMs()).toBe(60_000);
  });

  it('are complete when it ends', () => {
    const { clock, pipeline, records, heard } = setUp();
    pipeline.done = 3;
    records.touch();
    clock.advanceTo(100);
    records.close();
    records.close();
    clock.advanceTo(1000);
    expect(heard()).toEqual([[100, 3]]);
  });
});
