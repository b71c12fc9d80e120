import type { Outcome } from '../../scheduler/domain/outcome.js';
import type { Workload } from '../workloads/workload.js';

/** How many requests ended how. */
export interface OutcomeCounts {
  readonly sent: number;
  readonly onTime: number;
  readonly late: number;
  readonly rejectedInfeasible: number;
  readonly rejectedOverload: number;
  readonly expired: number;
  readonly cancelled: number;
  readonly failed: number;
}

type OutcomeKey = Exclude<keyof OutcomeCounts, 'sent'>;

export interface OutcomeReport extends OutcomeCounts {
  /** Requests that no allocation could have answered in time, whose clients stayed; `onTime` ones among them by luck. */
  readonly infeasibleOnArrival: number;
  readonly infeasibleOnTime: number;
  /** Send to answer, of every completed request, as they ended. */
  readonly latenciesMs: Float64Array;
  /** 1 for each request, by index, that was answered on time. */
  readonly isOnTime: Uint8Array;
  /** By the second of sending. */
  readonly sentBySecond: readonly number[];
  readonly violatedBySecond: readonly number[];
}

/**
 * What became of each request of a run, judged as its client would: on time means that the answer was there within the SLO
 * from sending.
 */
export class OutcomeLedger {
  readonly #workload: Workload;
  readonly #infeasible: Uint8Array;
  readonly #isOnTime: Uint8Array;
  readonly #latenciesMs: Float64Array;
  readonly #counts: Record<OutcomeKey, number> = {
    onTime: 0,
    late: 0,
    rejectedInfeasible: 0,
    rejectedOverload: 0,
    expired: 0,
    cancelled: 0,
    failed: 0,
  };
  readonly #sentBySecond: number[];
  readonly #violatedBySecond: number[];
  #completed = 0;
  #ended = 0;
  #infeasibleOnTime = 0;
  #infeasibleStayed = 0;

  /** @param infeasible 1 for each request that no allocation can answer in time */
  constructor(workload: Workload, infeasible: Uint8Array) {
    this.#workload = workload;
    this.#infeasible = infeasible;
    this.#isOnTime = new Uint8Array(workload.count);
    this.#latenciesMs = new Float64Array(workload.count);
    const seconds = Math.ceil(workload.durationMs / 1000);
    this.#sentBySecond = new Array<number>(seconds).fill(0);
    this.#violatedBySecond = new Array<number>(seconds).fill(0);
  }

  get ended(): number {
    return this.#ended;
  }

  /** Whether a request that has ended was answered in time. */
  isOnTime(index: number): boolean {
    return this.#isOnTime[index] === 1;
  }

  /** The one outcome of a request, by its index in the workload. */
  finish(index: number, outcome: Outcome, nowMs: number): void {
    const key = this.#keyOf(index, outcome, nowMs);
    if (outcome.kind === 'completed') {
      const { sentAtMs } = this.#workload;
      this.#latenciesMs[this.#completed++] = this.#workload.replyEndAtMs(index, nowMs) - sentAtMs[index]!;
    }
    this.#end(index, key);
  }

  /** The client left before its request was fully received. */
  neverReceived(index: number): void {
    this.#end(index, 'cancelled');
  }

  report(): OutcomeReport {
    return {
      sent: this.#workload.count,
      ...this.#counts,
      infeasibleOnArrival: this.#infeasibleStayed,
      infeasibleOnTime: this.#infeasibleOnTime,
      latenciesMs: this.#latenciesMs.slice(0, this.#completed),
      isOnTime: this.#isOnTime,
      sentBySecond: this.#sentBySecond,
      violatedBySecond: this.#violatedBySecond,
    };
  }

  #end(index: number, key: OutcomeKey): void {
    this.#ended += 1;
    this.#counts[key] += 1;
    if (key === 'cancelled') return;
    const isOnTime = key === 'onTime';
    if (isOnTime) this.#isOnTime[index] = 1;
    if (this.#infeasible[index] === 1) {
      this.#infeasibleStayed += 1;
      if (isOnTime) this.#infeasibleOnTime += 1;
    }
    const second = Math.floor(this.#workload.sentAtMs[index]! / 1000);
    this.#sentBySecond[second]! += 1;
    if (!isOnTime) this.#violatedBySecond[second]! += 1;
  }

  #keyOf(index: number, outcome: Outcome, nowMs: number): OutcomeKey {
    switch (outcome.kind) {
      case 'completed':
        return nowMs <= this.#workload.latestFinishAtMs[index]! ? 'onTime' : 'late';
      case 'rejected-infeasible':
        return 'rejectedInfeasible';
      case 'rejected-overload':
        return 'rejectedOverload';
      case 'expired':
      case 'cancelled':
      case 'failed':
        return outcome.kind;
    }
  }
}

/** 1 − on time / (sent − cancelled before the deadline); 0 where nothing was asked. */
export function violationRate({ sent, cancelled, onTime }: OutcomeCounts): number {
  const due = sent - cancelled;
  return due === 0 ? 0 : 1 - onTime / due;
}

/** The same among requests that were feasible on arrival. */
export function feasibleViolationRate(
  report: OutcomeCounts & Pick<OutcomeReport, 'infeasibleOnArrival' | 'infeasibleOnTime'>,
): number {
  const due = report.sent - report.cancelled - report.infeasibleOnArrival;
  return due === 0 ? 0 : 1 - (report.onTime - report.infeasibleOnTime) / due;
}
