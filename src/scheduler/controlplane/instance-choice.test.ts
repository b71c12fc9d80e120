import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { exactLatency, type LatencyModel } from '../domain/latency.js';
import { BudgetSample } from './budget-sample.js';
import { chooseStart, type InstanceChoice, type InstanceQuestion } from './instance-choice.js';
import { divideOverload, lastingOf, metLaterOn } from './overload-division.js';
import { TimePrices } from './time-price.js';
import { ListSchedule } from './list-schedule.js';

/** (20 + 80·b)/c + 20 ms. On one core 120 ms for one and 200 for two; on two 70 and 110; on four 45 and 65. */
const BATCHING = exactLatency((batchSize, cpuMillicores) => ((20 + 80 * batchSize) * 1000) / cpuMillicores + 20);
/** 100·b/c ms: a batch saves nothing. */
const PLAIN = exactLatency((batchSize, cpuMillicores) => (100_000 * batchSize) / cpuMillicores);

/** Two instances share four cores and both are free; nothing is expected, so time costs what the queue asks for. */
function question(dueAtMs: readonly number[], fields: Partial<InstanceQuestion> = {}): InstanceQuestion {
  return {
    nowMs: 0,
    dueAtMs,
    classIndexes: null,
    models: [BATCHING],
    maxBatchSize: 2,
    steadyRatePerSec: 0,
    expectedRatePerSec: 0,
    budgets: new BudgetSample(),
    pricing: { safety: 1, lossCoreMs: 1000, usesForecast: true },
    leastMillicores: 1000,
    mayWait: true,
    mayFill: true,
    coresFreeAtMs: Infinity,
    isContended: false,
    levels: [1000, 2000, 4000],
    availableMillicores: 4000,
    budgetMillicores: 4000,
    busyUntilMs: [],
    instanceCount: 2,
    ...fields,
  };
}

function budgetsOf(...budgetsMs: readonly number[]): BudgetSample {
  const budgets = new BudgetSample();
  for (const budgetMs of budgetsMs) budgets.observe(budgetMs);
  return budgets;
}

const choose = (dueAtMs: readonly number[], fields: Partial<InstanceQuestion> = {}): InstanceChoice =>
  chooseStart(question(dueAtMs, fields), new TimePrices());

