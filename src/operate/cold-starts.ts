/* How long a pod takes from being asked for to being warm: learnt from each that is seen to. */
import type { PodObservation } from './observation.js';

/** The longest of so many: a node that pulls the image takes ten times what the next one does. */
const KEPT = 8;
/** One that takes so many times as long has a trouble of its own. */
const STUCK_FACTOR = 3;
const LEAST_STUCK_MS = 60_000;

export class ColdStarts {
  readonly #assumedMs: number;
  readonly #sinceMs = new Map<string, number>();
  #tookMs: number[] = [];

  constructor(assumedMs: number) {
    this.#assumedMs = assumedMs;
  }

  observe(nowMs: number, pods: readonly PodObservation[]): void {
    const there = new Set(pods.map(({ id }) => id));
    for (const id of this.#sinceMs.keys()) if (!there.has(id)) this.#sinceMs.delete(id);
    for (const { id, phase } of pods) {
      const sinceMs = this.#sinceMs.get(id);
      if (phase === 'starting' && sinceMs === undefined) this.#sinceMs.set(id, nowMs);
      if (phase === 'starting' || sinceMs === undefined) continue;
      if (phase === 'warm') this.#tookMs = [...this.#tookMs, nowMs - sinceMs].slice(-KEPT);
      this.#sinceMs.delete(id);
    }
  }

  /** What the next one is expected to take. */
  get expectedMs(): number {
    return this.#tookMs.length === 0 ? this.#assumedMs : Math.max(...this.#tookMs);
  }

  /** Pods that should have been warm long since. */
  stuckCount(nowMs: number): number {
    const limitMs = Math.max(LEAST_STUCK_MS, STUCK_FACTOR * this.expectedMs);
    return [...this.#sinceMs.values()].filter((sinceMs) => nowMs - sinceMs > limitMs).length;
  }
}
