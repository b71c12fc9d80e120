import { describe, expect, it } from 'vitest';
import { RELEASED_FITS } from '../../src/scheduler/controlplane/baselines/released.js';
import { IMAGE_BYTES, YOLOV5S } from './published.js';
import { plottedGrowthPercent, replayFa2, replayReleased } from './replay.js';

/** Bandwidth at which the image takes so long, and a little less, so that cutting makes whole ms of it. */
const at = (delayMs: number): number => IMAGE_BYTES / (delayMs - 0.001);

describe('the released rule, replayed', () => {
  it('holds the plan after each decision, and keeps it where nothing fits', () => {
    const replay = replayReleased([at(500), at(100), at(145), at(100), at(144)], RELEASED_FITS.yolov5s, YOLOV5S);
    // 145 ms and more are infeasible: 16 cores from the start on, then 13, 13, 13, 16.
    expect(replay.coresBySecond).toEqual([16, 13, 13, 13, 16]);
    expect(replay).toMatchObject({
      meanCores: (16 + 3 * 13 + 16) / 5,
      infeasibleSec: 2,
      coreChanges: 2,
      secByBatchSize: { 1: 1, 5: 4 },
      secByCores: { 13: 3, 16: 2 },
    });
  });
});

describe('FA2, replayed', () => {
  it('starts with one instance, and does not count what it could not choose', () => {
    const replay = replayFa2([at(703), at(200), at(400), at(703)], RELEASED_FITS.yolov5s, YOLOV5S);
    expect(replay.instancesBySecond).toEqual([1, 5, 10, 10]);
    expect(replay).toMatchObject({
      meanInstances: 6.5,
      infeasibleSec: 2,
      secByChosen: { 5: 1, 10: 1 },
      batchSizes: [1],
    });
  });
});

describe('what the figure adds to FA2', () => {
  it('is a share of the new instances for each growth after second 20', () => {
    const instances = [...Array.from({ length: 21 }, (_, second) => second + 1), 21, 28, 28, 14];
    // Growth before second 21 does not count; then 21 → 28 adds 7 / 28, of 25 seconds.
    expect(plottedGrowthPercent(instances)).toBeCloseTo((100 * 0.25) / 25, 9);
    expect(plottedGrowthPercent([1, 2, 3])).toBe(0);
  });
});
