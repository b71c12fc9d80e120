import { closeSync } from 'node:fs';
import { lookup } from 'node:dns/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import koffi from 'koffi';
import { explainListenError } from './listen-error.js';

/*
 * A port that several threads accept on. Node opens it, so that host names, IPv6, port 0 and a port that is in use are what they are
 * everywhere; then its descriptor is duplicated, and Node's own end closed before it has accepted anything. Each thread duplicates it once
 * more and listens by that: one queue of connections in the kernel, from which whichever thread is at leisure takes the next.
 * A thread that ends takes no connection along but its own, and what comes while there is none waits.
 *
 * Rejected: a socket for each thread with SO_REUSEPORT, which deals connections out by a hash whatever a thread has to do, resets those that
 * lie in the queue of one that ends, and lets a second server of the same user have the same port without a word. Accepting on one thread
 * and handing descriptors over: Node's HTTP server only looks after connections (their headers' time limit, their closing) where it listens
 * itself, and the thread that plans would be busy with every connection.
 */

/** fcntl(2): the lowest free descriptor, which no child process inherits. */
const F_DUPFD_CLOEXEC: Readonly<Record<string, number>> = { linux: 1030, darwin: 67, freebsd: 17 };

export interface ListeningSocket {
  readonly port: number;
  /** One for each address; there is one at least. To be duplicated, and not to be used after `close`. */
  readonly fds: readonly number[];
  /** Once. Threads that have duplicates go on. */
  close(): void;
}

/**
 * @param port 0 for any free one
 * @param flag that chooses another port, `--port`
 * @param isOnAll of `localhost`, whether on all of its addresses; those that cannot be had beside the first are left out
 * @throws Error of one line, with the remedy
 */
export async function openListeningSocket(
  { host, port, isOnAll }: { readonly host: string; readonly port: number; readonly isOnAll: boolean },
  flag: string,
): Promise<ListeningSocket> {
  const fds: number[] = [];
  const close = (): void => {
    for (const fd of fds.splice(0)) closeSync(fd);
  };
  try {
    const first = await listenOnce(host, port);
    fds.push(first.fd);
    const others = isOnAll && host === 'localhost' ? await lookup(host, { all: true }).catch(() => []) : [];
    for (const { address } of others) {
      if (address === first.address) continue;
      await listenOnce(address, first.port).then(
        ({ fd }) => fds.push(fd),
        () => undefined,
      );
    }
    return { port: first.port, fds, close };
  } catch (error) {
    close();
    throw new Error(explainListenError(error, host, port, flag), { cause: error });
  }
}

/** The caller's to close; children do not inherit it. @throws Error, one line, where the platform has no such thing */
export function duplicate(fd: number): number {
  const command = F_DUPFD_CLOEXEC[process.platform];
  if (command === undefined) throw new Error(`--io-threads: sockets are not shared on ${process.platform}`);
  const copy = fcntl()(fd, command, 'int', 0) as number;
  if (copy < 0) throw new Error(`a listening socket cannot be shared: errno ${koffi.errno()}`);
  return copy;
}

interface Listening extends Pick<AddressInfo, 'address' | 'port'> {
  readonly fd: number;
}

function listenOnce(host: string, port: number): Promise<Listening> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      try {
        // Before the event loop turns, and so before anything is accepted here.
        const { address, port: bound } = server.address() as AddressInfo;
        resolve({ fd: duplicate(descriptorOf(server)), address, port: bound });
      } catch (error) {
        reject(error instanceof Error ? error : new Error(String(error)));
      } finally {
        server.close();
      }
    });
  });
}

/** Node has no other name for it. */
function descriptorOf(server: Server): number {
  const handle: unknown = Reflect.get(server, '_handle');
  const fd: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'fd') : undefined;
  if (typeof fd !== 'number' || fd < 0) throw new Error('the port has no descriptor');
  return fd;
}

type Native = (...values: (string | number)[]) => unknown;

let found: Native | null = null;

function fcntl(): Native {
  found ??= koffi.load(null).func('int fcntl(int fd, int command, ...)');
  return found;
}
