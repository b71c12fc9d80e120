import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClaimedGroup, GroupPlan } from './cgroup-group.js';
import { claimGroup } from './cgroup-group.js';
import { findCgroupPlaces } from './cgroup-paths.js';
import type { GroupHandle } from './fallback.js';
import { readFlatKeyed } from './flat-keyed.js';
import type { QuotaFiles } from './quota-scaler.js';
import { createQuotaScaler } from './quota-scaler.js';
import type { AdapterOptions } from './scaler-handle.js';
import { groupWeight, quotaLimits, ScalerUnavailable, startQuotaUs } from './scaler-handle.js';

/** Of nice 0, and the most that the kernel takes (`CGROUP_WEIGHT_DFL`, `CGROUP_WEIGHT_MAX`). */
const WEIGHT_OF_ONE_THREAD = 100;
const MOST_WEIGHT = 10_000;

/**
 * Quota by cgroup v2 (Documentation/admin-guide/cgroup-v2.rst, "Threads"): a *threaded* group directly below the cgroup
 * that this process runs in, for the inference threads alone. Our own cgroup becomes the threaded domain: it keeps its
 * processes, because `cpu` is a threaded controller, to which the rule "no processes in inner nodes" does not apply.
 * Workers are started in our own cgroup, so a thread only moves down one level, which a delegated cgroup allows.
 *
 * A domain group of our own for the worker was rejected: it needs a parent without processes, so this process, and
 * whatever started it, would have to be moved first.
 */
export async function openCgroupV2(options: AdapterOptions): Promise<GroupHandle> {
  const own = findOwnCgroup();
  const name = `sponge-${options.groupName}`;
  const dir = join(own, name);
  const limits = quotaLimits(options);
  const files = quotaFilesV2(dir);
  const { periodUs, onWarning } = options;
  let isEnabledByUs = false;
  const disable = (): void => {
    if (isEnabledByUs && !hasChildren(own)) writeFileSync(join(own, 'cgroup.subtree_control'), '-cpu');
    isEnabledByUs = false;
  };
  const plan: GroupPlan = {
    parentDirs: [own],
    directoryName: name,
    membersFile: 'cgroup.threads',
    writtenFiles: [join(dir, 'cpu.max')],
    setUp() {
      writeFileSync(join(dir, 'cgroup.type'), 'threaded');
      if (enableCpu(own)) isEnabledByUs = true;
      writeFileSync(join(dir, 'cpu.weight'), String(Math.min(MOST_WEIGHT, groupWeight(limits, WEIGHT_OF_ONE_THREAD))));
      files.write({ quotaUs: startQuotaUs(limits, options), periodUs });
    },
    onWarning,
  };
  let group: ClaimedGroup;
  try {
    group = await claimGroup(plan);
  } catch (error) {
    disable();
    throw error;
  }
  return {
    scaler: createQuotaScaler('cgroup-v2', limits, periodUs, files, group),
    join: { kind: 'cgroup-v2', threadsFile: join(dir, 'cgroup.threads') },
    group,
    description: `cgroup v2 group ${dir}, ${limits.minMillicores} to ${limits.maxMillicores} millicores, period ${periodUs / 1000} ms`,
    attachProcess: (pid, inferenceTid) => group.attach(pid, inferenceTid),
    async close() {
      await group.remove();
      disable();
    },
  };
}

/** On a hybrid host the v2 tree exists without the cpu controller: that belongs to v1 there. */
function findOwnCgroup(): string {
  const own = findCgroupPlaces().v2?.own;
  if (own === undefined) throw new ScalerUnavailable('no cgroup v2 hierarchy is mounted');
  const controllers = readWords(join(own, 'cgroup.controllers'));
  if (!controllers.includes('cpu')) {
    throw new ScalerUnavailable(
      `the cpu controller is not available in ${own}: where systemd runs cgroup v2, start with ` +
        '`systemd-run --user --scope -p Delegate=cpu`, or as a service with Delegate=cpu',
    );
  }
  return own;
}

/** @returns true when it was off before */
function enableCpu(own: string): boolean {
  const file = join(own, 'cgroup.subtree_control');
  if (readWords(file).includes('cpu')) return false;
  writeFileSync(file, '+cpu');
  return true;
}

function hasChildren(dir: string): boolean {
  return readdirSync(dir, { withFileTypes: true }).some((entry) => entry.isDirectory());
}

function readWords(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').trim().split(' ');
  } catch {
    return []; // not visible from here, so not available
  }
}

function quotaFilesV2(dir: string): QuotaFiles {
  const maxFile = join(dir, 'cpu.max');
  return {
    read() {
      const [quota, period] = readFileSync(maxFile, 'utf8').trim().split(' ');
      return { quotaUs: quota === 'max' ? null : Number(quota), periodUs: Number(period) };
    },
    // One write for both fields: two would refill the budget twice.
    write: ({ quotaUs, periodUs }) => writeFileSync(maxFile, `${quotaUs} ${periodUs}`),
    readCounters() {
      const stat = readFlatKeyed(join(dir, 'cpu.stat'));
      return {
        usedSeconds: stat('usage_usec') / 1e6,
        periods: stat('nr_periods'),
        throttledPeriods: stat('nr_throttled'),
        throttledSeconds: stat('throttled_usec') / 1e6,
      };
    },
  };
}
