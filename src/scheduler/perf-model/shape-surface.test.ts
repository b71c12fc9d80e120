import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { shapeClass, type ShapeClass } from '../domain/request.js';
import { logNormal } from '../random/normal.js';
import { Prng } from '../random/prng.js';
import { OnlineLatencyModels } from './latency-model.js';
import { profileCell } from './profile-cell.js';
import type { Profile } from './profile.js';

/*
 * The surface over shapes, through the models that use it: learnt from what batches take, judged against the truth that they
 * were drawn from.
 */

/** Latency of so many rows of a shape, ms, c in cores. */
type Truth = (rowCount: number, cores: number, sizes: readonly number[]) => number;

const classOf = (sizes: readonly number[]): ShapeClass =>
  shapeClass(
    `x:FP32[${sizes.join(',')}]`,
    sizes.reduce((product, size) => product * size, 1),
    sizes,
  );

/** Five runs a cell, ± 7 %, of one shape. */
function profileAt(truth: Truth, sizes: readonly number[], batchSizes: readonly number[], prng: Prng): Profile {
  const { key, elementCount } = classOf(sizes);
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
      shapeClassKey: key,
    },
    elementCount,
    axisSizes: sizes,
    quality: 'quick',
    measuredAt: '',
    cells: batchSizes.flatMap((batchSize) =>
      [500, 1000, 2000, 4000].map((cpuMillicores) => {
        const typicalMs = truth(batchSize, cpuMillicores / 1000, sizes);
        const samplesMs = Array.from({ length: 5 }, () => typicalMs * (0.93 + 0.14 * prng.uniform()));
        return profileCell({ batchSize, cpuMillicores, threadCount: 1 }, samplesMs);
      }),
    ),
  };
}

/** Half of the work is shared by cores. */
const onCores = (oneCoreMs: number, cores: number): number => oneCoreMs * (0.5 / cores + 0.5);

/** 2 ms + 0.01 ms an element. */
const LINEAR: Truth = (rows, cores, [n]) => onCores(2 + rows * 0.01 * n!, cores);
/** And attention over the length: at 512 it adds twice the linear part. */
const ATTENTION: Truth = (rows, cores, [n]) => onCores(2 + rows * (0.01 * n! + 4e-5 * n! * n!), cores);
const IMAGE: Truth = (rows, cores, [h, w]) => onCores(1.5 + rows * 0.004 * h! * w!, cores);
/** Two texts of which one costs three times the other, a token. */
const PAIR: Truth = (rows, cores, [h, w]) => onCores(1.5 + rows * (0.1 * h! + 0.3 * w!), cores);

const lengths = (prng: Prng): number[] => [8 + prng.int(505)];
const images = (prng: Prng): number[] => [1 + prng.int(60), 1 + prng.int(60)];

interface Judged {
  /** |predicted / truth − 1| of each batch after the first fifty, ascending. */
  readonly errors: readonly number[];
  /** Of those batches, the share that took longer than planned. */
  readonly exceededFraction: number;
  /** The least latency over what the request takes alone on all cores, of every batch. */
  readonly leastToTruth: readonly number[];
}

function learn(
  truth: Truth,
  options: { first: number[]; next: (prng: Prng) => number[]; batchSizes: number[]; seed: number; count?: number },
): Judged {
  const prng = new Prng(options.seed);
  const models = new OnlineLatencyModels(profileAt(truth, options.first, options.batchSizes, prng));
  const most = options.batchSizes.at(-1)!;
  const errors: number[] = [];
  const leastToTruth: number[] = [];
  let exceeded = 0;
  for (let i = 0; i < (options.count ?? 300); i++) {
    const sizes = options.next(prng);
    const batchSize = 1 + prng.int(most);
    const cpuMillicores = 500 + 250 * prng.int(15);
    const typicalMs = truth(batchSize, cpuMillicores / 1000, sizes);
    const latencyMs = typicalMs * logNormal(prng, 0.07);
    const model = models.forClass(classOf(sizes));
    const predictedMs = model.predictedLatencyMs(batchSize, cpuMillicores);
    leastToTruth.push(model.leastLatencyMs(1, 4000) / truth(1, 4, sizes));
    if (i >= 50) {
      errors.push(Math.abs(predictedMs / typicalMs - 1));
      exceeded += Number(latencyMs > model.plannedLatencyMs(batchSize, cpuMillicores));
    }
    const shapeClass = classOf(sizes);
    const actualToPredicted = latencyMs / predictedMs;
    models.observe({ shapeClass, batchSize, cpuMillicores, actualToPredicted, missedFraction: null });
  }
  errors.sort((a, b) => a - b);
  return { errors, exceededFraction: exceeded / errors.length, leastToTruth };
}

