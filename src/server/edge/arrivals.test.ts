import { once } from 'node:events';
import { connect, createServer, Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Arrivals } from './arrivals.js';
import type { Standstills } from './arrivals.js';

const socket = new Socket();

/** Reads at 1000, of a loop that stood still since then. */
function arrivedAt(unreadSinceMs: number, agoMs: number | null): number {
  const standstills: Standstills = { unreadSinceMs: () => unreadSinceMs, standstillMs: () => 0 };
  return new Arrivals(
    () => 1000,
    standstills,
    () => agoMs,
  ).arrivedAtMs(socket);
}

describe('when a call arrived', () => {
  it('is now while the loop runs, whatever the connection has last received', () => {
    expect(arrivedAt(1000, 300)).toBe(1000);
    expect(new Arrivals(() => 1000).arrivedAtMs(socket)).toBe(1000);
  });

  it('is when the kernel received it, where the loop stood still', () => {
    expect(arrivedAt(400, 250)).toBe(750);
  });

  it('is not before the standstill, nor after now', () => {
    expect(arrivedAt(400, 5000)).toBe(400);
    expect(arrivedAt(400, -3)).toBe(1000);
  });

  it('is the beginning of the standstill where the kernel does not tell', () => {
    expect(arrivedAt(400, null)).toBe(400);
  });
});

describe('the kernel of Linux', () => {
  let close = (): void => undefined;
  afterEach(() => close());

  it.skipIf(process.platform !== 'linux')('knows when it received the last data of a connection', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const client = connect(port, '127.0.0.1');
    // Before that, what is written waits in this process.
    const [[peer]] = (await Promise.all([once(server, 'connection'), once(client, 'connect')])) as [[Socket], unknown];
    close = () => {
      client.destroy();
      peer.destroy();
      server.close();
    };
    let readAtMs = 0;
    let arrivedAtMs = 0;
    const startedAtMs = performance.now();
    const arrivals = new Arrivals(() => performance.now(), {
      unreadSinceMs: () => startedAtMs,
      standstillMs: () => 0,
    });
    peer.once('data', () => {
      arrivedAtMs = arrivals.arrivedAtMs(peer);
      readAtMs = performance.now();
    });
    client.write('x');
    // It is on its way, and nothing is read until this is over.
    const sentAtMs = performance.now();
    while (performance.now() < sentAtMs + 500);
    await once(peer, 'data');
    expect(readAtMs - sentAtMs).toBeGreaterThanOrEqual(500);
    // Half of it, for the clock of the kernel's ticks and a machine that is busy with something else.
    expect(readAtMs - arrivedAtMs).toBeGreaterThan(250);
  });

  it('cannot tell of a connection that is gone', () => {
    const gone = new Arrivals(() => 1000, { unreadSinceMs: () => 400, standstillMs: () => 0 });
    expect(gone.arrivedAtMs(connectionThatIsGone())).toBe(400);
  });
});

function connectionThatIsGone(): Socket {
  const socket = connect(9, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.destroy();
  return socket;
}
