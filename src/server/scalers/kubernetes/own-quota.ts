import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CpuCounters } from '../../../scheduler/controlplane/scaler.js';
import { findCgroupPlaces } from '../cgroup-paths.js';
import { readFlatKeyed } from '../flat-keyed.js';
import { ScalerUnavailable } from '../scaler-handle.js';

/*
 * The quota of the container that this process runs in, as the kernel has it: 30 ms after a resize it says what the pod's status says a
 * second later. Read-only is enough.
 */

export interface OwnQuota {
  /** For people. */
  readonly file: string;
  /** In force now; null: no limit. @throws what `fs` throws */
  readMillicores(): number | null;
  /** How often the container as a whole was throttled; null where that cannot be read. */
  readThrottling(): Omit<CpuCounters, 'usedSeconds'> | null;
}

/**
 * @param directory of the container's cgroup; null: as /proc says
 * @throws ScalerUnavailable, in one line, where there is none to be read
 */
export function findOwnQuota(directory: string | null): OwnQuota {
  const found = directory === null ? ownDirectories() : [directory];
  for (const dir of found) {
    if (existsSync(join(dir, 'cpu.max'))) return quotaV2(dir);
    if (existsSync(join(dir, 'cpu.cfs_quota_us'))) return quotaV1(dir);
  }
  throw new ScalerUnavailable(
    `the container's own CPU quota cannot be read in ${found.join(' or ') || '/proc/self/cgroup'}: mount /sys/fs/cgroup read-only, or say where it is with --kubernetes-cgroup`,
  );
}

function ownDirectories(): readonly string[] {
  const { v2, v1 } = findCgroupPlaces();
  return [v2?.own, v1.get('cpu')?.own].filter((dir) => dir !== undefined);
}

function quotaV2(dir: string): OwnQuota {
  const file = join(dir, 'cpu.max');
  return {
    file,
    readMillicores() {
      const [quota, period] = readFileSync(file, 'utf8').trim().split(' ');
      return quota === 'max' ? null : millicores(Number(quota), Number(period));
    },
    readThrottling: () => throttlingIn(dir, 'throttled_usec', 1e6),
  };
}

function quotaV1(dir: string): OwnQuota {
  const file = join(dir, 'cpu.cfs_quota_us');
  return {
    file,
    readMillicores() {
      const quotaUs = Number(readFileSync(file, 'utf8'));
      return quotaUs < 0 ? null : millicores(quotaUs, Number(readFileSync(join(dir, 'cpu.cfs_period_us'), 'utf8')));
    },
    readThrottling: () => throttlingIn(dir, 'throttled_time', 1e9),
  };
}

function millicores(quotaUs: number, periodUs: number): number {
  const value = Math.round((quotaUs * 1000) / periodUs);
  if (!Number.isFinite(value)) throw new Error(`a quota of ${quotaUs} µs in ${periodUs} µs`);
  return value;
}

function throttlingIn(dir: string, timeKey: string, perSecond: number): Omit<CpuCounters, 'usedSeconds'> | null {
  try {
    const stat = readFlatKeyed(join(dir, 'cpu.stat'));
    return {
      periods: stat('nr_periods'),
      throttledPeriods: stat('nr_throttled'),
      throttledSeconds: stat(timeKey) / perSecond,
    };
  } catch {
    return null;
  }
}
