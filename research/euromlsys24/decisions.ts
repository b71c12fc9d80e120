import { FA2_MAX_INSTANCES, fa2Plan } from '../../src/scheduler/controlplane/baselines/fa2.js';
import {
  RELEASED_SLO_FRACTION,
  releasedLatencyMs,
  releasedPlan,
} from '../../src/scheduler/controlplane/baselines/released.js';
import type { LatencyFit } from './latency-fits.js';
import { FA2_DECISIONS, MAX_CORES, RELEASED_DECISIONS, SLO_MS, YOLOV5S, type PublishedDecisions } from './published.js';

/* What the authors' two rules decide, with coefficients that are fitted here: the worked example, and FA2's log. */

export type Choice = { readonly cores: number; readonly batchSize: number } | null;

export interface ReleasedDecision {
  readonly networkDelayMs: number;
  readonly published: Choice;
  readonly ours: Choice;
  /** Of a batch at our choice, whole ms; null where there is none. */
  readonly latencyMs: number | null;
}

export interface ReleasedDecisions {
  readonly published: PublishedDecisions;
  readonly decisions: readonly ReleasedDecision[];
}

export function releasedDecisions(fits: readonly LatencyFit[]): ReleasedDecisions[] {
  return RELEASED_DECISIONS.map((published) => {
    const { coefficients } = fits[published.fit]!;
    const decisions = published.byNetworkDelayMs.map(([networkDelayMs, choice]): ReleasedDecision => {
      const { isFeasible, plan } = releasedPlan({
        coefficients,
        arrivalRatePerSec: published.ratePerSec,
        sloMs: SLO_MS,
        networkDelayMs,
        sloFraction: published.sloFraction,
        maxCores: MAX_CORES,
        maxBatchSize: published.maxBatchSize,
        current: { cores: MAX_CORES, batchSize: 1 },
      });
      return {
        networkDelayMs,
        published: choice === 'infeasible' ? null : { cores: choice[0], batchSize: choice[1] },
        ours: isFeasible ? plan : null,
        latencyMs: isFeasible ? releasedLatencyMs(coefficients, plan.batchSize, plan.cores) : null,
      };
    });
    return { published, decisions };
  });
}

export interface Fa2Decision {
  readonly remainingSloMs: number;
  /** Null where nothing fits. */
  readonly publishedInstances: number | null;
  readonly ourInstances: number | null;
  readonly ourBatchSize: number | null;
  /** Null where it is not known. */
  readonly publishedLoggedMs: number | null;
  readonly ourLoggedMs: number;
}

/** @param fits the first is that of the evaluation */
export function fa2Decisions(fits: readonly LatencyFit[]): Fa2Decision[] {
  return FA2_DECISIONS.map(([remainingSloMs, instances, publishedLoggedMs]) => {
    const { best, lastLatencyMs } = fa2Plan({
      coefficients: fits[0]!.coefficients,
      arrivalRatePerSec: YOLOV5S.ratePerSec,
      sloMs: SLO_MS,
      remainingSloMs,
      sloFraction: RELEASED_SLO_FRACTION,
      maxInstances: FA2_MAX_INSTANCES,
      maxBatchSize: YOLOV5S.maxBatchSize,
    });
    return {
      remainingSloMs,
      publishedInstances: instances === 'infeasible' ? null : instances,
      ourInstances: best?.instances ?? null,
      ourBatchSize: best?.batchSize ?? null,
      publishedLoggedMs,
      ourLoggedMs: lastLatencyMs,
    };
  });
}

export function isSameChoice(a: Choice, b: Choice): boolean {
  return a?.cores === b?.cores && a?.batchSize === b?.batchSize;
}
