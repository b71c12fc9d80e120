import type { Clock } from '../clock/clock.js';
import { mayBeLate, type OnOutcome } from '../dataplane/queue-entry.js';
import type { Event } from '../domain/event.js';
import type { Outcome } from '../domain/outcome.js';
import type { ModelOutlook } from '../domain/pod-report.js';
import type { InferRequest } from '../domain/request.js';
import type { Tensor } from '../domain/tensor.js';
import { Caution } from './caution.js';
import { FanOuts, knownParts } from './fan-out.js';
import type { PipelineGraph } from './graph.js';
import { PartsInFlight, type PartInFlight } from './parts-in-flight.js';
import { isTooMuch, requestsToGiveUp, type PendingRequest } from './overload.js';
import { doorDecision, type PipelineLimits } from './pipeline-admission.js';
import { pipelineOutlook } from './pipeline-outlook.js';
import { Progress, type PartStart } from './progress.js';
import { DRAINING, failed, overloaded, refusalOfWhole, type Refusal } from './refusals.js';
import { ServiceSums } from './service-sums.js';
import { outlooksOf, type PartOutcome, type StepPort } from './step-port.js';
import { deadlineOf, longestMs, restsMs, stepMs, type DeadlineSplit, type StepOutlook } from './timing.js';
import { doneFraction, workLeft } from './work-left.js';

/*
 * A pipeline that is being served: requests come in at the door, each of their parts goes to the scheduler of its step with a deadline of its
 * own, and each request has one outcome. It queues nothing itself: what waits, waits at a step, by that step's order.
 *
 * Invariants: exactly one outcome a request; nothing of a request is asked of a step once it has its outcome, or can no longer have it in
 * time; what it held is let go of with it.
 *
 * Rejected: a queue at each step's border, which would have to be bounded and then stands still when the next one is full. A request that has
 * begun may go on; only who has not is kept out.
 */

export interface PipelineSystemOptions {
  readonly clock: Clock;
  readonly graph: PipelineGraph;
  /** In the order of the graph's steps. */
  readonly ports: readonly StepPort[];
  readonly limits: PipelineLimits;
  /** Of one request's tensors. */
  readonly maxBytesEach: number;
  /** Others are for comparison. */
  readonly split?: DeadlineSplit;
  /** Told of requests, as of a model's. It must not call into the pipeline. */
  readonly onEvent: (event: Event) => void;
}

interface Held {
  readonly request: InferRequest;
  readonly onOutcome: OnOutcome;
  readonly progress: Progress;
  readonly parts: PartsInFlight;
  readonly service: ServiceSums;
  readonly beganAtMs: number;
  /** Of each step, as far as the door could tell. */
  readonly knownParts: readonly (number | null)[];
  /** A belief would have refused it: it goes on until it is late, and shows whether that was right. */
  readonly isTried: boolean;
  isOver: boolean;
}

/** What a belief refuses is tried after so long in which nobody was let in. */
const TRY_AFTER_MS = 1000;
/** Weight of the newest in what a request is expected to hold. */
const BYTES_GAIN = 0.1;

export class PipelineSystem {
  readonly #options: PipelineSystemOptions;
  readonly #held = new Map<number, Held>();
  readonly #fanOuts: FanOuts;
  readonly #caution = new Caution();
  #peakBytes = 0;
  #lastBegunAtMs = -Infinity;
  #nextPartId = 1;
  #isDraining = false;
  #onDrained: (() => void)[] = [];

  constructor(options: PipelineSystemOptions) {
    this.#options = options;
    this.#fanOuts = new FanOuts(options.graph.steps.length);
  }

  get heldRequests(): number {
    return this.#held.size;
  }

