import type { Clock } from '../clock/clock.js';
import { EdfQueue } from '../dataplane/edf-queue.js';
import { mayBeLate, type OnOutcome } from '../dataplane/queue-entry.js';
import type { Event } from '../domain/event.js';
import type { Outcome } from '../domain/outcome.js';
import type { InferRequest } from '../domain/request.js';
import type { Tensor } from '../domain/tensor.js';
import { DRAINING, type Refusal } from '../pipeline/refusals.js';
import type { PartOutcome, StepPort } from '../pipeline/step-port.js';
import { ArrivalRate } from './arrival-rate.js';
import { AccuracyPacer, type VariantsObjective } from './objective.js';
import {
  fairLevel,
  isRoomFor,
  levelsFor,
  nextRelease,
  type Coming,
  type ReleaseView,
  type VariantPrices,
} from './release.js';

/*
 * A model with variants that is being served: requests wait in one queue, and go to one of the variants when it could begin with them, as
 * requests of that model, in its queue and by its planner's instances, batches and cores. A request that its variant refuses for want of
 * time goes to cheaper ones; one whose variant fails goes to another.
 *
 * Invariants: exactly one outcome a request; at most one variant has it at a time; it is given to each variant once at most.
 */

/** One of them, as it is served now. */
export interface VariantPort extends StepPort {
  readonly name: string;
  readonly accuracy: number;
  /** Null while nothing is known of its latency. */
  prices(): VariantPrices | null;
  /** Whether it has this and no batch has taken it. */
  isWaiting(id: number): boolean;
  /** For whomever. */
  readonly runningBatches: number;
}

export interface VariantsSystemOptions {
  readonly clock: Clock;
  /** By ascending accuracy, at least one. */
  readonly ports: readonly VariantPort[];
  readonly objective: VariantsObjective;
  /** How much accuracy counts beside time where a request says nothing, from 0 to 1. */
  readonly accuracyWeight: number;
  /** That a request takes which says nothing. */
  readonly leastAccuracy: number;
  /** What others do not need of the cores, now. */
  readonly cores: () => number;
  readonly maxRequests: number;
  /** For baselines: a level when it comes, for good. */
  readonly assign?: (nowMs: number, view: ReleaseView) => number;
  /** For what a choice is compared with: all that is to come within about a budget. */
  readonly comingAt?: (nowMs: number) => readonly Coming[];
  /** Told of requests, as of a model's. It must not call into this. */
  readonly onEvent: (event: Event) => void;
}

interface Held {
  readonly request: InferRequest;
  readonly inputs: ReadonlyMap<string, Tensor>;
  readonly onOutcome: OnOutcome;
  readonly leastLevel: number;
  /** Core-ms beyond what it would have got without insisting. */
  insistsCoreMs: number;
  /** Of its variant; null while it waits for one. */
  level: number | null;
  /** Of its asking a variant; another one each time. */
  id: number;
  readonly tried: Set<number>;
  isOver: boolean;
  // For the queue.
  readonly sequence: number;
  /** Infinity: after all that have to be in time. */
  dueAtMs: number;
  readonly priority: number;
  readonly byteCount: number;
}

/** Of the cores until its deadline, for all whose accuracy is more than the plan would give them. */
const INSISTING_FRACTION = 0.5;
/** Of a batch that runs half is done, on average. */
const RUNNING_FRACTION = 0.5;

export class VariantsSystem {
  readonly #options: VariantsSystemOptions;
  readonly #held = new Map<number, Held>();
  /** Those that no variant has. */
  readonly #queue = new EdfQueue<Held>();
  /** Those that a variant has. */
  readonly #given = new Set<Held>();
  readonly #rate = new ArrivalRate();
  readonly #pacer: AccuracyPacer;
  readonly #accuracies: readonly number[];
  #nextId = 1;
  #isReleasing = false;
  #isDraining = false;
  #onDrained: (() => void)[] = [];

  constructor(options: VariantsSystemOptions) {
    this.#options = options;
    this.#accuracies = options.ports.map(({ accuracy }) => accuracy);
    this.#pacer = new AccuracyPacer(options.objective, this.#accuracies);
  }

  get heldRequests(): number {
    return this.#held.size;
  }

  /** Why no request can be served now; '' while one of the variants can. */
  get unavailable(): string {
    const { ports } = this.#options;
    return ports.some(({ unavailable }) => unavailable === '') ? '' : (ports[0]?.unavailable ?? '');
  }

