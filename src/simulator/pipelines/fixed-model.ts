import type { Clock } from '../../scheduler/clock/clock.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { PartOutcome, PartWork, StepPort } from '../../scheduler/pipeline/step-port.js';
import type { StepOutlook } from '../../scheduler/pipeline/timing.js';
import type { FixedPool, PoolMember } from './fixed-pool.js';
import type { EarlyDrop } from './early-drop.js';

/*
 * A model's steps on instances of a fixed number of cores, with batches of a fixed size that wait for at most so long to fill: how Triton's dynamic
 * batcher serves a model, to which deadlines mean nothing; or, with an early drop, how PARD does.
 */

export interface FixedModelOptions {
  readonly clock: Clock;
  readonly pool: FixedPool;
  readonly cores: number;
  readonly batchSize: number;
  readonly waitMs: number;
  /** A batch that starts now, chance included. */
  readonly latencyMs: (batchSize: number, nowMs: number) => number;
  readonly outputsOf: (step: number, work: PartWork) => ReadonlyMap<string, Tensor | readonly Tensor[]>;
  /** Told of each batch at its end. */
  readonly onBatch: (works: readonly PartWork[], tookMs: number) => void;
  readonly earlyDrop?: EarlyDrop;
  /** Nothing is begun for a request that is over its time: it waits at no further step. */
  readonly asksBefore: boolean;
  /** Nobody waits here for longer than the whole may take. */
  readonly limitsQueue: boolean;
}

interface Waiting {
  /** Index in the graph. */
  readonly step: number;
  readonly work: PartWork;
  readonly onOutcome: (outcome: PartOutcome) => void;
  readonly sinceMs: number;
}

const KNOWS_NOTHING: StepOutlook = { leastMs: 0, plannedMs: 0, partMs: 0, resource: 'cores', startInMs: () => 0 };

export class FixedModel implements PoolMember {
  readonly cores: number;
  batches = 0;
  batchedParts = 0;
  readonly #options: FixedModelOptions;
  /** As they came. */
  readonly #waiting: Waiting[] = [];
  #isTimerSet = false;

  constructor(options: FixedModelOptions) {
    this.#options = options;
    this.cores = options.cores;
    options.pool.join(this);
  }

  /** @param step its index in the graph */
  portOf(step: number): StepPort {
    return {
      unavailable: '',
      outlook: () => KNOWS_NOTHING,
      submit: (work, onOutcome) => this.#submit(step, work, onOutcome),
      // What runs, runs to its end.
      cancel: (id) => this.#remove(id),
    };
  }

  readyHeadAtMs(nowMs: number): number {
    this.#drop(nowMs);
    const [head] = this.#waiting;
    if (head === undefined) return Infinity;
    const { batchSize, waitMs } = this.#options;
    const isReady = this.#waiting.length >= batchSize || nowMs >= head.sinceMs + waitMs;
    return isReady ? head.sinceMs : Infinity;
  }

  startNext(nowMs: number): void {
    const { clock, pool, batchSize, latencyMs, outputsOf, onBatch, earlyDrop } = this.#options;
    const members = this.#takeBatch(batchSize);
    const tookMs = latencyMs(members.length, nowMs);
    this.batches += 1;
    this.batchedParts += members.length;
    for (const { step, sinceMs } of members) earlyDrop?.began(step, nowMs - sinceMs);
    clock.schedule(nowMs + tookMs, () => {
      onBatch(
        members.map(({ work }) => work),
        tookMs,
      );
      pool.ended(this, clock.nowMs());
      for (const { step, work, onOutcome } of members)
        onOutcome({ kind: 'done', outputs: outputsOf(step, work), service: null });
      pool.serve(clock.nowMs());
    });
    this.#armTimer();
  }

  #submit(step: number, work: PartWork, onOutcome: (outcome: PartOutcome) => void): void {
    const { clock, pool, earlyDrop, asksBefore } = this.#options;
    const nowMs = clock.nowMs();
    if (asksBefore && nowMs >= work.request.dueAtMs) {
      onOutcome(expired(nowMs, work));
      return;
    }
    earlyDrop?.arrived(step, nowMs);
    this.#waiting.push({ step, work, onOutcome, sinceMs: nowMs });
    // What comes at once shares a batch.
    clock.schedule(nowMs, () => pool.serve(clock.nowMs()));
    this.#armTimer();
  }

  #remove(id: number): void {
    const place = this.#waiting.findIndex(({ work }) => work.id === id);
    if (place >= 0) this.#waiting.splice(place, 1);
  }

  #takeBatch(count: number): readonly Waiting[] {
    const { earlyDrop } = this.#options;
    const order =
      earlyDrop === undefined
        ? this.#waiting.slice(0, count)
        : [...this.#waiting].sort((a, b) => earlyDrop.compare(a.work, b.work)).slice(0, count);
    const taken = new Set(order);
    const left = this.#waiting.filter((each) => !taken.has(each));
    this.#waiting.splice(0, this.#waiting.length, ...left);
    return order;
  }

  /** Whom nobody can bring to the end in time, by what is believed of the steps behind; and who has waited for too long. */
  #drop(nowMs: number): void {
    const { earlyDrop, limitsQueue } = this.#options;
    if (earlyDrop === undefined && !limitsQueue) return;
    const isLost = ({ step, work, sinceMs }: Waiting): boolean =>
      earlyDrop?.isLost(step, nowMs, work) ?? nowMs - sinceMs > work.request.dueAtMs - work.request.receivedAtMs;
    const lost = this.#waiting.filter(isLost);
    for (const each of lost) this.#remove(each.work.id);
    for (const { work, onOutcome } of lost) onOutcome(expired(nowMs, work));
  }

  #armTimer(): void {
    const [head] = this.#waiting;
    if (head === undefined || this.#isTimerSet) return;
    const { clock, pool, waitMs } = this.#options;
    const atMs = head.sinceMs + waitMs;
    if (atMs <= clock.nowMs()) return;
    this.#isTimerSet = true;
    clock.schedule(atMs, () => {
      this.#isTimerSet = false;
      pool.serve(clock.nowMs());
      this.#armTimer();
    });
  }
}

function expired(nowMs: number, { request }: PartWork): PartOutcome {
  const lateByMs = Math.max(0, nowMs - request.dueAtMs);
  return { kind: 'refused', outcome: { kind: 'expired', reason: 'expired', lateByMs } };
}
