import { CoreSeconds, type Instances } from '../../scheduler/domain/core-seconds.js';
import type { Event } from '../../scheduler/domain/event.js';
import { HeldCores } from './held-cores.js';

/** What was granted in a run, all instances together. */
export interface AllocationReport {
  /** The ledger's core-seconds: what is charged. */
  readonly coreSeconds: number;
  /** Read back only: without growth that was asked for and not in force yet. */
  readonly grantedCoreSeconds: number;
  /** Charged millicores and for how long, ascending; the durations add up to the run's. */
  readonly heldMs: readonly (readonly [millicores: number, durationMs: number])[];
  /** Mean charged cores of each second of the run. */
  readonly coresBySecond: readonly number[];
  /** Resizes and changes of the number of instances that took effect. */
  readonly resizes: number;
}

/**
 * Follows the allocation of a simulated run. The core-seconds come from `CoreSeconds`, as the server's do; this adds what
 * reports show beside them.
 *
 * A simulated worker never uses more than is in force, which is never more than what is charged: max(granted, used) is the
 * charge in every window, so windows are not closed here, and `report` asserts it.
 */
export class AllocationLedger {
  readonly #coreSeconds: CoreSeconds;
  readonly #held: HeldCores;
  /** By instance; one of each where they are alike. */
  readonly #inForceMillicores: number[];
  #readyInstances: number;
  #grantedCoreMs = 0;
  #resizes = 0;

  /** @param cpuMillicores of each ready instance, or by instance where each has its own */
  constructor(startAtMs: number, cpuMillicores: number | readonly number[], instances: Instances) {
    this.#coreSeconds = new CoreSeconds(startAtMs, cpuMillicores, instances);
    this.#held = new HeldCores(startAtMs);
    this.#inForceMillicores = [cpuMillicores].flat();
    this.#readyInstances = instances.ready;
  }

  /** Now, all instances together. */
  get chargedMillicores(): number {
    return this.#coreSeconds.chargedMillicores;
  }

  /** In force now, of those that are ready. */
  get grantedMillicores(): number {
    const [first] = this.#inForceMillicores;
    if (this.#inForceMillicores.length === 1) return first! * this.#readyInstances;
    return this.#inForceMillicores.reduce((sum, each) => sum + each, 0);
  }

  observe(event: Event): void {
    switch (event.kind) {
      case 'resize-requested':
      case 'resize-refused':
      case 'instances-requested':
        break;
      case 'resized':
        this.#accrue(event.atMs);
        this.#inForceMillicores[event.instance ?? 0] = event.cpuMillicores;
        if (event.isWritten) this.#resizes += 1;
        break;
      case 'instances-changed':
        this.#accrue(event.atMs);
        this.#readyInstances = event.instances;
        this.#resizes += 1;
        break;
      default:
        return;
    }
    this.#accrue(event.atMs);
    this.#coreSeconds.observe(event);
  }

  /** @param usedCoreSeconds the worker's own counter */
  report(endAtMs: number, usedCoreSeconds: number): AllocationReport {
    this.#accrue(endAtMs);
    const coreSeconds = this.#coreSeconds.totalSeconds(endAtMs);
    if (usedCoreSeconds > coreSeconds * (1 + 1e-9) + 1e-9) {
      throw new Error(`the simulated worker used ${usedCoreSeconds} core-seconds of ${coreSeconds}`);
    }
    return {
      coreSeconds,
      grantedCoreSeconds: this.#grantedCoreMs / 1000,
      heldMs: this.#held.heldMs(),
      coresBySecond: this.#held.coresBySecond(),
      resizes: this.#resizes,
    };
  }

  #accrue(atMs: number): void {
    const elapsedMs = this.#held.accrue(atMs, this.chargedMillicores);
    this.#grantedCoreMs += (this.grantedMillicores / 1000) * elapsedMs;
  }
}
