import { describe, expect, it } from 'vitest';
import { plannerView } from '../../../test/fixtures/planner-views.js';
import { VirtualClock } from '../clock/virtual-clock.js';
import type { Event } from '../domain/event.js';
import type { Plan } from '../domain/plan.js';
import { Prng } from '../random/prng.js';
import { SimulatedScaler } from '../../simulator/sim/simulated-scaler.js';
import { ActuatorDelay } from './actuator-delay.js';
import type { ControlledPlane } from './controlled-plane.js';
import { CoreBudget } from './core-budget.js';
import { InstanceAllocation } from './instance-allocation.js';
import { OwnAllocations } from './own-allocations.js';

const BUDGET_MILLICORES = 8000;
const IDLE_MILLICORES = 100;
const LIMITS = { minMillicores: 1000, maxMillicores: BUDGET_MILLICORES, stepMillicores: 100 };

interface Options {
  /** In force at the start. */
  readonly initial: readonly number[];
  readonly delayMs?: () => number;
  readonly readBackMs?: () => number;
  readonly isRefused?: () => boolean;
  readonly bringsAbout?: (cpuMillicores: number) => number;
  readonly expectedDelayMs?: number;
  readonly idleReleaseMs?: number | null;
}

/** Instances that follow whatever plan a test gives them, as the controller has them follow: at once, and when an answer settles. */
class Bench {
  readonly clock = new VirtualClock();
  readonly events: Event[] = [];
  readonly budget = new CoreBudget(BUDGET_MILLICORES);
  readonly each: readonly InstanceAllocation[];
  readonly allocations: OwnAllocations;
  /** In the kernel, whether anybody was told or not. */
  readonly inForce: number[];
  threads: number[];
  planned: readonly number[];

  constructor(options: Options) {
    const { initial, expectedDelayMs = 1, idleReleaseMs = 50 } = options;
    this.inForce = [...initial];
    this.threads = initial.map(() => 0);
    this.planned = initial.map(() => 0);
    const delay = new ActuatorDelay(expectedDelayMs);
    let resizeId = 0;
    this.each = initial.map((cpuMillicores, instance) => {
      const scaler = new SimulatedScaler({
        clock: this.clock,
        limits: { ...LIMITS, minMillicores: IDLE_MILLICORES },
        cpuMillicores,
        delayMs: options.delayMs ?? (() => expectedDelayMs),
        readBackMs: options.readBackMs ?? (() => 0),
        expectedDelayMs,
        isRefused: options.isRefused ?? (() => false),
        ...(options.bringsAbout && { bringsAbout: options.bringsAbout }),
        apply: (millicores) => (this.inForce[instance] = millicores),
      });
      return new InstanceAllocation({
        clock: this.clock,
        scaler,
        delay,
        instance,
        initialMillicores: cpuMillicores,
        nextResizeId: () => ++resizeId,
        emit: (event) => this.events.push(event),
        onAnswer: (result, isSettled) => {
          if (isSettled && result.kind === 'applied') this.follow();
        },
      });
    });
    this.allocations = new OwnAllocations(this.each, {
      budget: this.budget,
      floorFraction: undefined,
      retry: () => undefined,
      clock: this.clock,
      delay,
      rules: { limits: LIMITS, idleMillicores: IDLE_MILLICORES, idleReleaseMs },
      again: () => this.follow(),
    });
  }

  get plan(): Plan {
    const boundBy = { kind: 'start' } as const;
    return { ...plannerView().current, kind: 'feasible', boundBy, allocations: this.planned };
  }

  /** Follows a plan from now on. */
  follow(planned = this.planned): void {
    this.planned = planned;
    const plane = {
      runningThreads: (instance: number) => this.threads[instance]!,
      isAway: () => false,
      isLoading: () => false,
    } as Partial<ControlledPlane> as ControlledPlane;
    this.allocations.follow(this.clock.nowMs(), { plan: this.plan, plane, idleSinceMs: null });
  }

