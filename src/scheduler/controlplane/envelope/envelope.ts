/*
 * A limit that encloses the allocations of all models of a server, and that others carry out: the CPU limit of the pod that we run in. It
 * follows the sum of what the allocations ask for (`envelope-policy.ts` says when and how far), and tells each of them what there is.
 *
 * Invariant: what was asked for last is the policy's wish; what is in force is what was read back, whoever brought it about.
 */
import type { Clock, Timer } from '../../clock/clock.js';
import { EnvelopePolicy, type EnvelopeRules, type EnvelopeTrouble } from './envelope-policy.js';

/** Whoever carries it out. Answers by the `note…` methods, never from inside the call; a newer call supersedes an older one. */
export interface EnvelopePort {
  resize(limitMillicores: number): void;
}

/** Whose allocation is inside. */
export interface EnvelopeMember {
  /** What is asked for now; 0 for nothing. */
  readonly neededMillicores: number;
  /** What there is, or could be had, has changed. Called once a change, after it. */
  readonly onChanged: () => void;
}

export interface EnvelopeStatus {
  readonly inForceMillicores: number;
  readonly wishedMillicores: number;
  /** Of the allocations. */
  readonly neededMillicores: number;
  readonly reachableMillicores: number;
  /** Null while whatever is needed can be asked for. */
  readonly trouble: EnvelopeTrouble | null;
}

/** Something came of a resize, or it was seen that somebody else made one. */
export type EnvelopeNews =
  | { readonly kind: 'asked'; readonly limitMillicores: number }
  | { readonly kind: 'in-force'; readonly limitMillicores: number; readonly tookMs: number }
  | { readonly kind: 'trouble'; readonly trouble: EnvelopeTrouble; readonly message: string }
  | { readonly kind: 'recovered' };

export interface EnvelopeOptions {
  readonly clock: Clock;
  readonly rules: EnvelopeRules;
  /** In force now. */
  readonly limitMillicores: number;
  readonly port: EnvelopePort;
  readonly onNews?: (news: EnvelopeNews) => void;
}

export class Envelope {
  readonly rules: EnvelopeRules;
  readonly clock: Clock;
  readonly #policy: EnvelopePolicy;
  readonly #port: EnvelopePort;
  readonly #onNews: (news: EnvelopeNews) => void;
  readonly #members = new Set<EnvelopeMember>();
  #timer: Timer | null = null;
  /** Of the wish that is under way; null where none is. */
  #askedAtMs: number | null = null;
  #toldTrouble: EnvelopeTrouble | null = null;
  #isTelling = false;

  constructor({ clock, rules, limitMillicores, port, onNews = () => undefined }: EnvelopeOptions) {
    this.clock = clock;
    this.rules = rules;
    this.#policy = new EnvelopePolicy(clock.nowMs(), limitMillicores, rules);
    this.#port = port;
    this.#onNews = onNews;
  }

  join(member: EnvelopeMember): void {
    this.#members.add(member);
  }

  leave(member: EnvelopeMember): void {
    this.#members.delete(member);
    this.follow();
  }

  get status(): EnvelopeStatus {
    const nowMs = this.clock.nowMs();
    const { inForceMillicores, wishedMillicores } = this.#policy;
    return {
      inForceMillicores,
      wishedMillicores,
      neededMillicores: this.neededMillicores,
      reachableMillicores: this.#policy.reachableMillicores(nowMs),
      trouble: this.#policy.trouble(nowMs) ?? this.#policy.failure,
    };
  }

