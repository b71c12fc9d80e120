import type { Event } from '../../domain/event.js';

/**
 * The gauge that the Sponge authors' controllers read once a second: the SLO that was left to the last request when it got
 * here, in whole ms as their load generator sends it. 0 before any traffic; may be negative.
 */
export class RemainingSloGauge {
  #remainingSloMs = 0;

  get remainingSloMs(): number {
    return this.#remainingSloMs;
  }

  observe(event: Event): void {
    if (event.kind !== 'request-received') return;
    this.#remainingSloMs = Math.trunc(event.request.sloMs - event.request.networkDelayMs);
  }
}
