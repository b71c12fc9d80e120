import type { PipelineGraph } from '../../scheduler/pipeline/graph.js';
import type { PartWork } from '../../scheduler/pipeline/step-port.js';

/*
 * As PARD drops (Proactive Request Dropping, for pipelines of GPU models): before a batch is formed, a request goes that cannot be in time by
 * the time that it has used, what this step takes, and what the steps behind take and made others wait of late, of which a tenth of the
 * time to fill a batch. Who has least time left goes first; under overload, who has most: of those with least some are always lost,
 * after work was done for them. It begins with overload beyond `1 + margin` of what all cores do and ends below `1 − margin`.
 *
 * After the published description; what that leaves open (parts of a request, cores that steps share) is chosen in its favour.
 */

export interface StepPace {
  /** A full batch, and parts that are expected of one request. */
  readonly batchMs: number;
  readonly batchSize: number;
  readonly parts: number;
  /** Of one part in a full batch, core-ms; 0 of a function. */
  readonly coreMs: number;
}

export interface EarlyDropOptions {
  readonly graph: PipelineGraph;
  readonly paces: readonly StepPace[];
  readonly budgetCores: number;
  readonly margin: number;
}

/** Over which arrivals are counted. */
const WINDOW_MS = 1000;
/** Weight of the newest wait. */
const GAIN = 0.05;
/** Of the time to fill a batch, in what is expected behind: PARD's λ. */
const FILL_FRACTION = 0.1;

export class EarlyDrop {
  readonly #options: EarlyDropOptions;
  readonly #waitsMs: number[];
  /** Core-ms that came, by tenth of the window. */
  readonly #came: { atMs: number; coreMs: number }[] = [];
  #cameCoreMs = 0;
  #isOverloaded = false;

  constructor(options: EarlyDropOptions) {
    this.#options = options;
    this.#waitsMs = options.paces.map(() => 0);
  }

  arrived(step: number, nowMs: number): void {
    const { coreMs } = this.#options.paces[step]!;
    const last = this.#came.at(-1);
    if (last !== undefined && nowMs < last.atMs + WINDOW_MS / 10) last.coreMs += coreMs;
    else this.#came.push({ atMs: nowMs, coreMs });
    this.#cameCoreMs += coreMs;
    while (this.#came[0]!.atMs < nowMs - WINDOW_MS) this.#cameCoreMs -= this.#came.shift()!.coreMs;
    const { budgetCores, margin } = this.#options;
    const load = this.#cameCoreMs / (WINDOW_MS * budgetCores);
    if (load > 1 + margin) this.#isOverloaded = true;
    else if (load < 1 - margin) this.#isOverloaded = false;
  }

  /** A part that waited so long has begun. */
  began(step: number, waitMs: number): void {
    this.#waitsMs[step]! += GAIN * (waitMs - this.#waitsMs[step]!);
  }

  isLost(step: number, nowMs: number, { request }: PartWork): boolean {
    const { graph } = this.#options;
    const behindMs = graph.steps[step]!.behind.reduce((most, other) => Math.max(most, this.#restMs(other)), 0);
    return nowMs + this.#options.paces[step]!.batchMs + behindMs > request.dueAtMs;
  }

  /** Negative where the first goes before the second. */
  compare(a: PartWork, b: PartWork): number {
    const byDeadline = a.request.dueAtMs - b.request.dueAtMs || a.id - b.id;
    return this.#isOverloaded ? -byDeadline : byDeadline;
  }

  #restMs(step: number): number {
    const { graph, paces } = this.#options;
    const { batchMs, batchSize, parts } = paces[step]!;
    const behindMs = graph.steps[step]!.behind.reduce((most, other) => Math.max(most, this.#restMs(other)), 0);
    const ownMs = parts <= 0 ? 0 : batchMs * Math.max(1, Math.ceil(parts / batchSize / 2));
    return this.#waitsMs[step]! + FILL_FRACTION * batchMs + ownMs + behindMs;
  }
}