  get neededMillicores(): number {
    let needed = 0;
    for (const member of this.#members) needed += member.neededMillicores;
    return needed;
  }

  /** Of all allocations together, now. */
  get availableMillicores(): number {
    return this.#policy.availableMillicores;
  }

  /** Of all allocations together: now, or after a resize. */
  get reachableMillicores(): number {
    return this.#policy.reachableMillicores(this.clock.nowMs());
  }

  /** Whether all have what they ask for, or as much of it as can be had. */
  get isEnough(): boolean {
    return this.neededMillicores <= this.availableMillicores || this.#policy.trouble(this.clock.nowMs()) !== null;
  }

  /** Whether nothing is under way, nor about to be as soon as the rate allows. */
  get isSettled(): boolean {
    const nowMs = this.clock.nowMs();
    if (this.#policy.isUnderWay(nowMs)) return false;
    const step = this.#policy.decide(nowMs);
    // Growth that waits for its turn is about to be; less may wait for long.
    return step.kind === 'wait' && (this.isEnough || step.untilMs === Infinity);
  }

  /** What the members need has changed. */
  follow(): void {
    const nowMs = this.clock.nowMs();
    this.#policy.need(nowMs, this.neededMillicores);
    this.#act(nowMs);
  }

  // ---- from whoever carries it out ----------------------------------------------------------------------------------

  noteAccepted(): void {
    this.#policy.noteAccepted();
    this.#changed();
  }

  /** As it was read back, whenever it may have changed. */
  noteInForce(limitMillicores: number): void {
    const nowMs = this.clock.nowMs();
    const isNews = limitMillicores !== this.#policy.inForceMillicores;
    this.#policy.noteInForce(limitMillicores);
    if (this.#askedAtMs !== null && !this.#policy.isUnderWay(nowMs)) {
      this.#onNews({ kind: 'in-force', limitMillicores, tookMs: nowMs - this.#askedAtMs });
      this.#askedAtMs = null;
    }
    if (isNews) this.#changed();
  }

  noteDeferred(message: string): void {
    this.#policy.noteDeferred();
    this.#tell('deferred', message);
  }

  noteInfeasible(message: string): void {
    this.#policy.noteInfeasible(this.clock.nowMs());
    this.#tell('infeasible', message);
  }

  /** It was put off, and is no more. */
  noteCleared(): void {
    this.#policy.noteCleared();
    this.#changed();
  }

  noteFailed(kind: 'refused' | 'unreachable', message: string, pauseMs: number | null): void {
    this.#askedAtMs = null;
    this.#policy.noteFailed(this.clock.nowMs(), kind, pauseMs);
    this.#tell(kind, message);
  }

  /** Somebody else wished for another limit. */
  noteOthers(limitMillicores: number, message: string): void {
    this.#policy.noteOthers(this.clock.nowMs(), limitMillicores);
    if (this.#policy.trouble(this.clock.nowMs()) === 'contested') this.#tell('contested', message);
    else this.#changed();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  // -------------------------------------------------------------------------------------------------------------------

  #tell(trouble: EnvelopeTrouble, message: string): void {
    if (trouble !== this.#toldTrouble) this.#onNews({ kind: 'trouble', trouble, message });
    this.#toldTrouble = trouble;
    this.#changed();
  }

  /** Members may ask for something else when they hear of it. */
  #changed(): void {
    const nowMs = this.clock.nowMs();
    if (this.#toldTrouble !== null && this.#policy.trouble(nowMs) === null && this.#policy.failure === null) {
      this.#toldTrouble = null;
      this.#onNews({ kind: 'recovered' });
    }
    if (!this.#isTelling) {
      this.#isTelling = true;
      for (const member of [...this.#members]) member.onChanged();
      this.#isTelling = false;
    }
    this.#act(nowMs);
  }

  #act(nowMs: number): void {
    this.stop();
    const step = this.#policy.decide(nowMs);
    if (step.kind === 'resize') {
      this.#policy.noteAsked(nowMs, step.limitMillicores);
      this.#askedAtMs = nowMs;
      this.#onNews({ kind: 'asked', limitMillicores: step.limitMillicores });
      this.#port.resize(step.limitMillicores);
      this.#act(nowMs);
      return;
    }
    if (step.untilMs === Infinity) return;
    this.#timer = this.clock.schedule(step.untilMs, () => {
      this.#timer = null;
      this.#changed();
    });
  }
}
