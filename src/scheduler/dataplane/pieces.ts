import type { Clock, Timer } from '../clock/clock.js';

/** Of what takes some 30 µs each, such as an answer or sending inputs; others are to be heard meanwhile. */
export const MOST_AT_ONCE = 128;

/** Does the same for each of many, in their order, so many in a turn of the event loop; the first of them at once. */
export class Pieces<Item> {
  readonly #clock: Clock;
  readonly #act: (item: Item) => void;
  #left: readonly Item[] = [];
  #timer: Timer | null = null;

  /** @param act it may call `drop` and `begin` */
  constructor(clock: Clock, act: (item: Item) => void) {
    this.#clock = clock;
    this.#act = act;
  }

  /** Instead of what is left of those before. */
  begin(items: readonly Item[]): void {
    this.drop();
    this.#left = items;
    this.#next();
  }

  /** Nothing more is done. */
  drop(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#left = [];
  }

  #next(): void {
    this.#timer = null;
    const items = this.#left;
    for (const item of items.slice(0, MOST_AT_ONCE)) {
      if (this.#left !== items) return;
      this.#act(item);
    }
    if (this.#left !== items) return;
    this.#left = items.slice(MOST_AT_ONCE);
    if (this.#left.length > 0) this.#timer = this.#clock.schedule(this.#clock.nowMs(), () => this.#next());
  }
}
