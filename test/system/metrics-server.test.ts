import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SystemClock } from '../../src/server/system-clock.js';
import { LiveFeed } from '../../src/server/telemetry/live-feed.js';
import {
  startMetricsServer,
  type MetricsServer,
  type MetricsServerOptions,
} from '../../src/server/telemetry/metrics-server.js';
import type { PageFiles } from '../../src/server/telemetry/page-files.js';

let server: MetricsServer;
let feed: LiveFeed;
let renderMetrics: () => Promise<string>;

const PAGE: PageFiles = new Map([
  ['/', { body: Buffer.from('<title>page</title>'), contentType: 'text/html; charset=utf-8', etag: '"a"' }],
  ['/dashboard/page.js', { body: Buffer.from('go();'), contentType: 'text/javascript; charset=utf-8', etag: '"b"' }],
]);

function start(options: Partial<MetricsServerOptions> = {}): Promise<MetricsServer> {
  return startMetricsServer({
    host: '127.0.0.1',
    port: 0,
    contentType: 'text/plain; version=0.0.4; charset=utf-8',
    render: () => renderMetrics(),
    page: null,
    feed,
    ...options,
  });
}

beforeEach(async () => {
  renderMetrics = () => Promise.resolve('sponge_queue_depth 3\n');
  feed = new LiveFeed({ clock: new SystemClock(), title: 'test', startedAt: '2026-01-31T09:30:00.000Z' });
  server = await start();
});

afterEach(async () => {
  await server.close();
  await feed.close();
});

interface Answer {
  readonly status: number | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

function ask(path: string, options: http.RequestOptions = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: '127.0.0.1', port: server.port, path, agent: false, ...options },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (body += chunk));
        response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
      },
    );
    request.on('error', reject);
    request.end();
  });
}

describe('the metrics port', () => {
  it('gives the exposition with its content type, queries ignored', async () => {
    for (const path of ['/metrics', '/metrics?name=x']) {
      const answer = await ask(path);
      expect(answer.status).toBe(200);
      expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
      expect(answer.body).toBe('sponge_queue_depth 3\n');
    }
  });

  it('has a page that links to it, and says how to get the dashboard where that is not built', async () => {
    const answer = await ask('/');
    expect(answer.status).toBe(200);
    expect(answer.body).toContain('href="/metrics"');
    expect(answer.body).toContain('npm run build');
  });

  it('answers HEAD without a body, 404 elsewhere, 405 to other methods', async () => {
    expect(await ask('/metrics', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' });
    expect(await ask('/v2/models')).toMatchObject({ status: 404 });
    expect(await ask('/metrics', { method: 'POST' })).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } });
  });

  it('tells nothing of an error inside', async () => {
    renderMetrics = () => Promise.reject(new Error('secret'));
    const answer = await ask('/metrics');
    expect(answer.status).toBe(500);
    expect(answer.body).not.toContain('secret');
  });

  it('refuses headers above 8 KiB', async () => {
    const answer = await ask('/metrics', { headers: { 'X-Padding': 'a'.repeat(9 * 1024) } });
    expect(answer.status).toBe(431);
  });

  it('is there for a scrape whatever idles on it: the connection that was idle for longest makes room', async () => {
    const idlers = Array.from({ length: 64 }, () => net.connect(server.port, '127.0.0.1').on('error', () => undefined));
    await Promise.all(idlers.map((socket) => once(socket, 'connect')));
    const firstGone = once(idlers[0]!, 'close');
    expect((await ask('/metrics')).status).toBe(200);
    await firstGone;
    expect(idlers.filter(({ destroyed }) => destroyed)).toHaveLength(1);
    for (const socket of idlers) socket.destroy();
  });

  it('closes a new connection where all others are being answered', async () => {
    let release = (): void => undefined;
    const held = new Promise<string>((resolve) => (release = () => resolve('x 1\n')));
    let count = 0;
    const isFull = new Promise<void>((resolve) => {
      renderMetrics = () => {
        if (++count === 64) resolve();
        return held;
      };
    });
    const answers = Array.from({ length: 64 }, () => ask('/metrics'));
    await isFull;
    await expect(ask('/metrics')).rejects.toThrow(/hang up|ECONNRESET/);
    release();
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual(Array(64).fill(200));
  });

  it('closes although clients keep their connections open', async () => {
    const socket = net.connect(server.port, '127.0.0.1');
    const hasEnded = new Promise<void>((resolve) => {
      socket.on('error', () => resolve());
      socket.on('close', () => resolve());
    });
    await new Promise<void>((resolve) => socket.once('connect', resolve));
    await server.close();
    socket.resume();
    await hasEnded;
  });

  it('names a busy port, and a host that is not here, in one line with the remedy', async () => {
    await expect(start({ port: server.port })).rejects.toThrow(
      `port ${server.port} on 127.0.0.1 is in use: end the program that has it, or choose another with --metrics-port`,
    );
    // 192.0.2.0/24 is reserved for documentation (RFC 5737).
    await expect(start({ host: '192.0.2.1' })).rejects.toThrow(
      '192.0.2.1 is not an address of this machine: choose one with --host',
    );
  });
});

