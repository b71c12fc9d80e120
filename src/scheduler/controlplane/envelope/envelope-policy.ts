/*
 * The limit that encloses all allocations of a server, where changing it takes an API server and a kubelet: tens of milliseconds to
 * seconds, never for nothing, and not always with success. This decides when to ask for which limit. `envelope.ts` carries it out.
 *
 * - What is needed beyond it is asked for at once, as far as the rate allows; all that comes meanwhile is one resize.
 * - Less is asked for once no more was needed for a while, by a tenth at least, and only while another resize is left for growth.
 * - *Deferred*: the node has no room now. What is in force is what there is; the wish stands while all of it is used, because whoever
 *   carries it out tries it again by itself, and is taken back once less would do.
 * - *Infeasible*: the node never has room. Nothing as large is asked for until somebody else changed something, or ten minutes have passed; what
 *   lies between is searched by halves, and the wish is taken back.
 * - *Refused, unreachable*: asked again after a pause that doubles. What is in force stays.
 * - *Contested*: somebody else sets limits too. Theirs is taken as it is, and overruled where it is too little; after the third time within five
 *   minutes they have it for five minutes.
 */
import { RecentPeak } from './recent-peak.js';
import { ResizeBudget, type ResizeRate } from './resize-budget.js';

/** All in millicores of the whole limit: the allocations and what is reserved beside them. */
export interface EnvelopeRules {
  readonly leastMillicores: number;
  readonly mostMillicores: number;
  readonly stepMillicores: number;
  /** For what runs in it and has no allocation: the router. */
  readonly reserveMillicores: number;
  /** A smaller limit is asked for once nothing more was needed for so long. */
  readonly holdMs: number;
  readonly rate: ResizeRate;
  /** Somebody else sets it, always: it is followed, and nothing is ever asked for. */
  readonly isLeftToOthers?: boolean;
}

/** Why no more can be had than there is. */
export type EnvelopeTrouble = 'deferred' | 'infeasible' | 'refused' | 'unreachable' | 'contested';

export type EnvelopeStep =
  | { readonly kind: 'resize'; readonly limitMillicores: number }
  /** Nothing before that; Infinity: nothing, unless something changes. */
  | { readonly kind: 'wait'; readonly untilMs: number };

/** A smaller limit has to be worth a write. */
const LEAST_SHRINK_FRACTION = 0.1;
const INFEASIBLE_FOR_MS = 600_000;
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;
const CONTEST_MS = 300_000;
const MOST_CONTESTS = 3;

export class EnvelopePolicy {
  readonly #rules: EnvelopeRules;
  readonly #budget: ResizeBudget;
  readonly #peak: RecentPeak;
  /** What is to be in force by our last wish, or somebody else's. */
  #wishedMillicores: number;
  #inForceMillicores: number;
  #neededMillicores = 0;
  /** The wish is put off. */
  #isDeferred = false;
  /** From so much on nothing can be had. */
  #infeasible: { readonly fromMillicores: number; readonly untilMs: number } | null = null;
  /** The wish itself is infeasible, and to be taken back. */
  #isWishInfeasible = false;
  #pause: { readonly kind: 'refused' | 'unreachable'; readonly untilMs: number } | null = null;
  #failures = 0;
  #contestedAtMs: readonly number[] = [];
  #yieldsUntilMs = -Infinity;

  constructor(nowMs: number, limitMillicores: number, rules: EnvelopeRules) {
    this.#rules = rules;
    this.#budget = new ResizeBudget(nowMs, rules.rate);
    this.#peak = new RecentPeak(rules.holdMs);
    this.#wishedMillicores = limitMillicores;
    this.#inForceMillicores = limitMillicores;
    if (rules.isLeftToOthers === true) this.#yieldsUntilMs = Infinity;
    // What there is at the start is not given back before it is known what is needed.
    this.#peak.push(nowMs, this.availableMillicores);
  }

  get inForceMillicores(): number {
    return this.#inForceMillicores;
  }

  get wishedMillicores(): number {
    return this.#wishedMillicores;
  }

