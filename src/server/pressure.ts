import type { Pressure } from './edge/intake.js';

/*
 * How hard the server itself is pressed, and so what part of new calls it turns away before it hurts those that it has: by how late its
 * event loop is, and by how little memory is left. In between it grows with the pressure, as in Envoy's overload manager, so that
 * the part that is let in is what the server can do.
 */

/** Timers that are so late say that calls come faster than they can be handled; at the second nothing more is let in. */
const DELAY_FROM_MS = 250;
const DELAY_TO_MS = 1000;

/** Of the memory limit, what is kept free; nothing more is let in at half of it. */
const KEPT_FREE_FRACTION = 0.08;
const MOST_KEPT_FREE_BYTES = 256 * 1024 ** 2;

/** Reading the counters takes some 50 µs. */
const LOOK_EVERY_MS = 250;

export interface PressureOptions {
  readonly nowMs: () => number;
  /** How late the event loop has been of late. */
  readonly loopDelayMs: () => number;
  readonly memory: { readonly limitBytes: number; usedBytes(): number };
}

const NO_PRESSURE: Pressure = { fraction: 0, cause: '' };

export class ServerPressure {
  readonly #options: PressureOptions;
  #lookedAtMs = -Infinity;
  #usedBytes = 0;
  #limitBytes = Infinity;

  constructor(options: PressureOptions) {
    this.#options = options;
  }

  now(): Pressure {
    const delayMs = this.#options.loopDelayMs();
    const byLoop = between(DELAY_FROM_MS, delayMs, DELAY_TO_MS);
    this.#look();
    const keptBytes = keptFreeBytes(this.#limitBytes);
    const byMemory = between(-keptBytes, this.#usedBytes - this.#limitBytes, -keptBytes / 2);
    if (byLoop <= 0 && byMemory <= 0) return NO_PRESSURE;
    return byLoop >= byMemory
      ? { fraction: byLoop, cause: `the server is overloaded: its event loop is ${Math.round(delayMs)} ms late` }
      : { fraction: byMemory, cause: 'the server is overloaded: its memory is nearly used up' };
  }

  #look(): void {
    const { nowMs, memory } = this.#options;
    if (nowMs() - this.#lookedAtMs < LOOK_EVERY_MS) return;
    this.#lookedAtMs = nowMs();
    this.#usedBytes = memory.usedBytes();
    this.#limitBytes = memory.limitBytes;
  }
}

export function keptFreeBytes(limitBytes: number): number {
  return Math.min(MOST_KEPT_FREE_BYTES, KEPT_FREE_FRACTION * limitBytes);
}

/** 0 up to `from`, 1 from `to` on. */
function between(from: number, value: number, to: number): number {
  return Math.min(1, Math.max(0, (value - from) / (to - from)));
}