describe('the dashboard', () => {
  beforeEach(async () => {
    await server.close();
    server = await start({ page: PAGE });
  });

  it('is served from a table, with headers that let it load nothing from elsewhere', async () => {
    expect(await ask('/')).toMatchObject({ status: 200, body: '<title>page</title>' });
    expect(await ask('/?theme=dark')).toMatchObject({ status: 200, body: '<title>page</title>' });
    const script = await ask('/dashboard/page.js');
    expect(script).toMatchObject({
      status: 200,
      body: 'go();',
      headers: {
        'content-type': 'text/javascript; charset=utf-8',
        'cache-control': 'no-cache',
        'content-security-policy':
          "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        'x-content-type-options': 'nosniff',
        etag: '"b"',
      },
    });
    expect(await ask('/dashboard/page.js', { method: 'HEAD' })).toMatchObject({
      status: 200,
      body: '',
      headers: { 'content-length': '5' },
    });
    expect(await ask('/dashboard/page.js', { method: 'PUT' })).toMatchObject({ status: 405 });
  });

  it('is not for a page that reaches this machine by a name of its own, and neither is the feed', async () => {
    for (const path of ['/', '/dashboard/page.js', '/events']) {
      for (const host of ['rebound.example', 'rebound.example:8002', '127.0.0.1.example', '192.0.2.1']) {
        expect(await ask(path, { headers: { Host: host } }), host).toMatchObject({ status: 403 });
      }
    }
    for (const host of ['localhost', 'LOCALHOST:8002', '127.0.0.1:80', '[::1]:8002', '[::1]']) {
      expect(await ask('/', { headers: { Host: host } }), host).toMatchObject({ status: 200 });
    }
    // A scraper may have its own name for this machine.
    expect(await ask('/metrics', { headers: { Host: 'sponge.example' } })).toMatchObject({ status: 200 });
  });

  it('is for everybody where the server listens to everybody', async () => {
    await server.close();
    server = await start({ host: '0.0.0.0', page: PAGE });
    expect(await ask('/', { headers: { Host: 'sponge.example' } })).toMatchObject({ status: 200 });
  });

  it('is not sent again to a browser that has it', async () => {
    const ofEtag = (etag: string): Promise<Answer> => ask('/dashboard/page.js', { headers: { 'If-None-Match': etag } });
    expect(await ofEtag('"b"')).toMatchObject({ status: 304, body: '', headers: { etag: '"b"' } });
    expect(await ofEtag('"a"')).toMatchObject({ status: 200, body: 'go();' });
  });

  it.each([
    '/dashboard/',
    '/dashboard/../package.json',
    '/dashboard/..%2f..%2fpackage.json',
    '/dashboard/%2e%2e/page.js',
    '//etc/passwd',
    '/constructor',
    '/__proto__',
    '/dashboard/page.js/',
  ])('has nothing at %s', async (path) => {
    expect(await ask(path)).toMatchObject({ status: 404, body: 'not found: here are /, /metrics and /events\n' });
  });
});

describe('the live feed', () => {
  /** An open subscription: the text so far, and its end. */
  function subscribe(): Promise<{ text(): string; status: number; ended: Promise<void>; leave(): void }> {
    return new Promise((resolve, reject) => {
      const request = http.get({ host: '127.0.0.1', port: server.port, path: '/events', agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        const ended = new Promise<void>((end) => response.once('close', () => end()));
        response.on('error', () => undefined);
        resolve({ text: () => text, status: response.statusCode!, ended, leave: () => request.destroy() });
      });
      request.on('error', reject);
    });
  }

  it('is an event stream that stays open longer than a request may take, and ends with the server', async () => {
    const head = await ask('/events', { method: 'HEAD' });
    expect(head).toMatchObject({
      status: 200,
      body: '',
      headers: { 'content-type': 'text/event-stream; charset=utf-8' },
    });
    const subscription = await subscribe();
    let hasEnded = false;
    void subscription.ended.then(() => (hasEnded = true));
    // The server gives a request 5 s; heartbeats come every second.
    await new Promise((resolve) => setTimeout(resolve, 6500));
    await expect.poll(() => subscription.text().match(/"records":\[\]/g)?.length).toBeGreaterThanOrEqual(5);
    expect(hasEnded).toBe(false);
    expect(subscription.text()).toMatch(/^retry: 1000\nevent: run\ndata: \{.*\}\n\ndata: \{"atMs":/);
    await server.close();
    await subscription.ended;
  });

  it('is for eight at a time', async () => {
    const subscriptions = await Promise.all(Array.from({ length: 8 }, () => subscribe()));
    expect(subscriptions.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200));
    const answer = await ask('/events');
    expect(answer.status).toBe(503);
    expect(answer.body).toMatch(/^as many watch .*\n$/);
    subscriptions[0]!.leave();
    await expect.poll(() => feed.isFull).toBe(false);
    const next = await subscribe();
    expect(next.status).toBe(200);
    for (const each of [...subscriptions, next]) each.leave();
  });

  it('takes one place of a connection that asks many times at once, and gives it back', async () => {
    const socket = net.connect(server.port, '127.0.0.1');
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.write('GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(8));
    await expect.poll(() => text).toContain('event: run');
    const others: Awaited<ReturnType<typeof subscribe>>[] = [];
    for (let count = 0; count < 7; count++) {
      expect(feed.isFull).toBe(false);
      others.push(await subscribe());
    }
    expect(others.map(({ status }) => status)).toEqual(others.map(() => 200));
    expect(feed.isFull).toBe(true);
    socket.destroy();
    await expect.poll(() => feed.isFull).toBe(false);
    for (const each of others) each.leave();
  });
});
