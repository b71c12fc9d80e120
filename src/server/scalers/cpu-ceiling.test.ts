import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { measureCpuCeiling } from './cpu-ceiling.js';

let root = '';
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'sponge-ceiling-'))));
afterEach(() => rmSync(root, { recursive: true }));

/** Writes a machine: each file with its text, below a root directory of its own. */
function machine(files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
}

const V2_MOUNT = '29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate';
const EIGHT_CPUS = 'Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7';

describe('the CPU ceiling', () => {
  it('is the affinity mask where no quota encloses the process', () => {
    machine({ '/proc/self/status': 'Name:\tnode\nCpus_allowed_list:\t0-2,6' });
    // CPUs 0, 1, 2 and 6.
    expect(measureCpuCeiling(root)).toEqual({ millicores: 4000, cpus: [0, 1, 2, 6], limitedBy: '4 allowed CPUs' });
  });

  it('is the tightest quota on the way up a cgroup v2 tree, not only the nearest', () => {
    machine({
      '/proc/self/status': EIGHT_CPUS,
      '/proc/self/mountinfo': V2_MOUNT,
      '/proc/self/cgroup': '0::/system.slice/sponge.service',
      '/sys/fs/cgroup/system.slice/cpu.max': '250000 100000',
      '/sys/fs/cgroup/system.slice/sponge.service/cpu.max': '300000 100000',
    });
    const ceiling = measureCpuCeiling(root);
    expect(ceiling.millicores).toBe(2500); // 250 ms of 100 ms, below 300 of 100 and eight CPUs
    expect(ceiling.limitedBy).toBe(`the quota in ${root}/sys/fs/cgroup/system.slice/cpu.max`);
  });

  it('takes "max" and −1 for no quota', () => {
    machine({
      '/proc/self/status': EIGHT_CPUS,
      '/proc/self/mountinfo': `${V2_MOUNT}\n33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu`,
      '/proc/self/cgroup': '1:cpu:/a\n0::/a',
      '/sys/fs/cgroup/a/cpu.max': 'max 100000',
      '/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us': '-1',
      '/sys/fs/cgroup/cpu/a/cpu.cfs_period_us': '100000',
    });
    expect(measureCpuCeiling(root).millicores).toBe(8000);
  });

  it('walks up a v1 tree in which cpu and cpuacct are mounted together', () => {
    machine({
      '/proc/self/status': EIGHT_CPUS,
      '/proc/self/mountinfo': '33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct',
      '/proc/self/cgroup': '4:cpu,cpuacct:/kubepods/pod1/c1\n1:name=systemd:/kubepods/pod1/c1',
      '/sys/fs/cgroup/cpu,cpuacct/kubepods/pod1/cpu.cfs_quota_us': '15000',
      '/sys/fs/cgroup/cpu,cpuacct/kubepods/pod1/cpu.cfs_period_us': '10000',
    });
    expect(measureCpuCeiling(root).millicores).toBe(1500); // 15 ms of 10 ms
  });

  it('finds its own quota in a container whose mount shows only its part of a v1 tree', () => {
    machine({
      '/proc/self/status': EIGHT_CPUS,
      '/proc/self/mountinfo': '700 690 0:30 /docker/4f2a /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu',
      '/proc/self/cgroup': '1:cpu:/docker/4f2a/worker',
      '/sys/fs/cgroup/cpu/worker/cpu.cfs_quota_us': '50000',
      '/sys/fs/cgroup/cpu/worker/cpu.cfs_period_us': '100000',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '40000',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000',
    });
    expect(measureCpuCeiling(root).millicores).toBe(400); // the container's own 40 of 100 ms
  });

  it('finds its own quota in a container with a cgroup namespace', () => {
    machine({
      '/proc/self/status': EIGHT_CPUS,
      '/proc/self/mountinfo': V2_MOUNT,
      '/proc/self/cgroup': '0::/',
      '/sys/fs/cgroup/cpu.max': '125000 50000',
    });
    expect(measureCpuCeiling(root).millicores).toBe(2500); // 125 ms of 50 ms
  });

  it('starts at the mount point when the process stands outside what is visible', () => {
    machine({
      '/proc/self/status': EIGHT_CPUS,
      '/proc/self/mountinfo': V2_MOUNT,
      '/proc/self/cgroup': '0::/../other',
      '/sys/fs/cgroup/cpu.max': '100000 100000',
    });
    expect(measureCpuCeiling(root).millicores).toBe(1000);
  });

  it('reads mount points with escaped spaces', () => {
    machine({
      '/proc/self/status': EIGHT_CPUS,
      '/proc/self/mountinfo': '29 23 0:26 / /my\\040cgroups rw - cgroup2 none rw',
      '/proc/self/cgroup': '0::/a',
      '/my cgroups/a/cpu.max': '100000 100000',
    });
    expect(measureCpuCeiling(root).millicores).toBe(1000);
  });
});
