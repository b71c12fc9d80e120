import { describe, expect, it } from 'vitest';
import { dueAt, modelsOf, TEN_MS_EACH, tenMsEach } from '../../../test/simulation/fixed-latency.js';
import { VirtualClock } from '../clock/virtual-clock.js';
import type { InferRequest } from '../domain/request.js';
import { SimulatedWorker } from '../../simulator/sim/simulated-worker.js';
import { dispatchPolicy } from './baselines/dispatch.js';
import { greedy } from './baselines/greedy.js';
import { Pipeline } from './pipeline.js';
import type { WorkerPoolEvent } from './worker-pool.js';

/** Whose restarts all fail. */
class NeverBack extends SimulatedWorker {
  override listen(onEvent: (event: WorkerPoolEvent) => void): void {
    super.listen((event) => {
      if (event.kind !== 'ready') onEvent(event);
    });
  }
}

/**
 * First come first served, batches of up to four, n requests take 10·n ms on one core; a worker that dies is back after 100 ms. Deadlines end
 * nothing.
 */
class Bench {
  readonly clock = new VirtualClock();
  readonly told: string[] = [];
  readonly batches: string[] = [];
  readonly poison: number[] = [];
  readonly #poisonous = new Set<number>();
  readonly workers: SimulatedWorker;
  readonly pipeline: Pipeline;

  /** @param instances of one process */
  constructor(poisonous: readonly number[], instances = 1, Workers = SimulatedWorker) {
    for (const sequence of poisonous) this.#poisonous.add(sequence);
    const allocations = new Array<number>(instances).fill(1000);
    this.workers = new Workers({
      clock: this.clock,
      threadCounts: [1],
      maxBatchSize: 4,
      cpuMillicores: 1000,
      latencyMs: tenMsEach,
      noise: () => 1,
      stagingMs: 0,
      restartMs: 100,
      ownMillicores: allocations,
      isPoison: (sequence) => this.#poisonous.has(sequence),
    });
    this.pipeline = new Pipeline({
      clock: this.clock,
      workers: this.workers,
      models: modelsOf(TEN_MS_EACH),
      policy: dispatchPolicy({ order: 'fifo', batching: greedy, admission: 'none', isDeadlineAware: false }),
      config: {
        queueLimits: { maxRequests: 100, maxBytes: 1_000_000 },
        maxMillicores: 1000,
        allocations,
        areInstancesApart: instances > 1,
        restingMillicores: 0,
        maxBatchBytes: 1_000_000,
        isAllocationFixed: false,
      },
      initialPlan: {
        kind: 'feasible',
        instances,
        cpuMillicores: 1000,
        batchSize: 4,
        boundBy: { kind: 'start' },
        ...(instances > 1 ? { allocations } : {}),
      },
      onPoison: ({ sequence }) => this.poison.push(sequence),
      emit: (event) => {
        if (event.kind === 'batch-started') this.batches.push(`${event.sequences.join('+')} at ${event.atMs}`);
      },
    });
  }

  send(sequences: readonly number[], fields: Partial<InferRequest> = {}): void {
    for (const sequence of sequences) {
      this.pipeline.submit(dueAt(sequence, 1000, fields), (outcome) => {
        const what = outcome.kind === 'completed' ? 'completed' : outcome.reason;
        this.told.push(`${sequence} ${what} at ${this.clock.nowMs()}`);
      });
    }
  }

  run(): this {
    this.clock.runUntilIdle(1_000_000);
    return this;
  }
}

