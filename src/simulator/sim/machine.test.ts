import { describe, expect, it } from 'vitest';
import { shapeClass } from '../../scheduler/domain/request.js';
import { RELEASED_FITS } from '../../scheduler/controlplane/baselines/released.js';
import { OnlineLatencyModels } from '../../scheduler/perf-model/latency-model.js';
import { PUBLISHED_PROFILE_NAMES, publishedProfile } from '../../scheduler/perf-model/published.js';
import { measuredMachine, publishedMachine, usedMillicores } from './machine.js';

describe('a machine from a published table', () => {
  it('takes 0.88 of the authors’ P99 fit', () => {
    const { curve, releasedFit } = publishedMachine(publishedProfile('yolov5s'));
    for (const [key, value] of Object.entries(RELEASED_FITS.yolov5s)) {
      expect(releasedFit![key as keyof typeof releasedFit]).toBeCloseTo(value, 5);
    }
    // 0.88 × (140.435 × 4 / 8 + 25.239 × 4 − 50.842 / 8 + 22.136) = 0.88 × 186.954
    expect(curve.latencyMs(4, 8000)).toBeCloseTo(0.88 * 186.954, 2);
  });

  it.each(PUBLISHED_PROFILE_NAMES)('is monotone where batches run: %s', (name) => {
    const { curve } = publishedMachine(publishedProfile(name));
    for (let batchSize = 1; batchSize <= 16; batchSize++) {
      for (let millicores = 1000; millicores <= 16_000; millicores += 500) {
        const latencyMs = curve.latencyMs(batchSize, millicores);
        expect(latencyMs).toBeGreaterThan(0);
        expect(curve.latencyMs(batchSize, millicores + 500)).toBeLessThanOrEqual(latencyMs);
        expect(curve.latencyMs(batchSize + 1, millicores)).toBeGreaterThanOrEqual(latencyMs);
      }
    }
  });

  it('has a profile from which our model predicts it within 0.1 %, and plans for its p99', () => {
    const { curve, profile } = publishedMachine(publishedProfile('yolov5s'));
    const model = new OnlineLatencyModels(profile).forClass(shapeClass('yolov5s', profile.elementCount));
    for (const [batchSize, millicores] of [
      [1, 1500],
      [3, 5200],
      [8, 11_700],
    ] as const) {
      // prettier-ignore
      const typicalMs = curve.latencyMs(batchSize, millicores);
      expect(model.predictedLatencyMs(batchSize, millicores) / typicalMs).toBeCloseTo(1, 3);
      // e^(2.326 × 0.07) = 1.177; between the quantiles of a table without samples it is taken to be a little less
      expect(model.plannedLatencyMs(batchSize, millicores) / typicalMs).toBeCloseTo(1.17, 2);
    }
  });
});

describe('a machine from a measured profile', () => {
  it('scatters as widely as its runs did', () => {
    const profile = publishedProfile('resnet18');
    const cells = profile.cells.map((cell) => ({
      ...cell,
      samplesMs: [cell.p50Ms * 0.9, cell.p50Ms, cell.p50Ms * 1.1],
    }));
    const { logDeviation } = measuredMachine({ ...profile, quality: 'full', cells });
    // √((ln 0.9² + 0 + ln 1.1²) / 3) = 0.082, plus how far the curve is from the cells
    expect(logDeviation).toBeGreaterThan(0.08);
    expect(logDeviation).toBeLessThan(0.3);
  });
});

describe('the CPU that a batch uses', () => {
  it('is all of one core, and less of many: one of them has to do the rest alone', () => {
    const machine = publishedMachine(publishedProfile('yolov5s'));
    const used = usedMillicores(machine);
    expect(used(1, 1000)).toBeCloseTo(1000, 9);
    expect(used(1, 500)).toBeCloseTo(500, 9);
    expect(used(8, 16_000)).toBeLessThan(8000);
    expect(used(8, 16_000)).toBeGreaterThan(1000);
  });
});
