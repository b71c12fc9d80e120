import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';

interface Connection {
  readonly socket: Socket;
  isBusy: boolean;
}

/**
 * Keeps a listener's connections few without ever denying it to whoever comes: one too many takes the place of the one that has
 * been idle for longest. Only where all are being answered the new one is closed.
 */
export function makeRoom(server: Server | TlsServer, most: number): void {
  /** By address and port, which a connection of TLS has in common with the one that it goes over; least recently used first. */
  const open = new Map<string, Connection>();
  server.prependListener('connection', (socket: Socket) => {
    const name = nameOf(socket);
    open.set(name, { socket, isBusy: false });
    socket.once('close', () => open.delete(name));
    if (open.size <= most) return;
    const idle = [...open.values()].find((connection) => !connection.isBusy && connection.socket !== socket);
    (idle?.socket ?? socket).destroy();
  });
  server.prependListener('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const name = nameOf(socket);
    const connection = open.get(name);
    if (connection === undefined) return;
    connection.isBusy = true;
    open.delete(name);
    open.set(name, connection);
    response.once('close', () => (connection.isBusy = false));
  });
}

function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
