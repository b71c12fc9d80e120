import { describe, expect, it } from 'vitest';
import { coefficientOf, interferenceText, measureInterference, type SideBySideTarget } from './interference-runner.js';

const BESIDE = { batchSize: 1, minMillicores: 500, budgetMs: 100 };

/** Instances of 10 ms a run, a fifth longer for each other one that runs when it starts; up to the time of the longest it counts as running. */
class Bench implements SideBySideTarget {
  readonly instanceCount: number;
  readonly #totalMillicores: number;
  readonly #running = new Set<number>();
  /** What was asked for, in order. */
  readonly asked: string[] = [];
  failing: number | null = null;
  nowMs = 0;

  constructor(instanceCount: number, totalMillicores: number) {
    this.instanceCount = instanceCount;
    this.#totalMillicores = totalMillicores;
  }

  millicoresOfEach(instances: number): number {
    return Math.min(1000, Math.floor(this.#totalMillicores / instances));
  }

  async sideBySide<Result>(instances: number, cpuMillicores: number, step: () => Promise<Result>): Promise<Result> {
    this.asked.push(`${instances} on ${cpuMillicores}`);
    try {
      return await step();
    } finally {
      this.asked.push(`at rest, ${this.#running.size} running`);
    }
  }

  async run(instance: number): Promise<{ readonly latencyMs: number }> {
    if (this.#running.has(instance)) throw new Error(`instance ${instance} is busy`);
    this.#running.add(instance);
    // The others of a round are started in the same turn.
    await Promise.resolve();
    const latencyMs = 10 * (1 + 0.2 * (this.#running.size - 1));
    for (let turn = 0; turn < 8 + instance; turn++) await Promise.resolve();
    this.#running.delete(instance);
    if (this.failing === instance) throw new Error('the model refuses');
    if (instance === 0) this.nowMs += latencyMs;
    return { latencyMs };
  }
}

function measure(bench: Bench): ReturnType<typeof measureInterference> {
  return measureInterference(bench, { ...BESIDE, nowMs: () => bench.nowMs });
}

describe('interference between instances', () => {
  it('is the ratio of medians, beside one and beside all, in turns', async () => {
    const bench = new Bench(4, 8000);
    const measured = await measure(bench);
    expect(measured?.cells).toMatchObject([
      { instances: 2, cpuMillicores: 1000, batchSize: 1, aloneMs: 10, besideMs: 12 },
      { instances: 4, cpuMillicores: 1000, batchSize: 1, aloneMs: 10, besideMs: 16 },
    ]);
    // A third and all of three interfering cores: 0.2 and 0.6 slower, φ = 0.6
    expect(measured?.coefficient).toBeCloseTo(0.6, 9);
    expect(bench.asked).toEqual(['2 on 1000', 'at rest, 0 running', '4 on 1000', 'at rest, 0 running']);
    expect(interferenceText(measured!)).toBe(
      '20.0 % slower with 2 busy on 1 cores each, 60.0 % slower with 4 busy on 1 cores each (φ = 0.60)',
    );
  });

  it('is measured on what there is for each, and not where that is too little', async () => {
    // Of 1750 millicores two have 875, four 437, on which nothing is run.
    expect((await measure(new Bench(4, 1750)))?.cells.map(({ cpuMillicores }) => cpuMillicores)).toEqual([875]);
    expect(await measure(new Bench(2, 900))).toBeNull();
    expect(await measure(new Bench(1, 8000))).toBeNull();
  });

  it('is not told before every run has ended, where one fails', async () => {
    const bench = new Bench(2, 2000);
    bench.failing = 1;
    await expect(measure(bench)).rejects.toThrow('the model refuses');
    expect(bench.asked.at(-1)).toBe('at rest, 0 running');
  });

  it('is none where chance made runs beside others faster, and bounded', () => {
    const cell = { batchSize: 1, cpuMillicores: 1000, instances: 2, runs: 4 };
    expect(coefficientOf([{ ...cell, aloneMs: 10, besideMs: 9 }])).toBe(0);
    expect(coefficientOf([{ ...cell, aloneMs: 10, besideMs: 100 }])).toBe(3);
  });
});