  /** Of all tensors between steps, and inputs that are still used. */
  get heldBytes(): number {
    let bytes = 0;
    for (const { progress } of this.#held.values()) bytes += progress.heldBytes;
    return bytes;
  }

  /** Why no request can be served now; '' while they can. */
  get unavailable(): string {
    return this.#options.ports.find(({ unavailable }) => unavailable !== '')?.unavailable ?? '';
  }

  /** What one request takes alone, as it is planned; null while a step cannot run. */
  get plannedMs(): number | null {
    const outlooks = this.#outlooks();
    return outlooks === null
      ? null
      : longestMs(restsMs(this.#options.graph, outlooks, 'plannedMs', this.#expectedParts()));
  }

  /** How much room there is for one more request; null while a step cannot run. */
  outlook(): ModelOutlook | null {
    const outlooks = this.#outlooks();
    if (outlooks === null) return null;
    const { clock, graph, limits } = this.#options;
    const held = [...this.#held.values()].map((each) => ({
      ...this.#pendingOf(each.request, outlooks, this.#partsOf(each), each),
      mayBeLate: mayBeLate(each.request),
    }));
    const limited = { caution: this.#caution.factor, isFull: held.length >= limits.maxRequests };
    return pipelineOutlook(clock.nowMs(), { graph, outlooks, parts: this.#expectedParts(), held, ...limited });
  }

  /** `onOutcome` is called exactly once; before this returns when the request is refused at once. Outputs are held until it returns. */
  submit(request: InferRequest, inputs: readonly Tensor[], onOutcome: OnOutcome): void {
    const { clock, graph, limits, maxBytesEach, onEvent } = this.#options;
    const nowMs = clock.nowMs();
    onEvent({ kind: 'request-received', atMs: nowMs, request });
    const outlooks = this.#outlooks();
    const known = knownParts(graph, inputs);
    const parts = this.#expectedParts(known);
    const door = doorDecision(nowMs, request, {
      ...{ isDraining: this.#isDraining, graph, outlooks, unavailable: this.unavailable, parts, limits },
      heldRequests: this.#held.size,
      heldBytes: this.#reservedBytes(),
      expectedBytes: Math.max(request.byteCount, this.#peakBytes),
      mayTry: () => nowMs - this.#lastBegunAtMs >= TRY_AFTER_MS,
    });
    const refusal = door.kind === 'refuse' ? door.refusal : this.#makeRoom(nowMs, request, outlooks!, parts);
    if (refusal !== null) {
      onEvent({ kind: 'request-finished', atMs: nowMs, request, outcome: refusal });
      onOutcome(refusal);
      return;
    }
    this.#lastBegunAtMs = nowMs;
    const progress = new Progress({
      graph,
      inputs: new Map(inputs.map((tensor) => [tensor.name, tensor])),
      maxBytes: maxBytesEach,
    });
    const held: Held = {
      ...{ request, onOutcome, progress, beganAtMs: nowMs, isOver: false, isTried: door.kind === 'try' },
      knownParts: known,
      parts: new PartsInFlight(),
      service: new ServiceSums(),
    };
    this.#held.set(request.sequence, held);
    onEvent({ kind: 'request-admitted', atMs: nowMs, request, queueDepth: this.#held.size });
    this.#go(held, progress.begin());
  }

  /** The client left. Unknown or finished sequences are ignored. */
  cancel(sequence: number): void {
    const held = this.#held.get(sequence);
    if (held === undefined) return;
    const lateByMs = this.#options.clock.nowMs() - held.request.dueAtMs;
    this.#finish(
      held,
      lateByMs >= 0 ? { kind: 'expired', reason: 'expired', lateByMs } : { kind: 'cancelled', reason: 'cancelled' },
    );
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
    for (const held of [...this.#held.values()]) this.#finish(held, DRAINING);
  }

  // ---- the door ----------------------------------------------------------------------------------------------------

  #outlooks(): readonly StepOutlook[] | null {
    return outlooksOf(this.#options.ports);
  }

  /** @param known of a request; absent: of those of late */
  #expectedParts(known: readonly (number | null)[] = []): readonly number[] {
    return this.#options.graph.steps.map((_, step) => known[step] ?? this.#fanOuts.expected(step));
  }

  /** Who has begun is taken to come to hold as much as others did. */
  #reservedBytes(): number {
    let bytes = 0;
    for (const { progress } of this.#held.values()) bytes += Math.max(progress.heldBytes, this.#peakBytes);
    return bytes;
  }

  /** Gives up whom this one makes impossible, or this one. @returns its refusal; null where it may begin */
  #makeRoom(
    nowMs: number,
    request: InferRequest,
    outlooks: readonly StepOutlook[],
    parts: readonly number[],
  ): Refusal | null {
    if (this.#held.size === 0) return null;
    const pending = [...this.#held.values()]
      .filter((held) => !mayBeLate(held.request))
      .map((held) => this.#pendingOf(held.request, outlooks, this.#partsOf(held), held));
    const own = this.#pendingOf(request, outlooks, parts, null);
    const given = requestsToGiveUp(nowMs, mayBeLate(request) ? pending : [...pending, own]);
    const kept = pending.filter(({ sequence }) => !given.has(sequence));
    const isRefused =
      given.has(request.sequence) || (!mayBeLate(request) && isTooMuch(nowMs, kept, own, this.#caution.factor));
    // Who goes is told so only where that lets this one in, or it is lost in any case.
    for (const sequence of isRefused ? requestsToGiveUp(nowMs, pending) : given) {
      const held = this.#held.get(sequence);
      if (held !== undefined) this.#finish(held, overloaded(nowMs, held.request, own.aloneMs));
    }
    return isRefused ? overloaded(nowMs, request, own.aloneMs) : null;
  }

  /** @param held null of one that has not begun */
  #pendingOf(
    request: InferRequest,
    outlooks: readonly StepOutlook[],
    parts: readonly number[],
    held: Held | null,
  ): PendingRequest {
    const aloneMs = held === null ? longestMs(restsMs(this.#options.graph, outlooks, 'leastMs', parts)) : 0;
    const workMs = workLeft(outlooks, parts, held?.parts ?? null);
    const { sequence, dueAtMs } = request;
    return { sequence, dueAtMs, aloneMs, workMs, hasBegun: held?.progress.hasBegun ?? false };
  }

  /** Of each step, those that are left: known where it has begun, else expected. */
  #partsOf({ progress, knownParts: known }: Held): readonly number[] {
    return this.#options.graph.steps.map((_, step) =>
      progress.hasEnded(step) ? 0 : (progress.partsOf(step)?.left ?? known[step] ?? this.#fanOuts.expected(step)),
    );
  }

  // ---- on the way --------------------------------------------------------------------------------------------------

  #go(held: Held, starts: readonly PartStart[]): void {
    if (held.progress.failure !== null) this.#finish(held, failed(held.progress.failure));
    else if (starts.length > 0) this.#start(held, starts);
    else if (held.progress.isComplete) this.#complete(held);
  }

  #start(held: Held, starts: readonly PartStart[]): void {
    const nowMs = this.#options.clock.nowMs();
    const outlooks = this.#outlooks();
    if (outlooks === null) {
      this.#finish(held, { kind: 'failed', reason: 'model_unavailable', message: this.unavailable });
      return;
    }
    const parts = this.#withKnownParts(held, starts);
    const lost = this.#lostBefore(nowMs, held, outlooks, parts);
    if (lost !== null) {
      this.#finish(held, lost);
      return;
    }
    const { graph, split = deadlineOf } = this.#options;
    const { dueAtMs } = held.request;
    const question = { nowMs, beganAtMs: held.beganAtMs, dueAtMs, graph, outlooks, parts };
    const expectedParts = this.#expectedParts();
    const deadlines = new Map(
      [...new Set(starts.map(({ step }) => step))].map((step) => [
        step,
        held.isTried ? { dueAtMs, latestAtMs: dueAtMs } : split({ ...question, expectedParts, step }),
      ]),
    );
    const begun = starts.map((start) => held.parts.begin(this.#nextPartId++, start, deadlines.get(start.step)!));
    for (const part of begun) {
      if (held.isOver) return;
      this.#submitPart(held, part, part.deadline.dueAtMs);
    }
  }

  #withKnownParts(held: Held, starts: readonly PartStart[]): readonly number[] {
    const begun = new Map<number, number>();
    for (const { step } of starts) begun.set(step, (begun.get(step) ?? 0) + 1);
    for (const [step, count] of begun) this.#fanOuts.observe(step, count);
    return this.#partsOf(held).map((count, step) => begun.get(step) ?? count);
  }

  /** What becomes of it where nothing can bring it to its end in time. */
  #lostBefore(
    nowMs: number,
    { request, isTried }: Held,
    outlooks: readonly StepOutlook[],
    parts: readonly number[],
  ): Refusal | null {
    if (mayBeLate(request)) return null;
    const remainingBudgetMs = request.dueAtMs - nowMs;
    if (remainingBudgetMs <= 0) return { kind: 'expired', reason: 'expired', lateByMs: -remainingBudgetMs };
    const bestCaseMs = longestMs(restsMs(this.#options.graph, outlooks, 'leastMs', parts));
    if (isTried || bestCaseMs <= remainingBudgetMs) return null;
    return { kind: 'rejected-infeasible', reason: 'infeasible_at_max_cores', bestCaseMs, remainingBudgetMs };
  }

  #submitPart(held: Held, part: PartInFlight, dueAtMs: number): void {
    const { id, start } = part;
    const work = { id, request: held.request, dueAtMs, part: start.part, inputs: start.inputs };
    this.#options.ports[start.step]!.submit(work, (outcome) => this.#partEnded(held, part, dueAtMs, outcome));
  }

  #partEnded(held: Held, part: PartInFlight, dueAtMs: number, outcome: PartOutcome): void {
    if (held.isOver) return;
    const { step, part: index } = part.start;
    if (outcome.kind === 'done') {
      held.parts.end(part);
      held.service.add(outcome.service);
      this.#go(held, held.progress.ended(step, index, { kind: 'done', outputs: outcome.outputs }));
      return;
    }
    const refusal = outcome.outcome;
    // It had a share of what is left, and may have all of it.
    const isForTime =
      refusal.kind === 'expired' || refusal.kind === 'rejected-infeasible' || refusal.kind === 'rejected-overload';
    if (isForTime && dueAtMs < part.deadline.latestAtMs && this.#options.clock.nowMs() < part.deadline.latestAtMs) {
      this.#submitPart(held, part, part.deadline.latestAtMs);
      return;
    }
    held.parts.end(part);
    const { name, onFailure } = this.#options.graph.steps[step]!;
    const hasFailed = refusal.kind === 'failed' && refusal.reason !== 'draining';
    if (hasFailed && onFailure === 'leave_out') {
      this.#go(held, held.progress.ended(step, index, { kind: 'failed', message: refusal.message }));
      return;
    }
    const remainingBudgetMs = held.request.dueAtMs - this.#options.clock.nowMs();
    this.#finish(
      held,
      refusalOfWhole(refusal, name, remainingBudgetMs, () => this.#behindMs(step)),
    );
  }

  #behindMs(step: number): number {
    const outlook = this.#options.ports[step]!.outlook();
    const outlooks = this.#outlooks();
    if (outlook === null || outlooks === null) return 0;
    const rests = restsMs(this.#options.graph, outlooks, 'leastMs', this.#expectedParts());
    return Math.max(0, rests[step]! - stepMs(outlook, 'leastMs', this.#fanOuts.expected(step)));
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  #complete(held: Held): void {
    const { request, progress, service, beganAtMs } = held;
    const { clock, graph } = this.#options;
    const nowMs = clock.nowMs();
    const outputs = progress.outputs();
    if (progress.failure !== null || outputs.length === 0) {
      this.#finish(held, failed(progress.failure ?? 'every step that makes an output was left out'));
      return;
    }
    graph.steps.forEach((_, step) => {
      if ((progress.partsOf(step)?.count ?? 0) === 0) this.#fanOuts.observe(step, 0);
    });
    this.#peakBytes += BYTES_GAIN * (progress.peakBytes - this.#peakBytes);
    const isLate = nowMs > request.dueAtMs;
    const record = service.record(nowMs - beganAtMs, request.dueAtMs - nowMs);
    this.#finish(held, { kind: 'completed', isLate, outputs, service: record });
  }

  /** Whether the door was right to let it in. */
  #learnFrom({ request, progress, isTried }: Held, outcome: Outcome): void {
    if (isTried || mayBeLate(request)) return;
    switch (outcome.kind) {
      case 'completed':
      case 'expired':
      case 'rejected-infeasible':
      case 'rejected-overload':
        break;
      default:
        return;
    }
    if (outcome.kind === 'completed' && !outcome.isLate) this.#caution.answered();
    else this.#caution.lost(doneFraction(this.#outlooks() ?? [], progress, this.#expectedParts()));
  }

  #finish(held: Held, outcome: Outcome): void {
    if (held.isOver) return;
    held.isOver = true;
    const { clock, ports, onEvent } = this.#options;
    this.#learnFrom(held, outcome);
    this.#held.delete(held.request.sequence);
    // Who is told of it may see that it is over.
    for (const { id, start } of held.parts.takeAll()) ports[start.step]!.cancel(id);
    onEvent({ kind: 'request-finished', atMs: clock.nowMs(), request: held.request, outcome });
    held.onOutcome(outcome);
    held.progress.release();
    if (this.#held.size > 0 || this.#onDrained.length === 0) return;
    const waiting = this.#onDrained;
    this.#onDrained = [];
    waiting.forEach((tell) => tell());
  }
}
