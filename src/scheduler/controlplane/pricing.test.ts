import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aForecast } from '../../../test/fixtures/planner-views.js';
import type { LatencyModel } from '../domain/latency.js';
import { latestStarts } from '../perf-model/latest-starts.js';
import { cheapestBatch, firstLate, steadyMillicores, type BatchQuestion, type Pricing } from './pricing.js';
import { allocationAt, stepCount } from './solver.js';

/** l(b, c) = (100·b)/c + 20·b + 20 ms; a tenth more is planned with. */
const MODEL: LatencyModel = {
  predictedLatencyMs: latencyMs,
  plannedLatencyMs: (batchSize, cpuMillicores) => 1.1 * latencyMs(batchSize, cpuMillicores),
  leastLatencyMs: (batchSize, cpuMillicores) => 1.1 * latencyMs(batchSize, cpuMillicores),
};
function latencyMs(batchSize: number, cpuMillicores: number): number {
  return (100_000 * batchSize) / cpuMillicores + 20 * batchSize + 20;
}

/** Without the forecast, so that every number is the price's own. */
const PRICING: Pricing = { safety: 1, lossCoreMs: 20_000, usesForecast: false };

function question(dueAtMs: readonly number[], ratePerSec: number, fields: Partial<BatchQuestion> = {}): BatchQuestion {
  return {
    nowMs: 0,
    dueAtMs,
    classIndexes: null,
    models: [MODEL],
    limits: { minMillicores: 1000, maxMillicores: 16_000, stepMillicores: 100 },
    maxBatchSize: 4,
    ...aForecast(ratePerSec),
    pricing: PRICING,
    ...fields,
  };
}

describe('the price of the worker’s time', () => {
  it('is such that a full batch on the priced allocation just sustains the load', () => {
    // Four in l(4, c) = 400/c + 100 ms at 20/s: 200 ms, so c = 4 and l = 200.
    const choice = cheapestBatch(question([5000, 5000, 5000, 5000], 20))!;
    expect(choice).toEqual({ cpuMillicores: 4000, batchSize: 4, boundBy: 'price' });
    expect((4 * 1000) / latencyMs(choice.batchSize, choice.cpuMillicores)).toBe(20);
  });

  it('buys √κ times the cores for safety', () => {
    expect(
      cheapestBatch(question([5000, 5000, 5000, 5000], 20, { pricing: { ...PRICING, safety: 2.25 } }))!.cpuMillicores,
    ).toBe(6000);
  });

  it('runs a single request slowly where nothing presses, and starts it at once', () => {
    expect(cheapestBatch(question([5000], 1))).toMatchObject({ cpuMillicores: 1000, batchSize: 1, boundBy: 'price' });
  });

  it('counts what the queue itself asks for, whatever arrives', () => {
    const idle = cheapestBatch(question([5000], 1))!;
    const pressed = cheapestBatch(question([400, 400, 400, 400, 400, 400, 400, 400], 1))!;
    expect(pressed.cpuMillicores).toBeGreaterThan(idle.cpuMillicores);
  });

  it('gives a fixed allocation where there is only one', () => {
    const limits = { minMillicores: 2000, maxMillicores: 2000, stepMillicores: 100 };
    expect(cheapestBatch(question([5000, 5000], 5, { limits }))!.cpuMillicores).toBe(2000);
  });
});

