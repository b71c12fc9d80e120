import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LatencyModel } from '../domain/latency.js';
import { shapeClass, type ShapeClass } from '../domain/request.js';
import { Prng } from '../random/prng.js';
import { baseModel } from './base-model.js';
import { fittedLatencyMs } from './fit.js';
import { OnlineLatencyModels } from './latency-model.js';
import { profileCell } from './profile-cell.js';
import type { Profile } from './profile.js';
import { publishedProfile } from './published.js';

const TRUTH = { gamma: 40, epsilon: 10, delta: 2, eta: 5 };
const PROFILED: ShapeClass = shapeClass('x:FP32[3,48,320]', 46_080);
const OTHER: ShapeClass = shapeClass('x:FP32[3,48,640]', 92_160);

/** A batch's noise: uniform within ±`spread`, relative. */
const noise = (prng: Prng, spread: number): number => 1 - spread + 2 * spread * prng.uniform();

/** Runs that take `latencyMs` give or take 10 %. */
function measuredProfile(
  options: { quality?: 'quick' | 'full'; latencyMs?: (b: number, c: number) => number; shapeClass?: ShapeClass } = {},
): Profile {
  const {
    quality = 'full',
    latencyMs = (b: number, c: number) => fittedLatencyMs(TRUTH, b, c),
    shapeClass = PROFILED,
  } = options;
  const prng = new Prng(1);
  return {
    schemaVersion: 1,
    name: 'test',
    fingerprint: {
      modelSha256: '',
      cpuModel: '',
      cpuCount: 4,
      scaler: 'simulated',
      quotaPeriodUs: 10_000,
      threadCounts: [1, 2, 4],
      onnxRuntimeVersion: '',
      shapeClassKey: shapeClass.key,
    },
    elementCount: shapeClass.elementCount,
    quality,
    measuredAt: '',
    cells: [1, 2, 4, 8].flatMap((batchSize) =>
      [250, 500, 1000, 2000, 4000].map((cpuMillicores) => {
        const samplesMs = Array.from({ length: 20 }, () => latencyMs(batchSize, cpuMillicores) * noise(prng, 0.1));
        return profileCell({ batchSize, cpuMillicores, threadCount: 1 }, samplesMs);
      }),
    ),
  };
}

/** Runs one batch that takes `latencyMs` and lets the models learn from it. */
function run(
  models: OnlineLatencyModels,
  shapeClass: ShapeClass,
  batchSize: number,
  cpuMillicores: number,
  latencyMs: number,
  missedFraction: number | null = null,
) {
  const predictedMs = models.forClass(shapeClass).predictedLatencyMs(batchSize, cpuMillicores);
  models.observe({ shapeClass, batchSize, cpuMillicores, actualToPredicted: latencyMs / predictedMs, missedFraction });
}

/** Runs `count` random batches that take `slowdown` times the truth, ± 10 %; returns how many exceeded their plan. */
function runMany(
  models: OnlineLatencyModels,
  shapeClass: ShapeClass,
  count: number,
  prng: Prng,
  slowdown: (i: number) => number,
): number {
  let exceeded = 0;
  for (let i = 0; i < count; i++) {
    const b = 1 + prng.int(8);
    const c = 250 * (1 + prng.int(16));
    const latencyMs = fittedLatencyMs(TRUTH, b, c) * slowdown(i) * noise(prng, 0.1);
    if (latencyMs > models.forClass(shapeClass).plannedLatencyMs(b, c)) exceeded++;
    run(models, shapeClass, b, c, latencyMs);
  }
  return exceeded;
}

/** How many times the truth is predicted; the same at every point where the base is the fit. */
function scaleOf(model: LatencyModel): number {
  return model.predictedLatencyMs(2, 1000) / fittedLatencyMs(TRUTH, 2, 1000);
}

/** Batches one after another, each with a deadline right where the plan expects its end: the share that misses it. */
function missRate(models: OnlineLatencyModels, count: number, slowdown: (i: number) => number): number {
  let missed = 0;
  for (let i = 0; i < count; i++) {
    const dueMs = models.forClass(PROFILED).plannedLatencyMs(4, 1000);
    const latencyMs = fittedLatencyMs(TRUTH, 4, 1000) * slowdown(i);
    const isMissed = latencyMs > dueMs;
    missed += Number(isMissed);
    run(models, PROFILED, 4, 1000, latencyMs, Number(isMissed));
  }
  return missed / count;
}

