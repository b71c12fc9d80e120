import type { Event } from './event.js';

/*
 * The ledger of CPU: core-seconds = ∫ max(granted allocation, CPU used) dt over windows of 100 ms, idle floor included.
 * All instances of one model, alike or each with an allocation of its own; the server's metric and the simulator's reports come from
 * this class alone, so they cannot differ.
 *
 * - Growth is charged from the request for it, a shrink only from its read-back: what could have been used by someone
 *   else is free only once it was really given up. The same holds for instances: one that is asked for is charged at once,
 *   its cold start included, and one that is given up until its last batch has ended.
 * - Used CPU counts where it exceeds what was granted: a quota write refills the kernel's bucket, so a group that is
 *   resized often can run for longer than its quota says, and granted alone would undercount.
 * - The maximum is taken per window, not per instant, because the kernel's usage counter is a sum; a longer window would
 *   let idle time hide such overruns, a shorter one would count the bursts that a quota period allows by design.
 *
 * Invariants: the total never decreases, is at least the granted integral, and at least the CPU used.
 */

/** Length of a window; the caller closes one each time this much has passed, or `IDLE_WINDOWS` of them where nothing happens. */
export const WINDOW_MS = 100;
export const IDLE_WINDOWS = 10;

export interface Instances {
  readonly existing: number;
  readonly ready: number;
  readonly startingMillicores: number;
}

const ONE_INSTANCE: Instances = { existing: 1, ready: 1, startingMillicores: 0 };

/** Asked for and not yet answered. */
interface Unanswered {
  readonly instance: number;
  readonly cpuMillicores: number;
}

export class CoreSeconds {
  /** Read back, in force: by instance, or one of each where they are alike. */
  private readonly inForceMillicores: number[];
  /** By resize: a newer request may be in force before an older one is answered. */
  private readonly unanswered = new Map<number, Unanswered>();
  /** Able to run batches. */
  private readyInstances: number;
  /** Asked for last. */
  private requestedInstances: number;
  private lastAtMs: number;
  /** Closed windows, core-seconds. */
  private settledSeconds = 0;
  /** Granted in the open window, core-seconds. */
  private windowGrantedSeconds = 0;
  /** The kernel's counter at the start of the open window; null before the first reading. */
  private usedSecondsAtWindowStart: number | null = null;

  /** Allocation of each instance that is not ready yet. */
  private readonly startingMillicores: number;

  /**
   * @param cpuMillicores in force at `startAtMs`: of each ready instance, or by instance where each has its own
   * @param instances that exist at `startAtMs`, and how many of them are ready; those that start hold `startingMillicores`
   */
  constructor(startAtMs: number, cpuMillicores: number | readonly number[], instances: Instances = ONE_INSTANCE) {
    this.lastAtMs = startAtMs;
    this.inForceMillicores = [cpuMillicores].flat();
    this.readyInstances = instances.ready;
    this.requestedInstances = instances.existing;
    this.startingMillicores = instances.startingMillicores;
  }

  /** What is charged now, all instances together. */
  get chargedMillicores(): number {
    if (this.inForceMillicores.length > 1) {
      return this.inForceMillicores.reduce((sum, _, instance) => sum + this.heldBy(instance), 0);
    }
    const ofEach = this.heldBy(0);
    const starting = Math.max(0, this.requestedInstances - this.readyInstances);
    return ofEach * this.readyInstances + this.startingMillicores * starting;
  }

  /** Follows the resizes and instances in the event stream; other events change nothing. Each request counts until its own answer. */
  observe(event: Event): void {
    switch (event.kind) {
      case 'resize-requested':
        this.accrue(event.atMs);
        this.unanswered.set(event.resizeId, { instance: event.instance ?? 0, cpuMillicores: event.toMillicores });
        return;
      case 'resized':
        this.accrue(event.atMs);
        this.inForceMillicores[event.instance ?? 0] = event.cpuMillicores;
        this.unanswered.delete(event.resizeId);
        return;
      case 'resize-refused':
        this.accrue(event.atMs);
        this.unanswered.delete(event.resizeId);
        return;
      case 'instances-requested':
        this.accrue(event.atMs);
        this.requestedInstances = event.toInstances;
        return;
      case 'instances-changed':
        this.accrue(event.atMs);
        this.readyInstances = event.instances;
        return;
      default:
        return;
    }
  }

  /**
   * Ends a window. Windows that could not be closed in time (a late timer) are simply longer.
   * @param usedSeconds the cumulative CPU counter at `atMs`; a value below the last one means that the counter
   *   began anew; null where the platform has none, then granted alone counts
   * @returns CPU used in the window, core-seconds; 0 where nothing is known of it
   */
  closeWindow(atMs: number, usedSeconds: number | null): number {
    this.accrue(atMs);
    let usedInWindow = 0;
    if (usedSeconds !== null && this.usedSecondsAtWindowStart !== null) {
      const hasRestarted = usedSeconds < this.usedSecondsAtWindowStart;
      usedInWindow = hasRestarted ? usedSeconds : usedSeconds - this.usedSecondsAtWindowStart;
    }
    this.settledSeconds += Math.max(this.windowGrantedSeconds, usedInWindow);
    this.windowGrantedSeconds = 0;
    this.usedSecondsAtWindowStart = usedSeconds;
    return usedInWindow;
  }

  /**
   * Something begins after a long window in which nothing was to happen: what was used since that began counts in a window of its own
   * from now on, as if all of it was used from now on, so that no idle time hides it.
   */
  endIdleTime(atMs: number): void {
    this.accrue(atMs);
    this.settledSeconds += this.windowGrantedSeconds;
    this.windowGrantedSeconds = 0;
  }

  /** Core-seconds from the start until `atMs`; of the open window what is granted so far. */
  totalSeconds(atMs: number): number {
    this.accrue(atMs);
    return this.settledSeconds + this.windowGrantedSeconds;
  }

  /** In force, or asked for: whichever is more. */
  private heldBy(instance: number): number {
    let held = this.inForceMillicores[instance]!;
    for (const each of this.unanswered.values()) {
      if (each.instance === instance) held = Math.max(held, each.cpuMillicores);
    }
    return held;
  }

  /** Instants from before the last one add nothing: an event can be stamped just before the reading that overtook it. */
  private accrue(atMs: number): void {
    if (atMs <= this.lastAtMs) return;
    this.windowGrantedSeconds += (this.chargedMillicores / 1000) * ((atMs - this.lastAtMs) / 1000);
    this.lastAtMs = atMs;
  }
}