  get requested(): readonly number[] {
    return this.each.map(({ requestedMillicores }) => requestedMillicores);
  }

  /** What was asked for, in that order. */
  get asked(): readonly (readonly [atMs: number, instance: number, toMillicores: number])[] {
    return this.events.flatMap((event) =>
      event.kind === 'resize-requested' ? [[event.atMs, event.instance!, event.toMillicores] as const] : [],
    );
  }
}

describe('allocations of their own', () => {
  it('grow at once where there is room', () => {
    const bench = new Bench({ initial: [100, 100] });
    bench.follow([3000, 0]);
    expect(bench.requested).toEqual([3000, 100]);
    bench.follow([3000, 5000]);
    expect(bench.requested).toEqual([3000, 5000]);
  });

  it('shrink first: a growth without room waits until what it needs was read back', () => {
    const bench = new Bench({ initial: [7900, 100] });
    bench.follow([0, 4000]);
    // 8000 − 7900 = 100 until the shrink of the first, which takes 1 ms
    expect(bench.asked).toEqual([[0, 0, 100]]);
    bench.clock.advanceTo(10);
    expect(bench.asked).toEqual([[0, 0, 100], [1, 1, 4000]]); // prettier-ignore
    expect(bench.inForce).toEqual([100, 4000]);
  });

  it('are asked for ever more seldom while resizes are refused, however often others want what rests', () => {
    let isRefused = true;
    const bench = new Bench({ initial: [5000, 100], isRefused: () => isRefused });
    bench.follow([0, 0]);
    for (let atMs = 1; atMs < 10_000; atMs++) {
      bench.clock.advanceTo(atMs);
      bench.allocations.release();
    }
    // Each is answered after 1 ms, and asked for again 100, 200, … 3200 ms later.
    expect(bench.asked.map(([atMs]) => atMs)).toEqual([1, 102, 303, 704, 1505, 3106, 6307]);
    isRefused = false;
    bench.follow();
    bench.clock.advanceTo(12_000);
    expect(bench.asked.at(-1)).toEqual([11_308, 0, 100]); // 5 s later, which is the longest
    expect(bench.inForce).toEqual([100, 100]);
  });

  it('grow again by themselves after a resize that was refused', () => {
    let isRefused = true;
    const bench = new Bench({ initial: [100, 100], isRefused: () => isRefused });
    bench.follow([3000, 0]);
    bench.clock.advanceTo(50);
    isRefused = false;
    bench.follow();
    bench.clock.advanceTo(200);
    expect(bench.asked).toEqual([[0, 0, 3000], [101, 0, 3000]]); // prettier-ignore
    expect(bench.inForce).toEqual([3000, 100]);
  });

  it.each([
    ['knows only whole cores', (cpuMillicores: number) => Math.ceil(cpuMillicores / 1000) * 1000],
    ['limits nothing', () => BUDGET_MILLICORES],
    ['gives less than it is asked for', (cpuMillicores: number) => Math.min(cpuMillicores, 900)],
  ])('ask once for each allocation, and within the budget, of an actuator that %s', (_, bringsAbout) => {
    const bench = new Bench({ initial: [100, 100], bringsAbout });
    bench.follow([3300, 0]);
    bench.clock.advanceTo(100);
    bench.follow([0, 7800]);
    bench.clock.advanceTo(200);
    bench.follow([0, 0]);
    bench.clock.advanceTo(300);
    expect(bench.asked).toEqual([[0, 0, 3300], [100, 0, 100], [101, 1, 7800], [210, 1, 100]]); // prettier-ignore
    expect(bench.each.map(({ grantedMillicores }) => grantedMillicores)).toEqual([bringsAbout(100), bringsAbout(100)]);
    expect(bench.allocations.isAwaited(0)).toBe(false);
  });

  it('are released of a slow actuator that gives less than it is asked for', () => {
    const bringsAbout = (cpuMillicores: number): number => Math.min(cpuMillicores, 900);
    const bench = new Bench({ initial: [100, 100], bringsAbout, expectedDelayMs: 1000 });
    bench.follow([3000, 0]);
    bench.clock.advanceTo(2000);
    bench.follow([0, 0]);
    bench.clock.advanceTo(20_000);
    expect(bench.asked).toEqual([[0, 0, 3000], [12_000, 0, 100]]); // prettier-ignore
  });

  it('grow by no part of what there is no room for', () => {
    const bench = new Bench({ initial: [5000, 100, 100] });
    bench.threads = [5, 0, 0];
    // 8000 − 5000 − 100 = 2900
    bench.follow([5000, 3000, 0]);
    bench.clock.advanceTo(10);
    expect(bench.requested).toEqual([5000, 100, 100]);
    bench.follow([5000, 2900, 0]);
    expect(bench.requested).toEqual([5000, 2900, 100]);
  });

  it('keep what a running batch was planned with, whatever the plan has for the instance afterwards', () => {
    const bench = new Bench({ initial: [3000, 100] });
    bench.threads = [3, 0];
    bench.follow([0, 8000]);
    bench.clock.advanceTo(1000);
    expect(bench.requested).toEqual([3000, 100]);
  });

  it('are brought to less at once where less is planned', () => {
    const bench = new Bench({ initial: [5000, 100] });
    bench.follow([2000, 0]);
    expect(bench.requested).toEqual([2000, 100]);
  });

  it('are released ten times the actuator’s delay after the last work, if nothing is wanted before', () => {
    const bench = new Bench({ initial: [5000, 100] });
    bench.clock.advanceTo(100);
    bench.follow([0, 0]);
    bench.clock.advanceTo(104);
    bench.follow([0, 0]);
    // It rests since 100; 10 × 1 ms later, though asked again at 104.
    bench.clock.advanceTo(109.9);
    expect(bench.asked).toEqual([]);
    bench.clock.advanceTo(120);
    expect(bench.asked).toEqual([[110, 0, 100]]);
  });

  it('are not released where work comes back before, and the time counts anew after it', () => {
    const bench = new Bench({ initial: [5000, 100] });
    bench.follow([0, 0]);
    bench.clock.advanceTo(8);
    bench.threads = [5, 0];
    bench.follow([5000, 0]);
    bench.clock.advanceTo(15);
    bench.threads = [0, 0];
    bench.follow([0, 0]);
    bench.clock.advanceTo(24.9);
    expect(bench.asked).toEqual([]);
    // 15 + 10
    bench.clock.advanceTo(30);
    expect(bench.asked).toEqual([[25, 0, 100]]);
  });

  it('are released at once when another needs it', () => {
    const bench = new Bench({ initial: [5000, 100] });
    bench.follow([0, 0]);
    bench.clock.advanceTo(2);
    // 8000 − 5000 = 3000 are free without it
    bench.follow([0, 3000]);
    expect(bench.asked).toEqual([[2, 1, 3000]]);
    bench.clock.advanceTo(4);
    bench.follow([0, 3100]);
    bench.clock.advanceTo(5);
    expect(bench.asked).toEqual([[2, 1, 3000], [4, 0, 100], [5, 1, 3100]]); // prettier-ignore
  });

  it('rest on the least on which batches may run where idle CPU is never released', () => {
    const bench = new Bench({ initial: [5000, 1000], idleReleaseMs: null });
    bench.follow([0, 0]);
    bench.clock.advanceTo(100);
    expect(bench.requested).toEqual([1000, 1000]);
  });

  it('release nothing once they are stopped', () => {
    const bench = new Bench({ initial: [5000, 100] });
    bench.follow([0, 0]);
    bench.allocations.stop();
    bench.clock.advanceTo(100);
    expect(bench.asked).toEqual([]);
    expect(bench.clock.pendingCount).toBe(0);
  });

  it('with a slow actuator, neither call off a growth that is under way nor shrink for less than five per cent', () => {
    const bench = new Bench({ initial: [100, 4000], expectedDelayMs: 1000 });
    bench.follow([3000, 4000]);
    bench.clock.advanceTo(500);
    // 4000 × 0.95 = 3800
    bench.follow([2000, 3801]);
    expect(bench.requested).toEqual([3000, 4000]);
    bench.follow([2000, 3800]);
    expect(bench.requested).toEqual([3000, 3800]);
    // Read back at 1000, and then no longer under way.
    bench.clock.advanceTo(1000);
    expect(bench.requested).toEqual([2000, 3800]);
  });

  it('with a slow actuator, release ten of its delays after the last work', () => {
    const bench = new Bench({ initial: [5000, 100], expectedDelayMs: 1000 });
    bench.follow([0, 0]);
    bench.clock.advanceTo(20_000);
    expect(bench.asked).toEqual([[10_000, 0, 100]]);
  });

  it('suffice for a plan where as much was asked for as it says, in force or not', () => {
    const bench = new Bench({ initial: [5000, 100] });
    const suffices = (...allocations: number[]): boolean => bench.allocations.suffices({ ...bench.plan, allocations });
    expect(suffices(5000, 0)).toBe(true);
    expect(suffices(5000, 200)).toBe(false);
    bench.follow([5000, 2000]);
    expect(suffices(5000, 2000)).toBe(true);
  });

  it('leave what other holders of the budget hold to them', () => {
    const bench = new Bench({ initial: [1000, 100] });
    bench.budget.join({
      holders: [{ heldMillicores: 4000 }],
      claim: { neededMillicores: 0, wantedMillicores: 0, dueAtMs: Infinity },
      nextFreeAtMs: Infinity,
      lastBusyAtMs: -Infinity,
      restingMillicores: 0,
      startingMillicores: 0,
      release: () => undefined,
      retry: () => undefined,
    });
    // 8000 − 4000 − 100 = 3900
    bench.follow([4000, 0]);
    expect(bench.requested).toEqual([1000, 100]);
    bench.follow([3900, 0]);
    expect(bench.requested).toEqual([3900, 100]);
  });
});

