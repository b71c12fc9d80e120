import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { BatchRun } from '../../scheduler/dataplane/worker-pool.js';
import type { AdmittedRequest } from '../../scheduler/domain/request.js';
import { SimulatedWorker, type Replicas, type SimulatedWorkerOptions } from './simulated-worker.js';

/** 100 ms on one core, 100/c on c. */
class Bench {
  readonly clock = new VirtualClock();
  readonly worker: SimulatedWorker;
  /** Batch id and instant of each batch that ended. */
  readonly ended: (readonly [number, number])[] = [];
  /** Instances that can run batches, and since when. */
  readonly instances: (readonly [number, number])[] = [];
  #lastId = 0;

  constructor(replicas?: Replicas, options: Partial<SimulatedWorkerOptions> = {}) {
    this.worker = new SimulatedWorker({
      clock: this.clock,
      threadCounts: [1, 2, 4],
      maxBatchSize: 4,
      cpuMillicores: 1000,
      latencyMs: (_, cpuMillicores) => 100_000 / cpuMillicores,
      noise: () => 1,
      stagingMs: 0,
      restartMs: 500,
      ...(replicas === undefined ? {} : { replicas }),
      ...options,
    });
    this.worker.listen((event) => {
      if (event.kind === 'instances-changed') this.instances.push([this.worker.instanceCount, this.clock.nowMs()]);
    });
  }

  start(threadCount = 4, instance = 0): void {
    const id = ++this.#lastId;
    this.worker.stage({ sequence: id } as AdmittedRequest, () => undefined);
    this.clock.advanceTo(this.clock.nowMs());
    const run: BatchRun = { batchId: id, instance, sequences: [id], threadCount };
    this.worker.start(run, () => this.ended.push([id, this.clock.nowMs()]));
  }
}

const replicas = (initial: number, isWarm = true): Replicas => ({ initial, isWarm, coldStartMs: () => 3000 });

describe('a simulated worker', () => {
  it('goes faster from a resize on, but not beyond its threads', () => {
    const bench = new Bench();
    bench.start(2);
    bench.clock.advanceTo(50);
    bench.worker.setAllocation(4000);
    bench.clock.advanceTo(1000);
    // Half is done in 50 ms on one core; two threads do the other half in 25 ms.
    expect(bench.ended).toEqual([[1, 75]]);
  });

  it('counts the CPU that it used: what it is told a batch uses, its allocation else', () => {
    const bench = new Bench();
    bench.start(1);
    bench.clock.advanceTo(40);
    // 40 ms on one core
    expect(bench.worker.usedSeconds).toBeCloseTo(0.04, 12);
    bench.clock.advanceTo(500);
    expect(bench.worker.usedSeconds).toBeCloseTo(0.1, 12);

    const half = new Bench(undefined, { usedMillicores: (_, cpuMillicores) => cpuMillicores / 2 });
    half.start(1);
    half.clock.advanceTo(500);
    expect(half.worker.usedSeconds).toBeCloseTo(0.05, 12);
  });

  it('cannot be scaled out without replicas', () => {
    expect(new Bench().worker.scaleTo).toBeUndefined();
  });
});

describe('a simulated worker with replicas', () => {
  it('has a new instance after its cold start, not inside the call', () => {
    const bench = new Bench(replicas(1));
    bench.worker.scaleTo!(3);
    expect(bench.worker.instanceCount).toBe(1);
    bench.clock.advanceTo(5000);
    expect(bench.instances).toEqual([[2, 3000], [3, 3000]]); // prettier-ignore
  });

  it('runs a batch on each instance side by side', () => {
    const bench = new Bench(replicas(2));
    bench.start();
    bench.start();
    expect(() => bench.start()).toThrow('busy');
    bench.clock.advanceTo(100);
    expect(bench.ended).toEqual([[1, 100], [2, 100]]); // prettier-ignore
  });

  it('gives an idle instance up at once, a busy one with the next batch that ends', () => {
    const bench = new Bench(replicas(3));
    bench.start();
    bench.start();
    bench.worker.scaleTo!(1);
    expect(bench.worker.instanceCount).toBe(3);
    bench.clock.advanceTo(1000);
    expect(bench.instances).toEqual([[2, 0], [1, 100]]); // prettier-ignore
  });

  it('gives up those that are still starting first', () => {
    const bench = new Bench(replicas(1));
    bench.worker.scaleTo!(4);
    bench.clock.advanceTo(1000);
    bench.worker.scaleTo!(2);
    bench.clock.advanceTo(5000);
    expect(bench.instances).toEqual([[2, 3000]]);
  });

  it('keeps an instance that was to leave when it is wanted again', () => {
    const bench = new Bench(replicas(2));
    bench.start();
    bench.start();
    bench.worker.scaleTo!(1);
    bench.worker.scaleTo!(2);
    bench.clock.advanceTo(5000);
    expect(bench.worker.instanceCount).toBe(2);
  });

  it('begins with a cold start where none is warm', () => {
    const bench = new Bench(replicas(2, false));
    expect(bench.worker.instanceCount).toBe(0);
    bench.clock.advanceTo(3000);
    expect(bench.worker.instanceCount).toBe(2);
  });
});

