/*
 * One allocation inside an envelope: the quota of a CPU group where there is one, resized within the envelope at once; where there is none,
 * the envelope itself.
 *
 * - Within the envelope a group is resized as without one. Beyond it, it gets what there is at once and the rest when the envelope has
 *   grown; whoever asked is answered then, or after `PATIENCE_MS` with what there is, so that no batch waits for an API server.
 * - Without a group the answer comes when the envelope has followed, or is known not to. What is in force is what there is: nothing
 *   keeps one model of several from using what another leaves.
 *
 * Whoever has an answer and hears that something else is in force since asks again for the same, and is told (`Scaler.watch`).
 */
import type { Timer } from '../../clock/clock.js';
import type { AllocationLimits } from '../../domain/plan.js';
import type { CpuCounters, ResizeResult, Scaler } from '../scaler.js';
import type { Envelope, EnvelopeMember } from './envelope.js';

/** A kubelet has changed the quota by then, or takes a second or more: 26 to 95 ms were measured. */
const PATIENCE_MS = 150;
/** The same where that is all there is, until it is known. */
const EXPECTED_DELAY_MS = 50;

export interface EnvelopedScalerOptions {
  readonly envelope: Envelope;
  readonly limits: AllocationLimits;
  /** Resizes a group at once; null where there is none. */
  readonly inner: Scaler | null;
  /** What a kind of scaler it is, where there is no inner one. */
  readonly kind: Scaler['kind'];
  readonly readCounters: () => CpuCounters | null;
}

interface Asked {
  readonly cpuMillicores: number;
  readonly atMs: number;
  readonly onApplied: (result: ResizeResult) => void;
}

export class EnvelopedScaler implements Scaler, EnvelopeMember {
  readonly isActuating = true;
  readonly limits: AllocationLimits;
  readonly idleMillicores: number;
  readonly expectedDelayMs: number;
  readonly #options: EnvelopedScalerOptions;
  readonly #listeners = new Set<() => void>();
  #neededMillicores = 0;
  /** Not answered yet, oldest first: all but the last are superseded. */
  #asked: Asked[] = [];
  /** What whoever asked last was told. */
  #toldMillicores: number | null = null;
  #toldReachable: number;
  /** What the group was given last. */
  #innerMillicores: number | null = null;
  #patience: Timer | null = null;

  constructor(options: EnvelopedScalerOptions) {
    this.#options = options;
    const { limits, inner, envelope } = options;
    this.limits = limits;
    this.idleMillicores = inner === null ? limits.minMillicores : inner.idleMillicores;
    this.expectedDelayMs = inner === null ? EXPECTED_DELAY_MS : inner.expectedDelayMs;
    this.#toldReachable = envelope.reachableMillicores;
    envelope.join(this);
  }

  get kind(): Scaler['kind'] {
    return this.#options.inner?.kind ?? this.#options.kind;
  }

  get neededMillicores(): number {
    return this.#neededMillicores;
  }

  get reachableMillicores(): number {
    return this.#options.envelope.reachableMillicores;
  }

  watch(onChanged: () => void): void {
    this.#listeners.add(onChanged);
  }

