import type { Outcome } from '../../scheduler/domain/outcome.js';
import type { OutcomeLedger } from '../sim/outcome-ledger.js';

/** By which variant requests were answered, as their clients see it. */
export class AnswerCounts {
  readonly #names: readonly string[];
  readonly #accuracies: readonly number[];
  /** By level: answered, and of these in time. */
  readonly #answered: number[];
  readonly #onTime: number[];
  /** Answers that are of another variant than the answer before. */
  changes = 0;
  #last = '';

  constructor(variants: readonly { readonly name: string; readonly accuracy: number }[]) {
    this.#names = variants.map(({ name }) => name);
    this.#accuracies = variants.map(({ accuracy }) => accuracy);
    this.#answered = variants.map(() => 0);
    this.#onTime = variants.map(() => 0);
  }

  /** @param ledger that has just been told of the outcome */
  observe(index: number, outcome: Outcome, ledger: Pick<OutcomeLedger, 'isOnTime'>): void {
    if (outcome.kind !== 'completed') return;
    const name = outcome.service.variant!;
    const level = this.#names.indexOf(name);
    this.#answered[level]! += 1;
    if (ledger.isOnTime(index)) this.#onTime[level]! += 1;
    if (this.#last !== '' && this.#last !== name) this.changes += 1;
    this.#last = name;
  }

  /** By variant, in time. */
  get onTime(): readonly number[] {
    return this.#onTime;
  }

  /** Sum over answers in time. */
  get accuracySum(): number {
    return this.#onTime.reduce((sum, count, level) => sum + count * this.#accuracies[level]!, 0);
  }
}
