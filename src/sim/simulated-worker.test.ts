import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../clock/virtual-clock.js';
import type { BatchRun } from '../dataplane/worker-pool.js';
import type { AdmittedRequest } from '../domain/request.js';
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

  start(threadCount = 4): void {
    const id = ++this.#lastId;
    this.worker.stage({ sequence: id } as AdmittedRequest, () => undefined);
    this.clock.advanceTo(this.clock.nowMs());
    const run: BatchRun = { batchId: id, instance: 0, sequences: [id], threadCount };
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