describe('a request that ends its worker', () => {
  it('is not tried again where it ran alone', () => {
    const bench = new Bench([1]);
    bench.send([1]);
    // Runs until 10, and the news takes 1 ms.
    expect(bench.run().told).toEqual(['1 poison at 11']);
    expect(bench.batches).toEqual(['1 at 0']);
    expect(bench.poison).toEqual([1]);
  });

  it('is found among its batch-mates, which are served, each alone', () => {
    const bench = new Bench([3]);
    bench.send([1, 2, 3, 4]);
    bench.run();
    // 1 goes alone as it comes; the others share a batch of 30 ms from 10 on, and are tried again from 40 + 100 on.
    expect(bench.batches).toEqual(['1 at 0', '2+3+4 at 10', '2 at 140', '3 at 150', '4 at 260']);
    expect(bench.told).toEqual(['1 completed at 10', '2 completed at 150', '3 poison at 161', '4 completed at 270']);
    expect(bench.poison).toEqual([3]);
  });

  it('is reported although its client has left', () => {
    const bench = new Bench([1]);
    bench.send([1]);
    bench.clock.scheduleExact(5, () => bench.pipeline.cancel(1));
    expect(bench.run().told).toEqual(['1 cancelled at 5']);
    expect(bench.poison).toEqual([1]);
  });

  it('is told apart from what ran beside it in the same process: no two suspects run at a time', () => {
    const bench = new Bench([1], 2);
    bench.send([1]);
    bench.clock.scheduleExact(1, () => bench.send([2]));
    bench.run();
    // 2 was to run until 11, and died with 1 at 10. Which is to blame is known when each has run with nothing beside it.
    expect(bench.batches).toEqual(['1 at 0', '2 at 1', '1 at 110', '2 at 220']);
    expect(bench.told).toEqual(['1 poison at 121', '2 completed at 230']);
  });

  it('is refused at once where its content is known', () => {
    const bench = new Bench([1]);
    bench.send([1], { isPoison: true });
    expect(bench.told).toEqual(['1 poison at 0']);
    expect(bench.run().batches).toEqual([]);
  });
});

describe('a worker that is killed from outside', () => {
  it('has the request that ran alone tried once more, and not a third time', () => {
    const bench = new Bench([]);
    bench.send([1]);
    bench.clock.scheduleExact(5, () => bench.workers.kill('killed by SIGKILL'));
    bench.clock.scheduleExact(110, () => bench.workers.kill('killed by SIGKILL'));
    // Back at 105, when it is tried again; killed at 110 and told at 111.
    expect(bench.run().told).toEqual(['1 backend at 111']);
    expect(bench.poison).toEqual([]);
  });
});

describe('a client whose requests end workers', () => {
  it('shares no batch after the second crash, and is refused after the third while others are served', () => {
    const bench = new Bench([1, 2, 13]);
    const [good, bad] = [{ client: 'name good' }, { client: 'name bad' }];
    for (const sequence of [1, 2]) {
      bench.send([sequence], bad);
      bench.clock.advanceTo(bench.clock.nowMs() + 200);
    }
    bench.send([11, 12], good);
    bench.send([13], bad);
    bench.clock.advanceTo(800);
    bench.send([14], bad);
    bench.send([15], good);
    bench.run();
    // 12 does not wait for the restart: 13 was not in its batch.
    expect(bench.batches.slice(2)).toEqual(['11 at 400', '12 at 410', '13 at 420', '15 at 800']);
    expect(bench.told.slice(2)).toEqual(['11 completed at 410', '12 completed at 420', '13 poison at 431', '14 poison at 800', '15 completed at 810']); // prettier-ignore
  });
});

describe('a worker that does not come back', () => {
  it('lets nobody wait for ever: who waits is told after 30 s, and newcomers at once', () => {
    const bench = new Bench([], 1, NeverBack);
    bench.clock.scheduleExact(1000, () => bench.workers.kill('killed by SIGKILL'));
    bench.clock.scheduleExact(2000, () => bench.send([1]));
    bench.clock.scheduleExact(31_000, () => bench.send([2]));
    bench.clock.scheduleExact(31_002, () => bench.send([3]));
    bench.clock.advanceTo(40_000);
    // Known at 1001.
    expect(bench.told).toEqual(['1 model_unavailable at 31001', '2 model_unavailable at 31001', '3 model_unavailable at 31002']); // prettier-ignore
  });
});
