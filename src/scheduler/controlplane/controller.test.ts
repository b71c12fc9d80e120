import { describe, expect, it } from 'vitest';
import { dueAt, modelsOf, TEN_MS_EACH } from '../../../test/simulation/fixed-latency.js';
import { VirtualClock } from '../clock/virtual-clock.js';
import type { Event } from '../domain/event.js';
import type { FeasiblePlan, Plan } from '../domain/plan.js';
import type { QueueSnapshot } from '../domain/queue-snapshot.js';
import { shapeClass, type ShapeClass } from '../domain/request.js';
import { SimulatedScaler } from '../../simulator/sim/simulated-scaler.js';
import type { ControlledPlane } from './controlled-plane.js';
import { Controller } from './controller.js';
import { CoreBudget } from './core-budget.js';
import type { Planner } from './planner.js';

function planOf(cpuMillicores: number, batchSize = 1): FeasiblePlan {
  return { kind: 'feasible', instances: 1, cpuMillicores, batchSize, boundBy: { kind: 'start' } };
}

const EMPTY: QueueSnapshot = {
  work: [],
  sequences: [],
  behind: [],
  classes: [],
  inFlight: null,
  running: [],
  maxBatchSize: 8,
  belowFloor: () => new Set(),
  setAsideCount: 0,
  setAsideDueAtMs: Infinity,
  instanceCount: 1,
};
const CLASS: ShapeClass = shapeClass('x', 1);
/** One request waits. */
const BUSY: QueueSnapshot = { ...EMPTY, work: [{ dueAtMs: 900, classIndex: 0 }], sequences: [1], classes: [CLASS] };

/** A data plane that is whatever a test says, and remembers what it is told. */
class Plane implements ControlledPlane {
  threads = 0;
  isIdle = false;
  isExploring = false;
  queue = BUSY;
  readonly plans: (readonly [cpuMillicores: number, isResizePending: boolean])[] = [];
  readonly allocations: number[] = [];
  readonly givenUp: number[] = [];

  runningThreads(): number {
    return this.threads;
  }

  isAway(): boolean {
    return false;
  }

  isLoading(): boolean {
    return false;
  }

  snapshot(): QueueSnapshot {
    return this.queue;
  }

  setPlan(plan: Plan, [isAwaited]: readonly boolean[]): void {
    this.plans.push([plan.cpuMillicores, isAwaited!]);
  }

  setAllocation(_: number, cpuMillicores: number): void {
    this.allocations.push(cpuMillicores);
  }

  giveUp(sequences: readonly number[]): void {
    this.givenUp.push(...sequences);
  }

  shed(sequences: readonly number[]): void {
    this.givenUp.push(...sequences);
  }
}

interface Options {
  readonly isEventDriven?: boolean;
  readonly appliesAtOnce?: boolean;
  readonly tickMs?: number;
  readonly delayMs?: () => number;
  readonly expectedDelayMs?: number;
  readonly isRefused?: () => boolean;
  readonly isProvisional?: boolean;
  readonly readBackMs?: () => number;
  /** How long after each plan its timer is. */
  readonly wakeAfterMs?: number;
}

/** As a live one: turns of an event loop, in which more than one thing may happen. */
class TurnClock extends VirtualClock {
  readonly #atEnd: (() => void)[] = [];
  isInTurns = false;

  override whenSettled(act: () => void): void {
    if (this.isInTurns) this.#atEnd.push(act);
    else act();
  }

  endTurn(): void {
    for (const act of this.#atEnd.splice(0)) act();
  }
}

/** A controller whose planner answers what `next` says; starts with 4 cores granted. Resizes take 0.5 ms. */
class Bench {
  readonly clock = new TurnClock();
  readonly plane = new Plane();
  readonly events: Event[] = [];
  readonly controller: Controller;
  next: Plan = planOf(4000);
  unsalvageable: readonly number[] = [];
  isPlanValid = true;
  planCount = 0;

