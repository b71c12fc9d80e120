/*
 * Which of several pods gets a request. Among those that can meet its deadline with plenty to spare, the one with the least to spare: who
 * can wait goes where others wait, and what is free stays free for who cannot. Where none has plenty, the one with the most to spare. Where
 * none can meet it at all, it is refused at once, with when the earliest of all pods would be done.
 *
 * Reports are of a while ago, so what was sent since counts too (`pod.ts`); and they are beliefs, so now and then they are put to the test:
 * of those that would be refused one in ten is sent all the same, once a second for each model, and one that could be met elsewhere goes to a
 * pod that makes no reports, once a second for each. So nothing that was once believed keeps a pod out for ever.
 *
 * All pods are looked at up to sixteen; of fifty and more two by chance, and all only where neither may meet it. Between, ever fewer:
 * the cost of a pick stays that of sixteen, and the more pickers there are likely to be, the fewer of them run after the same report.
 *
 * Rejected: the least to spare among all that can just meet it. A pod runs what it has as slowly as it may, in batches that nothing
 * interrupts, so where there is little to spare the next one in a hurry is lost: 5.2 % at 0.6 of what three pods can do, and 1.9 % so.
 * Always the most to spare: leaves every pod with something to do, 0.6 % lost against 0.3 % where there is room (`test/simulation/pods.ts`).
 */
import type { PodReport } from '../scheduler/domain/pod-report.js';
import { Pod, type PodContact } from './pod.js';
import type { Pick, PickReason, Refused, RoutedRequest, Sent } from './request.js';

/** Of requests that name no budget, on a pod that does not say. */
const USUAL_SLO_MS = 1000;
/** Plenty to spare, of the budget: with half of it instead, twice as many were lost where pods are loaded by half and more; with 0.8 a half more. */
const PLENTY_FRACTION = 0.9;
const TEST_EVERY_MS = 1000;
/** For each that is sent although it would be refused: whoever states impossible budgets now and then is told so at once. */
const REFUSALS_PER_TEST = 10;
/** Of a pod on which nothing listens. */
const LOST_TEST_EVERY_MS = 10_000;
/** All tests together: at most one in so many requests. */
const PICKS_PER_TEST = 20;
/** Whoever is sent to a test may have to be sent on. */
const TEST_SPARE_MS = 250;
/** After so long a test does not wait for a request that can spare it. */
const TEST_PATIENCE_MS = 10_000;
const MOST_FALLBACKS = 2;
const UNAVAILABLE_RETRY_MS = 1000;
/** Models of which it is kept when a refusal was tested last: names come from strangers. */
const MOST_TESTED_MODELS = 1024;

/** Of many pods, where some have not the model. */
const TRIES_PER_CHOICE = 8;

const ALL_UP_TO = 16;
const TWO_FROM = 50;

/** Pods that one pick looks at, of so many. */
export function choicesAmong(podCount: number): number {
  if (podCount <= ALL_UP_TO) return podCount;
  if (podCount >= TWO_FROM) return 2;
  return Math.round(ALL_UP_TO - ((ALL_UP_TO - 2) * (podCount - ALL_UP_TO)) / (TWO_FROM - ALL_UP_TO));
}

export interface PickerOptions {
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** A pod, and where the request would stand on it. */
interface Candidate {
  readonly pod: Pod;
  readonly spareMs: number;
  readonly hopeMs: number;
}

export class Picker {
  readonly #random: () => number;
  readonly #pods = new Map<string, Pod>();
  /** The same, to choose from by place. */
  #list: readonly Pod[] = [];
  #number = 0;
  #picksSinceTest = 0;
  #testCursor = 0;
  /** By model: since when, and how many were refused since. */
  readonly #refusals = new Map<string, { sinceMs: number; count: number }>();

  constructor({ random }: PickerOptions) {
    this.#random = random;
  }

  get pods(): readonly Pod[] {
    return this.#list;
  }

  pod(id: string): Pod | undefined {
    return this.#pods.get(id);
  }

