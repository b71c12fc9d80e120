import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Prng } from '../../src/scheduler/random/prng.js';
import { codeOf, decodeReply, encodeRequest } from './ask-rest.js';
import type { Ask, Reply, ClientRequest } from './client-request.js';

/* Asks on a socket of its own, in ways that HTTP libraries do not: legal all of them, so the answer has to be right. */

/** Of a pause between two pieces. */
const MAX_PAUSE_MS = 40;
const PIECES = 8;

export interface RawManner {
  /** Ends its own direction when it has sent all: FIN, and still reads. */
  readonly isHalfClosing: boolean;
  /** Sends in small pieces with pauses between them. */
  readonly isSlowWriter: boolean;
  /** Reads nothing for so long after it has sent all; 0 for one that reads at once. */
  readonly readsAfterMs: number;
}

export function askingRaw(port: number, manner: RawManner, prng: Prng): Ask {
  return async (clientRequest) => {
    const bytes = requestBytes(clientRequest, prng.int(2) === 0);
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const chunks: Buffer[] = [];
    const ended = new Promise<string | null>((resolve) => {
      socket.once('error', (error) => resolve(codeOf(error)));
      socket.once('end', () => resolve(null));
      socket.once('close', () => resolve(null));
    });
    if (manner.readsAfterMs > 0) socket.pause();
    else socket.on('data', (chunk) => chunks.push(chunk));
    const pieces = manner.isSlowWriter ? PIECES : 1;
    for (let piece = 0; piece < pieces; piece++) {
      if (piece > 0) await delay(prng.int(MAX_PAUSE_MS));
      const from = Math.floor((piece * bytes.length) / pieces);
      socket.write(bytes.subarray(from, Math.floor(((piece + 1) * bytes.length) / pieces)));
    }
    if (manner.isHalfClosing) socket.end();
    if (manner.readsAfterMs > 0) {
      await delay(manner.readsAfterMs);
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.resume();
    }
    const failure = await ended;
    socket.destroy();
    return parseReply(Buffer.concat(chunks), failure);
  };
}

/** Always `Connection: close`, so that the end of the connection is the end of the answer. */
function requestBytes(clientRequest: ClientRequest, isBinary: boolean): Buffer {
  const { path, headers, body } = encodeRequest(clientRequest, isBinary ? 'binary' : 'json');
  const all = { host: 'faults', connection: 'close', 'content-length': String(body.length), ...headers };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([Buffer.from(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n`), body]);
}

/** What comes before the answer to ask whether anybody is there. */
const INTERIM = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n');

function parseReply(received: Buffer, failure: string | null): Reply {
  let bytes = received;
  while (bytes.subarray(0, INTERIM.length).equals(INTERIM)) bytes = bytes.subarray(INTERIM.length);
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd === -1) return { kind: 'broken', what: failure ?? 'closed without an answer' };
  const [statusLine, ...lines] = bytes.toString('latin1', 0, headEnd).split('\r\n');
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    }),
  );
  const body = bytes.subarray(headEnd + 4);
  const length = Number(headers['content-length']);
  if (body.length !== length) return { kind: 'broken', what: failure ?? 'closed in the middle of an answer' };
  return decodeReply(Number(statusLine!.split(' ')[1]), headers, body);
}