describe('the cheapest batch', () => {
  it('meets its head by the planned latency', () => {
    // alone: 1.1 · (100/c + 40) ≤ 60 → c ≥ 6.88
    const choice = cheapestBatch(question([60], 1))!;
    expect(choice).toEqual({ cpuMillicores: 6900, batchSize: 1, boundBy: { deadlineOf: 0 } });
  });

  it('meets the queue behind it', () => {
    const dueAtMs = [1000, 230, 1000].sort((a, b) => a - b);
    const choice = cheapestBatch(question(dueAtMs, 1, { maxBatchSize: 1 }))!;
    expect(choice.batchSize).toBe(1);
    const asked = question(dueAtMs, 1, { maxBatchSize: 1 });
    expect(firstLate(asked, 1, latencyMs(1, choice.cpuMillicores), choice.cpuMillicores)).toBe(-1);
  });

  it('does not exist where the largest allocation cannot meet everything', () => {
    expect(cheapestBatch(question([40], 1))).toBeNull();
    expect(
      cheapestBatch(
        question(
          Array.from({ length: 40 }, () => 300),
          1,
        ),
      ),
    ).toBeNull();
  });

  it('runs faster where arrivals with tight budgets would be lost meanwhile', () => {
    const calm = cheapestBatch(question([5000, 5000], 10))!;
    const tight = cheapestBatch(question([5000, 5000], 10, aForecast(10, [150, 150, 150])))!;
    expect(tight.cpuMillicores / tight.batchSize).toBeGreaterThan(calm.cpuMillicores / calm.batchSize);
  });

  it('takes a batch that keeps up where no core can be added, though a shorter one loses fewer meanwhile', () => {
    const limits = { minMillicores: 1000, maxMillicores: 1000, stepMillicores: 100 };
    // Alone 140 ms, so seven a second; of budgets of 390 ms none is lost by it, and by two together some are.
    const sizeAt = (ratePerSec: number): number =>
      cheapestBatch(question([5000, 5000], ratePerSec, { limits, ...aForecast(ratePerSec, [390, 390, 390]) }))!
        .batchSize;
    expect([sizeAt(2), sizeAt(8)]).toEqual([1, 2]);
  });

  const anInstance = fc.record({
    dueAtMs: fc
      .array(fc.integer({ min: 50, max: 2000 }), { minLength: 1, maxLength: 20 })
      .map((due) => due.sort((a, b) => a - b)),
    ratePerSec: fc.double({ min: 0, max: 60, noNaN: true }),
    maxBatchSize: fc.integer({ min: 1, max: 8 }),
    safety: fc.constantFrom(1, 1.6, 6),
  });

  it('never gives up a queue that some batch at the largest allocation would serve, and is always feasible itself', () => {
    fc.assert(
      fc.property(anInstance, ({ dueAtMs, ratePerSec, maxBatchSize, safety }) => {
        const asked = question(dueAtMs, ratePerSec, { maxBatchSize, pricing: { ...PRICING, safety } });
        const isFeasible = (batchSize: number, cpuMillicores: number): boolean =>
          MODEL.plannedLatencyMs(batchSize, cpuMillicores) <= dueAtMs[0]! &&
          firstLate(asked, batchSize, MODEL.predictedLatencyMs(batchSize, cpuMillicores), cpuMillicores) === -1;
        const choice = cheapestBatch(asked);
        const sizes = Array.from({ length: Math.min(maxBatchSize, dueAtMs.length) }, (_, index) => index + 1);
        expect(choice !== null).toBe(sizes.some((size) => isFeasible(size, 16_000)));
        if (choice !== null) expect(isFeasible(choice.batchSize, choice.cpuMillicores)).toBe(true);
      }),
    );
  });

  it('is no dearer than any other feasible one at its price: exhaustive search finds none', () => {
    fc.assert(
      fc.property(anInstance, ({ dueAtMs, ratePerSec, maxBatchSize }) => {
        // Without losses, on which the search may stop at the first rise, and which have a price of their own.
        const asked = question(dueAtMs, ratePerSec, { maxBatchSize, pricing: { ...PRICING, lossCoreMs: 0 } });
        const choice = cheapestBatch(asked);
        if (choice === null) return;
        const price = exhaustivePrice(asked);
        const cost = (batchSize: number, cpuMillicores: number): number =>
          ((cpuMillicores / 1000 + price) * latencyMs(batchSize, cpuMillicores)) / batchSize;
        let least = Infinity;
        for (let batchSize = 1; batchSize <= Math.min(maxBatchSize, dueAtMs.length); batchSize++) {
          for (let step = 0; step < stepCount(asked.limits); step++) {
            const c = allocationAt(asked.limits, step);
            const meets =
              MODEL.plannedLatencyMs(batchSize, c) <= dueAtMs[0]! &&
              firstLate(asked, batchSize, latencyMs(batchSize, c), c) === -1;
            if (meets) least = Math.min(least, cost(batchSize, c));
          }
        }
        // The priced allocation is rounded down to a step: one step of 0.1 core from the optimum costs next to nothing.
        expect(cost(choice.batchSize, choice.cpuMillicores)).toBeLessThanOrEqual(least * 1.01);
      }),
    );
  });
});

