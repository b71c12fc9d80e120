import { SystemClock } from '../../src/server/system-clock.js';
import type { Clock, Timer } from '../../src/scheduler/clock/clock.js';
import { CoreSeconds, WINDOW_MS } from '../../src/scheduler/domain/core-seconds.js';
import type { Event } from '../../src/scheduler/domain/event.js';
import { shapeClass, type ShapeClass } from '../../src/scheduler/domain/request.js';
import { policyFor } from '../../src/simulator/policies/policies.js';
import { runPolicy, type SeedWorld } from '../../src/simulator/comparison/run-seed.js';
import type { ScenarioSetup } from '../../src/simulator/scenarios/setup.js';
import { stream } from '../../src/scheduler/random/streams.js';
import { OutcomeLedger } from '../../src/simulator/sim/outcome-ledger.js';
import { requestOf } from '../../src/simulator/sim/simulated-model.js';
import type { Workload } from '../../src/simulator/workloads/workload.js';
import { createSystem, type System } from '../../src/scheduler/system.js';
import { Judge, type Judgement } from './judgement.js';
import type { LiveMachine } from './live-machine.js';

/*
 * One policy on one seed of a scenario, on virtual and on real time: the same requests with the same instants and
 * deadlines, the same configuration, and judged by the same formulas.
 */

const SHAPE_CLASS: ShapeClass = shapeClass('agreement', 1);

export function runSimulated(
  setup: ScenarioSetup,
  world: SeedWorld,
  policy: string,
  onEvent: (event: Event) => void = () => undefined,
): Judgement {
  const judge = new Judge(setup.machine.curve);
  const simulated = policyFor(policy, setup, world.seed);
  const report = runPolicy(setup, world, simulated, undefined, (event) => {
    judge.observe(event);
    onEvent(event);
  });
  const { durationMs, allocation, cpuSecondsUsed, outcomes } = report;
  const { coreSeconds } = allocation;
  return judge.judge({ durationMs, coreSeconds, usedCoreSeconds: cpuSecondsUsed, outcomes });
}

/** Real time, with an origin of its own. */
class ShiftedClock implements Clock {
  readonly #clock = new SystemClock();
  readonly #originMs: number;

  constructor(startAtMs: number) {
    this.#originMs = this.#clock.nowMs() - startAtMs;
  }

  nowMs(): number {
    return this.#clock.nowMs() - this.#originMs;
  }

  schedule(atMs: number, fire: () => void): Timer {
    return this.#clock.schedule(atMs + this.#originMs, fire);
  }

  whenSettled(act: () => void): void {
    this.#clock.whenSettled(act);
  }
}

export async function runLive(
  live: LiveMachine,
  setup: ScenarioSetup,
  world: SeedWorld,
  policy: string,
  onEvent: (event: Event) => void = () => undefined,
): Promise<Judgement> {
  const { environment, machine } = setup;
  const { workload, infeasible } = world;
  const { limits, idleMillicores, idleReleaseMs } = environment.cpu;
  await live.resize(limits.maxMillicores);
  const judge = new Judge(machine.curve);
  const outcomes = new OutcomeLedger(workload, infeasible);
  const ledger = new CoreSeconds(0, limits.maxMillicores);
  const simulated = policyFor(policy, setup, world.seed);
  // As long before the clients as simulated: ticks have the same phase.
  const clock = new ShiftedClock(-1000 * stream(world.seed, 'start').uniform());
  const system = createSystem({
    clock,
    workers: live.worker,
    scalers: [live.scaler],
    policy: simulated.policy,
    models: simulated.models,
    config: {
      queueLimits: { maxRequests: environment.queueLimit, maxBytes: Infinity },
      maxBatchBytes: Infinity,
      limits,
      idleMillicores,
      idleReleaseMs,
    },
    onEvent: (event) => {
      ledger.observe(event);
      judge.observe(event);
      onEvent(event);
    },
  });
  try {
    const usedSeconds = (): number | null => live.scaler.readCounters()?.usedSeconds ?? null;
    const usedBefore = usedSeconds() ?? 0;
    const windows = everyWindow(clock, () => ledger.closeWindow(clock.nowMs(), usedSeconds()));
    const durationMs = await Promise.race([feed(clock, system, workload, outcomes), live.worker.failure]);
    windows.cancel();
    const used = usedSeconds();
    ledger.closeWindow(durationMs, used);
    return judge.judge({
      durationMs,
      coreSeconds: ledger.totalSeconds(durationMs),
      usedCoreSeconds: used === null ? null : used - usedBefore,
      outcomes: outcomes.report(),
    });
  } finally {
    system.stop();
  }
}

/** At 0, 100, 200 … ms. */
function everyWindow(clock: Clock, close: () => void): Timer {
  let timer: Timer;
  const next = (atMs: number): void => {
    timer = clock.schedule(atMs, () => {
      close();
      next(atMs + WINDOW_MS);
    });
  };
  next(0);
  return { cancel: () => timer.cancel() };
}

/** Submits each request when it is received. @returns when the last one has ended, not before clients stop sending */
function feed(clock: Clock, system: System, workload: Workload, outcomes: OutcomeLedger): Promise<number> {
  const { count, durationMs, receivedAtMs } = workload;
  return new Promise((resolve) => {
    const end = (): void => resolve(Math.max(durationMs, clock.nowMs()));
    const next = (index: number): void => {
      if (index === count) return;
      clock.schedule(receivedAtMs[index]!, () => {
        system.submit(requestOf(workload, index, SHAPE_CLASS), (outcome) => {
          outcomes.finish(index, outcome, clock.nowMs());
          if (outcomes.ended === count) clock.schedule(durationMs, end);
        });
        next(index + 1);
      });
    };
    next(0);
  });
}
