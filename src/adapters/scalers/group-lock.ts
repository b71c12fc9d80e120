import { statSync } from 'node:fs';
import type { Server } from 'node:net';
import { connect, createServer } from 'node:net';

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

/**
 * @param parentDir the cgroup directory that the group lives in; its device and inode name it across mount namespaces
 * @throws Error, in one line, when a living process owns the group
 */
export async function acquireGroupLock(parentDir: string, directoryName: string): Promise<GroupLock> {
  const { dev, ino } = statSync(parentDir);
  const address = `\0sponge-group:${dev}:${ino}:${directoryName}`;
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(String(process.pid));
  });
  if (!(await listens(server, address))) {
    const owner = await askOwner(address);
    throw new Error(
      `the CPU group ${directoryName} in ${parentDir} belongs to a running server (${owner}): ` +
        'stop that server, or give this one another group name',
    );
  }
  server.unref();
  return { release: () => server.close() };
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