  /** These are the pods from now on. What is known of those that stay is kept. */
  setPods(ids: readonly string[]): void {
    const wanted = new Set(ids);
    for (const id of this.#pods.keys()) if (!wanted.has(id)) this.#pods.delete(id);
    for (const id of wanted) if (!this.#pods.has(id)) this.#pods.set(id, new Pod(id));
    this.#list = [...this.#pods.values()];
  }

  hear(nowMs: number, id: string, report: PodReport): void {
    this.#pods.get(id)?.hear(nowMs, report);
  }

  lose(id: string, contact: Exclude<PodContact, 'reporting'>): void {
    this.#pods.get(id)?.lose(contact);
  }

  /** What is sent counts from now on. */
  pick(nowMs: number, request: RoutedRequest): Pick {
    this.#picksSinceTest += 1;
    const drawn = this.#draw(nowMs, request);
    const isEnough = drawn.some(({ hopeMs }) => hopeMs >= 0 || request.budgetMs === null);
    const candidates = isEnough ? drawn : this.#all(nowMs, request);
    if (candidates.length === 0) return this.#pickWithout(nowMs, request);
    const chosen = this.#choose(nowMs, request, candidates);
    if (chosen !== null) {
      const { candidate, reason } = chosen;
      const test = this.#testInstead(nowMs, candidate);
      if (test !== null)
        return this.#send(nowMs, request, { pod: test, spareMs: null }, [candidate, ...candidates], 'test');
      return this.#send(nowMs, request, candidate, candidates, reason);
    }
    return this.#refuseOrTest(nowMs, request, candidates);
  }

  /** Another pod for a request that says nothing of a model, or whose answer any of them has. */
  pickAny(nowMs: number): Sent | Refused {
    const usable = this.#list.filter((pod) => !pod.isDraining && pod.contact(nowMs) === 'reporting');
    const pods = usable.length > 0 ? usable : this.#blindly(nowMs);
    if (pods.length === 0) return this.#unavailable();
    const pod = pods[this.#below(pods.length)]!;
    return { kind: 'send', pod: pod.id, fallbacks: [], reason: 'blind', number: ++this.#number, spareMs: null };
  }

  // ---- who can ------------------------------------------------------------------------------------------------------

  /** Some by chance, as many as are looked at of so many; none where that is all of them, or too few are found. */
  #draw(nowMs: number, request: RoutedRequest): readonly Candidate[] {
    const podCount = this.#list.length;
    const count = choicesAmong(podCount);
    if (count === podCount) return [];
    const drawn = new Set<Pod>();
    for (let tries = TRIES_PER_CHOICE * count; tries > 0 && drawn.size < count; tries--) {
      const pod = this.#list[this.#below(podCount)]!;
      if (this.#takes(nowMs, request, pod)) drawn.add(pod);
    }
    return drawn.size < count ? [] : [...drawn].map((pod) => this.#candidate(nowMs, request, pod));
  }

  /** In an order that begins anywhere, as of equals the first is taken. */
  #all(nowMs: number, request: RoutedRequest): readonly Candidate[] {
    const podCount = this.#list.length;
    const at = podCount === 0 ? 0 : this.#below(podCount);
    const candidates: Candidate[] = [];
    for (let index = 0; index < podCount; index++) {
      const pod = this.#list[(at + index) % podCount]!;
      if (this.#takes(nowMs, request, pod)) candidates.push(this.#candidate(nowMs, request, pod));
    }
    return candidates;
  }

  /** It reports, takes requests and has the model. */
  #takes(nowMs: number, request: RoutedRequest, pod: Pod): boolean {
    if (pod.isDraining || pod.contact(nowMs) !== 'reporting') return false;
    return pod.roomsFor(request).some(({ report }) => report.isReady);
  }

  /** Where its model is not known: as good as the worst of them, and refused only where it would be by the best. */
  #candidate(nowMs: number, request: RoutedRequest, pod: Pod): Candidate {
    let [spareMs, hopeMs] = [Infinity, -Infinity];
    for (const room of pod.roomsFor(request)) {
      if (!room.report.isReady) continue;
      const standing = room.standing(nowMs, dueAtMs(nowMs, request, pod), request.inputBytes);
      spareMs = Math.min(spareMs, standing.spareMs);
      hopeMs = Math.max(hopeMs, standing.hopeMs);
    }
    return { pod, spareMs, hopeMs };
  }

  #hasPlenty({ pod, spareMs }: Candidate, request: RoutedRequest, nowMs: number): boolean {
    const budgetMs = dueAtMs(nowMs, request, pod) - nowMs;
    return spareMs >= PLENTY_FRACTION * budgetMs;
  }

  #choose(
    nowMs: number,
    request: RoutedRequest,
    candidates: readonly Candidate[],
  ): { readonly candidate: Candidate; readonly reason: PickReason } | null {
    let least: Candidate | null = null;
    let most: Candidate | null = null;
    for (const each of candidates) {
      if (this.#hasPlenty(each, request, nowMs) && (least === null || each.spareMs < least.spareMs)) least = each;
      if (most === null || each.spareMs > most.spareMs) most = each;
    }
    if (least !== null) return { candidate: least, reason: 'least-to-spare' };
    const mayBeLate = request.budgetMs === null;
    if (most === null || mayBeLate || most.hopeMs >= 0)
      return most === null ? null : { candidate: most, reason: 'most-to-spare' };
    const best = mostHopeful(candidates);
    return best.hopeMs >= 0 ? { candidate: best, reason: 'most-to-spare' } : null;
  }

  // ---- nobody can ---------------------------------------------------------------------------------------------------

  #refuseOrTest(nowMs: number, request: RoutedRequest, candidates: readonly Candidate[]): Pick {
    // Of others nothing is known: they may be able to.
    const unknown = this.#blindly(nowMs).filter((pod) => pod.contact(nowMs) === 'silent');
    if (unknown.length > 0)
      return this.#send(nowMs, request, { pod: this.#lessPending(nowMs, unknown), spareMs: null }, [], 'blind');
    const best = mostHopeful(candidates);
    if (this.#isRefusalTest(nowMs, request.model ?? '')) return this.#send(nowMs, request, best, [], 'test');
    return this.#refusal(nowMs, request, candidates);
  }

  #isRefusalTest(nowMs: number, model: string): boolean {
    const refusals = this.#refusals.get(model) ?? { sinceMs: nowMs, count: 0 };
    const isTest = refusals.count >= REFUSALS_PER_TEST && nowMs >= refusals.sinceMs + TEST_EVERY_MS;
    if (isTest) Object.assign(refusals, { sinceMs: nowMs, count: 0 });
    else refusals.count += 1;
    this.#refusals.delete(model);
    this.#refusals.set(model, refusals);
    if (this.#refusals.size > MOST_TESTED_MODELS) {
      const [oldest] = this.#refusals.keys();
      this.#refusals.delete(oldest!);
    }
    return isTest;
  }

  #refusal(nowMs: number, request: RoutedRequest, candidates: readonly Candidate[]): Refused {
    const remainingBudgetMs = request.budgetMs ?? USUAL_SLO_MS;
    let [bestCaseMs, leastMs, finishAtMs] = [Infinity, Infinity, Infinity];
    for (const { pod } of candidates) {
      for (const room of pod.roomsFor(request)) {
        bestCaseMs = Math.min(bestCaseMs, room.report.aloneMs);
        leastMs = Math.min(leastMs, room.report.leastMs);
        finishAtMs = Math.min(finishAtMs, room.finishAtMs(nowMs));
      }
    }
    if (leastMs > remainingBudgetMs)
      return { kind: 'refuse', reason: 'infeasible_at_max_cores', bestCaseMs, remainingBudgetMs };
    const earliestFinishMs = finishAtMs - nowMs;
    const retryAfterMs = Math.max(1, earliestFinishMs - remainingBudgetMs);
    return { kind: 'refuse', reason: 'queue_overload', bestCaseMs, remainingBudgetMs, earliestFinishMs, retryAfterMs };
  }

