/*
 * The Sponge authors' control loop around their rule (`released.ts`): sleep for a second, read the gauge of the last
 * request's remaining SLO, search, apply what differs from the plan in force. Where nothing fits, as always before any
 * traffic, the plan in force stays; at first that is what the system was started with.
 *
 * The search itself takes no time here; theirs and its requests to Kubernetes took about 0.1 s a round.
 */
import type { FeasiblePlan } from '../../domain/plan.js';
import type { LatencyCoefficients } from '../../perf-model/fit.js';
import { CORE_MILLICORES, grantable } from './allocations.js';
import { timedPlanner, type ObservingPlanner } from './observing-planner.js';
import { RELEASED_SLO_FRACTION, releasedPlan } from './released.js';
import { RemainingSloGauge } from './remaining-slo-gauge.js';

export const AUTHORS_TICK_MS = 1000;

/** What the authors' controllers have in their configuration. */
export interface AuthorsConfig {
  readonly coefficients: LatencyCoefficients;
  /** A constant; there is no predictor. */
  readonly arrivalRatePerSec: number;
  readonly sloMs: number;
  readonly sloFraction?: number;
  readonly maxBatchSize: number;
}

export function releasedPlanner(config: AuthorsConfig): ObservingPlanner {
  const { coefficients, arrivalRatePerSec, sloMs, sloFraction = RELEASED_SLO_FRACTION } = config;
  const gauge = new RemainingSloGauge();
  let inForce: FeasiblePlan | null = null;

  const planner = timedPlanner('released', AUTHORS_TICK_MS, ({ current, limits, snapshot }) => {
    const maxBatchSize = Math.min(config.maxBatchSize, snapshot.maxBatchSize);
    inForce ??= {
      kind: 'feasible',
      instances: 1,
      cpuMillicores: grantable(current.cpuMillicores, limits),
      batchSize: Math.min(current.batchSize, maxBatchSize),
      boundBy: { kind: 'start' },
    };
    const networkDelayMs = sloMs - gauge.remainingSloMs;
    const { isFeasible, plan } = releasedPlan({
      coefficients,
      arrivalRatePerSec,
      sloMs,
      networkDelayMs,
      sloFraction,
      maxCores: Math.floor(limits.maxMillicores / CORE_MILLICORES),
      maxBatchSize,
      current: { cores: inForce.cpuMillicores / CORE_MILLICORES, batchSize: inForce.batchSize },
    });
    if (isFeasible) {
      inForce = {
        kind: 'feasible',
        instances: 1,
        cpuMillicores: grantable(plan.cores * CORE_MILLICORES, limits),
        batchSize: plan.batchSize,
        boundBy: { kind: 'network-delay', lastMs: networkDelayMs },
      };
    }
    return { plan: inForce, unsalvageable: [] };
  });
  return { planner, observe: (event) => gauge.observe(event) };
}
