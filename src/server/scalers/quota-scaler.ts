import type { CpuCounters, ResizeResult, Scaler } from '../../scheduler/controlplane/scaler.js';
import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import { GrowingCounters } from './growing-counters.js';
import { assertWithinLimits, LEAST_QUOTA_US } from './scaler-handle.js';

/**
 * What rests holds nothing: nothing runs in its group, and what it uses all the same is on the ledger. Its quota is the least that the
 * kernel takes with this period.
 *
 * Not a longer period, by which a quota could be smaller: the kernel does not begin a new period when it is given a shorter one, but
 * when the old one is over. 20 ms of CPU on 0.75 core took 23 ms after a rest at 1 ms in 10, 72 (most 115) after one at 1 ms in 100,
 * 954 (986) after one at 1 ms in a second (medians of 30, Linux 6.18, cgroup v1).
 */
const RESTING_MILLICORES = 0;

/** Whether its threads are still in the group is looked at so often; the counters of a busy group are read ten times as often, which it made two to three times dearer. */
const MEMBERS_EVERY_MS = 1000;

/** The kernel's limit of one group: CPU time per period; null is no limit. µs. */
export interface Quota {
  readonly quotaUs: number | null;
  readonly periodUs: number;
}

/** The files of one group; cgroup v1 and v2 differ only here. All calls are synchronous and throw what `fs` throws. */
export interface QuotaFiles {
  read(): Quota;
  write(quota: Quota & { readonly quotaUs: number }): void;
  readCounters(): CpuCounters;
}

/** The group that the files are of; others may remove it, or move threads out of it, at any time. */
export interface HealedGroup {
  keepMembers(): void;
  /** @throws Error, in one line, where it cannot be made again */
  makeAgain(): void;
}

/**
 * Resizes by quota; a group that is gone is made again by the next resize or reading of its counters. Invariants: what is in force is read, never remembered, so a change by somebody else is seen; an
 * unchanged value is never written, because every write refills the kernel's budget and wakes a throttled group
 * (rewriting 20 % every millisecond lets two threads use 197 % of a CPU); every write is read back.
 *
 * Writes are done inside `resize` (tens of µs), so no call is ever unfinished when the next one comes; the answer comes
 * in a microtask, that is after the caller has run to completion and before any other event.
 */
export function createQuotaScaler(
  kind: 'cgroup-v2' | 'cgroup-v1',
  limits: AllocationLimits,
  periodUs: number,
  files: QuotaFiles,
  group: HealedGroup,
): Scaler {
  const counters = new GrowingCounters();
  let latestMillicores = limits.maxMillicores;
  let membersDueAtMs = -Infinity;

  /** Throws what `fs` throws. */
  function write(cpuMillicores: number): ResizeResult {
    const startedAtMs = performance.now();
    const wanted = { quotaUs: Math.max(LEAST_QUOTA_US, Math.round((cpuMillicores * periodUs) / 1000)), periodUs };
    const before = files.read();
    const isWritten = before.quotaUs !== wanted.quotaUs || before.periodUs !== wanted.periodUs;
    if (isWritten) files.write(wanted);
    const after = isWritten ? files.read() : before;
    if (after.quotaUs === null) return { kind: 'refused', message: 'the quota was removed by another process' };
    const inForceMillicores = Math.round((after.quotaUs * 1000) / after.periodUs);
    return {
      kind: 'applied',
      cpuMillicores: cpuMillicores === RESTING_MILLICORES ? RESTING_MILLICORES : inForceMillicores,
      isWritten,
      tookMs: performance.now() - startedAtMs,
    };
  }

  function apply(cpuMillicores: number): ResizeResult {
    try {
      return write(cpuMillicores);
    } catch (error) {
      if (!isGone(error))
        return { kind: 'refused', message: refusalMessage(cpuMillicores, error as NodeJS.ErrnoException) };
    }
    try {
      group.makeAgain();
      return write(cpuMillicores);
    } catch (error) {
      return { kind: 'refused', message: refusalMessage(cpuMillicores, error as NodeJS.ErrnoException) };
    }
  }

  /** What was removed is found here within a tick, also where there is nothing to resize. */
  function readHealed(): CpuCounters | null {
    try {
      group.makeAgain();
      write(latestMillicores);
      return counters.continuedBy(files.readCounters());
    } catch {
      return null; // `resize` says why not
    }
  }

  return {
    kind,
    isActuating: true,
    limits,
    idleMillicores: RESTING_MILLICORES,
    // A raise reaches a throttled process 0.19 ms later at the median, 0.23 ms at p90 (two-core Linux 6.18 VM).
    expectedDelayMs: 1,
    resize(cpuMillicores, onApplied) {
      if (cpuMillicores !== RESTING_MILLICORES) assertWithinLimits(cpuMillicores, limits);
      latestMillicores = cpuMillicores;
      const result = apply(cpuMillicores);
      queueMicrotask(() => onApplied(result));
    },
    readCounters() {
      try {
        const nowMs = performance.now();
        if (nowMs >= membersDueAtMs) {
          membersDueAtMs = nowMs + MEMBERS_EVERY_MS;
          group.keepMembers();
        }
        return counters.continuedBy(files.readCounters());
      } catch (error) {
        return isGone(error) ? readHealed() : null;
      }
    },
  };
}

/** As whoever reads the files finds a group that was removed. */
function isGone(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENODEV';
}

function refusalMessage(cpuMillicores: number, error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'EINVAL':
      return `the kernel refused ${cpuMillicores} millicores: an enclosing cgroup allows less, or a burst above the quota is set`;
    case 'ENOENT':
    case 'ENODEV':
      return `the cgroup is gone; it was removed by another process (${error.message})`;
    default:
      return `cannot set ${cpuMillicores} millicores: ${error.message}`;
  }
}
