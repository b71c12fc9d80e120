import type { Event } from '../../scheduler/domain/event.js';
import { reasonText } from '../../scheduler/domain/plan-bound.js';

/** Says once that not all instances of a model are used, as they slow each other down by more than they save. */
export class FewerInstancesNotice {
  readonly #onLog: (line: string) => void;
  #isSaid = false;

  constructor(onLog: (line: string) => void) {
    this.#onLog = onLog;
  }

  observe(event: Event): void {
    if (this.#isSaid || event.kind !== 'planned' || event.plan.kind !== 'feasible') return;
    const { plan } = event;
    const { usedAtOnce, instances } = plan;
    if (usedAtOnce === undefined) return;
    this.#isSaid = true;
    this.#onLog(
      `${usedAtOnce} of ${instances} instances are used at once from now on, while that is so: ${reasonText(plan)}`,
    );
  }
}
