/*
 * What would a steady load need? The planning question without a queue, for people who size a machine (`sponge plan`).
 *
 * The longest way through the server: a request waits for its batch to fill, (b − 1)/λ; the batch in flight has just
 * started, l; then its own batch runs, l. With the network delay that must fit in the SLO, and throughput must hold:
 *
 *     (b − 1)/λ + 2·l(b, c) + network delay ≤ SLO     and     h(b, c) = b / l(b, c) ≥ λ
 *
 * Least c, then least b. With k instances on c cores each, h is k times as much, and the way is as long: all of them may have just
 * started. Unlike the released rule (`baselines/released.ts`), which queues a whole second of arrivals at
 * once and so asks for more.
 */
import type { LatencyModel } from '../domain/latency.js';
import type { Reason } from '../domain/outcome.js';
import type { AllocationLimits } from '../domain/plan.js';
import { allocationAt, stepCount } from './solver.js';

export interface WhatIfQuestion {
  readonly model: LatencyModel;
  /** > 0 */
  readonly arrivalRatePerSec: number;
  readonly sloMs: number;
  /** Of the slowest request that still counts. */
  readonly networkDelayMs: number;
  /** Of an instance. */
  readonly limits: AllocationLimits;
  readonly maxBatchSize: number;
  /** Equal ones that share the queue; 1 where absent. */
  readonly instances?: number;
}

export interface WhatIfAnswer {
  readonly feasible: boolean;
  /** Only when infeasible. */
  readonly reason?: Extract<Reason, 'budget_spent_in_network' | 'infeasible_at_max_cores' | 'queue_overload'>;
  /** Of an instance. When infeasible: the largest allocation, and the batch size of most throughput at it. */
  readonly cpuMillicores: number;
  readonly batchSize: number;
  /** Planned latency of one such batch, l(b, c). */
  readonly predictedLatencyMs: number;
  /** k·h(b, c) */
  readonly throughputPerSec: number;
}

export function whatIf(question: WhatIfQuestion): WhatIfAnswer {
  const least = leastPlan(question);
  if (least !== null) return { feasible: true, ...least };

  const best = mostThroughput(question);
  const reason =
    best.throughputPerSec < question.arrivalRatePerSec
      ? 'queue_overload'
      : leastPlan({ ...question, networkDelayMs: 0 }) !== null
        ? 'budget_spent_in_network'
        : 'infeasible_at_max_cores';
  return { feasible: false, reason, ...best };
}

/** Time from the first of a batch's requests being received to the batch's end, at worst. */
export function worstServerTimeMs(batchSize: number, latencyMs: number, arrivalRatePerSec: number): number {
  return ((batchSize - 1) * 1000) / arrivalRatePerSec + 2 * latencyMs;
}

type Candidate = Omit<WhatIfAnswer, 'feasible' | 'reason'>;

function leastPlan(question: WhatIfQuestion): Candidate | null {
  const { limits, arrivalRatePerSec, sloMs, networkDelayMs } = question;
  for (let step = 0; step < stepCount(limits); step++) {
    for (let batchSize = 1; batchSize <= question.maxBatchSize; batchSize++) {
      const candidate = candidateAt(question, allocationAt(limits, step), batchSize);
      const isInTime =
        worstServerTimeMs(batchSize, candidate.predictedLatencyMs, arrivalRatePerSec) + networkDelayMs <= sloMs;
      if (isInTime && candidate.throughputPerSec >= arrivalRatePerSec) return candidate;
    }
  }
  return null;
}

/** At the largest allocation; the least such batch size. */
function mostThroughput(question: WhatIfQuestion): Candidate {
  let best = candidateAt(question, question.limits.maxMillicores, 1);
  for (let batchSize = 2; batchSize <= question.maxBatchSize; batchSize++) {
    const candidate = candidateAt(question, question.limits.maxMillicores, batchSize);
    if (candidate.throughputPerSec > best.throughputPerSec) best = candidate;
  }
  return best;
}

function candidateAt({ model, instances = 1 }: WhatIfQuestion, cpuMillicores: number, batchSize: number): Candidate {
  const predictedLatencyMs = model.plannedLatencyMs(batchSize, cpuMillicores);
  const throughputPerSec = (1000 * instances * batchSize) / predictedLatencyMs;
  return { cpuMillicores, batchSize, predictedLatencyMs, throughputPerSec };
}