describe('several shape classes', () => {
  /** Three times as long. */
  const SLOW: LatencyModel = {
    predictedLatencyMs: (b, c) => 3 * MODEL.predictedLatencyMs(b, c),
    plannedLatencyMs: (b, c) => 3 * MODEL.plannedLatencyMs(b, c),
    leastLatencyMs: (b, c) => 3 * MODEL.leastLatencyMs(b, c),
  };
  const mixed = fc.record({
    queue: fc
      .array(fc.record({ dueAtMs: fc.integer({ min: 20, max: 3000 }), classIndex: fc.nat(1) }), {
        minLength: 1,
        maxLength: 14,
      })
      .map((queue) => queue.sort((a, b) => a.dueAtMs - b.dueAtMs)),
    maxBatchSize: fc.integer({ min: 1, max: 4 }),
    cpuMillicores: fc.constantFrom(1000, 4000, 16_000),
    taken: fc.nat(3),
    rowCounts: fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 })),
  });
  const asked = (
    queue: readonly { readonly dueAtMs: number; readonly classIndex: number }[],
    fields: Partial<BatchQuestion> = {},
  ): BatchQuestion =>
    question(
      queue.map(({ dueAtMs }) => dueAtMs),
      5,
      { classIndexes: queue.map(({ classIndex }) => classIndex), models: [MODEL, SLOW], ...fields },
    );

  /** Batch by batch: the earliest request left, and the next of its class. */
  function replay(each: BatchQuestion, taken: number, c: number): number {
    const { dueAtMs, classIndexes, models, maxBatchSize, rowCounts } = each;
    let left = dueAtMs.map((due, place) => ({ due, place, classIndex: classIndexes![place]! }));
    const gone = left.filter(({ classIndex }) => classIndex === classIndexes![0]).slice(0, taken);
    left = left.filter((each) => !gone.includes(each));
    let finishAtMs = 0;
    for (let isNext = true; left.length > 0; isNext = false) {
      const { classIndex, place, due } = left[0]!;
      // As many as have room with all their rows, and at least one.
      const batch = left
        .filter((other) => other.classIndex === classIndex)
        .filter((_, index) => index === 0 || (index + 1) * (rowCounts?.[classIndex] ?? 1) <= maxBatchSize);
      const model = models[classIndex]!;
      const latest = isNext ? model.plannedLatencyMs(batch.length, c) : model.predictedLatencyMs(batch.length, c);
      if (finishAtMs + latest > due) return place;
      finishAtMs += model.predictedLatencyMs(batch.length, c);
      left = left.filter((each) => !batch.includes(each));
    }
    return -1;
  }

  it('are checked as a replay batch by batch would find', () => {
    fc.assert(
      fc.property(mixed, ({ queue, maxBatchSize, cpuMillicores, taken, rowCounts }) => {
        const each = asked(queue, { maxBatchSize, rowCounts });
        const ofHead = queue.filter(({ classIndex }) => classIndex === queue[0]!.classIndex).length;
        const gone = Math.min(taken, ofHead);
        expect(firstLate(each, gone, 0, cpuMillicores)).toBe(replay(each, gone, cpuMillicores));
      }),
    );
  });

  it('make a batch of the head’s class that meets its head and everybody whom it overtakes', () => {
    fc.assert(
      fc.property(mixed, ({ queue, maxBatchSize, rowCounts }) => {
        const each = asked(queue, { maxBatchSize, rowCounts });
        const choice = cheapestBatch(each);
        if (choice === null) return;
        const { batchSize, cpuMillicores } = choice;
        const model = each.models[queue[0]!.classIndex]!;
        expect(model.plannedLatencyMs(batchSize, cpuMillicores)).toBeLessThanOrEqual(queue[0]!.dueAtMs);
        const freeAtMs = model.predictedLatencyMs(batchSize, cpuMillicores);
        expect(firstLate(each, batchSize, freeAtMs, cpuMillicores)).toBe(-1);
        const rows = batchSize * rowCounts[queue[0]!.classIndex]!;
        expect(batchSize === 1 || rows <= maxBatchSize).toBe(true);
        expect(batchSize).toBeLessThanOrEqual(
          queue.filter(({ classIndex }) => classIndex === queue[0]!.classIndex).length,
        );
      }),
    );
  });

  it('of several rows are planned as single ones would be where a batch takes so many fewer', () => {
    fc.assert(
      fc.property(mixed, fc.integer({ min: 1, max: 5 }), fc.nat(4), ({ queue, maxBatchSize }, rowCount, spareRows) => {
        const dueAtMs = queue.map((each) => each.dueAtMs);
        const maxRows = maxBatchSize * rowCount + Math.min(spareRows, rowCount - 1);
        expect(cheapestBatch(question(dueAtMs, 20, { maxBatchSize: maxRows, rowCounts: [rowCount] }))).toEqual(
          cheapestBatch(question(dueAtMs, 20, { maxBatchSize })),
        );
      }),
    );
  });

  it('are one where they are alike', () => {
    fc.assert(
      fc.property(mixed, ({ queue, maxBatchSize }) => {
        const alone = queue.map(({ dueAtMs }) => ({ dueAtMs, classIndex: 0 }));
        const choice = cheapestBatch(asked(alone, { maxBatchSize }));
        expect(choice).toEqual(
          cheapestBatch({ ...asked(alone, { maxBatchSize }), classIndexes: null, models: [MODEL] }),
        );
      }),
    );
  });
});

