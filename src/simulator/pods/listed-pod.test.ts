import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { Balancing } from './fronts.js';
import { ListedPod } from './listed-pod.js';
import { capacityPerSec, SMALL_MODEL, typicalMs, type PodMachine } from './pod-machine.js';
import { violationRate } from './pods-ledger.js';
import { runPods } from './pods-simulation.js';
import { podsWorkload } from './pods-workload.js';

/** 30 ms for one, 20 more for each further one, at any allocation. */
const PLAIN: PodMachine = {
  coefficients: { gamma: 0, epsilon: 0, delta: 20, eta: 10 },
  maxBatchSize: 3,
  logDeviation: 0,
};

/** 10 ms a request on a core, half as fast on half a core. */
const DIVISIBLE: PodMachine = {
  coefficients: { gamma: 10, epsilon: 0, delta: 0, eta: 0 },
  maxBatchSize: 1,
  logDeviation: 0,
};

function pod(machine = PLAIN) {
  const clock = new VirtualClock();
  const listed = new ListedPod({ clock, machine, cpuMillicores: 1000, factor: () => 1 });
  const answers: string[] = [];
  const submit = (sequence: number, dueAtMs: number): void =>
    listed.submit({ sequence, dueAtMs }, (answer) => answers.push(`${sequence} ${answer} ${clock.nowMs()}`));
  return { clock, listed, answers, submit };
}

describe('a pod that lists', () => {
  it('starts at once, and then the earliest deadlines together', () => {
    const { clock, answers, submit } = pod();
    submit(1, 500);
    for (const [sequence, dueAtMs] of [
      [2, 400],
      [3, 200],
      [4, 300],
      [5, 600],
    ] as const)
      submit(sequence, dueAtMs);
    clock.runUntilIdle();
    // One of 30 ms, three of 70, one of 30.
    expect(answers).toEqual([
      '1 completed 30',
      '3 completed 100',
      '4 completed 100',
      '2 completed 100',
      '5 completed 130',
    ]);
  });

  it('cuts a batch short for its head, and refuses at once whom no schedule meets', () => {
    const { clock, answers, submit } = pod();
    submit(1, 500);
    submit(2, 85);
    submit(3, 500);
    submit(4, 500);
    // Would have to be done before the first batch ends.
    submit(5, 59);
    expect(answers).toEqual(['5 refused 0']);
    clock.runUntilIdle();
    // From 30 on there are 55 ms until 85: 50 for two.
    expect(answers.slice(1)).toEqual(['1 completed 30', '2 completed 80', '3 completed 80', '4 completed 110']);
  });

  it('goes on at another speed when it is resized, and not at all on nothing', () => {
    const { clock, listed, answers, submit } = pod(DIVISIBLE);
    submit(1, 500);
    clock.advanceTo(5);
    listed.resize(500);
    clock.advanceTo(10);
    listed.resize(0);
    clock.advanceTo(100);
    listed.resize(1000);
    clock.runUntilIdle();
    // Half of it by 5, three quarters by 10, the rest in 2.5.
    expect(answers).toEqual(['1 completed 102.5']);
    expect(listed.usedCoreSeconds).toBeCloseTo((5 + 2.5 + 2.5) / 1000, 9);
  });

  it('dies with what it has, and is used again', () => {
    const { clock, listed, answers, submit } = pod();
    submit(1, 500);
    submit(2, 500);
    clock.advanceTo(10);
    listed.die();
    expect([...answers].sort()).toEqual(['1 lost 10', '2 lost 10']);
    submit(3, 500);
    clock.runUntilIdle();
    expect(answers.at(-1)).toBe('3 completed 40');
  });

  it('says when one more could start, and what those behind can spare', () => {
    const { listed, submit } = pod();
    submit(1, 500);
    submit(2, 200);
    submit(3, 300);
    const { marks, aloneMs, requestMs } = listed.outlook();
    expect([aloneMs, requestMs]).toEqual([30, 70 / 3]);
    // Two of 50 ms from 30 on.
    expect(marks).toEqual([
      { dueInMs: 0, startInMs: 30, doneInMs: 30, roomMs: 120 },
      { dueInMs: 200, startInMs: 80, doneInMs: 80, roomMs: 120 },
    ]);
  });
});

describe('against whole schedulers', () => {
  const USUAL_MS = [250, 500, 1000, 2000];
  /** The tightest is twice what one takes alone, and less than three together. */
  const TIGHT_MS = [120, 240, 480, 960];
  const millicores = new Array<number>(8).fill(500);

  function lost(kind: 'scheduled' | 'listed', balancing: Balancing, load: number, budgetsMs = USUAL_MS): number {
    const rates = [1, 2].map((seed) => {
      const ratePerSec = load * millicores.length * capacityPerSec(SMALL_MODEL, 500);
      const workload = podsWorkload({ arrivals: { kind: 'poisson', ratePerSec }, durationMs: 6000, budgetsMs }, seed);
      return violationRate(
        runPods({ seed, machine: SMALL_MODEL, millicores, kind, balancing, workload, reportOnBatchMs: 10 }),
      );
    });
    return rates.reduce((sum, each) => sum + each, 0) / rates.length;
  }

  it.each(['picker', 'random-of-two'] as const)(
    'loses within a point of what they lose at 0.9, with %s',
    (balancing) => {
      expect(Math.abs(lost('scheduled', balancing, 0.9) - lost('listed', balancing, 0.9))).toBeLessThan(0.01);
    },
  );

  // With the price of cores alone, whole schedulers started requests alone, kept up with three quarters, and lost 17 of 100.
  it('loses about what they lose with tight budgets too, at 0.9', () => {
    const [scheduled, listed] = (['scheduled', 'listed'] as const).map((kind) => lost(kind, 'picker', 0.9, TIGHT_MS));
    expect(Math.abs(scheduled! - listed!)).toBeLessThan(0.02);
  });

  it('has the capacity that it is reckoned to have', () => {
    expect(capacityPerSec(SMALL_MODEL, 500)).toBeCloseTo(8000 / typicalMs(SMALL_MODEL, 8, 500), 9);
  });
});