/** What walks have in common: delays and read-backs so scattered that answers come in another order than requests. */
interface Walk {
  readonly seed: number;
  readonly instances: number;
  readonly mostDelayMs: number;
  readonly mostReadBackMs: number;
  readonly refusedFraction: number;
}

interface WalkReport {
  readonly resizes: number;
  readonly refused: number;
  readonly reordered: number;
  /** The most that was ever granted or asked for, and the most that was ever in force. */
  readonly mostHeldMillicores: number;
  readonly mostInForceMillicores: number;
  /** Growths that had to wait. */
  readonly waited: number;
  readonly finalMillicores: readonly number[];
}

/** Plans as the planner's are: those that run keep what they have, and one of the others may start. */
function walk({ seed, instances, mostDelayMs, mostReadBackMs, refusedFraction }: Walk): WalkReport {
  const prng = new Prng(seed);
  const first = BUDGET_MILLICORES - (instances - 1) * IDLE_MILLICORES;
  let isFaulty = true;
  const bench = new Bench({
    initial: Array.from({ length: instances }, (_, index) => (index === 0 ? first : IDLE_MILLICORES)),
    delayMs: () => (isFaulty ? mostDelayMs * prng.uniform() : 1),
    readBackMs: () => (isFaulty ? mostReadBackMs * prng.uniform() : 0),
    expectedDelayMs: mostDelayMs / 2,
    isRefused: () => isFaulty && prng.uniform() < refusedFraction,
  });
  let [mostHeldMillicores, mostInForceMillicores, waited] = [0, 0, 0];
  const look = (): void => {
    const held = bench.each.reduce((sum, each) => sum + Math.max(each.grantedMillicores, each.requestedMillicores), 0);
    const inForce = bench.inForce.reduce((sum, millicores) => sum + millicores, 0);
    mostHeldMillicores = Math.max(mostHeldMillicores, held);
    mostInForceMillicores = Math.max(mostInForceMillicores, inForce);
  };
  for (let step = 0; step < 400; step++) {
    const planned = bench.each.map((each, index) => (bench.threads[index]! > 0 ? each.requestedMillicores : 0));
    const instance = prng.int(instances);
    const kind = prng.int(3);
    if (kind === 0) bench.threads[instance] = 0;
    else if (kind === 1 && bench.inForce[instance]! >= LIMITS.minMillicores) bench.threads[instance] = 1;
    else {
      const others = planned.reduce((sum, each, index) => sum + (index === instance ? 0 : each), 0);
      const most = BUDGET_MILLICORES - others - instances * IDLE_MILLICORES;
      if (most >= LIMITS.minMillicores) planned[instance] = 100 * (10 + prng.int((most - 1000) / 100 + 1));
    }
    bench.follow(planned);
    if (planned.some((each, index) => each > bench.requested[index]!)) waited += 1;
    look();
    const untilMs = bench.clock.nowMs() + mostDelayMs * prng.uniform();
    while (bench.clock.nextAtMs() <= untilMs) {
      bench.clock.fireNext();
      look();
    }
    bench.clock.advanceTo(untilMs);
  }
  // What is left is answered, then nothing is wanted for long.
  isFaulty = false;
  bench.threads = bench.threads.map(() => 0);
  bench.follow(bench.threads);
  bench.clock.advanceBy(100 * mostDelayMs + 100 * mostReadBackMs);
  bench.follow();
  bench.clock.advanceBy(100 * mostDelayMs + 100 * mostReadBackMs);
  const answered = bench.events.flatMap((each) =>
    each.kind === 'resized' || each.kind === 'resize-refused' ? [each] : [],
  );
  let [newest, reordered] = [0, 0];
  for (const { resizeId } of answered) {
    if (resizeId < newest) reordered += 1;
    newest = Math.max(newest, resizeId);
  }
  return {
    resizes: bench.asked.length,
    refused: answered.filter(({ kind }) => kind === 'resize-refused').length,
    reordered,
    mostHeldMillicores,
    mostInForceMillicores,
    waited,
    finalMillicores: bench.inForce,
  };
}

