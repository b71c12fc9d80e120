import { describe, expect, it } from 'vitest';
import { CorkOptimizer, type CorkSample } from './cork-optimizer.js';

function sample(batchSize: number, latencyMs: number, waitedMs = 0): CorkSample {
  return { batchSize, latencyMs, waitedMs };
}

/** Logs one a ms from `fromMs` on. */
function log(optimizer: CorkOptimizer, fromMs: number, samples: readonly CorkSample[]): void {
  samples.forEach((each, index) => optimizer.log(fromMs + index, each));
}

const SKIPPED = [sample(1, 9999), sample(1, 9999)];

describe('what is learned for corking', () => {
  it('is guessed at first: a tenth of the limit for a batch of one, no wait', () => {
    const optimizer = new CorkOptimizer(300);
    // 300 · 2/30 = 20, 300 / 30 = 10.
    expect([optimizer.perRequestMs, optimizer.perBatchMs, optimizer.waitMs]).toEqual([20, 10, 0]);
    const patient = new CorkOptimizer(60_000);
    expect([patient.perRequestMs, patient.perBatchMs]).toEqual([2000, 1000]);
  });

  it('is a straight line through the batches, the first two left out, and the mean wait', () => {
    const optimizer = new CorkOptimizer(1000);
    log(optimizer, 0, [...SKIPPED, sample(1, 30, 5), sample(2, 50, 10), sample(4, 90, 30)]);
    optimizer.refresh();
    // 20·n + 10; (5 + 10 + 30) / 3 = 15.
    expect(optimizer.perRequestMs).toBeCloseTo(20, 9);
    expect(optimizer.perBatchMs).toBeCloseTo(10, 9);
    expect(optimizer.waitMs).toBeCloseTo(15, 9);
  });

  it('is the shortest solution where all batches had one size', () => {
    const optimizer = new CorkOptimizer(1000);
    log(optimizer, 0, [...SKIPPED, sample(2, 50)]);
    // (a, b) = 50·(2, 1)/(2² + 1).
    expect([optimizer.perRequestMs, optimizer.perBatchMs]).toEqual([20, 10]);
  });

  it('is never below nothing: a falling line costs a thousandth of a ms per request, a negative start nothing', () => {
    const falling = new CorkOptimizer(1000);
    log(falling, 0, [...SKIPPED, sample(1, 30), sample(2, 20)]);
    falling.refresh();
    expect([falling.perRequestMs, falling.perBatchMs]).toEqual([0.001, 40]);
    const steep = new CorkOptimizer(1000);
    log(steep, 0, [...SKIPPED, sample(1, 10), sample(2, 50)]);
    steep.refresh();
    expect([steep.perRequestMs, steep.perBatchMs]).toEqual([40, 0]);
  });

  it('is fitted anew with the first batch that is counted, and then every 5 s', () => {
    const optimizer = new CorkOptimizer(1000);
    log(optimizer, 0, SKIPPED);
    optimizer.log(10, sample(1, 20, 4));
    expect(optimizer.waitMs).toBe(4);
    optimizer.log(5009, sample(1, 20, 8));
    expect(optimizer.waitMs).toBe(4);
    optimizer.log(5010, sample(1, 20, 12));
    expect(optimizer.waitMs).toBe(8);
  });

  it('is of the last 50 batches', () => {
    const optimizer = new CorkOptimizer(1000);
    log(optimizer, 0, [...SKIPPED, sample(1, 20, 1000)]);
    log(
      optimizer,
      3,
      Array.from({ length: 50 }, () => sample(1, 20, 6)),
    );
    optimizer.refresh();
    expect(optimizer.waitMs).toBe(6);
  });
});
