import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Prng } from '../random/prng.js';
import { fittedLatencyMs, robustFit } from './fit.js';
import { interleaved, profileGrid, RUNS_PER_CELL, withinBudget } from './grid.js';
import type { GridCell } from './profile-cell.js';

const SMALL = { minMillicores: 100, maxMillicores: 1750, stepMillicores: 50 };
const LARGE = { minMillicores: 100, maxMillicores: 16_000, stepMillicores: 100 };
const COEFFICIENTS = { gamma: 20, epsilon: 5, delta: 2, eta: 3 };
const runMs = (cell: GridCell): number => fittedLatencyMs(COEFFICIENTS, cell.batchSize, cell.cpuMillicores);

const distinct = (values: readonly number[]): number[] => [...new Set(values)];

describe('the profiling grid', () => {
  it('doubles from one request and a quarter of a core, takes in small whole cores, and ends at the largest of both', () => {
    const cells = profileGrid({ maxBatchSize: 12, limits: LARGE, threadCounts: [1, 2, 4, 8, 16], quality: 'full' });
    expect(distinct(cells.map((cell) => cell.batchSize))).toEqual([1, 2, 4, 8, 12]);
    // Steps are 100 from 100, so 250 becomes the nearest allowed one, 300.
    expect(distinct(cells.map((cell) => cell.cpuMillicores))).toEqual([300, 500, 1000, 2000, 3000, 4000, 8000, 16_000]);
    expect(cells).toHaveLength(5 * 8);
  });

  it('quadruples when quick', () => {
    const cells = profileGrid({ maxBatchSize: 16, limits: SMALL, threadCounts: [1, 2], quality: 'quick' });
    expect(distinct(cells.map((cell) => cell.batchSize))).toEqual([1, 4, 16]);
    expect(distinct(cells.map((cell) => cell.cpuMillicores))).toEqual([250, 1000, 1750]);
  });

  it('runs each cell with the largest session within its allocation', () => {
    const cells = profileGrid({ maxBatchSize: 1, limits: LARGE, threadCounts: [1, 4], quality: 'full' });
    expect(cells.map((cell) => [cell.cpuMillicores, cell.threadCount])).toEqual([
      [300, 1],
      [500, 1],
      [1000, 1],
      [2000, 1],
      [3000, 1],
      [4000, 4],
      [8000, 4],
      [16_000, 4],
    ]);
  });

  it('has only allocations that are allowed, always the largest, and no cell twice', () => {
    const limitsArbitrary = fc
      .record({
        min: fc.integer({ min: 1, max: 8 }),
        extra: fc.integer({ min: 0, max: 16_000 }),
        step: fc.integer({ min: 1, max: 1000 }),
      })
      .map(({ min, extra, step }) => ({
        minMillicores: 100 * min,
        maxMillicores: 100 * min + extra,
        stepMillicores: step,
      }));
    fc.assert(
      fc.property(
        limitsArbitrary,
        fc.integer({ min: 1, max: 64 }),
        fc.constantFrom('quick', 'full'),
        (limits, maxBatchSize, quality) => {
          const cells = profileGrid({ maxBatchSize, limits, threadCounts: [1, 2, 4], quality });
          for (const { cpuMillicores } of cells) {
            const { minMillicores, maxMillicores, stepMillicores } = limits;
            expect(cpuMillicores).toBeGreaterThanOrEqual(minMillicores);
            expect(cpuMillicores === maxMillicores || (cpuMillicores - minMillicores) % stepMillicores === 0).toBe(
              true,
            );
            expect(cpuMillicores).toBeLessThanOrEqual(maxMillicores);
          }
          expect(cells.at(-1)).toMatchObject({ batchSize: maxBatchSize, cpuMillicores: limits.maxMillicores });
          expect(new Set(cells.map((cell) => `${cell.batchSize} ${cell.cpuMillicores}`)).size).toBe(cells.length);
        },
      ),
    );
  });
});

describe('the run order', () => {
  it('has every cell once a round, in another order each round, and the same from the same seed', () => {
    const cells = profileGrid({ maxBatchSize: 8, limits: LARGE, threadCounts: [1], quality: 'full' });
    const order = interleaved(cells, 3, new Prng(11));
    const rounds = [0, 1, 2].map((round) => order.slice(round * cells.length, (round + 1) * cells.length));
    for (const round of rounds) expect(new Set(round)).toEqual(new Set(cells));
    expect(rounds[0]).not.toEqual(rounds[1]);
    expect(interleaved(cells, 3, new Prng(11))).toEqual(order);
    expect(order).toHaveLength(3 * cells.length);
  });
});

describe('a grid within a time budget', () => {
  const cells = profileGrid({ maxBatchSize: 32, limits: SMALL, threadCounts: [1, 2], quality: 'full' });
  const everythingMs = cells.reduce((sum, cell) => sum + runMs(cell), 0) * RUNS_PER_CELL.quick;

  it('is the whole grid when there is time for it', () => {
    expect(withinBudget(cells, 5, runMs, everythingMs + 1)).toMatchObject({ cells, rounds: 5 });
  });

  it('drops the most expensive cells first and keeps what tells the terms of the fit apart', () => {
    const trimmed = withinBudget(cells, 5, runMs, everythingMs / 4);
    expect(trimmed.estimatedMs).toBeLessThanOrEqual(everythingMs / 4);
    expect(trimmed.rounds).toBe(5);
    const has = (batchSize: number, cpuMillicores: number): boolean =>
      trimmed.cells.some((cell) => cell.batchSize === batchSize && cell.cpuMillicores === cpuMillicores);
    expect([has(1, 1750), has(32, 1750), has(1, 250), has(32, 250)]).toEqual([true, true, true, false]);

    const points = trimmed.cells.map((cell) => ({ ...cell, latencyMs: runMs(cell) }));
    const fit = robustFit(points);
    for (const cell of cells) {
      expect(fittedLatencyMs(fit, cell.batchSize, cell.cpuMillicores) / runMs(cell)).toBeCloseTo(1, 3);
    }
  });

  it('gives up rounds, down to three, when only the corners are left', () => {
    // Corners at 20·b/c + 5/c + 2·b + 3: (1, 0.25) 105, (1, 1.75) 19.3, (32, 1.75) 435.6; 559.9 ms a round.
    const fourRounds = withinBudget(cells, 5, runMs, 2300);
    expect(fourRounds.cells).toHaveLength(3);
    expect(fourRounds.rounds).toBe(4);
    // Three rounds take 1680 ms, less than three times this.
    const tooLittle = withinBudget(cells, 5, runMs, 600);
    expect(tooLittle.rounds).toBe(3);
    expect(tooLittle.estimatedMs).toBeCloseTo(3 * 559.9, 0);
  });

  it('is one request on all CPU where even the corners take far too long', () => {
    const [only, ...others] = withinBudget(cells, 5, runMs, 50).cells;
    expect(others).toEqual([]);
    expect(only).toMatchObject({ batchSize: 1, cpuMillicores: 1750 });
    // 50 / 19.3, and once at least.
    expect(withinBudget(cells, 5, runMs, 50).rounds).toBe(2);
    expect(withinBudget(cells, 5, runMs, 5).rounds).toBe(1);
  });
});