describe('the share of missed batches', () => {
  /** Spells of 1 to 60 batches up to 60 % slower: nothing about them is exchangeable. */
  const spells = (seed: number): ((i: number) => number) => {
    const prng = new Prng(seed);
    let [left, factor] = [0, 1];
    return () => {
      if (left-- <= 0) [left, factor] = [1 + prng.int(60), prng.uniform() < 0.2 ? 1 + 0.6 * prng.uniform() : 1];
      return factor * noise(prng, 0.05);
    };
  };

  it.each([0.005, 0.01, 0.03])('stays near the target of %d whatever the latencies do', (target) => {
    const count = 20_000;
    // target + ln 2 / (0.05 · n): the bound of quantile tracking
    const bound = target + Math.log(2) / (0.05 * count);
    for (const seed of [1, 2, 3]) {
      expect(missRate(new OnlineLatencyModels(measuredProfile(), target), count, spells(seed))).toBeLessThanOrEqual(
        bound,
      );
    }
  });

  it('would be larger by a quarter with the p99 alone', () => {
    // A target of nearly 1 never raises the guard.
    expect(missRate(new OnlineLatencyModels(measuredProfile(), 0.999), 20_000, spells(1))).toBeGreaterThan(0.0125);
  });

  it('recovers from a model that is wrong by half within a dozen batches', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    const prng = new Prng(1);
    const slower = (): number => 1.5 * noise(prng, 0.05);
    missRate(models, 12, slower);
    expect(missRate(models, 500, slower)).toBeLessThanOrEqual(0.01);
  });
});

describe('the base model', () => {
  it('is the fit where latency follows the formula, and the table where it does not', () => {
    const asFormula = baseModel(measuredProfile());
    expect(asFormula.kind).toBe('fit');
    expect(asFormula.heldOut!.fit).toBeLessThan(0.05);

    // A second core brings nothing, and from b = 4 on a cache overflows.
    const broken = baseModel(
      measuredProfile({ latencyMs: (b, c) => (c < 2000 ? 80_000 / c : 80) * (b >= 4 ? 3 * b : 1 + 0.1 * b) }),
    );
    expect(broken.kind).toBe('table');
    expect(broken.heldOut!.table).toBeLessThan(broken.heldOut!.fit);
  });

  it('does not hold out cells of a profile that has too few of them', () => {
    const profile = measuredProfile();
    const { kind, heldOut } = baseModel({ ...profile, cells: profile.cells.slice(0, 5) });
    expect({ kind, heldOut }).toEqual({ kind: 'fit', heldOut: null });
  });

  it('takes residuals from quantiles where a profile has no samples', () => {
    const { logResiduals, curve } = baseModel(publishedProfile('yolov5s'));
    expect(logResiduals).toHaveLength(20 * 100);
    // The slowest cell against its prediction is among them: P99 of 1275.413 ms at b = 8 on one core.
    expect(logResiduals.some((each) => Math.abs(each - Math.log(1275.413 / curve.latencyMs(8, 1000))) < 1e-9)).toBe(
      true,
    );
  });
});

