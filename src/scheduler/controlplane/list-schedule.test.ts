import { describe, expect, it } from 'vitest';
import { exactLatency, type LatencyModel } from '../domain/latency.js';
import { PLANNED_DEVIATIONS } from './decision-latencies.js';
import { ListSchedule, type ScheduledQueue, type SlotFilling } from './list-schedule.js';

/** (20 + 10·b)/c ms: 30, 40, 50 and 60 ms on one core for one to four. */
const MODEL = exactLatency((batchSize, cpuMillicores) => ((20 + 10 * batchSize) * 1000) / cpuMillicores);

/** By batch size, whatever the cores. */
const byBatch = (...latenciesMs: readonly number[]): LatencyModel =>
  exactLatency((batchSize) => latenciesMs[batchSize - 1]!);

function schedule(dueAtMs: readonly number[], fields: Partial<ScheduledQueue> = {}): ListSchedule {
  return new ListSchedule({
    dueAtMs,
    classIndexes: null,
    models: [MODEL],
    maxBatchSize: 4,
    budgetMillicores: 2000,
    ...fields,
  });
}

describe('the batch that does most', () => {
  it('is the largest where a batch costs something by itself, and one request where it does not', () => {
    expect(schedule([]).bestSize(0, 1000)).toBe(4);
    expect(schedule([], { models: [byBatch(10, 20, 30, 40)] }).bestSize(0, 1000)).toBe(1);
    // 1/10, 2/15, 3/24 and 4/40 per ms
    expect(schedule([], { models: [byBatch(10, 15, 24, 40)] }).bestSize(0, 1000)).toBe(2);
  });

  it('is of rows: a request of two takes the place of two', () => {
    const rows = schedule([], { rowCounts: [2] });
    expect(rows.limitOf(0)).toBe(2);
    expect(rows.bestSize(0, 1000)).toBe(2);
  });
});

describe('list scheduling', () => {
  it('takes the largest prefix that meets its head, on the instance that is free first', () => {
    // Both would take 40 > 30, so one until 30; the other from 10 until 40.
    expect(schedule([30, 40]).firstLate(0, [10, 0], 1000)).toBe(-1);
    expect(schedule([30, 39]).firstLate(0, [10, 0], 1000)).toBe(1);
    expect(schedule([29, 40]).firstLate(0, [10, 0], 1000)).toBe(0);
    // Both in one batch until 40, and nobody is left for the other.
    expect(schedule([40, 40]).firstLate(0, [0, 1000], 1000)).toBe(-1);
  });

  it('counts as many instances as the budget has cores for at that allocation, at least one', () => {
    // One alone: until 30, then until 60.
    expect(schedule([30, 59], { budgetMillicores: 1999 }).firstLate(0, [0, 0], 1000)).toBe(1);
    expect(schedule([30, 60], { budgetMillicores: 1999 }).firstLate(0, [0, 0], 1000)).toBe(-1);
    expect(schedule([30, 59], { budgetMillicores: 2000 }).firstLate(0, [0, 0], 1000)).toBe(-1);
    expect(schedule([30, 60], { budgetMillicores: 500 }).firstLate(0, [0, 0], 1000)).toBe(-1);
  });

  it('counts those first that are free first', () => {
    expect(schedule([35], { budgetMillicores: 1000 }).firstLate(0, [90, 5, 50], 1000)).toBe(-1);
  });

  it('is faster on more cores', () => {
    // Two on two cores: 40 / 2 = 20 ms.
    expect(schedule([20, 20]).firstLate(0, [0], 2000)).toBe(-1);
    expect(schedule([20, 20]).firstLate(0, [0], 1900)).toBeGreaterThanOrEqual(0);
  });

  it('leaves out those that are gone', () => {
    const late = schedule([1, 2, 70, 70]);
    // The last two from 30 until 70.
    expect(late.firstLate(2, [30], 1000)).toBe(-1);
    expect(late.firstLate(1, [30], 1000)).toBe(1);
    expect(late.firstLate(4, [1e9], 1000)).toBe(-1);
  });

  it('goes beyond the batch that does most where that is late', () => {
    const models = [byBatch(10, 15, 24)];
    // Two and one: 15 + 10 = 25 ms. All three: 24.
    expect(schedule([24, 24, 24], { models, maxBatchSize: 3 }).firstLate(0, [0], 1000)).toBe(-1);
    expect(schedule([23, 23, 23], { models, maxBatchSize: 3 }).firstLate(0, [0], 1000)).toBeGreaterThanOrEqual(0);
    // And not where it is not: three, 24 ms, then one until 34; two and two are done at 30.
    expect(schedule([24, 24, 30, 30], { models, maxBatchSize: 3 }).firstLate(0, [0], 1000)).toBe(-1);
  });

  it('runs a batch of the class of the first that waits, and lets others of that class overtake', () => {
    const models = [byBatch(10, 15), byBatch(20, 30)];
    const mixed = { models, classIndexes: [0, 1, 0, 1], maxBatchSize: 2 };
    // First and third until 15, second and fourth until 45.
    expect(schedule([15, 45, 45, 45], mixed).firstLate(0, [0], 1000)).toBe(-1);
    // One of the second class alone until 35, and the other until 55.
    expect(schedule([15, 44, 45, 45], mixed).firstLate(0, [0], 1000)).toBe(3);
    expect(schedule([15, 34, 45, 45], mixed).firstLate(0, [0], 1000)).toBe(1);
    // Of the head's class two are gone.
    expect(schedule([1, 30, 1, 30], mixed).firstLate(2, [0], 1000)).toBe(-1);
  });
});

