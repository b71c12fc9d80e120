import { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { Event } from '../../scheduler/domain/event.js';
import { stream } from '../../scheduler/random/streams.js';
import { createNode } from '../../scheduler/node.js';
import type { Environment, RunReport, SimulatedPolicy } from './environment.js';
import { SimulatedModel } from './simulated-model.js';
import type { Workload } from '../workloads/workload.js';

/*
 * One run: the system that serves, on a virtual clock, with a simulated worker, scaler and clients. It differs from serving
 * in nothing but what is handed to `createNode`.
 *
 * Everything follows from the seed. Each part draws from a stream of its own, so policies meet the same clients, and a
 * policy that asks for one more resize does not change what batches take.
 */

/** A run that is under way: for showing progress, and for driving it event by event. */
export interface Run<Report = RunReport> {
  readonly endedFraction: number;
  /** Fires up to so many events; false when the run is over. */
  advance(eventLimit: number): boolean;
  report(): Report;
}

/** Sequences count from 1: request `i` of the workload is sequence `i + 1`. */
export function startRun(
  environment: Environment,
  workload: Workload,
  infeasible: Uint8Array,
  simulated: SimulatedPolicy,
  seed: number,
  onEvent: (event: Event) => void = () => undefined,
): Run {
  const clock = clockOf(environment, seed);
  const model = new SimulatedModel({ clock, environment, workload, infeasible, simulated, seed, onEvent });
  const node = createNode({ clock, budgetMillicores: model.parts.config.limits.maxMillicores });
  model.begin(node.add({ name: environment.machine.name, ...model.parts }));
  return runOf(clock, [{ name: `policy ${simulated.policy.name}`, workload, model }], (durationMs) => {
    const { usedSeconds } = model;
    node.stop();
    return model.report(durationMs, usedSeconds);
  });
}

/** The server was started some time within the second before the clients: its ticks have no phase in common with theirs. */
export function clockOf({ timerLatenessMs }: Pick<Environment, 'timerLatenessMs'>, seed: number): VirtualClock {
  return new VirtualClock({ startAtMs: -1000 * stream(seed, 'start').uniform(), timerLatenessMs });
}

/** Of whose requests a run is over when all have ended. */
export interface RunPart {
  readonly name: string;
  readonly workload: Workload;
  readonly model: Pick<SimulatedModel, 'ended'>;
}

/** @param reportOf told how long the run was */
export function runOf<Report>(
  clock: VirtualClock,
  parts: readonly RunPart[],
  reportOf: (durationMs: number) => Report,
): Run<Report> {
  const count = parts.reduce((sum, { workload }) => sum + workload.count, 0);
  const clientsEndAtMs = Math.max(...parts.map(({ workload }) => workload.durationMs));
  const mustEndByMs = Math.max(...parts.map(({ workload }) => lastInstantMs(workload))) + MOST_OVERTIME_MS;
  const isOver = (): boolean =>
    parts.every(({ model, workload }) => model.ended === workload.count) && clock.nextAtMs() > clientsEndAtMs;
  return {
    get endedFraction() {
      return count === 0 ? 1 : parts.reduce((sum, { model }) => sum + model.ended, 0) / count;
    },
    advance(eventLimit) {
      for (let fired = 0; fired < eventLimit; fired++) {
        if (isOver() || !clock.fireNext()) return false;
      }
      if (clock.nowMs() > mustEndByMs) {
        const { name, workload, model } = parts.find((part) => part.model.ended < part.workload.count)!;
        const left = workload.count - model.ended;
        throw new Error(`${name}: ${left} requests were not answered a week after the last was due`);
      }
      return !isOver();
    },
    report: () => reportOf(Math.max(clientsEndAtMs, clock.nowMs())),
  };
}

/** A backlog may take long to be served; a request that is never served is a broken policy, not a long run. */
const MOST_OVERTIME_MS = 7 * 86_400_000;

function lastInstantMs({ durationMs, latestFinishAtMs }: Workload): number {
  return latestFinishAtMs.reduce((latest, atMs) => Math.max(latest, atMs), durationMs);
}
