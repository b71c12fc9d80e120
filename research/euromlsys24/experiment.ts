import { evaluate, type Evaluation } from './evaluation.js';
import { fa2Decisions, releasedDecisions, type Fa2Decision, type ReleasedDecisions } from './decisions.js';
import { latencyFits, type LatencyFit } from './latency-fits.js';
import type { NetworkSource } from './network-source.js';
import { remainingSlo, type RemainingSlo } from './remaining-slo.js';
import { replays, type Replays } from './replays.js';

/* The whole reproduction: what is computed, in the order in which it is reported. */

export interface ExperimentPlan {
  readonly seeds: readonly number[];
  readonly durationSec: number;
  readonly network: NetworkSource;
}

export interface ExperimentResults {
  readonly plan: ExperimentPlan;
  readonly fits: readonly LatencyFit[];
  readonly releasedDecisions: readonly ReleasedDecisions[];
  readonly fa2Decisions: readonly Fa2Decision[];
  readonly remainingSlo: readonly RemainingSlo[];
  readonly replays: Replays;
  readonly evaluation: Evaluation;
}

/** The same for the same plan, on any number of threads. */
export async function reproduce(
  plan: ExperimentPlan,
  threads: number,
  onProgress: (fraction: number, now: string) => void = () => undefined,
): Promise<ExperimentResults> {
  const fits = latencyFits();
  const evaluation = await evaluate(plan, threads, onProgress);
  return {
    plan,
    fits,
    releasedDecisions: releasedDecisions(fits),
    fa2Decisions: fa2Decisions(fits),
    remainingSlo: remainingSlo(plan.network, plan.seeds, plan.durationSec),
    replays: replays(plan, fits, evaluation),
    evaluation,
  };
}