describe('a latency model', () => {
  it('starts at the profile: the typical latency, and a p99 of what its runs scattered', () => {
    const model = new OnlineLatencyModels(measuredProfile()).forClass(PROFILED);
    expect(scaleOf(model)).toBeGreaterThan(0.97);
    expect(scaleOf(model)).toBeLessThan(1.03);
    // Runs are uniform within ±10 %, so their p99 is 0.9 + 0.99·0.2 = 1.098 of the middle.
    const factor = model.plannedLatencyMs(2, 1000) / model.predictedLatencyMs(2, 1000);
    expect(factor).toBeGreaterThan(1.07);
    expect(factor).toBeLessThan(1.13);
  });

  it('plans a quick profile 25 % wider, until batches have shown how they scatter', () => {
    const full = new OnlineLatencyModels(measuredProfile()).forClass(PROFILED);
    const models = new OnlineLatencyModels(measuredProfile({ quality: 'quick' }));
    const quick = models.forClass(PROFILED);
    expect(quick.predictedLatencyMs(2, 1000)).toBe(full.predictedLatencyMs(2, 1000));
    expect(quick.plannedLatencyMs(2, 1000) / full.plannedLatencyMs(2, 1000)).toBeCloseTo(1.25, 9);

    runMany(models, PROFILED, 250, new Prng(3), () => 1);
    expect(quick.plannedLatencyMs(2, 1000) / full.plannedLatencyMs(2, 1000)).toBeLessThan(1.1);
  });

  it('is exceeded by about 1 % of batches, however they scatter', () => {
    for (const spread of [0.05, 0.5]) {
      const models = new OnlineLatencyModels(measuredProfile());
      const prng = new Prng(8);
      runMany(models, PROFILED, 500, prng, () => noise(prng, spread));
      const exceeded = runMany(models, PROFILED, 10_000, prng, () => noise(prng, spread));
      // 100 expected; consecutive plans share their window, so twice the 10 of independent trials is one deviation.
      expect(exceeded).toBeGreaterThan(50);
      expect(exceeded).toBeLessThan(150);
    }
  });

  it('follows a machine that slows down by half within 30 batches, and back', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    const model = models.forClass(PROFILED);
    const prng = new Prng(5);
    runMany(models, PROFILED, 100, prng, () => 1);
    runMany(models, PROFILED, 30, prng, () => 1.5);
    expect(Math.abs(scaleOf(model) / 1.5 - 1)).toBeLessThan(0.05);
    runMany(models, PROFILED, 30, prng, () => 1);
    expect(Math.abs(scaleOf(model) - 1)).toBeLessThan(0.05);
  });

  it('lags a slow drift to 1.5× over 100 batches by no more than ten of them', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    const model = models.forClass(PROFILED);
    runMany(models, PROFILED, 100, new Prng(6), (i) => 1 + 0.005 * i);
    // After 100 batches 1.5; ten batches before, 1.45; 3 % for noise.
    expect(scaleOf(model)).toBeGreaterThan(1.45 * 0.97);
    expect(scaleOf(model)).toBeLessThan(1.5 * 1.03);
  });

  it('is not moved by one batch that took 20 times as long, nor does it refuse more; it plans with another such one for a while', () => {
    for (const before of [0, 5, 100, 300]) {
      const models = new OnlineLatencyModels(measuredProfile());
      const model = models.forClass(PROFILED);
      runMany(models, PROFILED, before, new Prng(9), () => 1);
      const all = (): number[] => [
        model.predictedLatencyMs(2, 1000),
        model.leastLatencyMs(2, 1000),
        model.plannedLatencyMs(2, 1000),
      ];
      const [predictedMs, leastMs, plannedMs] = all();
      run(models, PROFILED, 2, 1000, 20 * predictedMs!);
      expect(Math.abs(all()[0]! / predictedMs! - 1)).toBeLessThan(0.03);
      expect(Math.abs(all()[1]! / leastMs! - 1)).toBeLessThan(0.03);
      // Thrice the typical latency at most.
      expect(all()[2]! / plannedMs!).toBeGreaterThan(2);
      expect(all()[2]! / predictedMs!).toBeLessThan(3.1);
      // ln 2.6 · 0.8^20 = 0.011
      runMany(models, PROFILED, 20, new Prng(10), () => 1);
      expect(Math.abs(all()[2]! / plannedMs! - 1)).toBeLessThan(0.06);
    }
  });

  it('plans at most three times the typical latency after many stalls', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    const model = models.forClass(PROFILED);
    const prng = new Prng(10);
    runMany(models, PROFILED, 300, prng, (i) => (i % 20 === 0 ? 50 : 1));
    expect(model.plannedLatencyMs(2, 1000) / model.predictedLatencyMs(2, 1000)).toBeCloseTo(3, 9);
  });

  it('is at the machine’s new level after four batches where it has changed by half, and plans no wider once it has settled', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    const model = models.forClass(PROFILED);
    runMany(models, PROFILED, 300, new Prng(12), () => 1);
    const tailBefore = model.plannedLatencyMs(2, 1000) / model.predictedLatencyMs(2, 1000);
    runMany(models, PROFILED, 4, new Prng(13), () => 1.5);
    // Four noisy batches give a median within 10 %.
    expect(Math.abs(scaleOf(model) / 1.5 - 1)).toBeLessThan(0.1);
    // What was wide of the old level is not of the new one; the alarm that it was goes: ln(1.5 / 1.1) · 0.8^10 = 0.03.
    runMany(models, PROFILED, 10, new Prng(14), () => 1.5);
    expect(model.plannedLatencyMs(2, 1000) / model.predictedLatencyMs(2, 1000)).toBeLessThan(1.1 * tailBefore);
    runMany(models, PROFILED, 4, new Prng(15), () => 1);
    expect(Math.abs(scaleOf(model) - 1)).toBeLessThan(0.1);
  });

  it('drops a profile that is 30 times too slow after two batches, and one 30 times too fast after three', () => {
    for (const [wrong, batches] of [
      [30, 2],
      [1 / 30, 3],
    ] as const) {
      const latencyMs = (b: number, c: number): number => wrong * fittedLatencyMs(TRUTH, b, c);
      const models = new OnlineLatencyModels(measuredProfile({ latencyMs }));
      const model = models.forClass(PROFILED);
      runMany(models, PROFILED, batches - 1, new Prng(15), () => 1);
      expect(scaleOf(model) / wrong).toBeCloseTo(1, 1);
      runMany(models, PROFILED, 1, new Prng(16), () => 1);
      expect(Math.abs(scaleOf(model) - 1)).toBeLessThan(0.1);
    }
  });

  it('is not moved by scatter: where nothing changes, hardly any batch is taken for a step', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    const model = models.forClass(PROFILED);
    const prng = new Prng(17);
    runMany(models, PROFILED, 50, prng, () => 1);
    let moves = 0;
    for (let i = 0; i < 3000; i++) {
      const before = scaleOf(model);
      // Log-uniform within a factor of 2 either way.
      runMany(models, PROFILED, 1, prng, () => 4 ** (prng.uniform() - 0.5));
      if (Math.abs(Math.log(scaleOf(model) / before)) > Math.log(1.6)) moves += 1;
    }
    // 2/5985 of 3000 batches are 1.0, and each is taken back by another. The median itself moves by less.
    expect(moves).toBeLessThanOrEqual(5);
  });

  it('never falls with b, never rises with c, and never plans less than it predicts, whatever it has seen', () => {
    const profiles = [measuredProfile(), measuredProfile({ quality: 'quick' }), publishedProfile('resnet18')];
    const ratios = fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), { maxLength: 60 });
    const point = fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 100, max: 40_000 }));
    fc.assert(
      fc.property(
        fc.constantFrom(...profiles),
        fc.constantFrom(PROFILED, OTHER),
        ratios,
        point,
        point,
        (profile, shapeClass, seen, [b, c], [moreB, moreC]) => {
          const models = new OnlineLatencyModels(profile);
          const model = models.forClass(shapeClass);
          for (const actualToPredicted of seen)
            models.observe({ shapeClass, batchSize: b, cpuMillicores: c, actualToPredicted, missedFraction: null });
          for (const quantile of ['predictedLatencyMs', 'plannedLatencyMs', 'leastLatencyMs'] as const) {
            expect(model[quantile](b + moreB, c)).toBeGreaterThanOrEqual(model[quantile](b, c) * (1 - 1e-12));
            expect(model[quantile](b, c + moreC)).toBeLessThanOrEqual(model[quantile](b, c) * (1 + 1e-12));
          }
          expect(model.plannedLatencyMs(b, c)).toBeGreaterThanOrEqual(model.predictedLatencyMs(b, c));
          expect(model.leastLatencyMs(b, c)).toBeLessThanOrEqual(model.plannedLatencyMs(b, c) * (1 + 1e-12));
        },
      ),
      { numRuns: 150 },
    );
  });

  it('ignores observations that say nothing', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    const before = models.forClass(PROFILED).plannedLatencyMs(2, 1000);
    for (const actualToPredicted of [0, -1, NaN, Infinity]) {
      for (let i = 0; i < 40; i++)
        models.observe({
          shapeClass: PROFILED,
          batchSize: 1,
          cpuMillicores: 1000,
          actualToPredicted,
          missedFraction: null,
        });
    }
    expect(models.forClass(PROFILED).plannedLatencyMs(2, 1000)).toBe(before);
  });
});

