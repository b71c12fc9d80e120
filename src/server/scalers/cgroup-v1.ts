import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findCgroupPlaces } from './cgroup-paths.js';
import { claimGroup } from './cgroup-group.js';
import { readFlatKeyed } from './flat-keyed.js';
import type { GroupHandle } from './fallback.js';
import type { QuotaFiles } from './quota-scaler.js';
import { createQuotaScaler } from './quota-scaler.js';
import type { AdapterOptions } from './scaler-handle.js';
import { groupWeight, quotaLimits, ScalerUnavailable, startQuotaUs } from './scaler-handle.js';

/** Of nice 0 (`NICE_0_LOAD`, kernel/sched/sched.h). */
const SHARES_OF_ONE_THREAD = 1024;

/**
 * Quota by cgroup v1 (Documentation/admin-guide/cgroup-v1, Documentation/scheduler/sched-bwc.rst): one group below our
 * own cgroup in the `cpu` tree and one in the `cpuacct` tree, which may be the same tree. The kernel refuses a child
 * whose quota/period is above its parent's; the limits come from the enclosing quotas at start, so that happens only
 * when somebody shrinks a parent afterwards, and is then a refused resize.
 */
export async function openCgroupV1(options: AdapterOptions): Promise<GroupHandle> {
  const { cpu, cpuacct } = findTrees();
  const name = `sponge-${options.groupName}`;
  const parents = [...new Set([cpu, cpuacct])];
  const files = quotaFilesV1(join(cpu, name), join(cpuacct, name));
  const limits = quotaLimits(options);
  const { periodUs, onWarning } = options;
  const group = await claimGroup({
    parentDirs: parents,
    directoryName: name,
    membersFile: 'tasks',
    writtenFiles: [join(cpu, name, 'cpu.cfs_quota_us')],
    setUp() {
      files.write({ quotaUs: startQuotaUs(limits, options), periodUs });
      writeFileSync(join(cpu, name, 'cpu.shares'), String(groupWeight(limits, SHARES_OF_ONE_THREAD)));
    },
    onWarning,
  });
  return {
    scaler: createQuotaScaler('cgroup-v1', limits, periodUs, files, group),
    join: { kind: 'cgroup-v1', taskFiles: parents.map((parent) => join(parent, name, 'tasks')) },
    group,
    description: `cgroup v1 group ${join(cpu, name)}, ${limits.minMillicores} to ${limits.maxMillicores} millicores, period ${periodUs / 1000} ms`,
    attachProcess: (pid, inferenceTid) => group.attach(pid, inferenceTid),
    close: () => group.remove(),
  };
}

function findTrees(): { cpu: string; cpuacct: string } {
  const { v1 } = findCgroupPlaces();
  const cpu = v1.get('cpu')?.own;
  const cpuacct = v1.get('cpuacct')?.own;
  if (cpu === undefined || cpuacct === undefined) {
    throw new ScalerUnavailable('the v1 trees cpu and cpuacct are not mounted: use cgroup v2 where the machine has it');
  }
  return { cpu, cpuacct };
}

function quotaFilesV1(cpuDir: string, cpuacctDir: string): QuotaFiles {
  const quotaFile = join(cpuDir, 'cpu.cfs_quota_us');
  const periodFile = join(cpuDir, 'cpu.cfs_period_us');
  const readNumber = (file: string): number => Number(readFileSync(file, 'utf8'));
  return {
    read() {
      const quotaUs = readNumber(quotaFile);
      return { quotaUs: quotaUs < 0 ? null : quotaUs, periodUs: readNumber(periodFile) };
    },
    write({ quotaUs, periodUs }) {
      if (readNumber(periodFile) !== periodUs) {
        // The two files change one after the other: without a quota no ratio in between can be above the parent's.
        writeFileSync(quotaFile, '-1');
        writeFileSync(periodFile, String(periodUs));
      }
      writeFileSync(quotaFile, String(quotaUs));
    },
    readCounters() {
      const stat = readFlatKeyed(join(cpuDir, 'cpu.stat'));
      return {
        usedSeconds: readNumber(join(cpuacctDir, 'cpuacct.usage')) / 1e9,
        periods: stat('nr_periods'),
        throttledPeriods: stat('nr_throttled'),
        throttledSeconds: stat('throttled_time') / 1e9,
      };
    },
  };
}
