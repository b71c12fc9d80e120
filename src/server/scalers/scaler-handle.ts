import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import type { Scaler } from '../../scheduler/controlplane/scaler.js';
import { grantableMillicores, type CpuCeiling } from './cpu-ceiling.js';
import type { JoinInstruction } from './join.js';
import type { PodReport } from './kubernetes/pod-report.js';

export type ScalerKind = 'cgroup-v2' | 'cgroup-v1' | 'affinity' | 'kubernetes' | 'none';

/** What every adapter is made from. */
export interface AdapterOptions {
  /** The group is called `sponge-<groupName>`; one server at a time may own a name. Letters, digits, `.`, `_`, `-`. */
  readonly groupName: string;
  /** Quota period: 1000 µs to 1 s. */
  readonly periodUs: number;
  readonly ceiling: CpuCeiling;
  /** Narrower limits than the machine's; the largest allocation never exceeds the ceiling. */
  readonly limits: Partial<AllocationLimits>;
  /** The most that a group may have now, where that is less than it may have some time; absent: its largest allocation. */
  readonly mostNowMillicores?: () => number;
  /** Told, in one line, what went wrong without stopping anything. */
  readonly onWarning: (message: string) => void;
}

/** A scaler with its life around it. The group outlives worker processes: a restarted worker joins it again. */
export interface ScalerHandle {
  readonly scaler: Scaler;
  /** For the first worker process, before it makes sessions. */
  readonly join: JoinInstruction;
  /** For a process that replaces a lost one: as `join`, after making the group again where others removed it, or another way. */
  rejoin(): JoinInstruction;
  /** One line for the banner. */
  readonly description: string;
  /** Tells which process and thread joined; after the join and before the first batch. */
  attachProcess(pid: number, inferenceTid: number): void;
  /** It is inside a limit that all handles of this process share, and that follows what they need. */
  readonly isEnveloped?: boolean;
  /** Of that limit, where it is a pod's. */
  readonly pod?: PodReport;
  /** Why nothing better was possible inside that limit, one line each. */
  readonly innerPassedOver?: readonly string[];
  /** Ends leftovers in the group and removes it. Stop the workers first. Safe to call twice. */
  close(): Promise<void>;
}

/** The machine does not allow this adapter; another may do. The message is one line: cause and remedy. */
export class ScalerUnavailable extends Error {
  override readonly name = 'ScalerUnavailable';
}

/** Allocation steps: finer ones gain nothing, and Kubernetes' systemd driver rounds quotas to 10 ms of 100 ms. */
const STEP_MILLICORES = 100;

/** The kernel refuses quotas below 1 ms (`min_cfs_quota_period`, kernel/sched/core.c). */
export const LEAST_QUOTA_US = 1000;

/**
 * Limits of a quota adapter. The floor is one step or the least quota, whichever is more: 100 millicores at 10 ms. On a
 * machine too small for the router's share the floor is also the most.
 */
export function quotaLimits({ ceiling, limits, periodUs }: AdapterOptions): AllocationLimits {
  const stepMillicores = limits.stepMillicores ?? STEP_MILLICORES;
  const leastMillicores = Math.ceil((LEAST_QUOTA_US * 1000) / periodUs / stepMillicores) * stepMillicores;
  const minMillicores = Math.max(limits.minMillicores ?? 0, leastMillicores);
  const mostMillicores = Math.min(limits.maxMillicores ?? Infinity, grantableMillicores(ceiling));
  return { minMillicores, maxMillicores: Math.max(minMillicores, mostMillicores), stepMillicores };
}

/**
 * A group's weight against others who want the same cores: that of as many threads outside a group as the largest allocation has
 * cores, as Kubernetes gives containers for what they request. At its default a group of any number of threads counts as one,
 * and beside one busy loop a core its two threads have a third of the machine instead of half.
 * @param ofOneThread what the kernel gives a thread of nice 0 by default
 */
export function groupWeight({ maxMillicores }: AllocationLimits, ofOneThread: number): number {
  return Math.round(ofOneThread * Math.max(1, maxMillicores / 1000));
}

/** What a group is made with: start-up and model loading run at the largest allocation, as far as it can be had. */
export function startQuotaUs(
  { maxMillicores }: AllocationLimits,
  { periodUs, mostNowMillicores }: AdapterOptions,
): number {
  return Math.round((Math.min(maxMillicores, mostNowMillicores?.() ?? Infinity) * periodUs) / 1000);
}

/** Broken by the caller, never by the machine. */
export function assertWithinLimits(cpuMillicores: number, limits: AllocationLimits): void {
  const isWithin = cpuMillicores >= limits.minMillicores && cpuMillicores <= limits.maxMillicores;
  if (!Number.isInteger(cpuMillicores) || !isWithin) {
    throw new RangeError(
      `allocation ${cpuMillicores} millicores is not an integer in [${limits.minMillicores}, ${limits.maxMillicores}]`,
    );
  }
}
