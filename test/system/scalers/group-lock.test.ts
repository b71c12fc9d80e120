import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { createScaler } from '../../../src/server/scalers/detect.js';
import { acquireGroupLock, tryGroupLock } from '../../../src/server/scalers/group-lock.js';
import { filesToJoin } from '../../../src/server/scalers/join.js';

const folder = mkdtempSync(join(tmpdir(), 'sponge-lock-'));
afterAll(() => rmSync(folder, { recursive: true }));
const isLinux = process.platform === 'linux';
if (!isLinux) console.warn('SKIPPED the lock of a group: Linux only');

describe.runIf(isLinux)('the lock of a group', () => {
  it('is one owner’s at a time, and the next one’s once released', async () => {
    const lock = await acquireGroupLock(folder, 'sponge-a');
    await expect(acquireGroupLock(folder, 'sponge-a')).rejects.toThrow(`(process ${process.pid})`);
    expect(await tryGroupLock(folder, 'sponge-a')).toBeNull();
    const other = await acquireGroupLock(folder, 'sponge-b');
    lock.release();
    lock.release();
    const again = await acquireGroupLock(folder, 'sponge-a');
    again.release();
    other.release();
  });

  it('waits for whoever only looks at it', async () => {
    const looking = (await tryGroupLock(folder, 'sponge-looked-at'))!;
    const acquiring = acquireGroupLock(folder, 'sponge-looked-at');
    setImmediate(() => looking.release());
    (await acquiring).release();
  });

  it('keeps nothing of connections that others do not close', async () => {
    const lock = await acquireGroupLock(folder, 'sponge-flooded');
    const { dev, ino } = statSync(folder);
    const before = readdirSync('/proc/self/fd').length;
    const peers: Socket[] = [];
    for (let i = 0; i < 300; i++) {
      const peer = connect({ path: `\0sponge-group:${dev}:${ino}:sponge-flooded`, allowHalfOpen: true });
      peer.on('error', () => undefined);
      peers.push(peer);
    }
    await Promise.all(peers.map((peer) => once(peer, 'connect')));
    // All of them are this process's own: what is more than their ends belongs to the lock.
    await expect.poll(() => readdirSync('/proc/self/fd').length - before).toBeLessThanOrEqual(300 + 4);
    for (const peer of peers) peer.destroy();
    await expect(acquireGroupLock(folder, 'sponge-flooded')).rejects.toThrow(`(process ${process.pid})`);
    lock.release();
  });
});

const probe = await createScaler({ kind: 'auto', groupName: `confine-dead-${process.pid}`, onWarning: console.warn });
const files = filesToJoin(probe.join);
await probe.close();
const isV1 = probe.join.kind === 'cgroup-v1';
if (!isV1) console.warn(`SKIPPED dead groups: not a machine with cgroup v1 (${probe.passedOver.join('; ')})`);

describe.runIf(isV1)('groups that a dead server left', () => {
  it('are removed by the next server whatever that serves, but for those that live, have members or are young', async () => {
    const parents = files.map((file) => dirname(dirname(file)));
    const groups = ['dead', 'inhabited', 'living'].map((kind) => `sponge-confine-${kind}-${process.pid}`);
    const [dead, inhabited, living] = groups as [string, string, string];
    const make = (name: string): void => {
      for (const parent of parents) mkdirSync(join(parent, name));
    };
    make(inhabited);
    const member = spawn('sleep', ['60']);
    for (const file of files) writeFileSync(file.replace(/sponge-[^/]+/, inhabited), String(member.pid));
    const alive = await createScaler({
      kind: 'auto',
      groupName: living.slice('sponge-'.length),
      onWarning: console.warn,
    });
    make(dead);
    const young = `sponge-confine-young-${process.pid}`;
    make(young);
    // Of a server that is elsewhere in the first tree, where its lock is: under a quota of its own, for example.
    const elsewhere = `sponge-confine-elsewhere-${process.pid}`;
    for (const parent of parents.slice(1)) mkdirSync(join(parent, elsewhere));
    // It has no lock here and no members yet, as of a server in another network namespace that is being started.
    const hourAgoSec = Date.now() / 1000 - 3600;
    for (const name of [dead, inhabited, living, elsewhere])
      for (const parent of parents) {
        const dir = join(parent, name);
        if (existsSync(dir)) utimesSync(dir, hourAgoSec, hourAgoSec);
      }
    try {
      const next = await createScaler({
        kind: 'auto',
        groupName: `confine-next-${process.pid}`,
        onWarning: console.warn,
      });
      await next.close();
      const isThere = (name: string): boolean[] => parents.map((parent) => existsSync(join(parent, name)));
      expect(isThere(dead)).toEqual(parents.map(() => false));
      expect(isThere(inhabited)).toEqual(parents.map(() => true));
      expect(isThere(living)).toEqual(parents.map(() => true));
      expect(isThere(young)).toEqual(parents.map(() => true));
      expect(isThere(elsewhere)).toEqual(parents.map((_, index) => index > 0));
      expect(member.exitCode).toBeNull();
    } finally {
      member.kill('SIGKILL');
      await once(member, 'exit');
      await alive.close();
      for (const name of [inhabited, young, elsewhere])
        for (const parent of parents) if (existsSync(join(parent, name))) rmdirSync(join(parent, name));
    }
  });
});
