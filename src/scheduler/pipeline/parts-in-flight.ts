import type { PartStart } from './progress.js';
import type { StepDeadline } from './timing.js';

/** A part that its step was asked for. */
export interface PartInFlight {
  readonly id: number;
  readonly start: PartStart;
  readonly deadline: StepDeadline;
}

/** Those of one request that have no outcome yet. */
export class PartsInFlight {
  readonly #parts = new Set<PartInFlight>();

  begin(id: number, start: PartStart, deadline: StepDeadline): PartInFlight {
    const part = { id, start, deadline };
    this.#parts.add(part);
    return part;
  }

  end(part: PartInFlight): void {
    this.#parts.delete(part);
  }

  atStep(step: number): number {
    let count = 0;
    for (const { start } of this.#parts) if (start.step === step) count += 1;
    return count;
  }

  takeAll(): readonly PartInFlight[] {
    const all = [...this.#parts];
    this.#parts.clear();
    return all;
  }
}