/** With the places of those passed over. */
function fill(asked: ListSchedule, freeAtMs: readonly number[], size: number, filling: SlotFilling, deviations = 0) {
  const left: number[] = [];
  const filled = asked.fillSlots(asked.slotsOn(freeAtMs, 1000), size, deviations, filling, () => false, left);
  return { ...filled, left };
}

describe('slots that are filled', () => {
  it('take the earliest that they can still meet, and leave whom they pass over', () => {
    // One at a time: 20 never, until 30, 45 not after that, until 60.
    expect(fill(schedule([20, 30, 45, 60]), [0], 1, 'full')).toMatchObject({
      onTime: 2,
      usedMs: 60,
      firstSize: 1,
      left: [0, 2],
    });
  });

  it('use as many instances as there are cores for', () => {
    expect(fill(schedule([30, 30, 30]), [0, 0, 0], 1, 'full')).toMatchObject({ onTime: 2, left: [2] });
    expect(fill(schedule([30, 30, 30], { budgetMillicores: 3000 }), [0, 0, 0], 1, 'full')).toMatchObject({
      onTime: 3,
      left: [],
    });
  });

  it('make batches of the size that is asked for, the last of what is left', () => {
    // Two until 40, one until 70
    expect(fill(schedule([40, 40, 70]), [0], 2, 'full')).toMatchObject({
      onTime: 3,
      usedMs: 70,
      firstSize: 2,
      left: [],
    });
    // No more than may share a batch: four until 60, one until 90
    const five = schedule([1000, 1000, 1000, 1000, 1000]);
    expect(fill(five, [0], 9, 'full')).toMatchObject({ onTime: 5, usedMs: 90, firstSize: 4 });
  });

  it('make a batch smaller rather than go without its first, or pass that one over', () => {
    // Two need until 40 > 35: the first alone until 30, the others until 70.
    expect(fill(schedule([35, 100, 100]), [0], 2, 'smaller')).toMatchObject({
      onTime: 3,
      usedMs: 70,
      firstSize: 1,
      left: [],
    });
    // Without it the others until 40.
    expect(fill(schedule([35, 100, 100]), [0], 2, 'full')).toMatchObject({ onTime: 2, left: [0] });
  });

  it('count with so many deviations more than is typical, but are busy for the typical time', () => {
    const model: LatencyModel = { ...MODEL, plannedLatencyMs: (b, c) => 4 * MODEL.predictedLatencyMs(b, c) };
    const onTime = (dueAtMs: readonly number[], deviations: number): number =>
      fill(schedule(dueAtMs, { models: [model] }), [0], 1, 'full', deviations).onTime;
    expect(onTime([30], 0)).toBe(1);
    // 30 × 4 as planned; 30 × √4 at half of the deviations
    expect(onTime([119], PLANNED_DEVIATIONS)).toBe(0);
    expect(onTime([121], PLANNED_DEVIATIONS)).toBe(1);
    expect(onTime([59], PLANNED_DEVIATIONS / 2)).toBe(0);
    expect(onTime([61], PLANNED_DEVIATIONS / 2)).toBe(1);
    // The second starts at 30 and is planned until 30 + 120.
    expect(onTime([121, 151], PLANNED_DEVIATIONS)).toBe(2);
    expect(onTime([121, 149], PLANNED_DEVIATIONS)).toBe(1);
  });

  it('fill each batch from one class', () => {
    const models = [byBatch(10, 15), byBatch(20, 30)];
    const mixed = schedule([15, 20, 20, 50], { models, classIndexes: [0, 1, 0, 1], maxBatchSize: 2 });
    // First and third until 15; the second then needs until 45 > 20; the fourth until 35.
    expect(fill(mixed, [0], 2, 'full')).toMatchObject({ onTime: 3, usedMs: 35, firstSize: 2, left: [1] });
  });
});
