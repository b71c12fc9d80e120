import type { Clock } from '../../scheduler/clock/clock.js';
import type { CpuCounters, ResizeResult, Scaler } from '../../scheduler/controlplane/scaler.js';
import type { AllocationLimits } from '../../scheduler/domain/plan.js';

export interface SimulatedScalerOptions {
  readonly clock: Clock;
  readonly limits: AllocationLimits;
  readonly cpuMillicores: number;
  /** Decision → in force, of each resize. */
  readonly delayMs: () => number;
  readonly expectedDelayMs: number;
  /** True for a resize that is refused. */
  readonly isRefused: () => boolean;
  /** In force → told of it, of each resize; 0 by default. A kubelet's status is seconds late. */
  readonly readBackMs?: () => number;
  /** Cumulative CPU of the simulated worker; no counters without it. */
  readonly usedSeconds?: () => number;
  /** What an actuator that is not exact brings into force for what it is asked for; just that by default. */
  readonly bringsAbout?: (cpuMillicores: number) => number;
  /** Takes the new allocation to the simulated worker. */
  readonly apply: (cpuMillicores: number) => void;
}

/** A scaler whose resizes take and fail as told. A superseded one changes nothing and reports what is in force. */
export class SimulatedScaler implements Scaler {
  readonly kind = 'simulated';
  readonly isActuating = true;
  readonly limits: AllocationLimits;
  readonly idleMillicores: number;
  readonly expectedDelayMs: number;
  readonly #options: SimulatedScalerOptions;
  #cpuMillicores: number;
  #latestCall = 0;

  constructor(options: SimulatedScalerOptions) {
    this.#options = options;
    this.limits = options.limits;
    this.idleMillicores = options.limits.minMillicores;
    this.expectedDelayMs = options.expectedDelayMs;
    this.#cpuMillicores = options.cpuMillicores;
  }

  resize(cpuMillicores: number, onApplied: (result: ResizeResult) => void): void {
    const { clock, limits } = this.#options;
    if (
      !Number.isInteger(cpuMillicores) ||
      cpuMillicores < limits.minMillicores ||
      cpuMillicores > limits.maxMillicores
    ) {
      throw new RangeError(
        `allocation ${cpuMillicores} is outside ${limits.minMillicores}…${limits.maxMillicores} millicores`,
      );
    }
    const delayMs = this.#options.delayMs();
    const isRefused = this.#options.isRefused();
    const readBackMs = this.#options.readBackMs?.() ?? 0;
    const call = ++this.#latestCall;
    const answer = (result: ResizeResult): void => {
      if (readBackMs === 0) onApplied(result);
      else clock.schedule(clock.nowMs() + readBackMs, () => onApplied(result));
    };
    clock.schedule(clock.nowMs() + delayMs, () => {
      if (isRefused) {
        answer({ kind: 'refused', message: 'simulated refusal' });
        return;
      }
      const isSuperseded = call !== this.#latestCall;
      const broughtAbout = this.#options.bringsAbout?.(cpuMillicores) ?? cpuMillicores;
      const isWritten = !isSuperseded && broughtAbout !== this.#cpuMillicores;
      if (isWritten) {
        this.#cpuMillicores = broughtAbout;
        this.#options.apply(broughtAbout);
      }
      answer({ kind: 'applied', cpuMillicores: this.#cpuMillicores, isWritten, tookMs: delayMs + readBackMs });
    });
  }

  readCounters(): CpuCounters | null {
    const usedSeconds = this.#options.usedSeconds?.();
    // Simulated threads stay within their quota by construction: nothing is ever throttled.
    return usedSeconds === undefined ? null : { usedSeconds, periods: 0, throttledPeriods: 0, throttledSeconds: 0 };
  }
}
