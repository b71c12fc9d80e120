/*
 * Many pods behind one or several fronts, on one virtual clock: requests come, are sent on, are refused and tried elsewhere; pods report,
 * die, come back, are slow. Everything repeats from the seed, and every balancing meets the same requests.
 */
import { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { PodReport } from '../../scheduler/domain/pod-report.js';
import type { Prng } from '../../scheduler/random/prng.js';
import { logNormal } from '../../scheduler/random/normal.js';
import { stream } from '../../scheduler/random/streams.js';
import { createFront, MODEL, type Balancing, type Choice, type Front } from './fronts.js';
import { ListedPod } from './listed-pod.js';
import type { PodMachine } from './pod-machine.js';
import type { PodAnswer, PodRequest, SimulatedPod } from './pod.js';
import { PodsLedger, type PodsResult } from './pods-ledger.js';
import type { PodsWorkload } from './pods-workload.js';
import { ScheduledPod } from './scheduled-pod.js';

export interface PodsOptions {
  readonly seed: number;
  readonly machine: PodMachine;
  /** Of each pod. */
  readonly millicores: readonly number[];
  /** Whole schedulers, or the shorter form of them. */
  readonly kind: 'scheduled' | 'listed';
  /** `central`: no front, one queue over the instances of all pods. */
  readonly balancing: Balancing | 'central';
  /** Each has its share of the requests by chance; 1 by default. */
  readonly frontCount?: number;
  readonly workload: PodsWorkload;
  /** While something is held there; 50 by default. */
  readonly reportEveryMs?: number;
  /** Also whenever a batch begins, but so long after the last report at the least; never by default. */
  readonly reportOnBatchMs?: number;
  /** From a choice to the request's being there, and from a report to its being heard; 1 by default. */
  readonly wayMs?: number;
  /** Of a request that was refused or lost, on other pods; 0 by default. */
  readonly retries?: number;
  /** Of each pod, what its batches take of what it believes; 1 by default. */
  readonly slowness?: readonly number[];
  readonly failures?: readonly PodFailure[];
}

/** A pod dies with what it has. */
export interface PodFailure {
  readonly pod: number;
  readonly atMs: number;
  /** Until then it is sent to as before, and what is sent is lost: at once, or, where it is silent, only when it is noticed. */
  readonly noticedAfterMs: number;
  /** Its connections stay open: its node is gone rather than its process. */
  readonly isSilent: boolean;
  /** From its death on; it has forgotten everything. Infinity: it does not come back. */
  readonly backAfterMs: number;
}

/** While nothing is held. */
const HEARTBEAT_MS = 500;
/** Envoy's back-off before a retry: so much, up to twice it. */
const BACK_OFF_MS = 1;
/** After the last request: every budget is over. */
const SETTLE_MS = 30_000;
/** Reports begin anywhere in their interval. */
const WARM_UP_MS = 100;

export function runPods(options: PodsOptions): PodsResult {
  return new PodsSimulation(options).run();
}

interface PodPlace {
  readonly index: number;
  readonly pod: SimulatedPod;
  /** `gone`: whoever calls is told so at once. `silent`: nobody is told anything. */
  state: 'up' | 'gone' | 'silent';
  /** Those whose requests ended there while it was silent. */
  readonly untold: (() => void)[];
  reportedAtMs: number;
  /** One is due because a batch began. */
  isReportDue: boolean;
  /** By front: numbers of what has come since the last report. */
  readonly arrived: number[][];
}

interface Attempt {
  readonly request: PodRequest;
  readonly budgetIndex: number;
  readonly front: Front;
  readonly frontIndex: number;
  readonly choice: Choice;
  readonly tried: number[];
}

class PodsSimulation {
  readonly #options: PodsOptions;
  readonly #clock = new VirtualClock();
  readonly #places: readonly PodPlace[];
  readonly #fronts: readonly Front[];
  readonly #ledger: PodsLedger;
  readonly #wayMs: number;
  readonly #choices: Prng;
  #sequence = 0;

  constructor(options: PodsOptions) {
    const { seed, balancing, frontCount = 1, workload, wayMs = 1 } = options;
    this.#options = options;
    this.#wayMs = wayMs;
    this.#choices = stream(seed, 'pods choices');
    this.#ledger = new PodsLedger(workload.budgetsMs.length);
    const isCentral = balancing === 'central';
    const frontsMade = isCentral ? 0 : frontCount;
    this.#places = (isCentral ? [0] : options.millicores.map((_, index) => index)).map((index) => ({
      index,
      pod: this.#createPod(index),
      state: 'up',
      untold: [],
      reportedAtMs: -Infinity,
      isReportDue: false,
      arrived: Array.from({ length: Math.max(1, frontsMade) }, () => []),
    }));
    this.#fronts = isCentral
      ? []
      : Array.from({ length: frontsMade }, (_, front) => createFront(balancing, stream(seed, `pods front ${front}`)));
    for (const front of this.#fronts) front.setPods(this.#places.map(({ index }) => index));
  }

  run(): PodsResult {
    const { workload, balancing, failures = [] } = this.#options;
    if (balancing === 'picker') for (const place of this.#places) this.#reportFrom(place);
    for (const failure of failures) this.#clock.scheduleExact(failure.atMs, () => this.#fail(failure));
    this.#arriveFrom(0);
    this.#clock.advanceTo(WARM_UP_MS + workload.durationMs + SETTLE_MS);
    for (const { pod } of this.#places) if (pod instanceof ScheduledPod) pod.stop();
    return this.#ledger.result(this.#places.map(({ pod }) => pod));
  }

  #createPod(index: number): SimulatedPod {
    const { seed, machine, kind, millicores, slowness = [], balancing } = this.#options;
    const prng = stream(seed, `pods noise ${index}`);
    const slow = slowness[index] ?? 1;
    const factor = (): number => {
      const each = slow * logNormal(prng, machine.logDeviation);
      this.#ledger.ran(each);
      return each;
    };
    const instanceCount = balancing === 'central' ? millicores.length : 1;
    const onBatch = balancing === 'picker' ? (): void => this.#reportBatch(this.#places[index]!) : undefined;
    const own = { clock: this.#clock, machine, cpuMillicores: millicores[index]!, factor, instanceCount, onBatch };
    return kind === 'listed' ? new ListedPod(own) : new ScheduledPod(own);
  }

  // ---- requests ----------------------------------------------------------------------------------------------------

  /** One event at a time is waiting, however many requests there are. */
  #arriveFrom(index: number): void {
    const { sentAtMs } = this.#options.workload;
    if (index >= sentAtMs.length) return;
    this.#clock.scheduleExact(WARM_UP_MS + sentAtMs[index]!, () => {
      this.#arrive(index);
      this.#arriveFrom(index + 1);
    });
  }

  #arrive(index: number): void {
    const { workload, balancing, wayMs = 1 } = this.#options;
    const nowMs = this.#clock.nowMs();
    const budgetIndex = workload.budgetIndexes[index]!;
    const budgetMs = workload.budgetsMs[budgetIndex]!;
    const request: PodRequest = { sequence: ++this.#sequence, dueAtMs: nowMs + budgetMs };
    this.#ledger.sent(budgetIndex);
    if (balancing === 'central') {
      this.#clock.scheduleExact(nowMs + wayMs, () =>
        this.#places[0]!.pod.submit(request, (answer) =>
          this.#settle(request, budgetIndex, answer === 'completed' ? this.#inTime(request) : 'refused-by-pod'),
        ),
      );
      return;
    }
    const frontIndex = this.#fronts.length === 1 ? 0 : this.#choices.int(this.#fronts.length);
    const front = this.#fronts[frontIndex]!;
    const choice = front.choose(nowMs, budgetMs);
    if (choice === null) {
      this.#settle(request, budgetIndex, 'refused-by-front');
      return;
    }
    this.#send({ request, budgetIndex, front, frontIndex, choice, tried: [] }, choice.pod);
  }

  #send(attempt: Attempt, pod: number): void {
    const { request, front, frontIndex, choice, tried } = attempt;
    const place = this.#places[pod]!;
    tried.push(pod);
    front.sent(pod);
    const tell = (answer: PodAnswer): void => {
      front.ended(pod);
      this.#answered(attempt, answer);
    };
    const onAnswer = (answer: PodAnswer): void => {
      if (place.state === 'silent') place.untold.push(() => tell(answer));
      else tell(answer);
    };
    this.#clock.scheduleExact(this.#clock.nowMs() + this.#wayMs, () => {
      if (place.state !== 'up') {
        onAnswer('lost');
        return;
      }
      if (choice.number > 0) place.arrived[frontIndex]!.push(choice.number);
      place.pod.submit(request, onAnswer);
    });
  }

  #answered(attempt: Attempt, answer: PodAnswer): void {
    const { request, budgetIndex, front, choice, tried } = attempt;
    if (answer === 'completed') {
      this.#settle(request, budgetIndex, this.#inTime(request));
      return;
    }
    const nowMs = this.#clock.nowMs();
    const { retries = 0 } = this.#options;
    const next = tried.length <= retries ? front.chooseAgain(choice, tried) : null;
    const atMs = nowMs + BACK_OFF_MS * (1 + this.#choices.uniform());
    if (next === null || atMs >= request.dueAtMs) {
      this.#settle(request, budgetIndex, answer === 'lost' ? 'lost' : 'refused-by-pod');
      return;
    }
    this.#ledger.retried();
    this.#clock.scheduleExact(atMs, () => this.#send(attempt, next));
  }

  #inTime({ dueAtMs }: PodRequest): 'on-time' | 'late' {
    return this.#clock.nowMs() <= dueAtMs ? 'on-time' : 'late';
  }

  #settle({ sequence }: PodRequest, budgetIndex: number, end: Parameters<PodsLedger['ended']>[2]): void {
    this.#ledger.ended(sequence, budgetIndex, end, this.#clock.nowMs());
  }

  // ---- reports -----------------------------------------------------------------------------------------------------

  #reportFrom(place: PodPlace): void {
    const { reportEveryMs = 50 } = this.#options;
    const report = (): void => {
      if (place.state === 'up') this.#report(place);
      const everyMs = place.pod.heldRequests > 0 ? reportEveryMs : Math.max(reportEveryMs, HEARTBEAT_MS);
      this.#clock.scheduleExact(this.#clock.nowMs() + everyMs, report);
    };
    const all = this.#clock.nowMs();
    // Everybody is heard once before the first request, and then not all together.
    this.#clock.scheduleExact(all, () => this.#report(place));
    this.#clock.scheduleExact(all + WARM_UP_MS + this.#choices.uniform() * reportEveryMs, report);
  }

  /** What it has just begun is not interrupted: that is worth a report of its own. */
  #reportBatch(place: PodPlace): void {
    const { reportOnBatchMs } = this.#options;
    if (reportOnBatchMs === undefined || place.isReportDue) return;
    place.isReportDue = true;
    const atMs = Math.max(this.#clock.nowMs(), place.reportedAtMs + reportOnBatchMs);
    this.#clock.scheduleExact(atMs, () => {
      place.isReportDue = false;
      if (place.state === 'up') this.#report(place);
    });
  }

  #report(place: PodPlace): void {
    const { index, pod, arrived } = place;
    place.reportedAtMs = this.#clock.nowMs();
    const model = {
      name: MODEL,
      version: '1',
      isLatest: true,
      isReady: true,
      heldRequests: pod.heldRequests,
      defaultSloMs: 1000,
      requestBytes: 0,
      ...pod.outlook(),
    };
    for (const [frontIndex, front] of this.#fronts.entries()) {
      const made: PodReport = {
        schemaVersion: 1,
        isDraining: false,
        grpcPort: 0,
        models: [model],
        arrived: arrived[frontIndex]!.splice(0),
        isArrivedCut: false,
      };
      this.#clock.scheduleExact(this.#clock.nowMs() + this.#wayMs, () => front.hear(this.#clock.nowMs(), index, made));
    }
  }

  // ---- failures ----------------------------------------------------------------------------------------------------

  #fail({ pod: index, noticedAfterMs, isSilent, backAfterMs }: PodFailure): void {
    const place = this.#places[index]!;
    const nowMs = this.#clock.nowMs();
    place.state = isSilent ? 'silent' : 'gone';
    place.pod.die();
    if (!isSilent) for (const front of this.#fronts) front.lose(index);
    const backAtMs = nowMs + backAfterMs;
    this.#clock.scheduleExact(Math.min(backAtMs, nowMs + noticedAfterMs), () => {
      place.state = 'gone';
      for (const front of this.#fronts) front.lose(index);
      for (const tell of place.untold.splice(0)) tell();
      this.#tellPods();
    });
    if (!Number.isFinite(backAtMs)) return;
    this.#clock.scheduleExact(backAtMs, () => {
      place.state = 'up';
      this.#tellPods();
    });
  }

  #tellPods(): void {
    const pods = this.#places.filter(({ state }) => state === 'up').map(({ index }) => index);
    for (const front of this.#fronts) front.setPods(pods);
  }
}
