import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { HttpMessage } from '../harness/messages.js';
import type { LoadResult, Until } from './load-generator.js';

/*
 * The cheapest honest HTTP/1.1 client: real sockets, kept alive, one request in flight on each, no pipelining. The request
 * is made once; of a reply only the status, the length and the bytes' arrival are looked at. It takes about a third of the
 * CPU of Node's own client, which would be the larger half of a small request.
 */

export interface HttpTarget {
  readonly protocol: 'http';
  readonly port: number;
  readonly message: HttpMessage;
}

const HEAD_END = Buffer.from('\r\n\r\n');

export async function closedLoopHttp(target: HttpTarget, connectionCount: number, until: Until): Promise<LoadResult> {
  const bytes = requestBytes(target.message);
  const sockets = await openSockets(target.port, connectionCount);
  const latenciesMs: number[] = [];
  const statusCounts: Record<string, number> = {};
  const startedAtMs = performance.now();
  let startedCount = 0;
  const mayStart = (): boolean =>
    startedCount < until.requestCount && performance.now() - startedAtMs < until.durationMs;

  await Promise.all(
    sockets.map(async (socket) => {
      const connection = new HttpConnection(socket);
      while (mayStart()) {
        startedCount++;
        const sentAtMs = performance.now();
        const status = await connection.exchange(bytes);
        latenciesMs.push(performance.now() - sentAtMs);
        statusCounts[status] = (statusCounts[status] ?? 0) + 1;
      }
    }),
  );
  const elapsedMs = performance.now() - startedAtMs;
  for (const socket of sockets) socket.destroy();
  return { elapsedMs, latenciesMs, statusCounts };
}

/** So many requests a second, whatever becomes of them; one that finds no connection free is not sent. */
export async function pacedHttp(target: HttpTarget, ratePerSec: number, durationMs: number): Promise<LoadResult> {
  const bytes = requestBytes(target.message);
  const sockets = await openSockets(target.port, PACED_CONNECTIONS);
  const free = sockets.map((socket) => new HttpConnection(socket));
  const latenciesMs: number[] = [];
  const statusCounts: Record<string, number> = {};
  const send = async (connection: HttpConnection): Promise<void> => {
    const sentAtMs = performance.now();
    const status = await connection.exchange(bytes);
    latenciesMs.push(performance.now() - sentAtMs);
    statusCounts[status] = (statusCounts[status] ?? 0) + 1;
    free.push(connection);
  };
  const exchanges: Promise<void>[] = [];
  const startedAtMs = performance.now();
  let sent = 0;
  while (performance.now() < startedAtMs + durationMs) {
    const due = Math.floor(((performance.now() - startedAtMs) / 1000) * ratePerSec);
    for (; sent < due; sent++) {
      const connection = free.pop();
      if (connection === undefined) statusCounts[NOT_SENT] = (statusCounts[NOT_SENT] ?? 0) + 1;
      else exchanges.push(send(connection));
    }
    await delay(PACE_MS);
  }
  await Promise.all(exchanges);
  for (const socket of sockets) socket.destroy();
  return { elapsedMs: performance.now() - startedAtMs, latenciesMs, statusCounts };
}

const PACED_CONNECTIONS = 400;
const PACE_MS = 2;
export const NOT_SENT = 'not sent';

/** Opens connections; returns what sends requests over them, each of which then has one in flight. */
export async function holdHttp(target: HttpTarget, connectionCount: number): Promise<(requestCount: number) => void> {
  const bytes = requestBytes(target.message);
  const sockets = await openSockets(target.port, connectionCount);
  for (const socket of sockets) socket.on('error', () => socket.destroy()).resume();
  return (requestCount) => {
    if (requestCount > sockets.length) throw new Error('HTTP/1.1 has one request in flight on a connection');
    for (const socket of sockets.slice(0, requestCount)) socket.write(bytes);
  };
}

/** One connection, one exchange at a time. */
export class HttpConnection {
  readonly #socket: Socket;
  #head: Buffer = Buffer.alloc(0);
  /** Bytes of the body that are still to come; null until the head is complete. */
  #remaining: number | null = null;
  #status = '';
  #settle: { resolve(status: string): void; reject(error: Error): void } | null = null;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', (error) => this.#settle?.reject(error));
    socket.on('close', () => this.#settle?.reject(new Error('the server closed the connection')));
  }

  /** @returns the status of the reply, and the reason of a refusal (`504 expired`), once the whole of it is there */
  exchange(request: Uint8Array): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#socket.write(request);
    });
  }

  #onData(chunk: Buffer): void {
    if (this.#remaining === null) {
      const received = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk]);
      const end = received.indexOf(HEAD_END);
      if (end < 0) {
        this.#head = received;
        return;
      }
      const head = received.toString('latin1', 0, end);
      const length = /^content-length: *(\d+)/im.exec(head)?.[1];
      if (length === undefined) {
        this.#settle?.reject(new Error(`a reply without a length:\n${head}`));
        return;
      }
      const reason = /^x-sponge-reason: *(\S+)/im.exec(head)?.[1];
      this.#status = head.slice(9, 12) + (reason === undefined ? '' : ` ${reason}`);
      this.#head = Buffer.alloc(0);
      this.#remaining = Number(length) - (received.length - end - HEAD_END.length);
    } else {
      this.#remaining -= chunk.length;
    }
    if (this.#remaining > 0) return;
    this.#remaining = null;
    const settle = this.#settle;
    this.#settle = null;
    settle?.resolve(this.#status);
  }
}

export function requestBytes({ path, headers, body }: HttpMessage): Buffer {
  const lines = Object.entries({ host: '127.0.0.1', ...headers, 'content-length': String(body.byteLength) });
  const head = `POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

/** A few at a time: a listening socket's queue is short. */
export async function openSockets(port: number, count: number): Promise<readonly Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const some = Array.from({ length: Math.min(100, count - sockets.length) }, () =>
      connect({ host: '127.0.0.1', port, noDelay: true }),
    );
    await Promise.all(some.map((socket) => once(socket, 'connect')));
    sockets.push(...some);
  }
  return sockets;
}
