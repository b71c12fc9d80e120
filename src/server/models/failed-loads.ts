/*
 * Files that could not be loaded, and when they are tried again: at once when they change, and else after 1, 2, 4 … looks at them. What
 * was in the way may have been the machine (memory, a group, a full disk), which nothing about the files would ever tell.
 */

/** At the default of 15 s between two looks, a quarter of an hour. */
const MOST_LOOKS = 64;

interface Failure {
  readonly stamp: string;
  readonly waitLooks: number;
  looksLeft: number;
}

export class FailedLoads {
  readonly #failures = new Map<string, Failure>();

  /** Asked once a look. */
  mayTry(name: string, stamp: string): boolean {
    const failure = this.#failures.get(name);
    if (failure?.stamp !== stamp) return true;
    failure.looksLeft -= 1;
    return failure.looksLeft < 0;
  }

  fail(name: string, stamp: string): void {
    const before = this.#failures.get(name);
    const waitLooks = before?.stamp === stamp ? Math.min(MOST_LOOKS, 2 * before.waitLooks) : 1;
    this.#failures.set(name, { stamp, waitLooks, looksLeft: waitLooks });
  }

  forget(name: string): void {
    this.#failures.delete(name);
  }

  /** Nothing is kept of what is not there any more. */
  keepOnly(names: ReadonlySet<string>): void {
    for (const name of this.#failures.keys()) if (!names.has(name)) this.#failures.delete(name);
  }
}
