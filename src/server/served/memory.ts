import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findCgroupPlaces, type CgroupPlace } from '../scalers/cgroup-paths.js';

/*
 * The memory that this server and its workers may use: the machine's, or what its control group leaves of it. As
 * with CPU, a container's limit is found by walking up from where this process stands; the tightest on the way counts.
 */

export interface MemoryRoom {
  /** Read each time: a container may be resized in place as its CPU is. */
  readonly limitBytes: number;
  /** Whose limit that is. */
  readonly limitedBy: 'machine' | 'cgroup';
  /** What cannot be had back without ending something: without the page cache, which the kernel gives away first. */
  usedBytes(): number;
}

interface Names {
  readonly limit: string;
  readonly usage: string;
  /** In `memory.stat`: file pages of the group and of those below it. */
  readonly cache: readonly string[];
}

const V1: Names = {
  limit: 'memory.limit_in_bytes',
  usage: 'memory.usage_in_bytes',
  cache: ['total_inactive_file', 'total_active_file'],
};
const V2: Names = { limit: 'memory.max', usage: 'memory.current', cache: ['inactive_file', 'active_file'] };

/** @param root where the file system starts; other than `/` only in tests */
export function findMemoryRoom(root = '/'): MemoryRoom {
  const totalBytes = machineBytes(root, 'MemTotal');
  const machine: MemoryRoom = {
    limitBytes: totalBytes,
    limitedBy: 'machine',
    usedBytes: () => totalBytes - machineBytes(root, 'MemAvailable'),
  };
  const { v1, v2 } = findCgroupPlaces(root);
  const place = v1.get('memory');
  const groups = [...(place === undefined ? [] : limited(place, V1)), ...(v2 === null ? [] : limited(v2, V2))];
  return groups.reduce((least, each) => (each.limitBytes < least.limitBytes ? each : least), machine);
}

/** Every group from where this process stands up to the mount point that limits anything. */
function limited({ mountPoint, own }: CgroupPlace, names: Names): MemoryRoom[] {
  const rooms: MemoryRoom[] = [];
  for (let group = own; group.startsWith(mountPoint); group = dirname(group)) {
    const limitFile = join(group, names.limit);
    if (readNumber(limitFile) === null) continue;
    rooms.push({
      get limitBytes() {
        return readNumber(limitFile) ?? Infinity;
      },
      limitedBy: 'cgroup',
      usedBytes: () => usedIn(group, names),
    });
  }
  return rooms;
}

function usedIn(group: string, { usage, cache }: Names): number {
  const statistics = readText(join(group, 'memory.stat')) ?? '';
  const cached = cache.map((name) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(statistics)?.[1] ?? 0));
  return Math.max(0, (readNumber(join(group, usage)) ?? 0) - cached.reduce((sum, bytes) => sum + bytes, 0));
}

function machineBytes(root: string, name: string): number {
  const line = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readText(join(root, 'proc/meminfo')) ?? '');
  return line === null ? Infinity : 1024 * Number(line[1]);
}

/** Null where there is none, or `max`. */
function readNumber(path: string): number | null {
  const text = readText(path)?.trim() ?? '';
  return /^\d+$/.test(text) ? Number(text) : null;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
