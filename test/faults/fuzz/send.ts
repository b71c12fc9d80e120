import type { ClientHttp2Session, IncomingHttpHeaders } from 'node:http2';
import { constants } from 'node:http2';
import { connect } from 'node:net';

/* Sends bytes and says what came back, if anything did: who sends nonsense is not owed an answer. */

/** What makes a server wait for more is left alone after this. */
const PATIENCE_MS = 300;

export interface Answer {
  readonly status: number;
  readonly reason: string | null;
  readonly message: string;
}

/** Null where there was no answer, or none that begins like one. */
export function sendRest(port: number, bytes: Uint8Array): Promise<Answer | null> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    let received = '';
    const timer = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.on('data', (chunk) => (received += chunk.toString('latin1')));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      const status = /^HTTP\/1\.1 (\d+)/.exec(received)?.[1];
      if (status === undefined) resolve(null);
      else {
        const reason = /^x-sponge-reason: (\S+)/im.exec(received)?.[1] ?? null;
        resolve({ status: Number(status), reason, message: received.slice(received.indexOf('\r\n\r\n') + 4, 2000) });
      }
    });
    socket.write(bytes);
  });
}

/** Null where the call ended without a status: reset, or left alone. */
export function sendGrpc(
  session: ClientHttp2Session,
  method: string,
  headers: Readonly<Record<string, string>>,
  bytes: Uint8Array,
): Promise<Answer | null> {
  return new Promise((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': `/${method}`,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    let answer: Answer | null = null;
    const read = (fields: IncomingHttpHeaders): void => {
      const status = fields['grpc-status'];
      if (status === undefined) return;
      const reason = fields['x-sponge-reason'];
      answer = {
        status: Number(status),
        reason: typeof reason === 'string' ? reason : null,
        message: decodeURIComponent(String(fields['grpc-message'] ?? '')),
      };
    };
    const timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), PATIENCE_MS);
    stream.on('response', read);
    stream.on('trailers', read);
    stream.on('error', () => undefined);
    stream.on('close', () => {
      clearTimeout(timer);
      resolve(answer);
    });
    stream.resume();
    stream.end(bytes);
  });
}
