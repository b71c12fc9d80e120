import type { Socket } from 'node:net';
import type { Server, TLSSocket } from 'node:tls';

/*
 * Connections whose handshake is not complete. Node gives them to nobody, so that nobody would end them: one that fails stays
 * open where no one listens to `tlsClientError`, and one that is under way holds a server that closes until it times out.
 */

export function boundHandshakes(server: Server): void {
  const underWay = new Map<string, Socket>();
  server.prependListener('connection', (socket: Socket) => {
    const name = nameOf(socket);
    underWay.set(name, socket);
    socket.once('close', () => underWay.delete(name));
  });
  server.prependListener('secureConnection', (socket: TLSSocket) => {
    underWay.delete(nameOf(socket));
  });
  // First: `https` hands these on as errors of its clients, who could only be answered in a handshake that has failed.
  server.prependListener('tlsClientError', (_error, socket: TLSSocket) => socket.destroy());
  // Whoever closes the server: fastify makes, and closes, more than one where a host name has several addresses.
  const close = server.close.bind(server);
  server.close = (callback) => {
    close(callback);
    for (const socket of underWay.values()) socket.destroy();
    return server;
  };
}

/** The same of a connection and of the TLS on it; unique among those of one port. */
function nameOf({ remoteAddress = '', remotePort = 0 }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
