import { RemainingSloGauge } from '../../src/scheduler/controlplane/baselines/remaining-slo-gauge.js';
import { RELEASED_SLO_FRACTION, releasedPlan } from '../../src/scheduler/controlplane/baselines/released.js';
import type { Event } from '../../src/scheduler/domain/event.js';
import { violationRate, type OutcomeCounts } from '../../src/simulator/sim/outcome-ledger.js';
import type { RunReport } from '../../src/simulator/sim/environment.js';
import type { Workload } from '../../src/simulator/workloads/workload.js';
import { bestStatic } from '../../src/simulator/comparison/best-static.js';
import { BEST_STATIC, policyFor } from '../../src/simulator/policies/policies.js';
import { runPolicy, worldOf, type SeedWorld } from '../../src/simulator/comparison/run-seed.js';
import { setUp, type ScenarioSetup } from '../../src/simulator/scenarios/setup.js';
import type { EvaluationJob } from './evaluation-jobs.js';
import { paperPercent, paperViolations, type ServedSecond } from './paper-violations.js';
import { MAX_CORES } from './published.js';
import { meanOf } from './spread.js';

/* One policy on one seed, judged by our definition of a violation and by the paper's. Plain data in and out. */

export interface EvaluationResult extends OutcomeCounts {
  readonly job: Omit<EvaluationJob, 'file'>;
  /** Requests not answered within their SLO, of all that were sent. */
  readonly violationPercent: number;
  readonly infeasibleOnArrival: number;
  /** Mean over the run of what is charged, cold starts included. */
  readonly meanCores: number;
  readonly meanBatchSize: number;
  /** The paper's measure, undivided, by the second of sending; with its two drop limits. */
  readonly paperBySecond: { readonly limit3s: readonly number[]; readonly limit1s: readonly number[] };
  readonly violatedBySecond: readonly number[];
  readonly sentBySecond: readonly number[];
  readonly coresBySecond: readonly number[];
  /** Null but for the released rule. */
  readonly decisions: SimulatedDecisions | null;
  /** Of the late requests, those whose batch did not start in the second in which they were sent. */
  readonly lateCarriedOver: number;
  /** What a policy in hindsight chose. */
  readonly chosen: string | null;
}

/** The released rule's ticks while clients were sending, each with the plan that it left in force. */
export interface SimulatedDecisions {
  readonly count: number;
  readonly meanCores: number;
  readonly infeasible: number;
  readonly coreChanges: number;
  readonly byBatchSize: Readonly<Record<number, number>>;
  /** Where within a second it ticks; the same in all of them. */
  readonly tickAtMs: number;
}

const DROP_LIMITS_MS = { limit3s: 3000, limit1s: 1000 } as const;

/** One job, in whichever thread this is. */
export function runEvaluation(job: EvaluationJob, onProgress: (fraction: number) => void): EvaluationResult {
  const { setup, world } = worldFor(job);
  let spec = job.spec;
  if (spec === BEST_STATIC) {
    spec = bestStatic(setup, job.seed, (simulated) => runPolicy(setup, world, simulated, onProgress)).chosen;
  }
  const recorder = new Recorder(setup, world.workload, job.policy.startsWith('released'));
  const report = runPolicy(setup, world, policyFor(spec, setup, job.seed), onProgress, (event) =>
    recorder.observe(event),
  );
  return resultOf(job, spec, report, recorder);
}

function resultOf(job: EvaluationJob, spec: string, report: RunReport, recorder: Recorder): EvaluationResult {
  const { outcomes, allocation, durationMs, meanBatchSize } = report;
  const { setting, model, policy, seed } = job;
  return {
    job: { setting, model, policy, spec: job.spec, seed },
    sent: outcomes.sent,
    onTime: outcomes.onTime,
    late: outcomes.late,
    rejectedInfeasible: outcomes.rejectedInfeasible,
    rejectedOverload: outcomes.rejectedOverload,
    expired: outcomes.expired,
    cancelled: outcomes.cancelled,
    failed: outcomes.failed,
    infeasibleOnArrival: outcomes.infeasibleOnArrival,
    violationPercent: 100 * violationRate(outcomes),
    meanCores: allocation.coreSeconds / (durationMs / 1000),
    meanBatchSize,
    paperBySecond: {
      limit3s: paperViolations(recorder.seconds, DROP_LIMITS_MS.limit3s),
      limit1s: paperViolations(recorder.seconds, DROP_LIMITS_MS.limit1s),
    },
    violatedBySecond: outcomes.violatedBySecond,
    sentBySecond: outcomes.sentBySecond,
    coresBySecond: allocation.coresBySecond,
    decisions: recorder.decisions,
    lateCarriedOver: recorder.lateCarriedOver,
    chosen: spec === job.spec ? null : spec,
  };
}

export function paperPercentOf(
  result: EvaluationResult,
  limit: keyof typeof DROP_LIMITS_MS,
  dividedBy: number,
): number {
  return paperPercent(result.paperBySecond[limit], dividedBy);
}

