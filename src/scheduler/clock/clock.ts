/** A pending callback; `cancel` after it fired does nothing. */
export interface Timer {
  cancel(): void;
}

/** Time as the dispatcher and the controller see it. Every other stage is given `nowMs`. */
export interface Clock {
  /** Milliseconds since an arbitrary origin; fractional; never decreases. Not wall time. */
  nowMs(): number;
  /** Fires once, at `atMs` or soon after: never before it, never inside this call. */
  schedule(atMs: number, fire: () => void): Timer;
  /**
   * Once everything that has come together is known: live, at the end of the event loop's turn, in which many requests may be read; in
   * simulated time each event is a moment of its own, and it is now.
   */
  whenSettled(act: () => void): void;
}
