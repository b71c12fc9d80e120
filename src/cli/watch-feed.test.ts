import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { aRun } from '../../test/fixtures/run-header.js';
import { EventStreamParser, feedUrl, readFeed, type ServerSentEvent } from './watch-feed.js';

const STREAM =
  'retry: 1000\nevent: run\ndata: {"a":1}\n\n: a comment\n\ndata: first\ndata: second\n\ndata:no space\r\n\r\nevent: x\n\n';
const EVENTS: readonly ServerSentEvent[] = [
  { event: 'run', data: '{"a":1}' },
  { event: 'message', data: 'first\nsecond' },
  { event: 'message', data: 'no space' },
];

describe('an event stream', () => {
  it('says the same in whatever pieces it comes', () => {
    for (let size = 1; size <= STREAM.length; size++) {
      const parser = new EventStreamParser();
      const events: ServerSentEvent[] = [];
      for (let start = 0; start < STREAM.length; start += size) {
        // A carriage return may be the end of a piece.
        events.push(...parser.push(STREAM.slice(start, start + size)));
      }
      expect(events, `pieces of ${size}`).toEqual(EVENTS);
    }
  });

  it('is given up when a line has no end', () => {
    const parser = new EventStreamParser();
    const piece = 'x'.repeat(1024 * 1024);
    expect(() => {
      for (let count = 0; count < 10; count++) parser.push(piece);
    }).toThrow('a message of the feed has no end');
  });

  it('is given up when a message has no end, however short its lines', () => {
    const parser = new EventStreamParser();
    const piece = `data: ${'x'.repeat(1000)}\n`.repeat(1000);
    expect(() => {
      for (let count = 0; count < 10; count++) parser.push(piece);
    }).toThrow('a message of the feed has no end');
    const next = new EventStreamParser();
    // Ten messages of that size are none too many.
    for (let count = 0; count < 10; count++) expect(next.push(`${piece}\n`)).toHaveLength(1);
  });
});

describe("a server's address", () => {
  it.each([
    ['127.0.0.1:8002', 'http://127.0.0.1:8002/events'],
    ['localhost:8002/', 'http://localhost:8002/events'],
    ['http://10.0.0.7:8002/metrics', 'http://10.0.0.7:8002/events'],
    ['https://sponge.example', 'https://sponge.example/events'],
    ['[::1]:8002', 'http://[::1]:8002/events'],
  ])('may be %s', (text, url) => {
    expect(feedUrl(text).href).toBe(url);
  });

  it('is refused in one line where it is none', () => {
    expect(() => feedUrl('not an address')).toThrow("give that of the server's metrics port");
  });
});

describe('the feed of a server that asks for tokens', () => {
  it('is read with one, and without told of in one line with the remedy', async () => {
    const token = { authorization: 'Bearer dashboard-0123456789abcdef' };
    const server = createServer((request, response) => {
      if (request.headers.authorization !== token.authorization) response.writeHead(401).end();
      else {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.end(`event: run\ndata: ${JSON.stringify(aRun())}\n\n`);
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const url = feedUrl(`127.0.0.1:${(server.address() as AddressInfo).port}`);
      const read = (headers: Readonly<Record<string, string>>) =>
        readFeed(url, { tls: {}, headers }, new AbortController().signal);
      expect((await read(token).next()).value).toMatchObject({ kind: 'run', header: { title: 'test' } });
      await expect(read({}).next()).rejects.toThrow(
        `${url.origin} asks for a token; give a valid one with --token-file`,
      );
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});
