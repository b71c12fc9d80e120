import { readFileSync } from 'node:fs';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { createServer, type Server } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { boundHandshakes } from './handshakes.js';

const FIXTURES = join(import.meta.dirname, '../../../test/fixtures/tls');

async function listen(handshakeTimeoutMs: number): Promise<Server> {
  const server = createServer({
    cert: readFileSync(join(FIXTURES, 'server.cert.pem')),
    key: readFileSync(join(FIXTURES, 'server.key.pem')),
    handshakeTimeout: handshakeTimeoutMs,
  });
  boundHandshakes(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server;
}

/** A connection that never begins its handshake. */
async function silentClient(server: Server): Promise<Socket> {
  const accepted = new Promise((resolve) => server.once('connection', resolve));
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => undefined);
  await accepted;
  return socket;
}

describe('a handshake that does not come to its end', () => {
  it('is over, and its connection with it, when the time for it is up', async () => {
    const server = await listen(50);
    const socket = await silentClient(server);
    await new Promise((resolve) => socket.resume().once('close', resolve));
    await new Promise((resolve) => server.close(resolve));
  });

  it('does not hold a server that closes', async () => {
    const server = await listen(600_000);
    const socket = await silentClient(server);
    const gone = new Promise((resolve) => socket.resume().once('close', resolve));
    const left = await new Promise((resolve) => server.close(resolve)).then(
      () => new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count))),
    );
    expect(left).toBe(0);
    await gone;
  });
});
