import type { Reason } from '../../scheduler/domain/outcome.js';
import type { StepCounts } from '../../scheduler/domain/step-counts.js';
import type { PartOutcome } from '../../scheduler/pipeline/step-port.js';

/*
 * What goes on at one step of a pipeline: parts that wait and run, the time that they take, and the requests that are lost there. Running totals,
 * so that whoever looks may do so as seldom as he likes.
 */

/** One part, as long as it is at the step. */
export interface PartCounts {
  readonly atMs: number;
  startedAtMs: number | null;
}

/** What a function runs on: one thread of the router's process. */
const FUNCTION_MILLICORES = 1000;

export class StepMeter {
  readonly #dropped = new Map<Reason, number>();
  #waiting = 0;
  #running = 0;
  #requests = 0;
  #parts = 0;
  #spanMs = 0;
  #done = 0;
  #lost = 0;
  #waitedMs = 0;
  #ranMs = 0;
  #coreMs = 0;

  /** A part has come to the step. */
  begin(nowMs: number): PartCounts {
    this.#waiting += 1;
    return { atMs: nowMs, startedAtMs: null };
  }

  /**
   * A request had parts here for so long, and has none any more.
   * @param parts how many; 0 of one that has been here before
   */
  leave(spanMs: number, parts: number): void {
    this.#spanMs += spanMs;
    this.#parts += parts;
    if (parts > 0) this.#requests += 1;
  }

  /** It runs from now on; told once more, it is tried again. */
  run(part: PartCounts, nowMs: number): void {
    if (part.startedAtMs !== null) return;
    part.startedAtMs = nowMs;
    this.#waiting -= 1;
    this.#running += 1;
  }

  /** @param outcome null of one that nobody waits for any more */
  end(part: PartCounts, nowMs: number, outcome: PartOutcome | null): void {
    if (part.startedAtMs === null) this.#waiting -= 1;
    else this.#running -= 1;
    if (outcome?.kind !== 'done') {
      this.#lost += 1;
      this.#waitedMs += (part.startedAtMs ?? nowMs) - part.atMs;
      if (part.startedAtMs !== null) this.#ranMs += nowMs - part.startedAtMs;
      return;
    }
    this.#done += 1;
    const { service } = outcome;
    const tookMs = nowMs - part.atMs;
    const ranMs = Math.min(tookMs, service?.latencyMs ?? nowMs - (part.startedAtMs ?? part.atMs));
    this.#ranMs += ranMs;
    this.#waitedMs += tookMs - ranMs;
    // Members of a batch share its cores.
    this.#coreMs += (ranMs * (service?.cpuMillicores ?? FUNCTION_MILLICORES)) / (1000 * (service?.batchSize ?? 1));
  }

  /** A request ended here, for that reason. */
  drop(reason: Reason): void {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + 1);
  }

  get counts(): StepCounts {
    return {
      ...{ waiting: this.#waiting, running: this.#running, done: this.#done, lost: this.#lost },
      ...{ requests: this.#requests, parts: this.#parts, spanMs: this.#spanMs },
      ...{ waitedMs: this.#waitedMs, ranMs: this.#ranMs, coreMs: this.#coreMs },
      dropped: Object.fromEntries(this.#dropped),
    };
  }
}
