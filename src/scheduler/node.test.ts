import { describe, expect, it } from 'vitest';
import { dueAt } from '../../test/simulation/fixed-latency.js';
import { benchParts, type BenchModel } from '../../test/simulation/node-bench.js';
import { VirtualClock } from './clock/virtual-clock.js';
import type { Event } from './domain/event.js';
import { outcomeName } from './domain/outcome.js';
import type { InferRequest } from './domain/request.js';
import type { SimulatedWorker } from '../simulator/sim/simulated-worker.js';
import { createSystem, type System } from './system.js';
import { createNode, nodeStartMillicores, type Node } from './node.js';

const SLOW: BenchModel = { name: 'slow', instances: 2, msEach: 100 };
const QUICK: BenchModel = { name: 'quick', instances: 2, msEach: 10, maxBatchSize: 1 };

/** Resizes and staging at once; by default 2 cores for all. */
class Bench {
  readonly clock = new VirtualClock();
  readonly events: { readonly model: number; readonly event: Event }[] = [];
  readonly told: string[] = [];
  readonly node: Node;
  readonly workers: readonly SimulatedWorker[];

  constructor(models: readonly BenchModel[], budgetMillicores = 2000) {
    this.node = createNode({ clock: this.clock, budgetMillicores });
    const parts = benchParts(this.clock, budgetMillicores, models);
    parts.forEach(({ model }, index) =>
      this.node.add({ ...model, onEvent: (event) => this.events.push({ model: index, event }) }),
    );
    this.workers = parts.map(({ workers }) => workers);
    this.clock.advanceTo(1000);
  }

  send(model: number, sequence: number, dueAtMs: number, fields: Partial<InferRequest> = {}): void {
    const request = dueAt(sequence, dueAtMs, { receivedAtMs: this.clock.nowMs(), ...fields });
    this.node.systems[model]!.submit(request, (outcome) =>
      this.told.push(`${this.clock.nowMs()} ${model} ${outcomeName(outcome)}`),
    );
  }

  /** Of batches: when, whose, on how much. */
  starts(): string[] {
    return this.events.flatMap(({ model, event }) =>
      event.kind === 'batch-started' ? [`${event.atMs} ${model} ${event.cpuMillicores}`] : [],
    );
  }
}

