import type { Event } from '../../scheduler/domain/event.js';
import type { Reason } from '../../scheduler/domain/outcome.js';
import type { StepCounts } from '../../scheduler/domain/step-counts.js';
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

export class PipelineMeter {
  readonly #steps: readonly { readonly name: string; readonly meter: StepMeter }[];
  readonly #door = new StepMeter();
  /** Of requests that are held: where they were last heard of. */
  readonly #places = new Map<number, { readonly step: number; readonly isDone: boolean }>();

  constructor(names: readonly string[]) {
    this.#steps = names.map((name) => ({ name, meter: new StepMeter() }));
  }

  /** In the order of the steps, the door first. */
  get counts(): readonly NamedCounts[] {
    const steps = this.#steps.map(({ name, meter }) => ({ name, counts: meter.counts }));
    return [{ name: DOOR, counts: this.#door.counts }, ...steps];
  }

  /** A part of that request has come to a step. */
  begin(sequence: number, step: number, nowMs: number): PartCounts {
    this.#places.set(sequence, { step, isDone: false });
    return this.#steps[step]!.meter.begin(nowMs);
  }

  run(step: number, part: PartCounts, nowMs: number): void {
    this.#steps[step]!.meter.run(part, nowMs);
  }

  /** @param outcome null of one that nobody waits for any more */
  end(sequence: number, step: number, part: PartCounts, nowMs: number, outcome: PartOutcome | null): void {
    this.#places.set(sequence, { step, isDone: outcome?.kind === 'done' });
    this.#steps[step]!.meter.end(part, nowMs, outcome);
  }

  /** Of the pipeline's requests. */
  observe(event: Event): void {
    if (event.kind !== 'request-finished') return;
    const { sequence } = event.request;
    const place = this.#places.get(sequence);
    this.#places.delete(sequence);
    if (event.outcome.kind !== 'completed') this.#drop(place, event.outcome.reason);
  }

  #drop(place: { readonly step: number; readonly isDone: boolean } | undefined, reason: Reason): void {
    const step = place === undefined ? null : Math.min(this.#steps.length - 1, place.step + Number(place.isDone));
    (step === null ? this.#door : this.#steps[step]!.meter).drop(reason);
  }
}
