/**
 * A worker that takes no inputs for this long is hung: its socket thread never computes, so that even the largest input
 * is confirmed within a second.
 */
const STAGE_TIMEOUT_MS = 5000;

/** Notices a worker that stands still while it runs nothing; one that runs a batch is watched by the dispatcher. */
export class StagingWatch {
  readonly #onHang: (message: string) => void;
  /** Inputs sent whose arrival the worker has not confirmed yet. */
  #unconfirmedCount = 0;
  /** Runs while there are any; begins anew with each confirmation. */
  #timer: NodeJS.Timeout | undefined;

  constructor(onHang: (message: string) => void) {
    this.#onHang = onHang;
  }

  sent(): void {
    this.#unconfirmedCount++;
    if (this.#unconfirmedCount === 1) this.#arm();
  }

  confirmed(): void {
    this.#unconfirmedCount--;
    this.#disarm();
    if (this.#unconfirmedCount > 0) this.#arm();
  }

  /** The worker is gone, and what was sent to it. */
  reset(): void {
    this.#unconfirmedCount = 0;
    this.#disarm();
  }

  #arm(): void {
    const timer = setTimeout(() => {
      // If it was the router that stood still, confirmations have come meanwhile: they are read first.
      setImmediate(() => {
        if (this.#timer === timer) this.#onHang(`the worker hung: it took no inputs for ${STAGE_TIMEOUT_MS / 1000} s`);
      });
    }, STAGE_TIMEOUT_MS);
    this.#timer = timer;
  }

  #disarm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