describe('a node', () => {
  it('rests at the floors of all instances of all models', () => {
    const { node } = new Bench([SLOW, QUICK]);
    expect(node.systems.map((system) => system.status().grantedMillicores)).toEqual([200, 200]);
    expect(node.grantedMillicores).toBe(400);
  });

  it('lets any model have the cores that nobody else needs', () => {
    for (const model of [0, 1]) {
      const bench = new Bench([SLOW, { ...SLOW, name: 'other' }]);
      // Due in 80 with 10 of margin: 100 / 69 = 1.45 cores. All 1.7 that are left beside three floors: less leaves nobody a core.
      bench.send(model, 1, 1080);
      bench.clock.advanceTo(1100);
      expect(bench.starts()).toEqual([`1000 ${model} 1700`]);
      expect(bench.told).toEqual([`${1001 + 100 / 1.7} ${model} completed_on_time`]);
    }
  });

  it('has the cores and the floor of a model that is gone for those that stay, and for one that comes', () => {
    const bench = new Bench([SLOW, QUICK]);
    bench.node.systems[1]!.stop();
    expect(bench.node.systems).toHaveLength(1);
    expect(bench.node.grantedMillicores).toBe(200);
    const [part] = benchParts(bench.clock, 2000, [{ ...QUICK, name: 'next' }]);
    const next = bench.node.add({ ...part!.model, startMillicores: [100, 100], onEvent: () => undefined });
    expect(bench.node.systems[1]).toBe(next);
    bench.clock.advanceTo(2000);
    expect(bench.node.grantedMillicores).toBe(400);
    next.stop();
    next.stop();
    expect(bench.node.systems).toHaveLength(1);
  });

  it('starts what waited for cores as soon as a batch of another model has given them up', () => {
    const bench = new Bench([SLOW, QUICK]);
    bench.send(0, 1, 1078); // 100 / 67 = 1.49 cores: all 1.7, as less leaves nobody a core
    bench.send(1, 1, 1500);
    bench.clock.advanceTo(1059);
    expect(bench.starts()).toEqual(['1000 0 1700']);
    bench.clock.advanceTo(1100);
    expect(bench.starts()).toEqual(['1000 0 1700', `${1001 + 100 / 1.7} 1 1000`]);
  });

  it('has cores for what one model has set aside, however much the others have to do', () => {
    const models = ['a', 'b', 'c'].map((name) => ({ ...SLOW, name, instances: 1, maxBatchSize: 1 }));
    const bench = new Bench([...models, QUICK]);
    for (let sequence = 1; sequence < 700; sequence++) {
      bench.clock.advanceBy(20);
      for (const model of models.keys()) bench.send(model, sequence, bench.clock.nowMs() + 400);
      if (sequence === 50) bench.send(3, 1, bench.clock.nowMs() + 1, { isBestEffort: true });
    }
    const served = bench.told.filter((text) => text.includes(' 3 '));
    expect(served).toHaveLength(1);
    // Due at 2001; ten seconds later, below its floor, it is next, when some of the batches that run, of 200 ms at most, are over.
    expect(Number(served[0]!.split(' ')[0])).toBeLessThan(13_000);
  });

  it('asks the tightest head first', () => {
    const bench = new Bench([
      { ...SLOW, floorFraction: 0 },
      { ...QUICK, floorFraction: 0 },
      { ...QUICK, name: 'quicker', floorFraction: 0 },
    ]);
    bench.send(0, 1, 1088);
    bench.send(1, 1, 1400);
    bench.send(2, 1, 1300);
    bench.clock.advanceTo(1200);
    expect(bench.starts().map((text) => text.split(' ')[1])).toEqual(['0', '2', '1']);
  });

  it('asks who is below its floor before all others', () => {
    const models = [SLOW, QUICK, { ...QUICK, name: 'quicker' }].map((model) => ({ ...model, floorFraction: 0 }));
    const bench = new Bench([models[0]!, { ...models[1]!, floorFraction: 0.3 }, models[2]!]);
    bench.send(0, 1, 1088);
    bench.send(1, 1, 1400);
    bench.send(2, 1, 1300);
    bench.clock.advanceTo(1200);
    expect(bench.starts().map((text) => text.split(' ')[1])).toEqual(['0', '1', '2']);
  });

  it('starts a process anew on one core, though several instances of it are away', () => {
    const bench = new Bench([{ ...SLOW, instances: 3 }, QUICK]);
    bench.workers[0]!.kill('killed');
    bench.clock.advanceBy(50);
    expect(bench.node.systems[0]!.status().allocations).toEqual([1000, 100, 100]);
    bench.clock.advanceBy(200);
    expect(bench.node.systems[0]!.status().allocations).toEqual([100, 100, 100]);
  });

  it('lends an instance of a model that rests, until another one lacks its cores', () => {
    const bench = new Bench([SLOW, QUICK, { ...QUICK, name: 'quicker', instances: 1 }]);
    const [, quick, quicker] = bench.node.systems;
    const wanted: number[] = [];
    const lease = quick!.lease('idle', () => wanted.push(bench.clock.nowMs()))!;
    lease.resize(5000, () => undefined);
    // All but the floors of the four others.
    expect(quick!.status().allocations).toEqual([100, 100]);
    bench.clock.advanceTo(1010);
    expect(quick!.status().allocations).toEqual([1600, 100]);
    bench.send(0, 1, 1500);
    bench.clock.advanceTo(1020);
    expect(wanted).toEqual([1010]);
    expect(bench.starts()).toEqual([]);
    // Nobody else is lent cores meanwhile.
    expect(quicker!.lease('free', () => undefined)).toBeNull();
    lease.release();
    bench.clock.advanceTo(1200);
    expect(bench.starts()).toEqual(['1020 0 1000']);
  });

  it('is not changed by what a model holds that has left', () => {
    const bench = new Bench([SLOW, QUICK]);
    bench.node.systems[1]!.stop();
    bench.send(0, 1, 1075);
    bench.clock.advanceTo(1100);
    // 1.9: its own other instance has a floor, those of the model that left have none.
    expect(bench.starts()).toEqual(['1000 0 1900']);
  });

  it('refuses a model beside whose resting instances no batch fits', () => {
    const many = { ...QUICK, instances: 16 }; // 1500 of their own beside one that runs, and 100 of slow's: 400 are left
    expect(() => new Bench([{ ...SLOW, instances: 1 }, many])).toThrow(
      'quick: instances that rest hold all but 400 of 2000 millicores, and a batch needs 500',
    );
  });

  it('drains all models, and fails what is left when it stops', () => {
    const bench = new Bench([SLOW, QUICK]);
    const drained: number[] = [];
    bench.send(0, 1, 1500);
    bench.node.drain(() => drained.push(bench.clock.nowMs()));
    expect(drained).toEqual([]);
    bench.clock.advanceTo(1700);
    expect(drained).toHaveLength(1);
    bench.node.stop();
    expect(bench.clock.runUntilIdle(100)).toBeLessThan(10); // no tick goes on
  });

  it('of one model is that system alone, event by event', () => {
    const run = (make: (clock: VirtualClock, onEvent: (event: Event) => void) => System): string => {
      const clock = new VirtualClock();
      const events: Event[] = [];
      const system = make(clock, (event) => events.push(event));
      for (let index = 0; index < 200; index++) {
        clock.advanceTo(1000 + 13 * index);
        const now = clock.nowMs();
        system.submit(dueAt(index + 1, now + 60 + ((index * 37) % 300), { receivedAtMs: now }), () => undefined);
      }
      clock.advanceTo(10_000);
      return JSON.stringify(events);
    };
    const model = { ...SLOW, instances: 3 };
    const alone = run((clock, onEvent) => {
      const { workers, scalers, policy, models, config } = benchParts(clock, 3000, [model])[0]!.model;
      return createSystem({ clock, workers, scalers, policy, models, config, onEvent });
    });
    const node = run((clock, onEvent) => {
      const [part] = benchParts(clock, 3000, [model]);
      return createNode({ clock, budgetMillicores: 3000 }).add({ ...part!.model, onEvent });
    });
    expect(alone).toContain('"batch-started"');
    expect(node).toBe(alone);
  });
});

describe('the start of a node', () => {
  const limits = { minMillicores: 1000, maxMillicores: 8000, stepMillicores: 100 };

  it('has one instance with what all others leave', () => {
    const models = [
      { count: 2, restingMillicores: 50, limits },
      { count: 1, restingMillicores: 100, limits },
    ];
    expect(nodeStartMillicores(models, 4000)).toEqual([[4000 - 50 - 100, 50], [100]]);
  });
});