describe('latency over shapes', () => {
  const cases: [string, Truth, number[], (prng: Prng) => number[]][] = [
    ['lengths 8 to 512 after a first 8', LINEAR, [8], lengths],
    ['lengths 8 to 512 after a first 8, with attention', ATTENTION, [8], lengths],
    ['lengths 8 to 512 after a first 512, with attention', ATTENTION, [512], lengths],
    ['shapes to 60 × 60 after a first 1 × 1', IMAGE, [1, 1], images],
    ['two texts, one dearer than the other', PAIR, [1, 1], images],
  ];
  const runs = cases.flatMap(([name, ...rest]) =>
    [[1], [1, 2, 4, 8]].map(
      (batchSizes) => [`${name}, batches to ${batchSizes.at(-1)!}`, batchSizes, ...rest] as const,
    ),
  );

  it.each(runs)('is learnt in fifty batches: %s', (_, batchSizes, truth, first, next) => {
    for (const seed of [1, 2, 3]) {
      const { errors, exceededFraction } = learn(truth, { first, next, batchSizes: [...batchSizes], seed });
      expect(errors[errors.length >> 1]).toBeLessThan(0.05);
      expect(errors[Math.floor(0.95 * errors.length)]).toBeLessThan(0.15);
      expect(exceededFraction).toBeLessThan(0.03);
    }
  });

  it.each(runs)('never refuses what has half as much again as it takes: %s', (_, batchSizes, truth, first, next) => {
    for (const seed of [1, 2, 3]) {
      const { leastToTruth } = learn(truth, { first, next, batchSizes: [...batchSizes], seed });
      expect(Math.max(...leastToTruth)).toBeLessThan(1.5);
    }
  });

  it('is sure in the end: what cannot be met is refused', () => {
    const { leastToTruth } = learn(ATTENTION, {
      first: [8],
      next: lengths,
      batchSizes: [1, 2, 4],
      seed: 5,
      count: 600,
    });
    const later = leastToTruth.slice(300).sort((a, b) => a - b);
    expect(later[later.length >> 1]).toBeGreaterThan(0.9);
  });

  it('takes a first tiny shape for no measure of a large one: 4 values, then 512', () => {
    const prng = new Prng(7);
    const models = new OnlineLatencyModels(profileAt(LINEAR, [4], [1], prng));
    const large = models.forClass(classOf([512]));
    // It takes 7.12 ms on one core. Nothing is known of it but that it takes at least what 4 values do, about 2 ms.
    expect(large.leastLatencyMs(1, 4000)).toBeLessThan(4);
    expect(large.plannedLatencyMs(1, 1000)).toBeGreaterThan(7.12);
    const observation = { shapeClass: classOf([512]), batchSize: 1, cpuMillicores: 1000, missedFraction: null };
    for (let i = 0; i < 3; i++) {
      models.observe({ ...observation, actualToPredicted: 7.12 / large.predictedLatencyMs(1, 1000) });
    }
    expect(Math.abs(large.predictedLatencyMs(1, 1000) / 7.12 - 1)).toBeLessThan(0.1);
    // Half-way there is half-way between, whatever else may be possible: 2.02 + 0.5 · 5.1 = 4.6.
    const between = models.forClass(classOf([260])).predictedLatencyMs(1, 1000);
    expect(Math.abs(between / 4.6 - 1)).toBeLessThan(0.25);
  });

  it('does not forget sizes for what came a thousand batches later', () => {
    const prng = new Prng(9);
    const models = new OnlineLatencyModels(profileAt(ATTENTION, [8], [1], prng));
    const ran = (n: number): void => {
      const model = models.forClass(classOf([n]));
      const latencyMs = ATTENTION(1, 1, [n]) * logNormal(prng, 0.07);
      const actualToPredicted = latencyMs / model.predictedLatencyMs(1, 1000);
      models.observe({
        shapeClass: classOf([n]),
        batchSize: 1,
        cpuMillicores: 1000,
        actualToPredicted,
        missedFraction: null,
      });
    };
    for (let i = 0; i < 100; i++) ran(8 + prng.int(505));
    for (let i = 0; i < 2000; i++) ran(20 + prng.int(20));
    for (const n of [100, 200, 400, 512]) {
      const predictedMs = models.forClass(classOf([n])).predictedLatencyMs(1, 1000);
      expect(Math.abs(predictedMs / ATTENTION(1, 1, [n]) - 1)).toBeLessThan(0.15);
    }
  });

  it('follows a machine that becomes twice as slow within thirty batches, for shapes not seen since too', () => {
    const prng = new Prng(4);
    const models = new OnlineLatencyModels(profileAt(ATTENTION, [8], [1], prng));
    const ran = (sizes: number[], slowdown: number): void => {
      const model = models.forClass(classOf(sizes));
      const latencyMs = slowdown * ATTENTION(1, 1, sizes) * logNormal(prng, 0.07);
      models.observe({
        shapeClass: classOf(sizes),
        batchSize: 1,
        cpuMillicores: 1000,
        actualToPredicted: latencyMs / model.predictedLatencyMs(1, 1000),
        missedFraction: null,
      });
    };
    for (let i = 0; i < 200; i++) ran(lengths(prng), 1);
    for (let i = 0; i < 30; i++) ran([8 + prng.int(100)], 2);
    for (const n of [30, 90, 300, 500]) {
      const predictedMs = models.forClass(classOf([n])).predictedLatencyMs(1, 1000);
      expect(Math.abs(predictedMs / (2 * ATTENTION(1, 1, [n])) - 1)).toBeLessThan(0.2);
    }
  });

  it('never falls with a size or a batch, nor rises with a core, whatever was seen', () => {
    const batch = fc.record({
      sizes: fc.tuple(fc.integer({ min: 0, max: 4000 }), fc.integer({ min: 0, max: 4000 })),
      batchSize: fc.integer({ min: 1, max: 64 }),
      cpuMillicores: fc.integer({ min: 100, max: 32_000 }),
      actualToPredicted: fc.double({ min: 1e-3, max: 1e3, noNaN: true }),
    });
    const profile = profileAt(PAIR, [3, 5], [1, 4], new Prng(1));
    fc.assert(
      fc.property(fc.array(batch, { maxLength: 40 }), batch, batch, (seen, asked, more) => {
        const models = new OnlineLatencyModels(profile);
        for (const { sizes, ...rest } of seen) {
          models.observe({ ...rest, shapeClass: classOf(sizes), missedFraction: null });
        }
        const [h, w] = asked.sizes;
        const { batchSize, cpuMillicores } = asked;
        const model = models.forClass(classOf([h, w]));
        const larger = models.forClass(classOf([h + more.sizes[0], w + more.sizes[1]]));
        const predictedMs = model.predictedLatencyMs(batchSize, cpuMillicores);
        expect(predictedMs).toBeGreaterThan(0);
        expect(larger.predictedLatencyMs(batchSize, cpuMillicores)).toBeGreaterThanOrEqual(predictedMs * 0.999999);
        for (const quantile of ['predictedLatencyMs', 'plannedLatencyMs', 'leastLatencyMs'] as const) {
          const ms = model[quantile](batchSize, cpuMillicores);
          expect(Number.isFinite(ms)).toBe(true);
          expect(model[quantile](batchSize + more.batchSize, cpuMillicores)).toBeGreaterThanOrEqual(ms * 0.999999);
          expect(model[quantile](batchSize, cpuMillicores + more.cpuMillicores)).toBeLessThanOrEqual(ms * 1.000001);
        }
        expect(model.leastLatencyMs(batchSize, cpuMillicores)).toBeLessThanOrEqual(
          model.plannedLatencyMs(batchSize, cpuMillicores) * 1.000001,
        );
      }),
      { numRuns: 200 },
    );
  });
});