  constructor(options: Options = {}) {
    const planner: Planner = {
      name: 'scripted',
      tickMs: options.tickMs ?? 10_000,
      isEventDriven: options.isEventDriven ?? true,
      appliesAtOnce: options.appliesAtOnce ?? false,
      plansInstances: false,
      plan: () => {
        this.planCount += 1;
        const { wakeAfterMs } = options;
        const wake = wakeAfterMs === undefined ? {} : { wakeAtMs: this.clock.nowMs() + wakeAfterMs };
        return { plan: this.next, unsalvageable: this.unsalvageable, ...wake };
      },
      isStillValid: () => this.isPlanValid,
    };
    const limits = { minMillicores: 100, maxMillicores: 4000, stepMillicores: 100 };
    this.controller = new Controller({
      clock: this.clock,
      planner,
      scalers: [
        new SimulatedScaler({
          clock: this.clock,
          limits,
          cpuMillicores: 4000,
          delayMs: options.delayMs ?? ((): number => 0.5),
          expectedDelayMs: options.expectedDelayMs ?? 0.5,
          isRefused: options.isRefused ?? ((): boolean => false),
          ...(options.readBackMs === undefined ? {} : { readBackMs: options.readBackMs }),
          apply: () => undefined,
        }),
      ],
      budget: new CoreBudget(4000),
      floorFraction: undefined,
      models: {
        ...modelsOf(TEN_MS_EACH),
        isProvisional: options.isProvisional ?? false,
      },
      config: { limits: { ...limits, minMillicores: 500 }, idleMillicores: 100, idleReleaseMs: 50 },
      initialPlan: planOf(4000),
      emit: (event) => this.events.push(event),
    });
    this.controller.start(this.plane);
  }

  /** A plan at an instant, as a batch ends. */
  planAt(atMs: number, cpuMillicores: number): void {
    this.clock.advanceTo(atMs);
    this.next = planOf(cpuMillicores);
    this.batchEnds();
  }

  batchEnds(): void {
    const result = { batchSize: 1, rowCount: 1, result: 'completed' } as const;
    const took = { latencyMs: 10, computeMs: 10, actualToPredicted: 1 };
    this.controller.observe({ kind: 'batch-ended', atMs: this.clock.nowMs(), batchId: 1, ...result, ...took });
  }

  requestArrives(key = 'x'): void {
    const request = dueAt(1, 900, { shapeClass: shapeClass(key, 1) });
    this.controller.observe({ kind: 'request-admitted', atMs: this.clock.nowMs(), request, queueDepth: 1 });
  }

  /** Everything done; nothing to do from now on. */
  goesIdle(): void {
    this.plane.isIdle = true;
    this.plane.queue = EMPTY;
    this.batchEnds();
  }

