import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import type { CgroupPlace } from './cgroup-paths.js';
import { findCgroupPlaces } from './cgroup-paths.js';
import { parseCpuList } from './cpu-list.js';

/** The most CPU that this process and its children can get, whatever we grant. */
export interface CpuCeiling {
  readonly millicores: number;
  /** Numbers of the CPUs this process may run on. */
  readonly cpus: readonly number[];
  /** What binds it, for the banner: the affinity mask, or the file of the tightest quota. */
  readonly limitedBy: string;
}

/** Of a quota, for the router's own threads, which it would stop with the models: about what parsing and sockets need beside one model. */
export const ROUTER_MILLICORES = 250;

/**
 * c_max: what models may have of a ceiling. Cores are shared by weight, and the router's threads, which want one seldom and shortly, get it
 * when they do; a quota stops them too once models have used it up.
 */
export function grantableMillicores({ millicores, cpus }: Pick<CpuCeiling, 'millicores' | 'cpus'>): number {
  const isQuota = millicores < 1000 * cpus.length;
  return isQuota ? millicores - ROUTER_MILLICORES : millicores;
}

/**
 * c_max before the router's share is taken off: the smallest of this process's affinity mask and every quota that
 * encloses it, cgroup v1 or v2, from its own cgroup up to the mount point. Node's `availableParallelism()` follows the
 * affinity mask but no quota. In a container, quotas above the visible part of the tree cannot be seen.
 * @param root where the file system starts; other than `/` only in tests
 */
export function measureCpuCeiling(root = '/'): CpuCeiling {
  const cpus = allowedCpus(root);
  let ceiling: CpuCeiling = { millicores: cpus.length * 1000, cpus, limitedBy: `${cpus.length} allowed CPUs` };
  const places = findCgroupPlaces(root);
  const quotas = [
    ...(places.v2 ? enclosingQuotas(places.v2, readV2Quota) : []),
    ...(places.v1.has('cpu') ? enclosingQuotas(places.v1.get('cpu')!, readV1Quota) : []),
  ];
  for (const { millicores, file } of quotas) {
    if (millicores < ceiling.millicores) ceiling = { millicores, cpus, limitedBy: `the quota in ${file}` };
  }
  return ceiling;
}

interface EnclosingQuota {
  readonly millicores: number;
  readonly file: string;
}

function enclosingQuotas(place: CgroupPlace, read: (dir: string) => EnclosingQuota | null): EnclosingQuota[] {
  const quotas: EnclosingQuota[] = [];
  for (let dir = place.own; dir.startsWith(place.mountPoint); dir = dirname(dir)) {
    const quota = read(dir);
    if (quota) quotas.push(quota);
    if (dir === place.mountPoint) break;
  }
  return quotas;
}

/** `cpu.max` is `<quota µs | max> <period µs>`; the root group has none. */
function readV2Quota(dir: string): EnclosingQuota | null {
  const file = join(dir, 'cpu.max');
  const [quota, period] = (readText(file) ?? 'max').split(' ');
  if (quota === 'max' || quota === undefined || period === undefined) return null;
  return { millicores: toMillicores(quota, period), file };
}

/** −1 is no quota. */
function readV1Quota(dir: string): EnclosingQuota | null {
  const file = join(dir, 'cpu.cfs_quota_us');
  const quota = readText(file);
  const period = readText(join(dir, 'cpu.cfs_period_us'));
  if (quota === null || period === null || Number(quota) < 0) return null;
  return { millicores: toMillicores(quota, period), file };
}

function toMillicores(quotaUs: string, periodUs: string): number {
  return Math.floor((Number(quotaUs) * 1000) / Number(periodUs));
}

function allowedCpus(root: string): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readText(join(root, 'proc/self/status')) ?? '')?.[1];
  if (list === undefined) return Array.from({ length: availableParallelism() }, (_, cpu) => cpu);
  return parseCpuList(list);
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return null; // the root group has no quota files, and other systems have no /proc
  }
}
