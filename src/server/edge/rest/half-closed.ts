import type { FastifyInstance } from 'fastify';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/*
 * Connections of which one side has ended. A client that has sent all it will (`nc -N`, a shutdown of its sending side) still
 * reads, and one that is gone looks just the same: both have sent a FIN. What tells them apart is their answer to the next bytes from
 * here: nothing, or a reset, which the write after them meets. So interim responses (RFC 9110, section 15.2.1), which every client of
 * HTTP/1.1 has to skip, ask until the answer is there.
 */

/** The first write is answered after a round trip, and the second one finds it: of a phone's network after a second. */
const ASKED_AGAIN_MS = [50, 200, 1000];

/** What a peer that was told the end has time to close its own side; without it a descriptor would be kept for as long as it likes. */
const LINGER_MS = 5000;

/** Lets a client that has ended its sending side have its answer; `askUntilGone` notices those that have left. */
export function answerHalfClosed(app: FastifyInstance): void {
  // A property of Node's HTTP servers that their types do not have; without it the end of a request's side ends the answer's.
  Object.assign(app.server, { httpAllowHalfOpen: true });
}

/**
 * Of a request whose client has ended its sending side: notices within a round trip or two that it has left, which closes the response.
 * @returns ends the asking
 */
export function askUntilGone(request: IncomingMessage, response: ServerResponse): () => void {
  let timer: NodeJS.Timeout | undefined;
  const askAfter = (times: readonly number[]): void => {
    ask(request, response);
    const [waitMs, ...later] = times;
    timer = setTimeout(askAfter, waitMs, later.length === 0 ? times : later);
  };
  askAfter(ASKED_AGAIN_MS);
  return () => clearTimeout(timer);
}

function ask({ httpVersion, socket }: IncomingMessage, response: ServerResponse): void {
  // HTTP/1.0 knows no interim responses: it is answered, or found to be gone when the answer is written.
  if (httpVersion === '1.0' || response.headersSent || response.socket !== socket) return;
  response.writeContinue();
}

/** Ends a connection with these bytes, and for good soon after, whether or not its peer ends its side. */
export function endWith(socket: Socket, bytes: string): void {
  socket.end(bytes);
  // What is still coming in is thrown away: closing over it would reset the connection, and the answer with it.
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once('close', () => clearTimeout(timer));
}
