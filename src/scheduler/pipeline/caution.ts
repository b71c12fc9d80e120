/*
 * How much more than predicted the work of begun requests is taken to be, when it is decided at the door whether one more is too much.
 *
 * Predictions are of full batches. What really fits beside deadlines that differ is less, by how much depends on the load, the budgets and
 * how many parts requests have; and where the door believes too much, a later step has to refuse what earlier ones have worked for. So it is
 * learnt from just that: each request that is lost for time after work was done for it makes the door more careful, by the share of its work
 * that was done, and each that is answered in time makes it a little less so. In the long run as much work is lost as balances the two.
 *
 * Only newcomers are refused by it: whoever is under way stays, as giving it up would be what is to be prevented.
 *
 * Rejected: measuring what batches achieve. It says what was done, not what could have been, and is low where little is asked.
 */

/** Added for a request all of whose work was done for nothing. */
const GAIN = 0.05;
/**
 * Of the work that is answered in time, so much may be lost: a third of a hundredth, as what is lost while it learns comes on top. Of `crops`
 * at 0.9 of capacity 7 % of the work was lost without it and 79 % were in time; with it 1 % and 75 %.
 */
const TOLERATED_FRACTION = 0.003;
/** Beyond that something else than batches is wrong, and keeping requests out does not mend it. */
const MOST = 3;

export class Caution {
  #factor = 1;

  /** 1 where predictions have been good. */
  get factor(): number {
    return this.#factor;
  }

  /** For time. @param doneFraction of its work, in [0, 1] */
  lost(doneFraction: number): void {
    this.#factor = Math.min(MOST, this.#factor + GAIN * doneFraction);
  }

  /** In time. */
  answered(): void {
    this.#factor = Math.max(1, this.#factor - GAIN * TOLERATED_FRACTION);
  }
}