describe('a shape class that was not profiled', () => {
  it('starts with the fixed cost of the profiled one and a cost by its elements, as slow as the machine is now', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    runMany(models, PROFILED, 60, new Prng(2), () => 1.5);
    const other = models.forClass(OTHER);
    // b = 2 on 1 core: (40·2 + 10) + 2·2 + 5 = 99; twice the elements: (80·2 + 10) + 4·2 + 5 = 183, and all of it times 1.5.
    expect(Math.abs(other.predictedLatencyMs(2, 1000) / (1.5 * 183) - 1)).toBeLessThan(0.1);
    expect(other.plannedLatencyMs(2, 1000)).toBeGreaterThan(1.25 * other.predictedLatencyMs(2, 1000));
  });

  it('refuses by no more than what the profiled one is planned with, however much larger it is', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    const huge = models.forClass(shapeClass('x:FP32[3,480,3200]', 100 * PROFILED.elementCount));
    const profiled = models.forClass(PROFILED);
    expect(huge.predictedLatencyMs(1, 4000)).toBeGreaterThan(20 * profiled.predictedLatencyMs(1, 4000));
    // 25 % wider, as nothing but the profile's own class was measured.
    expect(huge.leastLatencyMs(1, 4000)).toBeLessThan(1.3 * profiled.plannedLatencyMs(1, 4000));
    expect(huge.leastLatencyMs(1, 4000)).toBeGreaterThan(0.5 * profiled.predictedLatencyMs(1, 4000));
  });

  it('is overruled by its first batches, but not kept by a cold one among them', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    const model = models.forClass(OTHER);
    const startMs = model.predictedLatencyMs(2, 1000);
    run(models, OTHER, 2, 1000, 10 * startMs);
    // It really takes 1.7 times as long.
    run(models, OTHER, 2, 1000, 1.7 * startMs);
    run(models, OTHER, 2, 1000, 1.7 * startMs);
    expect(Math.abs(model.predictedLatencyMs(2, 1000) / (1.7 * startMs) - 1)).toBeLessThan(0.15);
    // How wrong the element count was is not how much its batches scatter.
    for (let i = 0; i < 12; i++) run(models, OTHER, 2, 1000, 1.7 * startMs);
    expect(model.plannedLatencyMs(2, 1000)).toBeLessThan(1.6 * 1.7 * startMs);
  });

  it('is exact once it is seen often, where the surface over shapes cannot be', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    const sizes = [1, 2, 3, 4, 5, 6].map((size) => shapeClass(`x:FP32[${size}]`, size * PROFILED.elementCount, [size]));
    // One of six takes half of what its size says: a size for which there is a better kernel.
    const truth = (index: number): number => 50 * (index + 2) * (index === 3 ? 0.5 : 1);
    const prng = new Prng(3);
    for (let i = 0; i < 300; i++) {
      const index = prng.int(6);
      run(models, sizes[index]!, 1, 1000, truth(index) * noise(prng, 0.05));
    }
    sizes.forEach((size, index) => {
      expect(Math.abs(models.forClass(size).predictedLatencyMs(1, 1000) / truth(index) - 1)).toBeLessThan(0.05);
      expect(models.forClass(size).plannedLatencyMs(1, 1000)).toBeLessThan(1.5 * truth(index));
    });
  });

  it('of several rows takes what so many rows take, and teaches that too', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    const three = shapeClass(PROFILED.rowKey, PROFILED.elementCount, [], 3);
    const [one, byThree] = [models.forClass(PROFILED), models.forClass(three)];
    expect(byThree.plannedLatencyMs(2, 1000)).toBe(one.plannedLatencyMs(6, 1000));
    expect(byThree.leastLatencyMs(2, 1000)).toBe(one.leastLatencyMs(6, 1000));
    for (let i = 0; i < 30; i++) run(models, three, 2, 1000, 2 * fittedLatencyMs(TRUTH, 6, 1000));
    expect(Math.abs(scaleOf(one) / 2 - 1)).toBeLessThan(0.03);
  });

  it('does not move the others', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    const before = models.forClass(PROFILED).plannedLatencyMs(2, 1000);
    runMany(models, OTHER, 50, new Prng(2), () => 7);
    expect(models.forClass(PROFILED).plannedLatencyMs(2, 1000)).toBe(before);
  });

  it('is forgotten when a thousand others were used since, but not what it taught', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    const first = models.forClass(OTHER);
    const used = models.forClass(PROFILED);
    for (let i = 0; i < 20; i++) run(models, OTHER, 2, 1000, 300);
    for (let i = 0; i < 1022; i++) models.forClass(shapeClass(`class ${i}`, 1000));
    expect(models.forClass(PROFILED)).toBe(used);
    models.forClass(shapeClass('one too many', 1000));
    expect(models.forClass(PROFILED)).toBe(used);
    const again = models.forClass(OTHER);
    expect(again).not.toBe(first);
    expect(Math.abs(again.predictedLatencyMs(2, 1000) / 300 - 1)).toBeLessThan(0.05);
  });
});

