import type { Event } from '../../scheduler/domain/event.js';
import type { Reason } from '../../scheduler/domain/outcome.js';
import type { PipelineCounts, StepCounts } from '../../scheduler/domain/step-counts.js';
import type { PartOutcome } from '../../scheduler/pipeline/step-port.js';
import { StepMeter, type PartCounts } from './step-meter.js';

/*
 * What goes on at the steps of a pipeline, and at which of them requests are lost: where a part of theirs was last heard of, or before the next
 * step where that one was done; at the door where none was.
 */

/** For requests that no step has seen. */
const DOOR = '(door)';

interface NamedCounts {
  readonly name: string;
  readonly counts: StepCounts;
}

/** One request, as long as it is held. */
interface Followed {
  /** Where it was last heard of. */
  step: number;
  isDone: boolean;
  readonly visits: Map<number, Visit>;
}

/** Of a request at a step. */
interface Visit {
  /** Its parts that are there, and since when there are any. */
  present: number;
  sinceMs: number;
  /** All that came, until they are told of: one that is asked again is the same one. */
  readonly parts: Set<number>;
  isTold: boolean;
}

export class PipelineMeter {
  readonly #steps: readonly { readonly name: string; readonly meter: StepMeter }[];
  readonly #door = new StepMeter();
  readonly #requests = new Map<number, Followed>();

  constructor(names: readonly string[]) {
    this.#steps = names.map((name) => ({ name, meter: new StepMeter() }));
  }

  /** In the order of the steps, the door first. */
  get counts(): readonly NamedCounts[] {
    const steps = this.#steps.map(({ name, meter }) => ({ name, counts: meter.counts }));
    return [{ name: DOOR, counts: this.#door.counts }, ...steps];
  }

  /** The same, of all steps at once. */
  get pipelineCounts(): PipelineCounts {
    return { door: this.#door.counts.dropped, steps: this.#steps.map(({ meter }) => meter.counts) };
  }

  /** A part of that request has come to a step. */
  begin(sequence: number, step: number, part: number, nowMs: number): PartCounts {
    const { visits } = this.#follow(sequence, step, false);
    let visit = visits.get(step);
    if (visit === undefined)
      visits.set(step, (visit = { present: 0, sinceMs: nowMs, parts: new Set(), isTold: false }));
    if (visit.present === 0) visit.sinceMs = nowMs;
    visit.present += 1;
    visit.parts.add(part);
    return this.#steps[step]!.meter.begin(nowMs);
  }

  run(step: number, part: PartCounts, nowMs: number): void {
    this.#steps[step]!.meter.run(part, nowMs);
  }

  /** @param outcome null of one that nobody waits for any more */
  end(sequence: number, step: number, part: PartCounts, nowMs: number, outcome: PartOutcome | null): void {
    const { meter } = this.#steps[step]!;
    const visit = this.#follow(sequence, step, outcome?.kind === 'done').visits.get(step);
    if (visit !== undefined) leave(visit, meter, nowMs);
    meter.end(part, nowMs, outcome);
  }

  /** Of the pipeline's requests. */
  observe(event: Event): void {
    if (event.kind !== 'request-finished') return;
    const { sequence } = event.request;
    const followed = this.#requests.get(sequence);
    this.#requests.delete(sequence);
    if (event.outcome.kind !== 'completed') this.#drop(followed, event.outcome.reason);
  }

  #follow(sequence: number, step: number, isDone: boolean): Followed {
    const known = this.#requests.get(sequence);
    if (known === undefined) {
      const followed = { step, isDone, visits: new Map() };
      this.#requests.set(sequence, followed);
      return followed;
    }
    known.step = step;
    known.isDone = isDone;
    return known;
  }

  #drop(place: Followed | undefined, reason: Reason): void {
    const step = place === undefined ? null : Math.min(this.#steps.length - 1, place.step + Number(place.isDone));
    (step === null ? this.#door : this.#steps[step]!.meter).drop(reason);
  }
}

/** One of its parts has. */
function leave(visit: Visit, meter: StepMeter, nowMs: number): void {
  visit.present -= 1;
  if (visit.present > 0) return;
  meter.leave(nowMs - visit.sinceMs, visit.isTold ? 0 : visit.parts.size);
  visit.isTold = true;
}