  /** What one request takes alone on the best variant, as it is planned; null while none can run. */
  get plannedMs(): number | null {
    const outlooks = this.#options.ports.map((port) => port.outlook());
    return outlooks.findLast((outlook) => outlook !== null)?.plannedMs ?? null;
  }

  /** `onOutcome` is called exactly once; before this returns when the request is refused at once. Outputs are held until it returns. */
  submit(request: InferRequest, inputs: readonly Tensor[], onOutcome: OnOutcome): void {
    const { clock, onEvent, assign } = this.#options;
    const nowMs = clock.nowMs();
    onEvent({ kind: 'request-received', atMs: nowMs, request });
    this.#rate.observe(nowMs, request.dueAtMs - nowMs);
    const { sequence, priority, byteCount } = request;
    const dueAtMs = request.isBestEffort ? Infinity : request.dueAtMs;
    const held: Held = {
      ...{ request, onOutcome, sequence, dueAtMs, priority, byteCount },
      ...{ level: null, id: 0, isOver: false, insistsCoreMs: 0, tried: new Set() },
      leastLevel: this.#leastLevel(request),
      inputs: new Map(inputs.map((tensor) => [tensor.name, tensor])),
    };
    this.#queue.push(held);
    const refusal = this.#door(nowMs, held);
    if (refusal !== null) {
      this.#queue.remove(held);
      onEvent({ kind: 'request-finished', atMs: nowMs, request, outcome: refusal });
      onOutcome(refusal);
      return;
    }
    this.#held.set(sequence, held);
    onEvent({ kind: 'request-admitted', atMs: nowMs, request, queueDepth: this.#queue.size });
    if (assign === undefined) this.#release();
    else this.#ask(held, assign(nowMs, this.#view(nowMs)));
  }

  /** The client left. Unknown or finished sequences are ignored. */
  cancel(sequence: number): void {
    const held = this.#held.get(sequence);
    if (held === undefined) return;
    const lateByMs = this.#options.clock.nowMs() - held.request.dueAtMs;
    this.#end(
      held,
      lateByMs >= 0 ? { kind: 'expired', reason: 'expired', lateByMs } : { kind: 'cancelled', reason: 'cancelled' },
    );
    this.#release();
  }

  /** Refuses new requests; calls back when every held one has its outcome. */
  drain(onDrained: () => void): void {
    this.#isDraining = true;
    if (this.#held.size === 0) onDrained();
    else this.#onDrained.push(onDrained);
  }

  /** Ends whatever is still held as failed. */
  stop(): void {
    this.#isDraining = true;
    for (const held of [...this.#held.values()]) this.#end(held, DRAINING);
  }

  // ---- the door ----------------------------------------------------------------------------------------------------

  #leastLevel({ leastAccuracy }: InferRequest): number {
    const least = leastAccuracy ?? this.#options.leastAccuracy;
    const level = this.#accuracies.findIndex((accuracy) => accuracy >= least);
    return level === -1 ? this.#accuracies.length : level;
  }

  /** @param held in the queue already */
  #door(nowMs: number, held: Held): Refusal | null {
    const { maxRequests, assign } = this.#options;
    const { request, leastLevel } = held;
    if (this.#isDraining) return DRAINING;
    if (this.#held.size >= maxRequests) return this.#overload(nowMs, request, 'queue_full');
    const view = this.#view(nowMs);
    if (levelsFor(view, leastLevel).length === 0)
      return { kind: 'failed', reason: 'model_unavailable', message: this.#whyClosed(leastLevel) };
    if (assign !== undefined || mayBeLate(request)) return null;
    const place = this.#queue.toSortedArray().indexOf(held);
    if (this.#queue.size > 1 && !isRoomFor(view, place, false)) return this.#overload(nowMs, request, 'queue_overload');
    if (leastLevel === 0) return null;
    const fair = fairLevel(view, place);
    if (fair >= leastLevel) return null;
    const dueInMs = Math.max(0, held.dueAtMs - nowMs);
    const [least, given] = [view.prices[leastLevel]!.coreMs(dueInMs), view.prices[fair]!.coreMs(dueInMs)];
    if (!Number.isFinite(least) || !Number.isFinite(given)) return null;
    held.insistsCoreMs = Math.max(0, least - given);
    let insisted = held.insistsCoreMs;
    for (const each of this.#held.values()) insisted += each.insistsCoreMs;
    const isWithin = insisted <= INSISTING_FRACTION * view.cores * dueInMs;
    return isWithin && isRoomFor(view, place, true) ? null : this.#overload(nowMs, request, 'queue_overload');
  }

  #whyClosed(leastLevel: number): string {
    const { ports } = this.#options;
    const port = ports.slice(leastLevel).find(({ unavailable }) => unavailable !== '');
    return port?.unavailable ?? `no variant is as accurate as that; the best one is ${this.#accuracies.at(-1)!}`;
  }

  // ---- which -------------------------------------------------------------------------------------------------------

  #view(nowMs: number): ReleaseView {
    const { ports, cores, comingAt } = this.#options;
    const prices = ports.map((port) => port.prices() ?? unknownPrices(port.accuracy));
    let busyCoreMs = 0;
    for (const { id, level, dueAtMs } of this.#given) {
      const ownCoreMs = prices[level!]!.coreMs(Math.max(1, dueAtMs - nowMs));
      const left = ports[level!]!.isWaiting(id) ? 1 : RUNNING_FRACTION;
      if (Number.isFinite(ownCoreMs)) busyCoreMs += left * ownCoreMs;
    }
    return {
      ...{ prices, busyCoreMs, cores: cores(), mostLevel: this.#pacer.mostLevel },
      isOpen: ports.map(({ unavailable }) => unavailable === ''),
      queue: this.#queue
        .toSortedArray()
        .map(({ dueAtMs, leastLevel }) => ({ dueInMs: Math.max(0, dueAtMs - nowMs), leastLevel })),
      ratePerMs: this.#rate.ratePerMs(nowMs),
      budgetMs: this.#rate.budgetMs,
      ...(comingAt === undefined ? {} : { coming: comingAt(nowMs) }),
    };
  }

  /** Batches that are under way, or will be of what waits at the variants. */
  get #takenLanes(): number {
    const { ports } = this.#options;
    const waiting = ports.map(() => 0);
    for (const { id, level } of this.#given) if (ports[level!]!.isWaiting(id)) waiting[level!]! += 1;
    return ports.reduce((sum, port, level) => {
      const maxBatchSize = port.prices()?.maxBatchSize ?? 1;
      return sum + port.runningBatches + Math.ceil(waiting[level]! / maxBatchSize);
    }, 0);
  }

  /** Gives what waits to variants while there are lanes. */
  #release(): void {
    if (this.#isReleasing || this.#options.assign !== undefined) return;
    this.#isReleasing = true;
    while (this.#queue.size > 0) {
      const nowMs = this.#options.clock.nowMs();
      const head = this.#queue.peek()!;
      if (head.dueAtMs < nowMs && mayBeLate(head.request)) {
        // It is late in any case: it makes nobody else late.
        this.#queue.remove(head);
        head.dueAtMs = Infinity;
        this.#queue.push(head);
        continue;
      }
      const lanes = Math.max(1, Math.ceil(this.#options.cores()));
      const view = this.#view(nowMs);
      if (levelsFor(view, head.leastLevel).length === 0) {
        this.#end(head, { kind: 'failed', reason: 'model_unavailable', message: this.#whyClosed(head.leastLevel) });
        continue;
      }
      if (this.#takenLanes >= lanes) break;
      const { level, count } = nextRelease(view);
      for (const held of this.#queue.firstInOrder(count)) {
        // What was asked before may have been refused, and ended others.
        if (held.level === null && !held.isOver) this.#ask(held, this.#weighed(nowMs, held, level));
      }
    }
    this.#isReleasing = false;
  }

  /** A request may have less than the plan gives it, for an answer that is sooner there. */
  #weighed(nowMs: number, { request, leastLevel }: Held, most: number): number {
    const weight = request.accuracyWeight ?? this.#options.accuracyWeight;
    if (weight >= 1) return most;
    const { ports } = this.#options;
    const accuracies = this.#accuracies;
    const span = accuracies.at(-1)! - accuracies[0]!;
    const budgetMs = Math.max(1, request.dueAtMs - nowMs);
    let best = most;
    let bestScore = -Infinity;
    for (let level = leastLevel; level <= most; level++) {
      const outlook = ports[level]!.outlook();
      if (outlook === null) continue;
      const answerInMs = outlook.startInMs(budgetMs) + outlook.plannedMs;
      const gained = span === 0 ? 0 : (accuracies[level]! - accuracies[0]!) / span;
      const score = weight * gained - (1 - weight) * (answerInMs / budgetMs);
      if (score > bestScore) [best, bestScore] = [level, score];
    }
    return best;
  }

  // ---- on the way --------------------------------------------------------------------------------------------------

  #ask(held: Held, level: number): void {
    const { request, inputs } = held;
    if (held.level === null) this.#queue.remove(held);
    this.#pacer.count(held.level, level);
    held.level = level;
    held.tried.add(level);
    this.#given.add(held);
    const id = (held.id = this.#nextId++);
    const work = { id, request, part: 0, dueAtMs: request.dueAtMs, inputs };
    this.#options.ports[level]!.submit(work, (outcome) => {
      if (!held.isOver && held.id === id) this.#ended(held, level, outcome);
      this.#release();
    });
  }

  #ended(held: Held, level: number, outcome: PartOutcome): void {
    const { clock, ports } = this.#options;
    if (outcome.kind === 'done') {
      const { name } = ports[level]!;
      const outputs = [...outcome.outputs.values()].flat();
      const service = { ...outcome.service!, variant: name };
      this.#finish(held, { kind: 'completed', isLate: clock.nowMs() > held.request.dueAtMs, outputs, service });
      return;
    }
    const next = this.#nextLevel(held, level, outcome.outcome);
    if (next === null) this.#finish(held, outcome.outcome);
    else this.#ask(held, next);
  }

  /** Who has it next; null: that was the last word. */
  #nextLevel({ leastLevel, tried, request }: Held, level: number, refusal: Refusal): number | null {
    const { ports, clock, assign } = this.#options;
    if (assign !== undefined) return null;
    const open = ports
      .map((_, index) => index)
      .filter((index) => index >= leastLevel && !tried.has(index) && ports[index]!.unavailable === '');
    const cheaper = open.filter((index) => index < level);
    switch (refusal.kind) {
      case 'rejected-infeasible':
      case 'rejected-overload':
        return cheaper.at(-1) ?? null;
      case 'failed': {
        const isLost = !mayBeLate(request) && clock.nowMs() >= request.dueAtMs;
        // What ended a worker would end the next one.
        if (refusal.reason === 'poison' || isLost || this.#isDraining) return null;
        return cheaper.at(-1) ?? open[0] ?? null;
      }
      case 'expired':
      case 'cancelled':
        return null;
    }
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  #overload(nowMs: number, request: InferRequest, reason: 'queue_overload' | 'queue_full'): Refusal {
    const bestCaseMs = this.#options.ports.map((port) => port.outlook()).find((each) => each !== null)?.leastMs ?? 0;
    const remainingBudgetMs = request.dueAtMs - nowMs;
    return {
      ...{ kind: 'rejected-overload', reason, bestCaseMs, remainingBudgetMs },
      earliestFinishMs: Math.max(bestCaseMs, remainingBudgetMs),
      retryAfterMs: Math.max(0, remainingBudgetMs - bestCaseMs),
    };
  }

  /** And whoever has it need not go on. */
  #end(held: Held, outcome: Outcome): void {
    const { id, level } = held;
    this.#finish(held, outcome);
    if (level !== null) this.#options.ports[level]!.cancel(id);
  }

  #finish(held: Held, outcome: Outcome): void {
    if (held.isOver) return;
    held.isOver = true;
    const { clock, onEvent } = this.#options;
    this.#held.delete(held.sequence);
    this.#given.delete(held);
    if (held.level === null) this.#queue.remove(held);
    else if (outcome.kind !== 'completed') this.#pacer.count(held.level, null);
    onEvent({ kind: 'request-finished', atMs: clock.nowMs(), request: held.request, outcome });
    held.onOutcome(outcome);
    if (this.#held.size > 0 || this.#onDrained.length === 0) return;
    const waiting = this.#onDrained;
    this.#onDrained = [];
    waiting.forEach((tell) => tell());
  }
}

/** It is tried first, and its latency known then. */
function unknownPrices(accuracy: number): VariantPrices {
  return { accuracy, maxBatchSize: 1, runMs: 0, coreMs: () => 0, batchMs: () => 0 };
}