describe('a free instance', () => {
  it('starts on as little as is cheapest, where time is free', () => {
    // 120 core-ms on one core, 140 on two, 180 on four
    expect(choose([1000])).toEqual({ kind: 'start', cpuMillicores: 1000, batchSize: 1, boundBy: 'price' });
    // Two together cost 200 on one core: 100 each.
    expect(choose([1000, 1000])).toEqual({ kind: 'start', cpuMillicores: 1000, batchSize: 2, boundBy: 'price' });
  });

  it('takes of equals the least, and the smallest batch', () => {
    // 100 core-ms for each, whatever the cores and the batch
    expect(choose([1000, 1000], { models: [PLAIN] })).toMatchObject({ cpuMillicores: 1000, batchSize: 1 });
  });

  it('takes as much as the first deadline needs', () => {
    // 120 ms on one core, 70 on two
    expect(choose([119])).toMatchObject({ kind: 'start', cpuMillicores: 2000, boundBy: { deadlineOf: 0 } });
    expect(choose([120])).toMatchObject({ kind: 'start', cpuMillicores: 1000 });
  });

  it('takes as much as those behind it need, and says whom', () => {
    const alone = { maxBatchSize: 1, instanceCount: 1 };
    // One after the other: 70 + 70 = 140 on two cores, 120 + 120 on one
    expect(choose([150, 150], alone)).toMatchObject({ cpuMillicores: 2000, boundBy: { deadlineOf: 1 } });
    // The other instance takes the second at the same time.
    expect(choose([150, 150], { maxBatchSize: 1 })).toMatchObject({ cpuMillicores: 1000, boundBy: 'price' });
    // As soon as it is free: 30 + 120, or 31 + 70
    expect(choose([150, 150], { maxBatchSize: 1, busyUntilMs: [30] })).toMatchObject({ cpuMillicores: 1000 });
    expect(choose([150, 150], { maxBatchSize: 1, busyUntilMs: [31] })).toMatchObject({ cpuMillicores: 2000 });
  });

  it('has no more than is available, be it a level or not', () => {
    // 100/1.5 + 20 = 86.7 ms on what is left
    expect(choose([87], { availableMillicores: 1500 })).toMatchObject({ kind: 'start', cpuMillicores: 1500 });
    expect(choose([86], { availableMillicores: 1500 })).toEqual({ kind: 'overload' });
  });

  it('plans with the planned latency of its own batch', () => {
    const model: LatencyModel = { ...BATCHING, plannedLatencyMs: (b, c) => 1.5 * BATCHING.predictedLatencyMs(b, c) };
    // 120 × 1.5 = 180
    expect(choose([180], { models: [model] })).toMatchObject({ cpuMillicores: 1000 });
    expect(choose([179], { models: [model] })).toMatchObject({ cpuMillicores: 2000 });
  });

  it('runs faster where its time has a price', () => {
    const busy = { instanceCount: 1, maxBatchSize: 1 };
    // Up to 1/120 per ms one core sustains it: 8.3 a second
    expect(choose([1000], { ...busy, steadyRatePerSec: 8, expectedRatePerSec: 8 })).toMatchObject({
      cpuMillicores: 1000,
    });
    // At 20 a second π = 252/70 − 2 = 1.6, and 2 × 1.6 × 0.4 × (1 − 0.5) more for a whole batch that waits: (c + 1.92)·l is
    // 350 on one core, 274 on two, 266 on four
    expect(choose([1000], { ...busy, steadyRatePerSec: 20, expectedRatePerSec: 20 })).toMatchObject({
      cpuMillicores: 4000,
    });
  });

  it('takes no notice of the next moment where that is not asked for', () => {
    const rising = { instanceCount: 1, maxBatchSize: 1, steadyRatePerSec: 1, expectedRatePerSec: 40 };
    expect(choose([1000], rising)).toMatchObject({ cpuMillicores: 4000 });
    const pricing = { safety: 1, lossCoreMs: 1000, usesForecast: false };
    expect(choose([1000], { ...rising, pricing })).toMatchObject({ cpuMillicores: 1000 });
  });

  it('makes a batch of the first one’s class only', () => {
    const classes = { models: [BATCHING, PLAIN], classIndexes: [0, 1, 0] };
    expect(choose([1000, 1000, 1000], classes)).toMatchObject({ kind: 'start', batchSize: 2 });
    expect(choose([1000, 1000], { ...classes, classIndexes: [0, 1] })).toMatchObject({ kind: 'start', batchSize: 1 });
  });

  it('tells of an overload where nothing meets everyone', () => {
    const alone = { maxBatchSize: 1, instanceCount: 1 };
    // 45 ms on all four cores, and 90 for the second
    expect(choose([44], alone)).toEqual({ kind: 'overload' });
    expect(choose([60, 89], alone)).toEqual({ kind: 'overload' });
    expect(choose([60, 90], alone)).toMatchObject({ kind: 'start', cpuMillicores: 4000 });
  });
});

