/*
 * One allocation that all instances have alike: one worker, or the replicas of the baselines.
 *
 * Growth goes not beyond the threads of the running batch while a fast scaler can do the rest in time for the next one. A batch
 * starts when a resize that takes no time is done, so growth is quota first, then threads, and a shrink is in force before
 * threads are chosen.
 */
import type { Timer } from '../clock/clock.js';
import type { Plan } from '../domain/plan.js';
import { RELEASE_DELAYS, type Allocations, type AllocationsOptions, type Wanted } from './allocations.js';
import type { ControlledPlane } from './controlled-plane.js';
import type { InstanceAllocation } from './instance-allocation.js';

export class SharedAllocation implements Allocations {
  readonly each: readonly InstanceAllocation[];
  readonly #allocation: InstanceAllocation;
  readonly #options: AllocationsOptions;
  /** Whether each plan is put in force as it is, at once, whatever runs. */
  readonly #isAtOnce: boolean;
  #timer: Timer | null = null;

  constructor(allocation: InstanceAllocation, isAtOnce: boolean, options: AllocationsOptions) {
    this.each = [allocation];
    this.#allocation = allocation;
    this.#isAtOnce = isAtOnce;
    this.#options = options;
  }

  follow(nowMs: number, wanted: Wanted): void {
    const target = this.#target(nowMs, wanted);
    const { requestedMillicores } = this.#allocation;
    this.stop();
    if (target > requestedMillicores) this.#allocation.growTo(target);
    if (target < requestedMillicores) {
      const runningThreads = wanted.plane.runningThreads(0);
      const againAtMs = this.#allocation.shrinkTo(target, { runningThreads, isAtOnce: this.#isAtOnce });
      if (againAtMs !== null) {
        this.#wakeAt(againAtMs);
        return;
      }
    }
    this.#scheduleRelease(nowMs, wanted);
  }

  isAwaited(): boolean {
    return this.#allocation.isAwaited;
  }

  suffices({ cpuMillicores }: Plan, plane: ControlledPlane): boolean {
    return this.#allocation.requestedMillicores >= this.#wantedMillicores(cpuMillicores, plane);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** What should be granted now: the plan, or the idle allocation once there was nothing to do for a while. */
  #target(nowMs: number, { plan, plane, idleSinceMs }: Wanted): number {
    const { idleReleaseMs, idleMillicores } = this.#options.rules;
    const isReleased = idleSinceMs !== null && idleReleaseMs !== null && nowMs - idleSinceMs >= this.#releaseAfterMs();
    return isReleased ? idleMillicores : this.#wantedMillicores(plan.cpuMillicores, plane);
  }

  /**
   * CPU beyond the threads of the running batch serves only the next one: where growing takes no time, that one's start
   * is soon enough. What is granted already stays.
   */
  #wantedMillicores(planned: number, plane: ControlledPlane): number {
    // What is believed to be too little even of all there is is tried on all there is.
    const cpuMillicores = plane.isExploring ? this.#options.rules.limits.maxMillicores : planned;
    const runningThreads = plane.runningThreads(0);
    if (runningThreads === 0 || this.#isAtOnce || this.#options.delay.isSlow) return cpuMillicores;
    return Math.min(cpuMillicores, Math.max(this.#allocation.requestedMillicores, runningThreads * 1000));
  }

  /** Idleness that a release waits for: what takes long to get back is not given up for a moment. */
  #releaseAfterMs(): number {
    const { delay, rules } = this.#options;
    return Math.max(rules.idleReleaseMs!, delay.isSlow ? RELEASE_DELAYS * delay.typicalMs : 0);
  }

  #scheduleRelease(nowMs: number, { idleSinceMs }: Wanted): void {
    if (idleSinceMs === null || this.#options.rules.idleReleaseMs === null) return;
    const atMs = idleSinceMs + this.#releaseAfterMs();
    if (atMs > nowMs) this.#wakeAt(atMs);
  }

  #wakeAt(atMs: number): void {
    this.#timer = this.#options.clock.schedule(atMs, this.#options.again);
  }
}