// ---- the world, once for all policies in a row -----------------------------------------------------------------------

interface LastWorld {
  readonly key: string;
  readonly setup: ScenarioSetup;
  readonly world: SeedWorld;
}

let lastWorld: LastWorld | null = null;

function worldFor({ file, seed }: EvaluationJob): LastWorld {
  const key = JSON.stringify([file, seed]);
  if (lastWorld?.key !== key) {
    const setup = setUp(file.scenario, file.name, file.folder);
    lastWorld = { key, setup, world: worldOf(setup, seed) };
  }
  return lastWorld;
}

// ---- what a run's report does not have -------------------------------------------------------------------------------

class Recorder {
  readonly #setup: ScenarioSetup;
  readonly #workload: Workload;
  readonly #isReleased: boolean;
  readonly #serverMs: number[][];
  readonly #unanswered: Float64Array;
  readonly #gauge = new RemainingSloGauge();
  readonly #cores: number[] = [];
  readonly #byBatchSize: Record<number, number> = {};
  /** 1 for each request whose batch started in a later second than it was sent in. */
  readonly #isCarriedOver: Uint8Array;
  lateCarriedOver = 0;
  #tickAtMs = 0;
  #infeasible = 0;
  #coreChanges = 0;

  constructor(setup: ScenarioSetup, workload: Workload, isReleased: boolean) {
    this.#setup = setup;
    this.#workload = workload;
    this.#isReleased = isReleased;
    const seconds = Math.ceil(workload.durationMs / 1000);
    this.#serverMs = Array.from({ length: seconds }, () => []);
    this.#unanswered = new Float64Array(seconds);
    this.#isCarriedOver = new Uint8Array(workload.count);
  }

  observe(event: Event): void {
    switch (event.kind) {
      case 'request-received':
        this.#gauge.observe(event);
        return;
      case 'batch-started':
        for (const sequence of event.sequences) {
          const isCarriedOver = Math.floor(event.atMs / 1000) > this.#secondOf(sequence - 1);
          if (isCarriedOver) this.#isCarriedOver[sequence - 1] = 1;
        }
        return;
      case 'request-finished':
        this.#finished(event.request.sequence - 1, event);
        return;
      case 'planned': {
        const { cpuMillicores, batchSize } = event.plan;
        const isCounted = event.trigger === 'tick' && event.atMs >= 0 && event.atMs < this.#workload.durationMs;
        if (!this.#isReleased || !isCounted) return;
        if (this.#cores.length === 0) this.#tickAtMs = event.atMs % 1000;
        this.#decided(cpuMillicores / 1000, batchSize);
        return;
      }
      default:
        return;
    }
  }

  get seconds(): readonly ServedSecond[] {
    return this.#serverMs.map((serverMs, second) => ({ serverMs, unanswered: this.#unanswered[second]! }));
  }

  get decisions(): SimulatedDecisions | null {
    if (this.#cores.length === 0) return null;
    return {
      count: this.#cores.length,
      meanCores: meanOf(this.#cores),
      infeasible: this.#infeasible,
      coreChanges: this.#coreChanges,
      byBatchSize: this.#byBatchSize,
      tickAtMs: this.#tickAtMs,
    };
  }

  #secondOf(index: number): number {
    return Math.floor(this.#workload.sentAtMs[index]! / 1000);
  }

  #finished(index: number, { atMs, request, outcome }: Extract<Event, { kind: 'request-finished' }>): void {
    const second = this.#secondOf(index);
    if (outcome.kind !== 'completed') {
      this.#unanswered[second]! += 1;
      return;
    }
    this.#serverMs[second]!.push(atMs - request.receivedAtMs);
    const isLate = atMs > this.#workload.latestFinishAtMs[index]!;
    if (isLate && this.#isCarriedOver[index] === 1) this.lateCarriedOver += 1;
  }

  #decided(cores: number, batchSize: number): void {
    if (cores !== (this.#cores.at(-1) ?? MAX_CORES)) this.#coreChanges += 1;
    this.#cores.push(cores);
    this.#byBatchSize[batchSize] = (this.#byBatchSize[batchSize] ?? 0) + 1;
    if (!this.#isFeasibleNow()) this.#infeasible += 1;
  }

  /** The plan itself does not tell whether it was found or kept. */
  #isFeasibleNow(): boolean {
    const { machine, environment, predictedRatePerSec, commonSloMs } = this.#setup;
    return releasedPlan({
      coefficients: machine.releasedFit!,
      arrivalRatePerSec: predictedRatePerSec,
      sloMs: commonSloMs,
      networkDelayMs: commonSloMs - this.#gauge.remainingSloMs,
      sloFraction: RELEASED_SLO_FRACTION,
      maxCores: MAX_CORES,
      maxBatchSize: environment.cpu.maxBatchSize,
      current: { cores: MAX_CORES, batchSize: 1 },
    }).isFeasible;
  }
}