describe('allocations of their own, over random walks', () => {
  const SEEDS = Array.from({ length: 40 }, (_, index) => 4200 + index);

  it.each([
    ['quick resizes', { instances: 2, mostDelayMs: 2, mostReadBackMs: 0, refusedFraction: 0 }],
    [
      'quick resizes, of which some are refused',
      { instances: 4, mostDelayMs: 8, mostReadBackMs: 0, refusedFraction: 0.1 },
    ],
    ['read-backs that overtake each other', { instances: 3, mostDelayMs: 4, mostReadBackMs: 4, refusedFraction: 0.1 }],
    ['slow resizes', { instances: 3, mostDelayMs: 2000, mostReadBackMs: 3000, refusedFraction: 0.1 }],
  ])('never exceed the budget, granted, asked for or in force, with %s', (_, options) => {
    const total = { reordered: 0, refused: 0, waited: 0 };
    for (const seed of SEEDS) {
      const report = walk({ seed, ...options });
      expect(report.mostHeldMillicores, `seed ${seed}`).toBeLessThanOrEqual(BUDGET_MILLICORES);
      expect(report.mostInForceMillicores, `seed ${seed}`).toBeLessThanOrEqual(BUDGET_MILLICORES);
      expect(report.resizes, `seed ${seed}`).toBeGreaterThan(30);
      // All is given back in the end.
      const atRest = Array.from({ length: options.instances }, () => IDLE_MILLICORES);
      expect(report.finalMillicores, `seed ${seed}`).toEqual(atRest);
      total.reordered += report.reordered;
      total.refused += report.refused;
      total.waited += report.waited;
    }
    // What the walks are for did happen.
    expect(total.waited).toBeGreaterThan(100);
    expect(total.reordered).toBeGreaterThan(100);
    if (options.refusedFraction > 0) expect(total.refused).toBeGreaterThan(100);
  });
});