describe('another profile', () => {
  it('replaces the base of models already handed out, and what was learnt about the machine', () => {
    const models = new OnlineLatencyModels(measuredProfile({ quality: 'quick' }));
    const profiled = models.forClass(PROFILED);
    const other = models.forClass(OTHER);
    // The machine runs at half speed, and the other class takes 3 times the profiled one instead of 2.
    runMany(models, PROFILED, 40, new Prng(4), () => 2);
    runMany(models, OTHER, 40, new Prng(4), () => 6);
    expect(scaleOf(profiled)).toBeCloseTo(2, 0);

    models.replaceProfile(measuredProfile({ latencyMs: (b, c) => 2 * fittedLatencyMs(TRUTH, b, c) }));
    expect(models.forClass(PROFILED)).toBe(profiled);
    expect(Math.abs(scaleOf(profiled) / 2 - 1)).toBeLessThan(0.03);
    expect(Math.abs(scaleOf(other) / 6 - 1)).toBeLessThan(0.06);
  });

  it('of another shape class starts all classes anew', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    const profiled = models.forClass(PROFILED);
    runMany(models, PROFILED, 40, new Prng(4), () => 9);
    models.replaceProfile(measuredProfile({ shapeClass: OTHER }));
    // Half the elements of the class now profiled: at b = 2 on 1 core 20·2 + 10 + 2 + 5 = 57 of 99.
    expect(Math.abs(scaleOf(profiled) / (57 / 99) - 1)).toBeLessThan(0.03);
  });

  it('ends the provisional start, at which everything is let through', () => {
    const models = new OnlineLatencyModels(null);
    const model = models.forClass(PROFILED);
    expect(models.isProvisional).toBe(true);
    expect(models.baseModel).toBeNull();
    expect([model.predictedLatencyMs(8, 100), model.plannedLatencyMs(8, 100)]).toEqual([0, 0]);
    models.observe({
      shapeClass: PROFILED,
      batchSize: 8,
      cpuMillicores: 100,
      actualToPredicted: 2,
      missedFraction: null,
    });
    expect(model.plannedLatencyMs(8, 100)).toBe(0);

    models.replaceProfile(measuredProfile());
    expect(models.isProvisional).toBe(false);
    expect(models.baseModel?.kind).toBe('fit');
    expect(Math.abs(scaleOf(model) - 1)).toBeLessThan(0.03);
  });
});

describe('the revision of latency models', () => {
  it('changes with every batch that teaches, and with the profile, and with nothing else', () => {
    const models = new OnlineLatencyModels(measuredProfile());
    const seen = [models.revision];
    const note = (act: () => void): void => {
      act();
      seen.push(models.revision);
    };
    note(() => void models.forClass(OTHER).plannedLatencyMs(1, 1000));
    note(() => run(models, OTHER, 1, 1000, 100));
    note(() => run(models, PROFILED, 1, 1000, Number.NaN));
    note(() => models.replaceProfile(measuredProfile()));
    expect(seen).toEqual([0, 0, 1, 1, 2]);
  });
});