describe('waiting for one more', () => {
  const twentyPerSec = { steadyRatePerSec: 20, expectedRatePerSec: 20 };

  it('is worth it where a batch costs less than two apart, until the latest safe start', () => {
    // In 50 ms; two cost 200 core-ms, apart 120 + 120. Alone it takes 120 ms.
    expect(choose([1000], twentyPerSec)).toEqual({ kind: 'wait', untilMs: 880, isFilling: true });
  });

  it('ends one standard deviation before the planned latency', () => {
    const model: LatencyModel = { ...BATCHING, plannedLatencyMs: (b, c) => 1.5 * BATCHING.predictedLatencyMs(b, c) };
    const choice = choose([1000], { ...twentyPerSec, models: [model] });
    // 1 % of batches exceed what is planned: 2.33 deviations of the logarithm; 180 × 1.5^(1/2.33)
    expect(choice).toMatchObject({ kind: 'wait' });
    expect((choice as { untilMs: number }).untilMs).toBeCloseTo(1000 - 180 * 1.5 ** (1 / 2.33), 9);
  });

  it('is not worth it where a batch saves nothing', () => {
    expect(choose([1000], { ...twentyPerSec, models: [PLAIN] })).toMatchObject({ kind: 'start', batchSize: 1 });
  });

  it('is not worth it where two could only be met on so much that it saves nothing', () => {
    // 50 + 110 = 160 on two cores, for 220 core-ms; 50 + 65 on four, for 260
    expect(choose([160], twentyPerSec)).toMatchObject({ kind: 'wait' });
    expect(choose([159], twentyPerSec)).toMatchObject({ kind: 'start', batchSize: 1 });
  });

  it('is for a batch that has room, of all that wait', () => {
    expect(choose([1000, 1000], twentyPerSec)).toMatchObject({ kind: 'start', batchSize: 2 });
    expect(choose([1000], { ...twentyPerSec, maxBatchSize: 1 })).toMatchObject({ kind: 'start' });
    expect(choose([1000, 1000, 1000], twentyPerSec)).toMatchObject({ kind: 'start', batchSize: 2 });
    const ofTwoClasses = { models: [BATCHING, BATCHING], classIndexes: [0, 1] };
    expect(choose([1000, 1000], { ...twentyPerSec, ...ofTwoClasses })).toMatchObject({ kind: 'start', batchSize: 1 });
  });

  it('is for nobody where nobody is expected', () => {
    expect(choose([1000])).toMatchObject({ kind: 'start' });
  });
});

describe('the last free instance', () => {
  // The other runs until 300. Whoever comes has 60 ms: 15 to spare on four cores.
  const last = {
    busyUntilMs: [300],
    budgetMillicores: 8000,
    steadyRatePerSec: 5,
    expectedRatePerSec: 5,
    budgets: budgetsOf(60),
    maxBatchSize: 1,
  };

  it('is held back for someone who is in more of a hurry, as long as the others meet everyone', () => {
    // In 45 ms on four cores 45 + 45 − 60 = 30 ms would be lost to others; the other instance is done at 300 + 45.
    expect(choose([1000], last)).toEqual({ kind: 'wait', untilMs: 955, isFilling: false });
    expect(choose([345], last)).toEqual({ kind: 'wait', untilMs: 300, isFilling: false });
    expect(choose([344], last)).toMatchObject({ kind: 'start' });
  });

  it('is not held back where nobody who comes would be lost', () => {
    // 45 + 45 = 90
    expect(choose([1000], { ...last, budgets: budgetsOf(90) })).toMatchObject({ kind: 'start' });
    // Until 10 nobody is free: 10 + 45 < 60
    expect(choose([1000], { ...last, busyUntilMs: [10] })).toMatchObject({ kind: 'start' });
    expect(choose([1000], { ...last, budgets: budgetsOf() })).toMatchObject({ kind: 'start' });
    expect(choose([1000], { ...last, steadyRatePerSec: 0, expectedRatePerSec: 0 })).toMatchObject({ kind: 'start' });
  });

  it('is not held back where another is free, or it is the only one', () => {
    expect(choose([1000], { ...last, instanceCount: 3 })).toMatchObject({ kind: 'start' });
    expect(choose([1000], { ...last, busyUntilMs: [], instanceCount: 1 })).toMatchObject({ kind: 'start' });
  });

  it('is not held back where time has a price', () => {
    const dear = { ...last, steadyRatePerSec: 40, expectedRatePerSec: 40 };
    expect(choose([1000], dear)).toMatchObject({ kind: 'start' });
  });

  it('runs faster where someone would be lost while it runs', () => {
    // 119 ms: on two cores 70 + 45 − 100 = 15 ms would be lost to a budget of 100, on four nothing.
    const of = (lossCoreMs: number): InstanceChoice =>
      choose([119], {
        ...last,
        budgets: budgetsOf(100),
        pricing: { safety: 1, lossCoreMs, usesForecast: true },
      });
    expect(of(0)).toMatchObject({ kind: 'start', cpuMillicores: 2000 });
    // 140 core-ms, and 0.005 × 15 of what a loss costs; 180 on four cores: from 533 on
    expect(of(530)).toMatchObject({ kind: 'start', cpuMillicores: 2000 });
    expect(of(540)).toMatchObject({ kind: 'start', cpuMillicores: 4000 });
  });
});

