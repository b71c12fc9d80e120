import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { BatchResult, BatchRun, WorkerPoolEvent } from '../../scheduler/dataplane/worker-pool.js';
import type { AdmittedRequest } from '../../scheduler/domain/request.js';
import { ReplicatedPool, type Replica } from './replicated-pool.js';

/** A process that does what the test tells it to. */
class FakeReplica implements Replica {
  readonly log: string[] = [];
  readonly staging = new Map<number, () => void>();
  isClosed = false;
  #onEvent: (event: WorkerPoolEvent) => void = () => undefined;
  #onDone: ((result: BatchResult) => void) | null = null;
  readonly pool: Replica['pool'];

  constructor(slot: number) {
    this.pool = {
      pid: 1000 + slot,
      listen: (onEvent) => (this.#onEvent = onEvent),
      stage: ({ sequence }, onStaged) => {
        this.log.push(`stage ${sequence}`);
        this.staging.set(sequence, onStaged);
      },
      unstage: (sequence) => this.log.push(`unstage ${sequence}`),
      start: ({ batchId, instance, sequences }: BatchRun, onDone) => {
        if (instance !== 0) throw new Error(`this process has one instance, and no ${instance}`);
        this.log.push(`run ${batchId}: ${sequences.join(' ')}`);
        this.#onDone = onDone;
      },
    };
  }

  confirm(...sequences: readonly number[]): void {
    for (const sequence of sequences) this.staging.get(sequence)!();
  }

  finish(result: BatchResult = { kind: 'completed', outputs: [], computeMs: 1 }): void {
    const onDone = this.#onDone!;
    this.#onDone = null;
    onDone(result);
  }

  /** As a process pool tells it: the batch first. */
  die(): void {
    const onDone = this.#onDone;
    this.#onDone = null;
    onDone?.({ kind: 'worker-lost', message: 'killed' });
    this.#onEvent({ kind: 'lost', message: 'killed', restartEstimateMs: 300 });
  }

  comeBack(): void {
    this.#onEvent({ kind: 'ready' });
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}

/** A start that is under way. */
interface Start {
  readonly signal: AbortSignal;
  readonly fulfil: (replica: Replica) => void;
  readonly reject: (error: Error) => void;
}

class Bench {
  readonly clock = new VirtualClock();
  readonly first = new FakeReplica(1);
  /** By slot, newest start of each. */
  readonly starts = new Map<number, Start>();
  /** What the dispatcher is told, in order. */
  readonly told: string[] = [];
  readonly logged: string[] = [];
  readonly pool: ReplicatedPool;

  constructor(maxInstances = 4) {
    this.pool = new ReplicatedPool({
      clock: this.clock,
      first: this.first,
      threadCounts: [1],
      maxBatchSize: () => 4,
      isAddressed: false,
      maxInstances,
      startReplica: (slot, signal) =>
        new Promise((fulfil, reject) => {
          this.starts.set(slot, { signal, fulfil, reject });
          signal.addEventListener('abort', () => reject(new Error('given up')));
        }),
      onLog: (line) => this.logged.push(line),
    });
    this.pool.listen((event) => {
      const detail =
        event.kind === 'lost'
          ? ` for ${event.restartEstimateMs} ms`
          : event.kind === 'ready'
            ? ''
            : ` ${this.pool.instanceCount}`;
      this.told.push(`${event.kind}${detail}`);
    });
  }

  async scaleTo(instances: number): Promise<void> {
    this.pool.scaleTo!(instances);
    await turn();
  }

  async started(slot: number): Promise<FakeReplica> {
    const replica = new FakeReplica(slot);
    this.starts.get(slot)!.fulfil(replica);
    await turn();
    return replica;
  }

  /** Two, three, … instances that are ready. */
  async grown(instances: number): Promise<FakeReplica[]> {
    await this.scaleTo(instances);
    const others: FakeReplica[] = [];
    for (let slot = 2; slot <= instances; slot++) others.push(await this.started(slot));
    this.told.length = 0;
    return [this.first, ...others];
  }

  async stage(...sequences: readonly number[]): Promise<void> {
    for (const sequence of sequences) {
      this.pool.stage({ sequence } as AdmittedRequest, () => this.told.push(`staged ${sequence}`));
    }
    await turn();
  }

  start(batchId: number, ...sequences: readonly number[]): void {
    this.pool.start({ batchId, instance: 3, sequences, threadCount: 1 }, (result) => {
      const others = result.kind === 'worker-lost' ? `, others ready: ${String(result.areOthersReady)}` : '';
      this.told.push(`batch ${batchId} ${result.kind}${others}, ${this.pool.instanceCount}`);
    });
  }

  /** A batch of one that runs on the first free instance. */
  async running(batchId: number, on: FakeReplica): Promise<void> {
    await this.stage(batchId);
    this.start(batchId, batchId);
    on.confirm(batchId);
    this.told.length = 0;
  }
}

describe('a pool of replicas runs batches', () => {
  it('keeps inputs in the router until an instance runs them, and runs once all of the batch are there', async () => {
    const bench = new Bench();
    await bench.stage(7, 8);
    expect(bench.told).toEqual(['staged 7', 'staged 8']);
    expect(bench.first.log).toEqual([]);

    bench.start(1, 7, 8);
    bench.first.confirm(8);
    expect(bench.first.log).toEqual(['stage 7', 'stage 8']);
    bench.first.confirm(7);
    expect(bench.first.log.at(-1)).toBe('run 1: 7 8');
    bench.first.finish();
    expect(bench.told.at(-1)).toBe('batch 1 completed, 1');
    expect(() => bench.start(2, 7)).toThrow('request 7 is not staged');
  });

  it('tells nothing of a request that left before it was told to be staged', async () => {
    const bench = new Bench();
    bench.pool.stage({ sequence: 7 } as AdmittedRequest, () => bench.told.push('staged 7'));
    bench.pool.unstage(7);
    await turn();
    expect(bench.told).toEqual([]);
  });

  it('drops a member that leaves while its batch is on its way only when it runs, and one that runs at once', async () => {
    const bench = new Bench();
    await bench.stage(7, 8);
    bench.start(1, 7, 8);
    bench.pool.unstage(8);
    bench.first.confirm(7, 8);
    bench.pool.unstage(7);
    expect(bench.first.log).toEqual(['stage 7', 'stage 8', 'run 1: 7 8', 'unstage 8', 'unstage 7']);
  });

  it('runs one batch on each instance side by side, and no more', async () => {
    const bench = new Bench();
    const [first, second] = await bench.grown(2);
    await bench.stage(1, 2, 3);
    bench.start(1, 1);
    bench.start(2, 2);
    expect(() => bench.start(3, 3)).toThrow('no instance is free');
    first!.confirm(1);
    second!.confirm(2);
    second!.finish();
    bench.start(3, 3);
    expect(second!.log.at(-1)).toBe('stage 3');
  });
});

describe('a pool of replicas scales', () => {
  it('starts what is asked for side by side, not inside the call, and tells of each as it is ready', async () => {
    const bench = new Bench();
    bench.pool.scaleTo!(3);
    expect(bench.starts.size).toBe(0);
    await turn();
    expect([...bench.starts.keys()]).toEqual([2, 3]);
    expect(bench.pool.instanceCount).toBe(1);
    await bench.started(3);
    await bench.started(2);
    expect(bench.told).toEqual(['instances-changed 2', 'instances-changed 3']);
    expect(bench.pool.pids).toEqual([1001, 1002, 1003, 0]);
  });

  it('has no more processes than its bound, whatever is asked for', async () => {
    const bench = new Bench(3);
    await bench.scaleTo(50);
    expect([...bench.starts.keys()]).toEqual([2, 3]);
  });

  it('gives up those that are still starting first, then the newest that is idle; the first stays', async () => {
    const bench = new Bench();
    const [first, second, third] = await bench.grown(3);
    await bench.scaleTo(4);
    await bench.scaleTo(2);
    expect(bench.starts.get(4)!.signal.aborted).toBe(true);
    expect([first!.isClosed, second!.isClosed, third!.isClosed]).toEqual([false, false, true]);
    expect(bench.told).toEqual(['instances-changed 2']);
    await bench.scaleTo(1);
    expect([first!.isClosed, second!.isClosed]).toEqual([false, true]);
  });

  it('lets a busy instance end its batch, and offers it to nobody after that', async () => {
    const bench = new Bench();
    const [first, second] = await bench.grown(2);
    await bench.running(1, first!);
    await bench.running(2, second!);
    await bench.scaleTo(1);
    expect(bench.pool.instanceCount).toBe(2);
    second!.finish();
    expect(bench.told).toEqual(['batch 2 completed, 1', 'instances-changed 1']);
    expect(second!.isClosed).toBe(true);
    first!.finish();
    expect(bench.told.at(-1)).toBe('batch 1 completed, 1');
  });

  it('keeps an instance that was to leave when it is wanted again', async () => {
    const bench = new Bench();
    const [first, second] = await bench.grown(2);
    await bench.running(1, first!);
    await bench.running(2, second!);
    await bench.scaleTo(1);
    await bench.scaleTo(2);
    second!.finish();
    expect([bench.pool.instanceCount, second!.isClosed]).toEqual([2, false]);
  });

  it('closes an instance that became ready just as it was given up', async () => {
    const bench = new Bench();
    await bench.scaleTo(2);
    const late = new FakeReplica(2);
    bench.starts.get(2)!.fulfil(late);
    bench.pool.scaleTo!(1);
    await turn();
    expect([bench.pool.instanceCount, late.isClosed]).toEqual([1, true]);
  });

  it('starts one again in a slot only when the last one there has gone', async () => {
    const bench = new Bench(2);
    const [, second] = await bench.grown(2);
    let hasGone: () => void = () => undefined;
    second!.close = () => new Promise((resolve) => (hasGone = resolve));
    bench.starts.clear();
    await bench.scaleTo(1);
    await bench.scaleTo(2);
    expect(bench.starts.size).toBe(0);
    hasGone();
    await turn();
    expect([...bench.starts.keys()]).toEqual([2]);
  });

  it('tries one that cannot be started again, later and later, and says so', async () => {
    const bench = new Bench();
    await bench.scaleTo(2);
    const fail = async (): Promise<void> => {
      bench.starts.get(2)!.reject(new Error('no memory'));
      bench.starts.clear();
      await turn();
    };
    await fail();
    bench.clock.advanceTo(99);
    expect(bench.starts.size).toBe(0);
    bench.clock.advanceTo(100);
    expect(bench.starts.size).toBe(1);
    await fail();
    bench.clock.advanceTo(299);
    expect(bench.starts.size).toBe(0);
    bench.clock.advanceTo(300);
    expect(bench.starts.size).toBe(1);
    expect(bench.logged).toEqual([
      'another instance could not be started: no memory; trying again in 100 ms',
      'another instance could not be started: no memory; trying again in 200 ms',
    ]);
    await bench.started(2);
    expect(bench.told).toEqual(['instances-changed 2']);
  });
});

describe('a replica that dies', () => {
  it('takes its own batch with it and nothing else, and is there again when its process is', async () => {
    const bench = new Bench();
    const [first, second] = await bench.grown(2);
    await bench.running(1, first!);
    await bench.running(2, second!);
    await bench.stage(3);
    bench.told.length = 0;
    second!.die();
    expect(bench.told).toEqual(['batch 2 worker-lost, others ready: true, 1', 'instances-changed 1']);
    first!.finish();
    bench.start(3, 3);
    expect(first!.log.at(-1)).toBe('stage 3');
    second!.comeBack();
    expect(bench.told.at(-1)).toBe('instances-changed 2');
  });

  it('takes with it a batch whose inputs are still on their way', async () => {
    const bench = new Bench();
    const [first] = await bench.grown(2);
    await bench.stage(1);
    bench.start(1, 1);
    first!.die();
    expect(bench.told.at(-2)).toBe('batch 1 worker-lost, others ready: true, 1');
  });

  it('is a loss of everything only if it was the last: then what is staged is gone until one is back', async () => {
    const bench = new Bench();
    const [first, second] = await bench.grown(2);
    second!.die();
    await bench.running(1, first!);
    await bench.stage(2);
    bench.told.length = 0;
    first!.die();
    expect(bench.told).toEqual([
      'batch 1 worker-lost, others ready: false, 0',
      'instances-changed 0',
      'lost for 300 ms',
    ]);
    bench.told.length = 0;
    second!.comeBack();
    first!.comeBack();
    expect(bench.told).toEqual(['instances-changed 1', 'ready', 'instances-changed 2']);
    expect(() => bench.start(2, 2)).toThrow('request 2 is not staged');
  });

  it('is not waited for where there is one too many', async () => {
    const bench = new Bench();
    const [first, second] = await bench.grown(2);
    await bench.running(1, first!);
    await bench.running(2, second!);
    await bench.scaleTo(1);
    second!.die();
    expect(bench.told).toEqual(['batch 2 worker-lost, others ready: true, 1', 'instances-changed 1']);
    expect(second!.isClosed).toBe(true);
  });

  it('is stood in for by one that was to leave, until it is back', async () => {
    const bench = new Bench();
    const [first, second] = await bench.grown(2);
    await bench.running(1, first!);
    await bench.running(2, second!);
    await bench.scaleTo(1);
    first!.die();
    second!.finish();
    expect([bench.pool.instanceCount, second!.isClosed]).toEqual([1, false]);
    first!.comeBack();
    expect([bench.pool.instanceCount, second!.isClosed]).toEqual([1, true]);
  });
});

describe('closing a pool of replicas', () => {
  it('ends what runs, what starts and what waits to be started, and tells of nothing after that', async () => {
    const bench = new Bench();
    const [first, second] = await bench.grown(2);
    await bench.running(1, first!);
    await bench.scaleTo(4);
    bench.starts.get(3)!.reject(new Error('no memory'));
    await turn();
    await bench.pool.close();
    first!.die();
    expect(bench.told).toEqual(['batch 1 worker-lost, others ready: undefined, 1']);
    expect([first!.isClosed, second!.isClosed, bench.starts.get(4)!.signal.aborted]).toEqual([true, true, true]);
    expect(bench.clock.pendingCount).toBe(0);
    expect(bench.pool.pids).toEqual([0, 0, 0, 0]);
  });
});
