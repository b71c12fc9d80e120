import { describe, expect, it } from 'vitest';
import { dueAt } from '../../test/simulation/fixed-latency.js';
import { benchParts, type BenchModel } from '../../test/simulation/node-bench.js';
import { VirtualClock } from '../clock/virtual-clock.js';
import type { Event } from '../domain/event.js';
import { outcomeName } from '../domain/outcome.js';
import { createSystem, type System } from '../system.js';
import { createNode, floorsMillicores, nodeStartMillicores, type Node } from './node.js';

const SLOW: BenchModel = { name: 'slow', instances: 2, msEach: 100 };
const QUICK: BenchModel = { name: 'quick', instances: 2, msEach: 10, maxBatchSize: 1 };

/** Resizes and staging at once; by default 2 cores for all. */
class Bench {
  readonly clock = new VirtualClock();
  readonly events: { readonly model: number; readonly event: Event }[] = [];
  readonly told: string[] = [];
  readonly node: Node;

  constructor(models: readonly BenchModel[], budgetMillicores = 2000) {
    const parts = benchParts(this.clock, budgetMillicores, models);
    this.node = createNode({
      clock: this.clock,
      budgetMillicores,
      models: parts.map(({ model }) => model),
      onEvent: (model, event) => this.events.push({ model, event }),
    });
    this.clock.advanceTo(1000);
  }

  send(model: number, sequence: number, dueAtMs: number): void {
    this.node.systems[model]!.submit(dueAt(sequence, dueAtMs, { receivedAtMs: this.clock.nowMs() }), (outcome) =>
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

  it('starts what waited for cores as soon as a batch of another model has given them up', () => {
    const bench = new Bench([SLOW, QUICK]);
    bench.send(0, 1, 1078); // 100 / 67 = 1.49 cores: all 1.7, as less leaves nobody a core
    bench.send(1, 1, 1500);
    bench.clock.advanceTo(1059);
    expect(bench.starts()).toEqual(['1000 0 1700']);
    bench.clock.advanceTo(1100);
    expect(bench.starts()).toEqual(['1000 0 1700', `${1001 + 100 / 1.7} 1 1000`]);
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
      const models = benchParts(clock, 3000, [model]).map((part) => part.model);
      return createNode({ clock, budgetMillicores: 3000, models, onEvent: (_, event) => onEvent(event) }).systems[0]!;
    });
    expect(alone).toContain('"batch-started"');
    expect(node).toBe(alone);
  });
});

describe('floors of models', () => {
  it('are equal shares of half of the cores unless they are given', () => {
    expect(floorsMillicores([{}, {}, {}, {}], 8000)).toEqual([1000, 1000, 1000, 1000]);
    expect(floorsMillicores([{ floorFraction: 0.25 }, {}], 8000)).toEqual([2000, 2000]);
  });

  it('are refused where they do not fit together', () => {
    expect(() => floorsMillicores([{ floorFraction: 0.7 }, { floorFraction: 0.4 }], 8000)).toThrow('0.7, 0.4');
    expect(() => floorsMillicores([{ floorFraction: -0.1 }], 8000)).toThrow('do not fit together');
  });
});

describe('the start of a node', () => {
  const limits = { minMillicores: 1000, maxMillicores: 8000, stepMillicores: 100 };

  it('has one instance with what all others leave', () => {
    const models = [
      { name: 'a', count: 2, restingMillicores: 50, limits },
      { name: 'b', count: 1, restingMillicores: 100, limits },
    ];
    expect(nodeStartMillicores(models, 4000)).toEqual([[4000 - 50 - 100, 50], [100]]);
  });

  it('is refused where those that rest leave too little for a batch', () => {
    const models = [{ name: 'a', count: 16, restingMillicores: 100, limits }];
    expect(() => nodeStartMillicores(models, 2000)).toThrow('hold all but 500 of 2000');
  });
});
