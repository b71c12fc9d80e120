/** Tasks that come one after the other, also after one that failed. */
export class Sequence {
  #last: Promise<void> = Promise.resolve();
  #count = 0;

  take<Result>(task: () => Promise<Result>): Promise<Result> {
    this.#count += 1;
    const turn = this.#last.then(task);
    const end = (): void => {
      this.#count -= 1;
    };
    this.#last = turn.then(end, end);
    return turn;
  }

  /** Resolves when all that there are have ended. */
  get settled(): Promise<void> {
    return this.#last;
  }

  /** None goes on, and none waits. */
  get isIdle(): boolean {
    return this.#count === 0;
  }
}