describe('a queue while all run', () => {
  const allRun = { busyUntilMs: [100, 200], availableMillicores: 100 };

  it('is met later where some division of the cores meets it', () => {
    // 100 + 45 on all four cores, 100 + 70 on two
    expect(metLaterOn(question([145], allRun))).not.toBeNull();
    expect(metLaterOn(question([144], allRun))).toBeNull();
    // Both on two cores each: 170 and 270; one after the other on four: 145 and 190
    expect(metLaterOn(question([170, 270], { ...allRun, maxBatchSize: 1 }))).not.toBeNull();
    expect(metLaterOn(question([150, 190], { ...allRun, maxBatchSize: 1 }))).not.toBeNull();
    expect(metLaterOn(question([150, 189], { ...allRun, maxBatchSize: 1 }))).toBeNull();
  });

  it('is looked at on equal shares, on more, and on all there is', () => {
    const free = (instanceCount: number) => ({
      maxBatchSize: 1,
      instanceCount,
      busyUntilMs: Array.from({ length: instanceCount }, () => 0),
    });
    // Two of four on two cores each: 70 ms; on one core 120, and one after the other on four 90
    expect(metLaterOn(question([70, 70], free(4)))).not.toBeNull();
    expect(metLaterOn(question([70, 70, 70], free(4)))).toBeNull();
    // 30 ms on all ten cores; 32.5 on eight, four times an equal share of five
    expect(metLaterOn(question([31], { ...free(5), budgetMillicores: 10_000 }))).not.toBeNull();
    // Half a core each would be 220 ms for all four, but nothing may run on so little.
    const few = { ...free(4), budgetMillicores: 2000 };
    expect(metLaterOn(question([220, 220, 220, 220], few))).toBeNull();
    expect(metLaterOn(question([240, 240, 240, 240], few))).not.toBeNull();
  });
});

