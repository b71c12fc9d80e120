import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../src/scheduler/clock/virtual-clock.js';
import type { Event } from '../../src/scheduler/domain/event.js';
import { createNode } from '../../src/scheduler/node.js';
import { Prng } from '../../src/scheduler/random/prng.js';
import { dueAt } from './fixed-latency.js';
import { benchParts, type BenchModel } from './node-bench.js';

const BUDGET_MILLICORES = 4000;

interface Load {
  readonly model: BenchModel;
  readonly ratePerSec: number;
  readonly sloMs: number;
}

interface NodeRun {
  /** By model. */
  readonly sent: readonly number[];
  readonly onTime: readonly number[];
  readonly mostMillicores: number;
  /** Core-seconds that a model's batches had. */
  readonly ranCoreSeconds: readonly number[];
  readonly log: string;
}

/** Poisson arrivals; with faults late and refused resizes, slow batches and crashes. */
function nodeRun(loads: readonly Load[], seed: number, hasFaults: boolean, durationMs = 10_000): NodeRun {
  const prng = new Prng(seed);
  const clock = new VirtualClock({ timerLatenessMs: hasFaults ? 1 : 0 });
  const parts = benchParts(
    clock,
    BUDGET_MILLICORES,
    loads.map(({ model }) => model),
    {
      delayMs: () => (hasFaults && prng.uniform() < 0.05 ? 30 : 0.2),
      isRefused: () => hasFaults && prng.uniform() < 0.05,
      noise: () => (hasFaults && prng.uniform() < 0.02 ? 3 : 0.9 + 0.2 * prng.uniform()),
    },
  );
  const inForce = parts.map(({ startMillicores }) => [...startMillicores]);
  const running = loads.map(() => new Map<number, { readonly atMs: number; readonly cpuMillicores: number }>());
  const ranCoreSeconds = loads.map(() => 0);
  const lines: string[] = [];
  let mostMillicores = 0;
  const node = createNode({ clock, budgetMillicores: BUDGET_MILLICORES });
  parts.forEach((part, model) => {
    const onEvent = (event: Event): void => {
      lines.push(`${event.atMs} ${model} ${event.kind}`);
      if (event.kind === 'resized') {
        inForce[model]![event.instance!] = event.cpuMillicores;
        mostMillicores = Math.max(
          mostMillicores,
          inForce.flat().reduce((sum, each) => sum + each, 0),
        );
      } else if (event.kind === 'batch-started') {
        running[model]!.set(event.batchId, { atMs: event.atMs, cpuMillicores: event.cpuMillicores });
      } else if (event.kind === 'batch-ended') {
        const { atMs, cpuMillicores } = running[model]!.get(event.batchId)!;
        ranCoreSeconds[model]! += (cpuMillicores * (event.atMs - atMs)) / 1e6;
      }
    };
    node.add({ ...part.model, onEvent });
  });
  const sent = loads.map(() => 0);
  const onTime = loads.map(() => 0);
  loads.forEach(({ ratePerSec, sloMs }, index) => {
    const arrivals = new Prng(seed * 100 + index);
    const next = (atMs: number): void => {
      if (atMs > durationMs) return;
      clock.schedule(atMs, () => {
        sent[index]! += 1;
        const nowMs = clock.nowMs();
        node.systems[index]!.submit(dueAt(sent[index]!, nowMs + sloMs, { receivedAtMs: nowMs }), (outcome) => {
          if (outcome.kind === 'completed' && !outcome.isLate) onTime[index]! += 1;
        });
        next(nowMs - (1000 / ratePerSec) * Math.log(1 - arrivals.uniform()));
      });
    };
    next(1);
  });
  if (hasFaults) {
    for (const { workers } of parts) clock.schedule(durationMs * prng.uniform(), () => workers.kill('test'));
  }
  clock.advanceTo(durationMs + 20_000);
  node.stop();
  return { sent, onTime, mostMillicores, ranCoreSeconds, log: lines.join('\n') };
}

/** Of a random node: what it costs is about the cores that it has, more or less. */
function randomLoads(seed: number): Load[] {
  const prng = new Prng(seed);
  const count = 2 + Math.floor(3 * prng.uniform());
  const load = 0.4 + 1.2 * prng.uniform();
  return Array.from({ length: count }, (_, index): Load => {
    const msEach = 5 + 95 * prng.uniform();
    return {
      model: { name: `model-${index}`, instances: 1 + Math.floor(3 * prng.uniform()), msEach },
      ratePerSec: (load * BUDGET_MILLICORES) / count / msEach,
      sloMs: msEach * (2 + 6 * prng.uniform()),
    };
  });
}

describe('models that share cores', () => {
  it.each(Array.from({ length: 12 }, (_, index) => index + 1))(
    'never have more than there is, whatever the load and the faults, and repeat bit for bit (seed %i)',
    (seed) => {
      const loads = randomLoads(seed);
      // The budget asserts it too, of what is asked for, on every resize.
      const run = nodeRun(loads, seed, true);
      expect(run.mostMillicores).toBeLessThanOrEqual(BUDGET_MILLICORES);
      expect(run.onTime.reduce((sum, each) => sum + each, 0)).toBeGreaterThan(0);
      expect(nodeRun(loads, seed, true).log).toBe(run.log);
    },
  );

  it('use all of the cores when only one of them has work', () => {
    const busy: Load = { model: { name: 'busy', instances: 4, msEach: 100 }, ratePerSec: 30, sloMs: 1000 };
    const idle: Load = { model: { name: 'idle', instances: 2, msEach: 10 }, ratePerSec: 0.1, sloMs: 1000 };
    const { sent, onTime } = nodeRun([busy, idle], 1, false);
    // 30/s × 0.1 core-s are 3 of 4 cores, three times the floor and more than an equal share.
    expect(onTime[0]! / sent[0]!).toBeGreaterThan(0.99);
  });

  describe('in overload', () => {
    /** Dear requests with time, and three times as many cheap ones as all cores can serve, which are always in more of a hurry. */
    const dearBesideFlood = (floorFraction: number): NodeRun =>
      nodeRun(
        [
          { model: { name: 'dear', instances: 2, msEach: 200, floorFraction }, ratePerSec: 6, sloMs: 2000 },
          { model: { name: 'flood', instances: 4, msEach: 20, floorFraction: 0 }, ratePerSec: 600, sloMs: 120 },
        ],
        3,
        false,
        20_000,
      );

    it('a model has its floor, and without one it pays for the others', () => {
      // 6/s × 0.2 core-s are 1.2 of 4 cores: a floor of 0.35 × 4 = 1.4 is enough for all of it but what noise takes.
      const kept = dearBesideFlood(0.35);
      expect(kept.onTime[0]! / kept.sent[0]!).toBeGreaterThan(0.95);
      const starved = dearBesideFlood(0);
      expect(starved.onTime[0]! / starved.sent[0]!).toBeLessThan(0.85);
      // The others have the rest.
      expect(kept.onTime[1]).toBeGreaterThan(0.4 * starved.onTime[1]!);
    });

    it('the floor bounds what a model has from below, not from above', () => {
      const { ranCoreSeconds } = dearBesideFlood(0.15);
      // 0.6 of a core for 20 s.
      expect(ranCoreSeconds[0]).toBeGreaterThan(0.9 * 0.15 * 4 * 20);
    });
  });
});
