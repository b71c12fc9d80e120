import { spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { connect, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Prng } from '../../src/scheduler/random/prng.js';
import type { Site } from './site.js';

/* What is done to a server that serves, from outside. Faults that are a matter of how clients behave are in `clients.ts`. */

export interface Fault {
  /** Between two strikes, drawn anew each time. */
  readonly pauseMs: readonly [least: number, most: number];
  /** Why it cannot be tried here; null where it can. */
  obstacle(site: Site): string | null;
  /** Once; all is healed when it resolves. False where it was no time for it. */
  strike(site: Site, prng: Prng): Promise<boolean>;
}

const none = (): null => null;

/** Open files that are left to the router beyond those it has. */
const SPARE_DESCRIPTORS = 4;
const HOARDED_CONNECTIONS = 40;

export const FAULTS = {
  'kill-worker': {
    pauseMs: [2000, 8000],
    obstacle: none,
    strike: (site, prng) => site.strike(() => kill(anyWorker(site, prng), 'SIGKILL')),
  },
  'stop-worker': {
    pauseMs: [300, 2000],
    obstacle: none,
    strike: (site, prng) =>
      site.strike(async () => {
        const pid = anyWorker(site, prng);
        kill(pid, 'SIGSTOP');
        await delay(50 + prng.int(700));
        kill(pid, 'SIGCONT');
      }),
  },
  'stop-router': {
    pauseMs: [1000, 3000],
    obstacle: none,
    strike: (site, prng) =>
      site.strike(() =>
        site.during(async () => {
          kill(site.server.pid, 'SIGSTOP');
          await delay(100 + prng.int(900));
          kill(site.server.pid, 'SIGCONT');
        }),
      ),
  },
  quota: {
    pauseMs: [50, 500],
    obstacle: (site) => (site.groups().length === 0 ? 'no CPU groups here' : null),
    strike: (site, prng) =>
      site.strike(() => {
        const group = pick(site.groups(), prng);
        if (group !== undefined) writeQuota(group, pick([1000, 5000, 200_000, -1], prng)!);
      }),
  },
  group: {
    pauseMs: [3000, 6000],
    obstacle: (site) => (site.groups().length === 0 ? 'no CPU groups here' : null),
    strike: (site, prng) =>
      site.strike(() => {
        const group = pick(site.groups().filter(isInnermost), prng);
        if (group !== undefined) removeGroup(group);
      }),
  },
  'disk-full': {
    pauseMs: [2000, 8000],
    obstacle: (site) => (site.hasOwnDisk ? null : 'no tmpfs of its own can be mounted: needs root'),
    strike: (site, prng) =>
      site.strike(async () => {
        const filler = site.path('filler');
        fill(filler);
        kill(anyWorker(site, prng), 'SIGKILL');
        await delay(500 + prng.int(1000));
        rmSync(filler);
      }),
  },
  descriptors: {
    pauseMs: [2000, 8000],
    obstacle: () => (spawnSync('prlimit', ['--version']).status === 0 ? null : 'prlimit is not installed'),
    strike: (site, prng) => site.strike(() => site.during(() => exhaustDescriptors(site, prng))),
  },
  'kill-router': {
    pauseMs: [10_000, 30_000],
    obstacle: none,
    strike: (site) => site.restart().then(() => true),
  },
} as const satisfies Readonly<Record<string, Fault>>;

export type FaultName = keyof typeof FAULTS;

export interface Pace {
  readonly end: AbortSignal;
  /** Of the pauses; ≥ 1. */
  readonly slowdown: number;
  readonly onStruck: () => void;
}

/** Strikes again and again until it is aborted, the first time soon. */
export async function strikeRepeatedly(
  fault: Fault,
  site: Site,
  prng: Prng,
  { end, slowdown, onStruck }: Pace,
): Promise<void> {
  const pause = (fromMs: number, untilMs: number): Promise<void> =>
    delay(fromMs + prng.uniform() * (untilMs - fromMs), undefined, { signal: end }).catch(() => undefined);
  await pause(50, 300);
  while (!end.aborted) {
    if (await fault.strike(site, prng)) onStruck();
    const [leastMs, mostMs] = fault.pauseMs;
    await pause(slowdown * leastMs, slowdown * mostMs);
  }
}

function pick<T>(list: readonly T[], prng: Prng): T | undefined {
  return list.length === 0 ? undefined : list[prng.int(list.length)];
}

function anyWorker(site: Site, prng: Prng): number | undefined {
  return pick(site.server.workers(), prng);
}

/** One that is gone already need not be told. */
function kill(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Faults race each other and the server: a group that has gone meanwhile is as it should be. */
function unlessGone(act: () => void): void {
  try {
    act();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT' && code !== 'ENODEV' && code !== 'EBUSY' && code !== 'ESRCH') throw error;
  }
}

/** @param quotaUs −1 for none */
function writeQuota(group: string, quotaUs: number): void {
  unlessGone(() => {
    const v2 = join(group, 'cpu.max');
    if (existsSync(v2)) writeFileSync(v2, `${quotaUs === -1 ? 'max' : quotaUs}`);
    else if (existsSync(join(group, 'cpu.cfs_quota_us')))
      writeFileSync(join(group, 'cpu.cfs_quota_us'), String(quotaUs));
  });
}

function isInnermost(group: string): boolean {
  return !readdirSync(group, { withFileTypes: true }).some((entry) => entry.isDirectory());
}

/** Its threads are moved to the group above it first: the kernel keeps a group that has any. */
function removeGroup(group: string): void {
  const list = existsSync(join(group, 'tasks')) ? 'tasks' : 'cgroup.threads';
  unlessGone(() => {
    const tids = readFileSync(join(group, list), 'utf8')
      .split('\n')
      .filter((tid) => tid !== '');
    for (const tid of tids) unlessGone(() => writeFileSync(join(dirname(group), list), tid));
    rmdirSync(group);
  });
}

function fill(path: string): void {
  const file = openSync(path, 'w');
  const block = Buffer.alloc(1 << 20);
  try {
    for (;;) writeSync(file, block);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    closeSync(file);
  }
}

async function exhaustDescriptors(site: Site, prng: Prng): Promise<void> {
  const { pid, port } = site.server;
  const { open, soft, hard } = descriptorsOf(pid);
  const hoard: Socket[] = [];
  try {
    // The soft limit alone, so that it can be raised again.
    spawnSync('prlimit', [`--pid=${pid}`, `--nofile=${open + SPARE_DESCRIPTORS}:${hard}`]);
    for (let i = 0; i < HOARDED_CONNECTIONS; i++) hoard.push(connect(port, '127.0.0.1').on('error', () => undefined));
    // A worker that has to be started now finds no descriptors for its sockets.
    kill(anyWorker(site, prng), 'SIGKILL');
    await delay(500 + prng.int(1000));
  } finally {
    spawnSync('prlimit', [`--pid=${pid}`, `--nofile=${soft}:${hard}`]);
    for (const socket of hoard) socket.destroy();
  }
}

function descriptorsOf(pid: number): { readonly open: number; readonly soft: string; readonly hard: string } {
  const limits = readFileSync(`/proc/${pid}/limits`, 'utf8');
  const [, soft, hard] = /^Max open files +(\d+) +(\d+)/m.exec(limits)!;
  return { open: readdirSync(`/proc/${pid}/fd`).length, soft: soft!, hard: hard! };
}