  /** No pod reports that it has the model. */
  #pickWithout(nowMs: number, request: RoutedRequest): Pick {
    const pods = this.#blindly(nowMs);
    const silent = pods.filter((pod) => pod.contact(nowMs) === 'silent');
    if (silent.length > 0)
      return this.#send(nowMs, request, { pod: this.#lessPending(nowMs, silent), spareMs: null }, [], 'blind');
    const reporting = this.#list.filter((pod) => pod.contact(nowMs) === 'reporting');
    if (reporting.length === 0) {
      if (pods.length === 0) return this.#unavailable();
      return this.#send(nowMs, request, { pod: this.#lessPending(nowMs, pods), spareMs: null }, [], 'blind');
    }
    const taking = reporting.filter((pod) => !pod.isDraining);
    if (taking.length === 0) return { kind: 'refuse', reason: 'draining', retryAfterMs: UNAVAILABLE_RETRY_MS };
    const having = taking.filter((pod) => pod.roomsFor(request).length > 0);
    if (having.length > 0) return this.#unavailable();
    const pod = taking[this.#below(taking.length)]!;
    return this.#send(nowMs, request, { pod, spareMs: null }, [], 'unknown-model');
  }

  #unavailable(): Refused {
    return { kind: 'refuse', reason: 'model_unavailable', retryAfterMs: UNAVAILABLE_RETRY_MS };
  }