describe('an overload', () => {
  /** One instance of two cores. */
  const one = {
    instanceCount: 1,
    maxBatchSize: 2,
    levels: [1000, 2000],
    budgetMillicores: 2000,
    availableMillicores: 2000,
  };
  /** With who does not fit into its slots, and the size of the first batch. */
  const divide = (dueAtMs: readonly number[], fields: Partial<InstanceQuestion> = {}) => {
    const asked = question(dueAtMs, { maxBatchSize: 1, ...fields });
    const { freeAtMs, cpuMillicores, firstSize, batchSize, cautionDeviations, filling } = divideOverload(asked);
    const schedule = new ListSchedule(asked);
    const left = schedule.leftBy(schedule.slotsOn(freeAtMs, cpuMillicores), batchSize, cautionDeviations, filling);
    return { shed: left, cpuMillicores, batchSize: firstSize };
  };

  it('gives up as few as some division can, and starts the first that is left on its share', () => {
    // Two cores each: not the first, in 50, but both others in 70. All four for one: the first only.
    expect(divide([50, 70, 70])).toEqual(expect.objectContaining({ shed: [0], cpuMillicores: 2000, batchSize: 1 }));
    // In 60 nobody on two cores, and one on four
    expect(divide([60, 60])).toEqual(expect.objectContaining({ shed: [1], cpuMillicores: 4000, batchSize: 1 }));
    // Of four instances two have twice an equal share.
    expect(divide([70, 70, 70], { instanceCount: 4 })).toMatchObject({ shed: [2], cpuMillicores: 2000 });
  });

  it('takes of equal divisions the cheapest', () => {
    // 70 × 2 = 140 core-ms, or 45 × 4 = 180
    expect(divide([100])).toMatchObject({ shed: [], cpuMillicores: 2000 });
    // One after the other in 140 ms on two cores, or together in 110
    expect(divide([140, 140], one)).toMatchObject({ shed: [], batchSize: 2 });
  });

  it('passes over the first of a batch where that saves two and a quarter of the queue, and else gives up the newest', () => {
    // The first alone until 70, then nobody until 140; or without it two until 110
    expect(divide([70, 110, 110], one)).toMatchObject({ shed: [1, 2], batchSize: 1 });
    // Two one by one until 140, and nobody until 210; or without them four until 190
    const four = { ...one, maxBatchSize: 4 };
    expect(divide([70, 140, 190, 190, 190, 190], four)).toMatchObject({ shed: [0, 1], batchSize: 4 });
  });

  it('gives nobody up for what time is worth who can be met in a smaller batch', () => {
    // One by one all seven in 490 ms; two together in 110. At most 2/110 per ms = 18.2 a second.
    const seven = [70, 140, 210, 280, 350, 420, 490];
    expect(divide(seven, { ...one, steadyRatePerSec: 15 })).toMatchObject({ shed: [], batchSize: 1 });
    // 7 − 0.9·490·2/110 = −1.02, and 1.75 as the first is not passed over; without it 6 − 0.9·330·2/110 = 0.6
    expect(divide(seven, { ...one, steadyRatePerSec: 19 })).toMatchObject({ shed: [], batchSize: 1 });
  });

  it('divides among as many as can have the least allocation, where that is fewer than there are instances', () => {
    // Half a core each is less than any may run on: two of the four on one core each, 120 ms.
    const many = { instanceCount: 4, budgetMillicores: 2000, availableMillicores: 2000 };
    expect(divide([120, 120, 120], many)).toMatchObject({ shed: [2], cpuMillicores: 1000 });
    // On half a core each all four would be done by 220; on two cores three are, one after the other.
    expect(divide([220, 220, 220, 220], many)).toMatchObject({ shed: [3], cpuMillicores: 2000 });
    expect(metLaterOn(question([120, 120], { ...many, maxBatchSize: 1, busyUntilMs: [0, 0, 0, 0] }))).not.toBeNull();
  });

  it('has for the one that starts no more than is available', () => {
    expect(divide([100], { availableMillicores: 1500, busyUntilMs: [500] })).toMatchObject({ cpuMillicores: 1000 });
  });

  it('is told of while all run too: who cannot be met when they come free is given up', () => {
    const allRun = { busyUntilMs: [100, 200], availableMillicores: 100 };
    // 100 + 45 > 144
    expect(divide([144], allRun)).toMatchObject({ shed: [0] });
    // 100 + 70 and 200 + 70 on two cores each, or 145, 190 and 235 on four
    expect(divide([145, 190, 234], allRun)).toMatchObject({ shed: [2] });
  });

  it('does not count an instance as free that there are no cores for', () => {
    // Two of three run until 100 on nearly all there is. On four cores one is met at 145, two at 190; on 0.3 cores nobody.
    const noCores = { instanceCount: 3, busyUntilMs: [100, 100], availableMillicores: 300 };
    expect(divide([150, 150, 190], noCores).shed).toHaveLength(1);
    expect(divide([150, 150, 190], { ...noCores, availableMillicores: 0 }).shed).toHaveLength(1);
  });
});

