/*
 * What one model of a workload is expected to be asked for, and what a pod can do of it. Keeps what has to be remembered between two
 * decisions: its arrivals, what they needed at most of late, and by how much the rule has turned out to be too little.
 */
import type { AllocationLimits } from '../scheduler/domain/plan.js';
import { capacityTable, meetableBudgets, type CapacityTable } from './capacity.js';
import type { ModelDemand, WorkloadRules } from './observation.js';
import { RateHistory } from './rate-history.js';

/** Where nobody states a budget and nobody knows a default. */
const UNKNOWN_BUDGET_MS = 1000;
/** A burst is met from the queue for as long as a request may wait; longer than this it is a rate. */
const LONGEST_BURST_SECONDS = 2;
const SHORTEST_BURST_SECONDS = 0.05;
/** What the rule is too little by is believed within seconds, and forgotten by half in twenty minutes: sooner, and it would be missed again and again. */
const BOOST_STEP = 1.05;
const BOOST_DECAY = 0.9995;
const MOST_BOOST = 2;
const MISS_WINDOW_MS = 10_000;
/** Requests that were missed beyond the target by chance alone are seldom more than so many standard deviations. */
const MISS_DEVIATIONS = 3;
const LONGEST_PEAK_MS = 3_600_000;

/** The demand of a moment, or the most of several. */
export interface Rate {
  /** Requests per second, over all pods. */
  readonly meanPerSec: number;
  /** Variance of the rate that a queue has to live through ÷ its mean, per second. */
  readonly spreadPerSec: number;
}

export class ModelLoad {
  readonly name: string;
  readonly #rules: WorkloadRules;
  readonly #history = new RateHistory();
  #peaks: { readonly atMs: number; readonly meanPerSec: number }[] = [];
  #misses: { readonly atMs: number; readonly ended: number; readonly missed: number }[] = [];
  #boost = 1;
  #rate: Rate = { meanPerSec: 0, spreadPerSec: 0 };
  #arrivingPerSec = 0;
  #risePerSec2 = 0;
  #table: CapacityTable = { millicores: [], ratesPerSec: [] };
  #tableOf = '';

  constructor(name: string, rules: WorkloadRules) {
    this.name = name;
    this.#rules = rules;
  }

  get rate(): Rate {
    return this.#rate;
  }

  /** What comes, without what waits: by the time that a pod is warm it has been met, or is late. */
  get arriving(): Rate {
    return { ...this.#rate, meanPerSec: this.#arrivingPerSec };
  }

  get risePerSec2(): number {
    return this.#risePerSec2;
  }

  get table(): CapacityTable {
    return this.#table;
  }

  /** Of what the rule asks for; 1 while it is enough. */
  get boost(): number {
    return this.#boost;
  }

  observe(nowMs: number, demand: ModelDemand, spanMs: number): void {
    const { attainment, limits } = this.#rules;
    const asked = demand.budgetsMs.length === 0 ? [UNKNOWN_BUDGET_MS] : demand.budgetsMs;
    const budgetsMs = meetableBudgets(asked, { latency: demand.latency, limits, attainment });
    this.#learnTable(demand, budgetsMs, limits);
    this.#history.observe(nowMs, demand.arrived, spanMs);
    const ratePerSec = this.#history.ratePerSec(nowMs);
    const patienceSeconds = patienceOf(budgetsMs);
    // More than may be waiting at this rate has to be caught up with before it is late.
    const backlog = Math.max(0, demand.heldRequests - ratePerSec * patienceSeconds);
    const meanPerSec = this.#boost * (ratePerSec + backlog / patienceSeconds);
    this.#arrivingPerSec = this.#boost * ratePerSec;
    this.#rate = { meanPerSec, spreadPerSec: this.#history.dispersion() / patienceSeconds };
    this.#risePerSec2 = this.#boost * this.#history.risePerSec2(nowMs);
    this.#notePeak(nowMs, meanPerSec);
  }

  /** The most that was needed within so long. */
  peak(nowMs: number, withinMs: number): Rate {
    const recent = this.#peaks.find(({ atMs }) => atMs > nowMs - withinMs);
    return { ...this.#rate, meanPerSec: Math.max(this.#rate.meanPerSec, recent?.meanPerSec ?? 0) };
  }

  /** Descending: of two, the older one counts only where it is more. */
  #notePeak(nowMs: number, meanPerSec: number): void {
    const kept = this.#peaks.filter((each) => each.meanPerSec > meanPerSec && each.atMs > nowMs - LONGEST_PEAK_MS);
    this.#peaks = [...kept, { atMs: nowMs, meanPerSec }];
  }

  /** Of seconds in which the pods could by the rule do what came: only then is what was missed the rule's fault. */
  learnMisses(nowMs: number, { ended, missed }: ModelDemand): void {
    this.#misses = [
      ...this.#misses.filter(({ atMs }) => atMs > nowMs - MISS_WINDOW_MS),
      { atMs: nowMs, ended, missed },
    ];
    const all = this.#misses.reduce((sum, each) => sum + each.ended, 0);
    const lost = this.#misses.reduce((sum, each) => sum + each.missed, 0);
    const allowed = (1 - this.#rules.attainment) * all;
    const isTooLittle = lost > allowed + MISS_DEVIATIONS * Math.sqrt(Math.max(1, allowed));
    if (isTooLittle && missed > 0) this.#boost = Math.min(MOST_BOOST, this.#boost * BOOST_STEP);
    else this.#boost = Math.max(1, this.#boost * BOOST_DECAY);
  }

  /** Anew where the latencies or the budgets are others. */
  #learnTable(
    { latency, maxBatchSize, instances }: ModelDemand,
    budgetsMs: readonly number[],
    limits: AllocationLimits,
  ): void {
    const { minMillicores, maxMillicores } = limits;
    const points = [1, maxBatchSize].flatMap((size) =>
      [minMillicores, (minMillicores + maxMillicores) / 2, maxMillicores].map((each) =>
        latency.plannedLatencyMs(size, each),
      ),
    );
    const key = JSON.stringify([points, budgetsMs.map((each) => Math.min(each, 1e9)), maxBatchSize, instances]);
    if (key === this.#tableOf) return;
    this.#tableOf = key;
    this.#table = capacityTable({ latency, maxBatchSize, instances, budgetsMs }, limits);
  }
}

/** How long a request may wait, seconds: the median of those that any allocation meets. */
function patienceOf(budgetsMs: readonly number[]): number {
  const meetable = budgetsMs.filter((each) => each < Infinity);
  const medianMs = meetable[meetable.length >> 1] ?? UNKNOWN_BUDGET_MS;
  return Math.min(LONGEST_BURST_SECONDS, Math.max(SHORTEST_BURST_SECONDS, medianMs / 1000));
}