  /** Those of which nothing is known now, those last on which nothing listens. */
  #blindly(nowMs: number): readonly Pod[] {
    const unheard = this.#list.filter((pod) => !pod.isDraining && pod.contact(nowMs) !== 'reporting');
    const silent = unheard.filter((pod) => pod.contact(nowMs) === 'silent');
    return silent.length > 0 ? silent : unheard;
  }

  /** Of two by chance. */
  #lessPending(nowMs: number, pods: readonly Pod[]): Pod {
    const [one, other] = [pods[this.#below(pods.length)]!, pods[this.#below(pods.length)]!];
    one.forget(nowMs);
    other.forget(nowMs);
    return other.pendingCount < one.pendingCount ? other : one;
  }

  // ---- tests --------------------------------------------------------------------------------------------------------

  /** A pod that makes no reports and is due to be tried, where the request can spare it; null where there is none. */
  #testInstead(nowMs: number, { spareMs }: Candidate): Pod | null {
    if (this.#picksSinceTest < PICKS_PER_TEST || this.#list.length === 0) return null;
    // One look a pick: whoever is due has its turn.
    this.#testCursor = (this.#testCursor + 1) % this.#list.length;
    const pod = this.#list[this.#testCursor]!;
    const contact = pod.contact(nowMs);
    if (contact === 'reporting' || pod.isDraining || nowMs < pod.testAtMs) return null;
    if (spareMs < TEST_SPARE_MS && nowMs < pod.testAtMs + TEST_PATIENCE_MS) return null;
    pod.testAtMs = nowMs + (contact === 'lost' ? LOST_TEST_EVERY_MS : TEST_EVERY_MS);
    this.#picksSinceTest = 0;
    return pod;
  }

  // ---- sending ------------------------------------------------------------------------------------------------------

  #send(
    nowMs: number,
    request: RoutedRequest,
    { pod, spareMs }: { readonly pod: Pod; readonly spareMs: number | null },
    others: readonly Candidate[],
    reason: PickReason,
  ): Sent {
    const number = ++this.#number;
    const fallbacks = others
      .filter((each) => each.pod !== pod)
      .sort((a, b) => b.spareMs - a.spareMs)
      .map((each) => each.pod.id);
    pod.send(nowMs, number, dueAtMs(nowMs, request, pod), request);
    const told = spareMs === null || !Number.isFinite(spareMs) ? null : spareMs;
    return {
      kind: 'send',
      pod: pod.id,
      fallbacks: [...new Set(fallbacks)].slice(0, MOST_FALLBACKS),
      reason,
      number,
      spareMs: told,
    };
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

function mostHopeful(candidates: readonly Candidate[]): Candidate {
  return candidates.reduce((best, each) => (each.hopeMs > best.hopeMs ? each : best));
}

/** Without a budget the pod has one for it. */
function dueAtMs(nowMs: number, request: RoutedRequest, pod: Pod): number {
  return nowMs + (request.budgetMs ?? pod.roomsFor(request)[0]?.report.defaultSloMs ?? USUAL_SLO_MS);
}