describe('an overload, for any queue', () => {
  /** Every division looked at to its end: what `divideOverload` does without what it need not look at. */
  function plainDivision(asked: InstanceQuestion): { cpuMillicores: number; batchSize: number; leftCount: number } {
    const { levels, instanceCount, budgetMillicores, availableMillicores, busyUntilMs, dueAtMs, maxBatchSize } = asked;
    const schedule = new ListSchedule(asked);
    const lasting = lastingOf(asked);
    const equalShare = Math.min(levels.at(-1)!, Math.max(asked.leastMillicores, budgetMillicores / instanceCount));
    const isFree = busyUntilMs.length < instanceCount && availableMillicores >= asked.leastMillicores;
    const freeAtMs = [...busyUntilMs, ...new Array<number>(isFree ? instanceCount - busyUntilMs.length : 0).fill(0)];
    const rates = Array.from({ length: maxBatchSize }, (_, index) => {
      return (index + 1) / asked.models[0]!.predictedLatencyMs(index + 1, equalShare);
    });
    const worth = 0.9 * lasting * Math.max(...rates);
    const areAllRunning = busyUntilMs.length >= instanceCount;
    const mostLater = lasting < 1 || !areAllRunning ? budgetMillicores : Math.min(budgetMillicores, 1.5 * equalShare);
    const most = isFree ? availableMillicores : mostLater;
    const shares = [...[1, 1.5, 2, 4].map((share) => share * equalShare).filter((share) => share <= most), most];
    let best = { cpuMillicores: 0, batchSize: 0, leftCount: 0, value: -Infinity, cost: 0 };
    for (const share of shares) {
      const cpuMillicores = levels.findLast((level) => level <= share) ?? Math.floor(share);
      for (let batchSize = 1; batchSize <= maxBatchSize; batchSize++) {
        for (const filling of ['smaller', 'full'] as const) {
          const slots = schedule.slotsOn(freeAtMs, cpuMillicores);
          const { onTime, usedMs, leftCount } = schedule.fillSlots(slots, batchSize, 0.5 + 1.5 * lasting, filling);
          expect(onTime + leftCount).toBe(dueAtMs.length);
          const bonus = filling === 'smaller' ? Math.max(1.5, 0.25 * dueAtMs.length) : 0;
          const [value, cost] = [onTime + bonus - worth * usedMs, (usedMs * cpuMillicores) / 1000];
          if (value > best.value + 1e-9 || (value > best.value - 1e-9 && cost < best.cost))
            best = { cpuMillicores, batchSize, leftCount, value, cost };
        }
      }
    }
    const { cpuMillicores, batchSize, leftCount } = best;
    return { cpuMillicores, batchSize, leftCount };
  }

  it('is divided as if every division had been looked at to its end', () => {
    const anyQuestion = fc.record({
      dueAtMs: fc.array(fc.integer({ min: 20, max: 1500 }), { minLength: 1, maxLength: 40 }),
      busyUntilMs: fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 3 }),
      instanceCount: fc.integer({ min: 2, max: 5 }),
      maxBatchSize: fc.integer({ min: 1, max: 24 }),
      availableMillicores: fc.constantFrom(300, 1000, 2500, 4000),
      steadyRatePerSec: fc.constantFrom(0, 20, 35, 50),
      areTwoClasses: fc.boolean(),
    });
    fc.assert(
      fc.property(anyQuestion, ({ dueAtMs, areTwoClasses, ...fields }) => {
        const asked = question(
          dueAtMs.sort((a, b) => a - b),
          {
            ...fields,
            ...(areTwoClasses ? { models: [BATCHING, PLAIN], classIndexes: dueAtMs.map((due) => due % 2) } : {}),
          },
        );
        // The rate of the first one's class is what time is worth.
        if (areTwoClasses && asked.classIndexes![0] === 1) return;
        const { cpuMillicores, batchSize, leftCount } = divideOverload(asked);
        expect({ cpuMillicores, batchSize, leftCount }).toEqual(plainDivision(asked));
      }),
      { numRuns: 1000 },
    );
  });
});
