import { statSync } from 'node:fs';
import type { Server } from 'node:net';
import { connect, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/*
 * Who owns a group. The lock is a socket in Linux's abstract namespace (unix(7)): it has no file, only one process can
 * hold it, and the kernel drops it with that process, even on SIGKILL, so it is never stale. A lock file was rejected:
 * it outlives its owner, and taking over a dead owner's file is a race.
 */

export interface GroupLock {
  release(): void;
}

/** How long to wait for the owner to say its process id. */
const OWNER_ANSWER_MS = 200;
/** A server that only looks whether a group is dead holds its name for less (`removeDeadGroups`). */
const LOOKED_AT_MS = 50;
/** The name has no permissions: any user may connect, and gets a process id, but no more of our descriptors than these. */
const MOST_CONNECTIONS = 4;

/**
 * @param parentDir the cgroup directory that the group lives in; its device and inode name it across mount namespaces
 * @throws Error, in one line, when a living process owns the group
 */
export async function acquireGroupLock(parentDir: string, directoryName: string): Promise<GroupLock> {
  const first = await tryGroupLock(parentDir, directoryName);
  if (first !== null) return first;
  await delay(LOOKED_AT_MS);
  const second = await tryGroupLock(parentDir, directoryName);
  if (second !== null) return second;
  const owner = await askOwner(addressOf(parentDir, directoryName));
  throw new Error(
    `the CPU group ${directoryName} in ${parentDir} belongs to a running server (${owner}): ` +
      'stop that server, or give this one another group name',
  );
}

/** Null when a living process owns the group. */
export async function tryGroupLock(parentDir: string, directoryName: string): Promise<GroupLock | null> {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(String(process.pid));
    // What was written stays readable; a peer that keeps its end open keeps nothing of ours.
    socket.destroySoon();
  });
  server.maxConnections = MOST_CONNECTIONS;
  if (!(await listens(server, addressOf(parentDir, directoryName)))) return null;
  server.unref();
  return { release: () => server.close() };
}

function addressOf(parentDir: string, directoryName: string): string {
  const { dev, ino } = statSync(parentDir);
  return `\0sponge-group:${dev}:${ino}:${directoryName}`;
}

function listens(server: Server, address: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false);
      else reject(error);
    });
    server.listen(address, () => resolve(true));
  });
}

function askOwner(address: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(address).setEncoding('utf8').setTimeout(OWNER_ANSWER_MS);
    let answer = '';
    socket.on('data', (text: string) => (answer += text));
    socket.on('timeout', () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => resolve(/^\d+$/.test(answer) ? `process ${answer}` : 'process unknown'));
  });
}
