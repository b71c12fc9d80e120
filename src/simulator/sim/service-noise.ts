import { logNormal } from '../../scheduler/random/normal.js';
import type { Prng } from '../../scheduler/random/prng.js';

/*
 * What a batch takes, relative to the machine's typical latency: chance, and what a scenario does to the machine.
 */

/** From `atMs` on for `forMs`, batches that start take `factor` times as long. */
export interface SlowSpell {
  readonly atMs: number;
  readonly forMs: number;
  readonly factor: number;
}

/** Latencies rise (or fall) to `factor` times from `atMs` on, evenly over `overMs`, and stay there. */
export interface Drift {
  readonly atMs: number;
  readonly overMs: number;
  readonly factor: number;
}

export interface MachineState {
  readonly slowSpells: readonly SlowSpell[];
  readonly drifts: readonly Drift[];
}

/** Of a batch that starts now, chance aside. */
export function slownessAt({ slowSpells, drifts }: MachineState, nowMs: number): number {
  let slowness = 1;
  for (const { atMs, forMs, factor } of slowSpells) if (nowMs >= atMs && nowMs < atMs + forMs) slowness *= factor;
  for (const { atMs, overMs, factor } of drifts) {
    const share = overMs === 0 ? Number(nowMs >= atMs) : Math.min(1, Math.max(0, (nowMs - atMs) / overMs));
    slowness *= 1 + share * (factor - 1);
  }
  return slowness;
}

/** Mean of a log-normal multiplier of median 1. */
export function meanMultiplier(logDeviation: number): number {
  return Math.exp((logDeviation * logDeviation) / 2);
}

export class ServiceNoise {
  /** The least multiplier drawn so far: no batch of the run was faster for its size and allocation. Infinity before any. */
  least = Infinity;
  readonly #logDeviation: number;
  readonly #state: MachineState;
  readonly #prng: Prng;

  constructor(logDeviation: number, state: MachineState, prng: Prng) {
    this.#logDeviation = logDeviation;
    this.#state = state;
    this.#prng = prng;
  }

  /** Of the batch that starts now. */
  draw(nowMs: number): number {
    const multiplier = slownessAt(this.#state, nowMs) * logNormal(this.#prng, this.#logDeviation);
    this.least = Math.min(this.least, multiplier);
    return multiplier;
  }
}