describe('more to do', () => {
  const oneByOne = (dueAtMs: readonly number[], ratePerSec: number): number =>
    cheapestBatch(question(dueAtMs, ratePerSec, { maxBatchSize: 1 }))?.cpuMillicores ?? Infinity;
  const aQueue = fc
    .array(fc.integer({ min: 50, max: 2000 }), { minLength: 1, maxLength: 12 })
    .map((due) => due.sort((a, b) => a - b));
  const aRate = fc.double({ min: 0, max: 40, noNaN: true });

  it('never needs fewer cores: a higher rate, or one request more', () => {
    fc.assert(
      fc.property(aQueue, aRate, aRate, fc.integer({ min: 50, max: 2000 }), (dueAtMs, a, b, more) => {
        expect(oneByOne(dueAtMs, Math.max(a, b))).toBeGreaterThanOrEqual(oneByOne(dueAtMs, Math.min(a, b)));
        const longer = [...dueAtMs, more].sort((x, y) => x - y);
        expect(oneByOne(longer, a)).toBeGreaterThanOrEqual(oneByOne(dueAtMs, a));
        const held = (rate: number): number => steadyMillicores(question([], rate));
        expect(held(Math.max(a, b))).toBeGreaterThanOrEqual(held(Math.min(a, b)));
      }),
    );
  });

  it('never needs more cores for a looser deadline', () => {
    fc.assert(
      fc.property(aQueue, aRate, fc.nat(11), fc.integer({ min: 1, max: 500 }), (dueAtMs, rate, index, byMs) => {
        const looser = dueAtMs.map((due, at) => (at === index % dueAtMs.length ? due + byMs : due));
        looser.sort((a, b) => a - b);
        expect(oneByOne(looser, rate)).toBeLessThanOrEqual(oneByOne(dueAtMs, rate));
      }),
    );
  });

  it('makes nothing feasible in batches either: who can be met in company can be met without', () => {
    fc.assert(
      fc.property(aQueue, aRate, fc.nat(11), (dueAtMs, rate, index) => {
        const fewer = dueAtMs.filter((_, at) => at !== index % dueAtMs.length);
        const isMet = (due: readonly number[]): boolean =>
          latestStarts(due, MODEL, 4, 16_000)[0]! >= 0 && due.length > 0;
        if (fewer.length > 0 && isMet(dueAtMs)) expect(isMet(fewer)).toBe(true);
        if (cheapestBatch(question(dueAtMs, rate)) !== null) expect(isMet(dueAtMs)).toBe(true);
      }),
    );
  });
});

/** κ·c_r²·B/A with A = 100·b, B = 20·b + 20: the definition, for κ = 1. */
function exhaustivePrice({ dueAtMs, maxBatchSize, steadyRatePerSec }: BatchQuestion): number {
  const wanted = dueAtMs.map((due, index) => (index + 1) / due);
  const ratePerMs = Math.max(steadyRatePerSec / 1000, ...wanted);
  const shared = 100 * maxBatchSize;
  const single = 20 * maxBatchSize + 20;
  const spare = maxBatchSize - single * ratePerMs;
  const cores = spare <= 0 ? 16 : Math.min(16, (shared * ratePerMs) / spare);
  return (cores * cores * single) / shared;
}

describe('the steady allocation', () => {
  it('sustains the load', () => {
    // c = 4 as above, and the next step
    expect(steadyMillicores(question([], 20))).toBe(4100);
  });
});
