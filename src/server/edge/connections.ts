import type { Server, Socket } from 'node:net';
import type { Intake } from './intake.js';
import type { EdgeLimits } from '../../protocol/service.js';

/* Open connections of a listener: so many in all, and a part of them for one client. One too many is told so and closed. */

/** Connections allowed for every call allowed: idle ones of clients that keep theirs open. */
const CONNECTIONS_PER_CALL = 2;
/** With few calls allowed: probes, a dashboard, and idle ones of as many clients. */
const LEAST_CONNECTIONS = 256;

/**
 * @param refuse ends the connection with what the protocol says
 */
export function limitConnections(
  server: Server,
  protocol: 'rest' | 'grpc',
  { maxConcurrentCalls, clientFraction = 1 }: EdgeLimits,
  intake: Intake,
  refuse: (socket: Socket) => void = (socket) => socket.destroy(),
): void {
  const most = Math.max(LEAST_CONNECTIONS, maxConcurrentCalls * CONNECTIONS_PER_CALL);
  const connections = intake.connectionLimit(protocol, most, clientFraction);
  server.prependListener('connection', (socket: Socket) => {
    const client = clientOf(socket);
    if (connections.take(client, 1) === 'granted') {
      socket.once('close', () => connections.give(client, 1));
      return;
    }
    intake.count(protocol, 'connection_limit');
    refuse(socket);
  });
}

/** Whom a connection's calls are counted as: its address. */
export function clientOf(socket: Socket): string {
  return socket.remoteAddress ?? '';
}
