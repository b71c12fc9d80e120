/*
 * What has been started and must be ended again, in the reverse order. One part that cannot be ended is no reason to leave
 * the others behind.
 */

type Close = () => Promise<void> | void;

export class Parts {
  readonly #closers: Close[] = [];

  add<T>(part: T, close: (part: T) => Promise<void> | void): T {
    this.#closers.push(() => close(part));
    return part;
  }

  /** Ends all, one after the other. @throws Error, in one line of all that went wrong, once every part had its turn */
  async close(): Promise<void> {
    const failures: Error[] = [];
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) {
      try {
        await close();
      } catch (error) {
        failures.push(error as Error);
      }
    }
    if (failures.length === 0) return;
    const message = failures.map((failure) => failure.message).join('; ');
    throw new AggregateError(failures, `not everything could be ended: ${message}`);
  }
}
