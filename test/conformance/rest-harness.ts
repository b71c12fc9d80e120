import { connect } from 'node:net';
import { request } from 'undici';
import { startRestServer } from '../../src/server/edge/rest/server.js';
import type { RestOptions, RestServer } from '../../src/server/edge/rest/server.js';
import { Arrivals } from '../../src/server/edge/arrivals.js';
import { ReceiveBudget } from '../../src/server/edge/receive-budget.js';
import type { EdgeLimits } from '../../src/protocol/service.js';
import { createFakeService } from './fake-service.js';
import type { FakeService } from './fake-service.js';
import { startThreads } from './threads-harness.js';

export const LIMITS: EdgeLimits = {
  maxJsonBytes: 16 * 1024 * 1024,
  maxBinaryBytes: 64 * 1024 * 1024,
  maxBytesInReceipt: 512 << 20,
  bodyTimeoutMs: 10_000,
  maxConcurrentCalls: 64,
};

export interface RestUnderTest {
  readonly fake: FakeService;
  readonly server: RestServer;
  readonly receiveBudget: ReceiveBudget;
}

export async function startRest(options: Partial<RestOptions> = {}): Promise<RestUnderTest> {
  const fake = createFakeService();
  const limits = options.limits ?? LIMITS;
  const threads = await startThreads(fake, limits, options);
  if (threads !== null) {
    const { host, restPort: port } = threads;
    const server: RestServer = {
      url: `http://${host}:${port}`,
      address: { host, port },
      drain: () => threads.drain(),
      close: () => threads.close(),
    };
    return { fake, server, receiveBudget: new ReceiveBudget(limits.maxBytesInReceipt) };
  }
  const receiveBudget = new ReceiveBudget(limits.maxBytesInReceipt);
  const server = await startRestServer({
    service: fake,
    host: '127.0.0.1',
    port: 0,
    limits,
    receiveBudget,
    arrivals: new Arrivals(() => performance.now()),
    compat: 'none',
    logger: { error: (details, message) => console.error(message, details) },
    ...options,
  });
  return { fake, server, receiveBudget };
}

export interface RestReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly bytes: Buffer;
  /** Parsed body; throws where it is no JSON. */
  json(): unknown;
}

export async function call(
  server: RestServer,
  method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'OPTIONS' | 'TRACE' | 'QUERY',
  path: string,
  body?: string | Uint8Array | object,
  headers: Record<string, string> = {},
): Promise<RestReply> {
  const isBytes = typeof body === 'string' || body instanceof Uint8Array;
  const response = await request(`${server.url}${path}`, {
    method,
    headers,
    body: body === undefined ? null : isBytes ? body : JSON.stringify(body),
  });
  const bytes = Buffer.from(await response.body.arrayBuffer());
  return {
    status: response.statusCode,
    headers: response.headers,
    bytes,
    json: () => JSON.parse(bytes.toString()) as unknown,
  };
}

/** A JSON header and the bytes behind it, and the HTTP header that tells them apart. */
export function binaryBody(header: object, ...tails: Uint8Array[]): { body: Buffer; headers: Record<string, string> } {
  const json = Buffer.from(JSON.stringify(header));
  return {
    body: Buffer.concat([json, ...tails]),
    headers: { 'inference-header-content-length': String(json.length) },
  };
}

/** Splits a reply with binary outputs. */
export function splitBinary(reply: RestReply): { json: unknown; tail: Buffer } {
  const headerBytes = Number(reply.headers['inference-header-content-length']);
  return {
    json: JSON.parse(reply.bytes.subarray(0, headerBytes).toString()) as unknown,
    tail: reply.bytes.subarray(headerBytes),
  };
}

export interface RawConnection {
  write(bytes: string | Uint8Array): void;
  /** Cuts the connection. */
  destroy(): void;
  /** All that was received when the server closed the connection. */
  readonly closed: Promise<string>;
  /** Resolves once what was received contains `text`. */
  until(text: string): Promise<void>;
}

/** A client that can misbehave. */
export function rawConnection(server: RestServer): RawConnection {
  const socket = connect(server.address.port, server.address.host);
  let received = '';
  let notify: () => void = () => undefined;
  const closed = new Promise<string>((resolve) => socket.on('close', () => resolve(received)));
  socket.on('error', () => undefined);
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
    notify();
  });
  return {
    write: (bytes) => void socket.write(bytes),
    destroy: () => void socket.destroy(),
    closed,
    until: (text) =>
      new Promise((resolve) => {
        notify = () => {
          if (received.includes(text)) resolve();
        };
        notify();
      }),
  };
}