describe('a simulated worker whose instances have allocations of their own', () => {
  const own = (ownMillicores: readonly number[], options: Partial<SimulatedWorkerOptions> = {}): Bench =>
    new Bench(undefined, { ownMillicores, ...options });

  it('runs each batch on what its instance has', () => {
    const bench = own([1000, 4000]);
    expect(bench.worker.instanceCount).toBe(2);
    bench.start(4, 0);
    bench.start(4, 1);
    bench.clock.advanceTo(1000);
    expect(bench.ended).toEqual([[2, 25], [1, 100]]); // prettier-ignore
    // 100 ms × 1 core + 25 ms × 4 cores
    expect(bench.worker.usedSeconds).toBeCloseTo(0.2, 12);
  });

  it('is resized instance by instance', () => {
    const bench = own([1000, 1000]);
    bench.start(4, 0);
    bench.start(4, 1);
    bench.clock.advanceTo(50);
    bench.worker.setAllocation(2000, 1);
    bench.clock.advanceTo(1000);
    // The second half on two cores: 25 ms
    expect(bench.ended).toEqual([[2, 75], [1, 100]]); // prettier-ignore
  });

  it('refuses a second batch on an instance that runs one, though another is free', () => {
    const bench = own([1000, 1000]);
    bench.start(1, 1);
    expect(() => bench.start(1, 1)).toThrow('batch 2 was started on instance 1, which is busy');
    bench.start(1, 0);
    bench.clock.advanceTo(1000);
    expect(bench.ended).toEqual([[1, 100], [3, 100]]); // prettier-ignore
  });

  it('loses all instances when it is killed, and takes up what they were resized to meanwhile', () => {
    const bench = own([1000, 1000]);
    bench.start(1, 0);
    bench.start(1, 1);
    bench.clock.advanceTo(50);
    bench.worker.kill('test');
    bench.worker.setAllocation(4000, 1);
    bench.clock.advanceTo(600);
    // Both were told of 1 ms after its death; back after 500.
    expect(bench.ended).toEqual([[1, 51], [2, 51]]); // prettier-ignore
    bench.start(4, 1);
    bench.clock.advanceTo(1000);
    expect(bench.ended.at(-1)).toEqual([3, 625]);
  });
});

describe('interference', () => {
  const bench = (ownMillicores: readonly number[], interference = 0.3): Bench =>
    new Bench(undefined, { ownMillicores, interference });

  it('slows nobody down who runs alone', () => {
    const alone = bench([1000, 4000]);
    alone.start(4, 0);
    alone.clock.advanceTo(1000);
    expect(alone.ended).toEqual([[1, 100]]);
  });

  it('slows a batch down by what is busy beside it, up to three cores', () => {
    /** What the first batch would take beside one that never ends, by how far it comes in 10 ms. */
    const beside = (neighbourMillicores: number): number => {
      const both = bench([1000, neighbourMillicores]);
      both.start(4, 0);
      both.start(4, 1);
      both.clock.advanceTo(10);
      // From now on the neighbour is as good as idle, and what is left takes its share of 100 ms.
      both.worker.setAllocation(1e-6, 1);
      both.clock.advanceTo(1000);
      const left = (both.ended[0]![1] - 10) / 100;
      return 10 / (1 - left);
    };
    // 1 + 0.3 × 1.5/3 = 1.15 times as long; 1 + 0.3 from three cores on
    expect(beside(1500)).toBeCloseTo(115, 3);
    expect(beside(3000)).toBeCloseTo(130, 3);
    expect(beside(4000)).toBeCloseTo(130, 3);
  });

  it('ends when the neighbour does', () => {
    const both = bench([1000, 4000]);
    both.start(4, 0);
    both.start(4, 1);
    both.clock.advanceTo(1000);
    // The neighbour: 25 ms × (1 + 0.3/3) = 27.5. Until then 27.5/130 of the first is done, the rest takes 100 × (1 − 27.5/130).
    expect(both.ended[0]![0]).toBe(2);
    expect(both.ended[0]![1]).toBeCloseTo(27.5, 9);
    expect(both.ended[1]![1]).toBeCloseTo(27.5 + 100 * (1 - 27.5 / 130), 9);
  });

  it('counts of a neighbour what its threads can use', () => {
    const both = bench([1000, 4000]);
    both.start(4, 0);
    both.start(1, 1);
    both.clock.advanceTo(1000);
    // One thread beside it, and it beside that: both 1 + 0.3/3 = 1.1 times as long, until the end
    expect(both.ended.map(([, atMs]) => atMs)).toEqual([expect.closeTo(110, 9), expect.closeTo(110, 9)]);
  });
});
