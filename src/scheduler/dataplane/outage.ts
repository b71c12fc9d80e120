/*
 * The time without a worker: since when, why, until when probably; and when those that would wait for ever are told instead.
 */

import type { FailedOutcome } from '../domain/outcome.js';
import { restartMessage } from './admission.js';

/** So long a request without a deadline that counts waits for a worker; twice the expected restart where that is longer. */
const MOST_PATIENCE_MS = 30_000;

export class Outage {
  #lostAtMs: number | null = null;
  #patienceMs = 0;
  #readyAtMs = 0;
  #message = '';

  get isOn(): boolean {
    return this.#lostAtMs !== null;
  }

  /** Why there is none; '' while there is. */
  get message(): string {
    return this.isOn ? this.#message : '';
  }

  /** When there should be one again: now where there is. */
  readyAtMs(nowMs: number): number {
    return this.isOn ? this.#readyAtMs : nowMs;
  }

  /** When those without a deadline that counts are told; Infinity while there is a worker. */
  get endOfPatienceAtMs(): number {
    return this.#lostAtMs === null ? Infinity : this.#lostAtMs + this.#patienceMs;
  }

  refusal(nowMs: number): FailedOutcome {
    const retryAfterMs = Math.max(0, this.#readyAtMs - nowMs);
    return { kind: 'failed', reason: 'model_unavailable', message: restartMessage(this.#message), retryAfterMs };
  }

  /** It is lost, or another restart has failed: patience is counted from the first. */
  begin(nowMs: number, message: string, restartEstimateMs: number): void {
    this.#lostAtMs ??= nowMs;
    this.#patienceMs = Math.max(MOST_PATIENCE_MS, this.#patienceMs, 2 * restartEstimateMs);
    this.#message = message;
    this.#readyAtMs = nowMs + restartEstimateMs;
  }

  end(): void {
    this.#lostAtMs = null;
    this.#patienceMs = 0;
  }
}
