/*
 * The baseline that the Sponge authors' repository calls FA2 (github.com/saeid93/sponge at aa00b56): a search over instances
 * of one core, once a second, with the remaining SLO q of the last request, as theirs for Sponge is:
 *
 *     for n in 1 … 16, for b in 1 … the largest batch, with l = trunc(l(b, 1)):
 *       l > q                                             leaves the loop over b
 *       n·floor(q / l)·b < rate                           does not keep up
 *       l + ceil(rate / (b·n))·l + (SLO − q) < 0.9·SLO    fits; the least n does, and of these the least b
 *
 * Where nothing fits, n and b stay. It is not the published FA2 (a graph transformation and a dynamic program, RTAS 2022; see
 * `fa2-published.ts`): it treats one second of arrivals as queued at once, counts one batch more than their rule for Sponge,
 * and its last test is strict. On their trace it always chooses b = 1. It reports the last latency that it looked at, not
 * the chosen one; `lastLatencyMs` is that number, for comparing with their logs.
 */
import type { FeasiblePlan } from '../../domain/plan.js';
import type { LatencyCoefficients } from '../../perf-model/fit.js';
import { CORE_MILLICORES, grantable } from './allocations.js';
import { timedPlanner, type ObservingPlanner } from './observing-planner.js';
import { AUTHORS_TICK_MS, type AuthorsConfig } from './released-planner.js';
import { RELEASED_SLO_FRACTION, releasedLatencyMs } from './released.js';
import { RemainingSloGauge } from './remaining-slo-gauge.js';

export const FA2_MAX_INSTANCES = 16;

export interface Fa2Question {
  readonly coefficients: LatencyCoefficients;
  readonly arrivalRatePerSec: number;
  readonly sloMs: number;
  /** Of the last request; 0 before any traffic. */
  readonly remainingSloMs: number;
  readonly sloFraction: number;
  readonly maxInstances: number;
  readonly maxBatchSize: number;
}

export interface Fa2Answer {
  /** Null where nothing fits. */
  readonly best: { readonly instances: number; readonly batchSize: number } | null;
  readonly lastLatencyMs: number;
}

export function fa2Plan(question: Fa2Question): Fa2Answer {
  const { coefficients, arrivalRatePerSec, sloMs, remainingSloMs, sloFraction } = question;
  const networkDelayMs = sloMs - remainingSloMs;
  let best: Fa2Answer['best'] = null;
  let lastLatencyMs = 0;
  for (let instances = 1; instances <= question.maxInstances; instances++) {
    for (let batchSize = 1; batchSize <= question.maxBatchSize; batchSize++) {
      const latencyMs = releasedLatencyMs(coefficients, batchSize, 1);
      lastLatencyMs = latencyMs;
      if (latencyMs > remainingSloMs) break;
      if (instances * Math.floor(remainingSloMs / latencyMs) * batchSize < arrivalRatePerSec) continue;
      const rounds = Math.ceil(arrivalRatePerSec / (batchSize * instances));
      const isInTime = latencyMs + rounds * latencyMs + networkDelayMs < sloFraction * sloMs;
      if (isInTime) best ??= { instances, batchSize };
    }
  }
  return { best, lastLatencyMs };
}

export interface Fa2Config extends AuthorsConfig {
  readonly maxInstances?: number;
}

export function fa2Planner(config: Fa2Config): ObservingPlanner {
  const { coefficients, arrivalRatePerSec, sloMs, sloFraction = RELEASED_SLO_FRACTION } = config;
  const maxInstances = config.maxInstances ?? FA2_MAX_INSTANCES;
  const gauge = new RemainingSloGauge();
  let inForce: FeasiblePlan | null = null;

  const planner = timedPlanner('fa2', AUTHORS_TICK_MS, ({ current, limits, snapshot }) => {
    const maxBatchSize = Math.min(config.maxBatchSize, snapshot.maxBatchSize);
    inForce ??= {
      kind: 'feasible',
      instances: Math.max(1, Math.min(maxInstances, current.instances)),
      cpuMillicores: grantable(CORE_MILLICORES, limits),
      batchSize: Math.min(current.batchSize, maxBatchSize),
      boundBy: { kind: 'start' },
    };
    const { remainingSloMs } = gauge;
    const { best } = fa2Plan({
      coefficients,
      arrivalRatePerSec,
      sloMs,
      remainingSloMs,
      sloFraction,
      maxInstances,
      maxBatchSize,
    });
    if (best !== null) inForce = { ...inForce, ...best, boundBy: { kind: 'remaining-slo', lastMs: remainingSloMs } };
    return { plan: inForce, unsalvageable: [] };
  });
  return { planner, observe: (event) => gauge.observe(event) };
}