  /** Of the allocations: what there is for them now. */
  get availableMillicores(): number {
    return Math.max(0, this.#inForceMillicores - this.#rules.reserveMillicores);
  }

  /** Of the allocations: the most that can be had, now or after a resize. */
  reachableMillicores(nowMs: number): number {
    const ceiling = this.trouble(nowMs) === null ? this.#ceilingMillicores(nowMs) : this.#ceilingWithTrouble(nowMs);
    return Math.max(
      0,
      Math.max(ceiling, Math.min(this.#inForceMillicores, this.#rules.mostMillicores)) - this.#rules.reserveMillicores,
    );
  }

  /** Null while whatever is needed can be asked for. */
  trouble(nowMs: number): EnvelopeTrouble | null {
    if (nowMs < this.#yieldsUntilMs) return 'contested';
    // After the pause it is believed possible again, so that somebody asks: else nobody would ever find out.
    if (this.#pause !== null && nowMs < this.#pause.untilMs) return this.#pause.kind;
    if (this.#isDeferred) return 'deferred';
    return this.#isInfeasible(nowMs) ? 'infeasible' : null;
  }

  /** The latest resize that was asked for could not be; null where it could. */
  get failure(): 'refused' | 'unreachable' | null {
    return this.#pause?.kind ?? null;
  }

  /** What was wished for is under way: neither in force, nor known not to be. */
  isUnderWay(nowMs: number): boolean {
    if (this.#isDeferred || this.#isWishInfeasible || nowMs < this.#yieldsUntilMs) return false;
    if (this.#pause !== null && nowMs < this.#pause.untilMs) return false;
    return Math.abs(this.#wishedMillicores - this.#inForceMillicores) >= this.#rules.stepMillicores;
  }

  /** @param cpuMillicores of all allocations together */
  need(nowMs: number, cpuMillicores: number): void {
    this.#neededMillicores = cpuMillicores;
    this.#peak.push(nowMs, cpuMillicores);
  }

  decide(nowMs: number): EnvelopeStep {
    if (nowMs < this.#yieldsUntilMs) return { kind: 'wait', untilMs: this.#yieldsUntilMs };
    const target = this.#targetMillicores(nowMs);
    if (this.#pause !== null && nowMs < this.#pause.untilMs) return { kind: 'wait', untilMs: this.#pause.untilMs };
    if (target > this.#wishedMillicores) return this.#when(nowMs, 1, target);
    const isTakenBack = this.#isWishInfeasible || (this.#isDeferred && target < this.#inForceMillicores);
    const isWorthIt =
      this.#wishedMillicores - target >=
      Math.max(this.#rules.stepMillicores, LEAST_SHRINK_FRACTION * this.#wishedMillicores);
    if (target < this.#wishedMillicores && (isTakenBack || (isWorthIt && !this.#isDeferred))) {
      return this.#when(nowMs, 2, target);
    }
    // It was refused, and is wished for no more.
    if (this.#pause !== null && target === this.#wishedMillicores && target !== this.#inForceMillicores) {
      return this.#when(nowMs, 1, target);
    }
    return { kind: 'wait', untilMs: Math.min(this.#peak.fallsAtMs(nowMs), this.#infeasible?.untilMs ?? Infinity) };
  }

  // ---- what came of it ---------------------------------------------------------------------------------------------

  /** What `decide` said is being asked for. */
  noteAsked(nowMs: number, limitMillicores: number): void {
    this.#budget.spend(nowMs);
    this.#wishedMillicores = limitMillicores;
    this.#isDeferred = false;
    this.#isWishInfeasible = false;
  }

  /** The wish was taken; when it is in force is another matter. */
  noteAccepted(): void {
    this.#pause = null;
    this.#failures = 0;
  }

  /** Read back. */
  noteInForce(limitMillicores: number): void {
    this.#inForceMillicores = limitMillicores;
    if (Math.abs(limitMillicores - this.#wishedMillicores) < this.#rules.stepMillicores) this.#isDeferred = false;
  }

  noteDeferred(): void {
    this.#isDeferred = true;
  }

  noteInfeasible(nowMs: number): void {
    const fromMillicores = Math.min(this.#wishedMillicores, this.#infeasible?.fromMillicores ?? Infinity);
    this.#infeasible = { fromMillicores, untilMs: nowMs + INFEASIBLE_FOR_MS };
    this.#isWishInfeasible = true;
    this.#isDeferred = false;
  }

  /** What was put off or impossible is so no more, by what whoever carries it out says. */
  noteCleared(): void {
    this.#isDeferred = false;
  }

  noteFailed(nowMs: number, kind: 'refused' | 'unreachable', askedPauseMs: number | null): void {
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures++);
    this.#pause = { kind, untilMs: nowMs + Math.max(pauseMs, Math.min(LONGEST_PAUSE_MS, askedPauseMs ?? 0)) };
    // It is not what will be in force.
    this.#wishedMillicores = this.#inForceMillicores;
  }

  /** Somebody else wished for another limit: what was impossible may not be so any more. */
  noteOthers(nowMs: number, limitMillicores: number): void {
    this.#wishedMillicores = limitMillicores;
    this.#isDeferred = false;
    this.#isWishInfeasible = false;
    this.#infeasible = null;
    this.#contestedAtMs = [...this.#contestedAtMs.filter((atMs) => atMs > nowMs - CONTEST_MS), nowMs];
    if (this.#contestedAtMs.length < MOST_CONTESTS) return;
    this.#contestedAtMs = [];
    this.#yieldsUntilMs = nowMs + CONTEST_MS;
  }

  // ---- targets -----------------------------------------------------------------------------------------------------

  #targetMillicores(nowMs: number): number {
    const { leastMillicores, stepMillicores, reserveMillicores } = this.#rules;
    const needed = Math.max(this.#neededMillicores, this.#peak.at(nowMs)) + reserveMillicores;
    const stepped = Math.ceil(needed / stepMillicores) * stepMillicores;
    return Math.max(leastMillicores, Math.min(this.#ceilingMillicores(nowMs), stepped));
  }

  /** Halfway to what is infeasible, or what there is where no whole step lies between. */
  #ceilingMillicores(nowMs: number): number {
    const { mostMillicores, stepMillicores } = this.#rules;
    if (!this.#isInfeasible(nowMs)) return mostMillicores;
    const { fromMillicores } = this.#infeasible!;
    const between = (fromMillicores - this.#inForceMillicores) / 2;
    const steps = Math.floor(between / stepMillicores);
    return Math.min(mostMillicores, this.#inForceMillicores + Math.max(0, steps) * stepMillicores);
  }

  /** What is put off, or cannot be asked for, is not to be counted on. */
  #ceilingWithTrouble(nowMs: number): number {
    return this.trouble(nowMs) === 'infeasible' ? this.#ceilingMillicores(nowMs) : this.#inForceMillicores;
  }

  #isInfeasible(nowMs: number): boolean {
    return this.#infeasible !== null && nowMs < this.#infeasible.untilMs;
  }

  #when(nowMs: number, count: number, limitMillicores: number): EnvelopeStep {
    const untilMs = this.#budget.readyAtMs(nowMs, count);
    return untilMs <= nowMs ? { kind: 'resize', limitMillicores } : { kind: 'wait', untilMs };
  }
}