  /** Resizes that were asked for: instant, millicores. */
  get resizes(): (readonly [number, number])[] {
    return this.events.flatMap((event) =>
      event.kind === 'resize-requested' ? [[event.atMs, event.toMillicores] as const] : [],
    );
  }
}

describe('the controller', () => {
  it('plans once for all that arrive in one turn of the event loop, and not again for what a batch’s end was planned with', () => {
    const bench = new Bench();
    bench.clock.isInTurns = true;
    bench.isPlanValid = false;
    const plansOf = (turn: () => void): number => {
      const before = bench.planCount;
      turn();
      bench.clock.endTurn();
      return bench.planCount - before;
    };
    const arrive = (): void => bench.requestArrives();
    expect(plansOf(() => [1, 2, 3].forEach(arrive))).toBe(1);
    expect(plansOf(arrive)).toBe(1);
    expect(plansOf(() => undefined)).toBe(0);
    const around = (): void => [arrive, () => bench.batchEnds(), arrive].forEach((act) => act());
    expect(plansOf(() => [arrive, () => bench.batchEnds()].forEach((act) => act()))).toBe(1);
    expect(plansOf(around)).toBe(2);
    bench.controller.stop();
    expect(plansOf(arrive)).toBe(0);
  });

  it('grows at once, and lets dispatching wait until the growth is in force', () => {
    const bench = new Bench();
    bench.planAt(1000, 1000);
    bench.planAt(2000, 3000);
    bench.planAt(2010, 3500);
    expect(bench.resizes).toEqual([[1000, 1000], [2000, 3000], [2010, 3500]]); // prettier-ignore
    expect(bench.plane.plans.at(-1)).toEqual([3500, true]);
    bench.clock.advanceTo(2011);
    expect(bench.plane.allocations).toEqual([1000, 3000, 3500]);
    bench.batchEnds();
    expect(bench.plane.plans.at(-1)).toEqual([3500, false]);
  });

  it('does not let dispatching wait for an actuator that is slow', () => {
    const bench = new Bench({ delayMs: () => 80, expectedDelayMs: 80 });
    bench.planAt(1000, 1000);
    bench.planAt(2000, 3000);
    expect(bench.plane.plans.at(-1)).toEqual([3000, false]);
  });

  it('plans again when the timer that a plan asked for fires, and asks for no more than one', () => {
    const bench = new Bench({ wakeAfterMs: 30 });
    bench.clock.advanceTo(5);
    bench.batchEnds();
    const before = bench.planCount;
    bench.clock.advanceTo(34);
    expect(bench.planCount).toBe(before);
    bench.clock.advanceTo(35);
    expect(bench.planCount).toBe(before + 1);
  });

  it('believes no answer of a resize once a newer one was answered', () => {
    const readBacksMs = [500, 0, 0];
    const bench = new Bench({ appliesAtOnce: true, delayMs: () => 100, readBackMs: () => readBacksMs.shift()! });
    bench.planAt(1000, 2000); // in force at 1100, told at 1600
    bench.planAt(1200, 3000); // in force and told at 1300
    bench.clock.advanceTo(2000);
    expect(bench.controller.grantedMillicores).toBe(3000);
    expect(bench.events.filter(({ kind }) => kind === 'resized')).toHaveLength(2);
  });

  it('does not begin a slow growth anew for a little more, and adds it once the first is in force', () => {
    const bench = new Bench({ delayMs: () => 1000, expectedDelayMs: 1000 });
    bench.planAt(1000, 1000);
    bench.clock.advanceTo(2500);
    bench.planAt(3000, 3000);
    bench.planAt(3300, 3200);
    expect(bench.resizes.at(-1)).toEqual([3000, 3000]);
    bench.clock.advanceTo(4000);
    expect(bench.resizes.at(-1)).toEqual([4000, 3200]);
    bench.planAt(4100, 4000);
    expect(bench.resizes.at(-1)).toEqual([4100, 4000]);
  });

  it('shrinks 50 ms after the last resize, by then to what the plan says', () => {
    const bench = new Bench();
    bench.planAt(1000, 2000);
    bench.planAt(1010, 1500);
    bench.planAt(1020, 1000);
    bench.clock.advanceTo(2000);
    expect(bench.resizes).toEqual([[1000, 2000], [1050, 1000]]); // prettier-ignore
  });

  it('does not shrink any more when the plan grew back meanwhile', () => {
    const bench = new Bench();
    bench.planAt(1000, 2000);
    bench.planAt(1010, 1000);
    bench.planAt(1040, 2000);
    bench.clock.advanceTo(2000);
    expect(bench.resizes).toEqual([[1000, 2000]]);
  });

  it('shrinks only to 95 % or less: 4000 to 3800 and not to 3900', () => {
    const bench = new Bench();
    bench.planAt(1000, 3900);
    expect(bench.resizes).toEqual([]);
    bench.planAt(2000, 3800);
    expect(bench.resizes).toEqual([[2000, 3800]]);
  });

  it('applies every plan as it is, at once and whatever runs, for a planner that wants so', () => {
    const bench = new Bench({ appliesAtOnce: true });
    bench.plane.threads = 4;
    bench.planAt(1000, 3700);
    bench.planAt(1010, 1000);
    expect(bench.resizes).toEqual([[1000, 3700], [1010, 1000]]); // prettier-ignore
  });

  it('never shrinks below the threads of the running batch: threads first, then quota', () => {
    const bench = new Bench();
    bench.plane.threads = 3;
    bench.planAt(1000, 1900);
    bench.clock.advanceTo(2000);
    expect(bench.resizes).toEqual([]);
    // ceil(2.1) = 3 threads fit; then the batch ends and its threads with it.
    bench.planAt(2000, 2100);
    bench.plane.threads = 0;
    bench.planAt(3000, 1900 - 100);
    expect(bench.resizes).toEqual([[2000, 2100], [3000, 1800]]); // prettier-ignore
  });

  it('releases the CPU after 50 ms of nothing to do, and takes it back on the next arrival though the plan holds', () => {
    const bench = new Bench();
    bench.planAt(1000, 1000);
    bench.clock.advanceTo(2000);
    bench.goesIdle();
    bench.clock.advanceTo(3000);
    expect(bench.resizes).toEqual([[1000, 1000], [2050, 100]]); // prettier-ignore
    bench.plane.isIdle = false;
    bench.plane.queue = BUSY;
    bench.requestArrives();
    expect(bench.resizes.at(-1)).toEqual([3000, 1000]);
    expect(bench.plane.plans.at(-1)).toEqual([1000, true]);
  });

  it('releases the CPU also when the plan grew while it was idle', () => {
    const bench = new Bench({ tickMs: 400 });
    bench.planAt(100, 1000);
    bench.clock.advanceTo(390);
    bench.goesIdle();
    bench.next = planOf(2000);
    bench.clock.advanceTo(700);
    // Idle since 390, tick at 400, release at 440; too soon after the growth, so at 450.
    expect(bench.resizes).toEqual([[100, 1000], [400, 2000], [450, 100]]); // prettier-ignore
  });

  it('is idle too when the members of the last batch all left before it ended', () => {
    const bench = new Bench({ isEventDriven: false });
    bench.clock.advanceTo(1000);
    bench.goesIdle();
    bench.clock.advanceTo(2000);
    expect(bench.resizes).toEqual([[1050, 100]]);
  });

  it('keeps what is in force when a resize is refused, and asks again with the next plan', () => {
    let isRefused = true;
    const bench = new Bench({ isRefused: () => isRefused });
    bench.planAt(1000, 1000);
    bench.clock.advanceTo(1001);
    expect(bench.controller.grantedMillicores).toBe(4000);
    expect(bench.plane.allocations).toEqual([4000]);
    expect(bench.events.at(-1)).toMatchObject({ kind: 'resize-refused', atMs: 1000.5 });
    isRefused = false;
    bench.planAt(1200, 1000);
    bench.clock.advanceTo(1201);
    expect(bench.controller.grantedMillicores).toBe(1000);
  });

  it('is not confused by the late answer to a resize that a newer one superseded', () => {
    const delaysMs = [0.5, 40, 0.5];
    const bench = new Bench({ delayMs: () => delaysMs.shift() ?? 0.5 });
    bench.planAt(1000, 1000);
    bench.planAt(2000, 2000); // answered at 2040
    bench.planAt(2010, 3000); // answered at 2010.5
    bench.clock.advanceTo(2100);
    expect(bench.controller.grantedMillicores).toBe(3000);
    bench.batchEnds();
    expect(bench.plane.plans.at(-1)).toEqual([3000, false]);
  });

  it('plans the largest allocation and single runs until anything was measured', () => {
    const bench = new Bench({ isProvisional: true });
    expect(bench.planCount).toBe(0);
    expect(bench.controller.plan).toMatchObject({ cpuMillicores: 4000, batchSize: 1, boundBy: { kind: 'no-profile' } });
  });

  it('plans on an arrival only when the plan in force is broken', () => {
    const bench = new Bench();
    bench.requestArrives();
    expect(bench.planCount).toBe(1); // at the start
    bench.isPlanValid = false;
    bench.requestArrives();
    expect(bench.planCount).toBe(2);
  });

  it('plans only at ticks, exactly a tick apart, where the planner is not event-driven', () => {
    const bench = new Bench({ isEventDriven: false, tickMs: 1000 });
    bench.isPlanValid = false;
    for (const atMs of [300, 600, 900]) {
      bench.clock.advanceTo(atMs);
      bench.requestArrives();
      bench.batchEnds();
    }
    bench.clock.advanceTo(3500);
    const planned = bench.events.flatMap((event) => (event.kind === 'planned' ? [event.atMs] : []));
    expect(planned).toEqual([0, 1000, 2000, 3000]);
  });

  it('hands what the plan gives up to the data plane, by sequence', () => {
    const bench = new Bench();
    bench.plane.queue = { ...BUSY, work: [BUSY.work[0]!, BUSY.work[0]!], sequences: [7, 9] };
    bench.unsalvageable = [1];
    bench.batchEnds();
    expect(bench.plane.givenUp).toEqual([9]);
  });

  it('plans again when giving a request up brought a new one', () => {
    const bench = new Bench();
    bench.isPlanValid = false;
    bench.unsalvageable = [0];
    bench.plane.giveUp = (): void => {
      bench.unsalvageable = [];
      bench.requestArrives();
    };
    bench.batchEnds();
    expect(bench.planCount).toBe(3); // start, batch's end, the new one
  });

  it('runs what is set aside on a core at least, also what arrives that way', () => {
    const bench = new Bench();
    bench.plane.queue = EMPTY;
    bench.planAt(1000, 500);
    expect(bench.resizes.at(-1)).toEqual([1000, 500]);
    bench.clock.advanceTo(1200);
    bench.plane.queue = { ...EMPTY, setAsideCount: 1 };
    bench.requestArrives();
    expect(bench.resizes.at(-1)).toEqual([1200, 1000]);
  });

  it('leaves the allocation to somebody else while it is lent, and plans when it has it back', () => {
    const bench = new Bench();
    bench.clock.advanceTo(1000);
    expect(bench.controller.lend(() => undefined)).toBe(true);
    bench.next = planOf(2000);
    bench.batchEnds();
    bench.controller.resizeTo(700, () => undefined);
    bench.clock.advanceTo(1500);
    expect(bench.resizes).toEqual([[1000, 700]]);
    bench.controller.takeBack();
    expect(bench.resizes.at(-1)).toEqual([1500, 2000]);
  });

  it('leaves no timer behind', () => {
    const bench = new Bench();
    bench.goesIdle();
    bench.controller.stop();
    expect(bench.clock.runUntilIdle(10)).toBe(0);
  });
});