  readCounters(): CpuCounters | null {
    return (this.#options.inner ?? this.#options).readCounters();
  }

  resize(cpuMillicores: number, onApplied: (result: ResizeResult) => void): void {
    const { envelope, inner } = this.#options;
    const { clock } = envelope;
    this.#neededMillicores = cpuMillicores;
    this.#asked.push({ cpuMillicores, atMs: clock.nowMs(), onApplied });
    if (inner !== null) this.#resizeInner(inner);
    envelope.follow();
    // Never from inside this call.
    if (inner === null) clock.schedule(clock.nowMs(), () => this.#settle());
  }

  onChanged = (): void => {
    const { inner, envelope } = this.#options;
    if (inner !== null && this.#neededMillicores > 0) this.#resizeInner(inner);
    if (inner === null) this.#settle();
    const reachable = envelope.reachableMillicores;
    const isElse =
      this.#asked.length === 0 && this.#toldMillicores !== null && this.#toldMillicores !== this.#inForce();
    if (!isElse && reachable === this.#toldReachable) return;
    this.#toldReachable = reachable;
    this.#tellListeners();
  };

  #tellListeners(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Nothing is asked for any more. */
  close(): void {
    this.#patience?.cancel();
    this.#neededMillicores = 0;
    this.#listeners.clear();
    this.#options.envelope.leave(this);
  }

  // ---- with a group ------------------------------------------------------------------------------------------------

  /** What there is of what is needed; whoever asked is answered where that is all of it, or will not soon be more. */
  #resizeInner(inner: Scaler): void {
    const { envelope } = this.#options;
    const target = this.#withinEnvelope();
    if (target === this.#innerMillicores && this.#asked.length === 0) return;
    this.#innerMillicores = target;
    const asked = this.#asked;
    const isWhole = target === this.#neededMillicores || envelope.isEnough || this.#isPatienceOver();
    if (isWhole) this.#asked = [];
    inner.resize(target, (result) => {
      const isElse = result.kind === 'applied' && result.cpuMillicores !== this.#toldMillicores;
      if (result.kind === 'applied') this.#toldMillicores = result.cpuMillicores;
      if (!isWhole) return;
      // Nobody waited for it any more.
      if (isElse && asked.length === 0) this.#tellListeners();
      this.#patience?.cancel();
      this.#patience = null;
      this.#answer(asked, result);
    });
    if (isWhole || this.#patience !== null) return;
    const { clock } = envelope;
    this.#patience = clock.schedule(this.#asked.at(-1)!.atMs + PATIENCE_MS, () => {
      this.#patience = null;
      if (this.#asked.length > 0) this.#resizeInner(inner);
    });
  }

  #isPatienceOver(): boolean {
    const last = this.#asked.at(-1);
    return last === undefined || this.#options.envelope.clock.nowMs() >= last.atMs + PATIENCE_MS;
  }

  /** A group above what encloses it is no more than that by cgroup v2, and refused by v1. */
  #withinEnvelope(): number {
    const { minMillicores, stepMillicores } = this.limits;
    const needed = this.#neededMillicores;
    if (needed <= this.idleMillicores) return needed;
    const steps = Math.floor((this.#options.envelope.availableMillicores - minMillicores) / stepMillicores);
    return Math.min(needed, Math.max(minMillicores, minMillicores + steps * stepMillicores));
  }

  // ---- without one -------------------------------------------------------------------------------------------------

  #settle(): void {
    const { envelope } = this.#options;
    if (this.#asked.length === 0 || !(envelope.isSettled || this.#isSuperseded())) return;
    const asked = envelope.isSettled ? this.#asked : this.#asked.slice(0, -1);
    this.#asked = envelope.isSettled ? [] : this.#asked.slice(-1);
    const cpuMillicores = this.#inForce();
    const isWritten = this.#toldMillicores !== null && cpuMillicores !== this.#toldMillicores;
    this.#toldMillicores = cpuMillicores;
    this.#answer(asked, { kind: 'applied', cpuMillicores, isWritten, tookMs: 0 });
  }

  #isSuperseded(): boolean {
    return this.#asked.length > 1;
  }

  /** Alone it is all there is; of several each has what it asks for, or its share of what there is. */
  #inForce(): number {
    const { envelope, inner } = this.#options;
    if (inner !== null) return this.#toldMillicores ?? this.#innerMillicores ?? 0;
    const needed = envelope.neededMillicores;
    const available = envelope.availableMillicores;
    if (needed === this.#neededMillicores) return Math.min(this.limits.maxMillicores, Math.round(available));
    return Math.round(this.#neededMillicores * Math.min(1, available / Math.max(1, needed)));
  }

  /** Each is told how long it waited; of those that were superseded nothing was written. */
  #answer(asked: readonly Asked[], result: ResizeResult): void {
    const nowMs = this.#options.envelope.clock.nowMs();
    asked.forEach(({ atMs, onApplied }, index) => {
      if (result.kind === 'refused') onApplied(result);
      else {
        const tookMs = Math.max(result.tookMs, nowMs - atMs);
        onApplied({ ...result, isWritten: result.isWritten && index === asked.length - 1, tookMs });
      }
    });
  }
}
