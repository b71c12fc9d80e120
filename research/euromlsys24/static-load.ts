import { publishedProfile } from '../../src/scheduler/perf-model/published.js';
import { publishedMachine, type PublishedService } from '../../src/simulator/sim/machine.js';
import { meanMultiplier } from '../../src/simulator/sim/service-noise.js';
import { YOLOV5S } from './published.js';

/*
 * Static 8 in numbers: one request at a time on eight cores, 20 a second, is a queue at the edge of what it can do. On which
 * side of it depends on which of the published latencies one believes.
 */

export interface StaticLoad {
  readonly latencyMs: number;
  /** Requests a second × latency: above 1 the queue grows for ever. */
  readonly utilisation: number;
}

/** Published latencies of one request on 8 cores, and what the two simulated services take on average. */
export function staticLoads(cores = 8): Readonly<Record<'mean' | 'p95' | 'p99' | 'fit' | 'table', StaticLoad>> {
  const profile = publishedProfile(YOLOV5S.profile);
  const cell = profile.cells.find(({ batchSize, cpuMillicores }) => batchSize === 1 && cpuMillicores === cores * 1000)!;
  const simulatedMs = (service: PublishedService): number => {
    const { curve, logDeviation } = publishedMachine(profile, service);
    return curve.latencyMs(1, cores * 1000) * meanMultiplier(logDeviation);
  };
  const load = (latencyMs: number): StaticLoad => ({
    latencyMs,
    utilisation: (latencyMs * YOLOV5S.ratePerSec) / 1000,
  });
  return {
    mean: load(cell.p50Ms),
    p95: load(cell.p95Ms),
    p99: load(cell.p99Ms),
    fit: load(simulatedMs('fit')),
    table: load(simulatedMs('table')),
  };
}

/** H_20 / 20 s: when the last of a front-loaded second's 20 requests is expected to be sent. */
const LAST_SEND_SEC = Array.from({ length: 20 }, (_, k) => 1 / (k + 1)).reduce((sum, each) => sum + each, 0) / 20;

/**
 * The highest utilisation u at which no second's last request takes more than 1 s until second t: it waits for the backlog
 * (u − 1)·t and for its own second's work u, less the time at which it was sent.
 */
export function cleanUtilisation(untilSec: number): number {
  return (1 + LAST_SEND_SEC + untilSec) / (1 + untilSec);
}

/** The utilisation at which the backlog grows from nothing to the drop limit within so many seconds. */
export function losingUtilisation(withinSec: number, dropLimitSec: number): number {
  return 1 + dropLimitSec / withinSec;
}
