import { chmod, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { status } from '@grpc/grpc-js';
import { Door } from '../../src/server/doors/door.js';
import { TokenFile } from '../../src/server/doors/tokens.js';
import { SystemClock } from '../../src/server/system-clock.js';
import { LiveFeed } from '../../src/server/telemetry/live-feed.js';
import { startMetricsServer, type MetricsServer } from '../../src/server/telemetry/metrics-server.js';
import { Intake } from '../../src/server/edge/intake.js';
import { call as callGrpc, smallRequest, startHarness } from './grpc-harness.js';
import { rawConnection, startRest } from './rest-harness.js';
import type { RestUnderTest } from './rest-harness.js';

/* Every listener through its socket: pages of other sites, names that lead here, and who has a token for what. */

const FULL = 'full-0123456789abcdef';
const SCRAPER = 'scraper-0123456789abcdef';
const BODY = JSON.stringify({ inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] }] });
const INFER = '/v2/models/raw/infer';
const TOKENS = `# who may call\nocr-app ${FULL}\nprometheus ${SCRAPER} read-only # looks only\n`;

const ends: (() => unknown)[] = [];
let folder: string;
let notices: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sponge-doors-'));
  notices = [];
  ends.push(() => rm(folder, { recursive: true }));
});
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function openTokens(text: string = TOKENS): Promise<TokenFile> {
  const path = join(folder, 'tokens');
  await writeFile(path, text, { mode: 0o600 });
  const tokens = await TokenFile.open({ path, onNotice: (line) => notices.push(line) });
  ends.push(() => tokens.close());
  return tokens;
}

async function rest(door: Door, intake?: Intake): Promise<RestUnderTest> {
  const started = await startRest({ door, ...(intake === undefined ? {} : { intake }) });
  ends.push(() => started.server.close());
  return started;
}

async function metrics(door: Door, onRefused?: (cause: string) => void): Promise<MetricsServer> {
  const feed = new LiveFeed({ clock: new SystemClock(), title: 'test', startedAt: '2026-01-31T09:30:00.000Z' });
  const render = (): Promise<string> => Promise.resolve('sponge_queue_depth 3\n');
  const server = await startMetricsServer({
    ...{ host: '127.0.0.1', port: 0, contentType: 'text/plain', page: null },
    ...{ render, feed, door },
    ...(onRefused === undefined ? {} : { onRefused }),
  });
  ends.push(
    () => feed.close(),
    () => server.close(),
  );
  return server;
}

interface Answer {
  readonly status: number | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

function ask(port: number, method: string, path: string, headers: object = {}, body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, method, path, agent: false };
    const request = http.request({ ...options, headers: { ...headers } }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: text }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

const ANYWHERE = new Door({ host: '0.0.0.0' });
const HERE = new Door({ host: '127.0.0.1' });
const bearer = (token: string): object => ({ Authorization: `Bearer ${token}` });

describe('a page of another site', () => {
  const INTRUSIONS: readonly object[] = [
    { Origin: 'http://evil.example' },
    { Origin: 'null' },
    { Origin: 'http://localhost:3000', Host: 'localhost:8000' },
    { Origin: 'http://evil.example', 'Content-Type': 'text/plain' },
    { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors', 'Sec-Fetch-Dest': 'image' },
    { 'Sec-Fetch-Site': 'same-site', 'Sec-Fetch-Mode': 'no-cors' },
    { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'iframe' },
    // Rebound: of its own name, which leads here.
    { Origin: 'http://evil.example', Host: 'evil.example' },
    { Origin: 'http://evil.example:8000', Host: 'evil.example:8000', 'Sec-Fetch-Site': 'same-origin' },
    { Host: 'evil.example', 'Sec-Fetch-Site': 'same-origin' },
    { Host: 'evil.example', 'User-Agent': 'Mozilla/5.0' },
  ];

  it('neither sends nor reads over REST, and no model runs for it', async () => {
    const counted: string[] = [];
    const intake = new Intake({
      ...{ maxCalls: 10, clientFraction: 1, compat: 'none' },
      onRefused: (_protocol, cause) => counted.push(cause),
    });
    const { server, fake } = await rest(ANYWHERE, intake);
    for (const headers of INTRUSIONS) {
      for (const [method, path, body] of [['POST', INFER, BODY] as const, ['GET', '/v2', ''] as const]) {
        const answer = await ask(server.address.port, method, path, headers, body);
        expect(answer.status, JSON.stringify(headers)).toBe(403);
        expect(answer.headers['access-control-allow-origin']).toBeUndefined();
      }
    }
    expect(fake.calls).toEqual([]);
    expect(counted).toEqual(Array.from({ length: 2 * INTRUSIONS.length }, () => 'forbidden'));
  });

  it('reads no metrics, no page and no feed', async () => {
    const counted: string[] = [];
    const { port } = await metrics(ANYWHERE, (cause) => counted.push(cause));
    for (const headers of INTRUSIONS) {
      for (const path of ['/metrics', '/', '/events']) {
        expect(await ask(port, 'GET', path, headers), JSON.stringify(headers)).toMatchObject({ status: 403 });
      }
    }
    expect(counted).toEqual(Array.from({ length: 3 * INTRUSIONS.length }, () => 'forbidden'));
  });

  it('is refused over gRPC', async () => {
    const harness = await startHarness({}, 'none', HERE);
    ends.push(() => harness.close());
    const { error } = await callGrpc(
      harness.client,
      'serverMetadata',
      {},
      { metadata: { origin: 'http://evil.example' } },
    );
    expect(error?.code).toBe(status.PERMISSION_DENIED);
    expect((await callGrpc(harness.client, 'serverMetadata', {})).error).toBeNull();
  });

  it('is not who follows a link from it', async () => {
    const link = { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' };
    expect(await ask((await metrics(ANYWHERE)).port, 'GET', '/', link)).toMatchObject({ status: 200 });
  });

  it('may call where its origin is allowed, after a preflight that says so', async () => {
    const door = new Door({ host: '0.0.0.0', corsOrigins: ['https://app.example.com'] });
    const { server, fake } = await rest(door);
    const origin = { Origin: 'https://app.example.com', 'Sec-Fetch-Site': 'cross-site', Host: 'models.example.com' };
    const asked = {
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'content-type,authorization',
    };
    const preflight = await ask(server.address.port, 'OPTIONS', INFER, { ...origin, ...asked });
    expect(preflight).toMatchObject({
      status: 204,
      headers: {
        'access-control-allow-origin': 'https://app.example.com',
        'access-control-allow-methods': 'GET, POST',
        'access-control-allow-headers': 'content-type,authorization',
      },
    });
    const answer = await ask(server.address.port, 'POST', INFER, origin, BODY);
    expect(answer).toMatchObject({
      status: 200,
      headers: { 'access-control-allow-origin': 'https://app.example.com', vary: 'Origin' },
    });
    const inputs = [{ name: 'x', shape: [1, 1000], datatype: 'FP32', data: Array<number>(1000).fill(1) }];
    const large = '/v2/models/identity_fp32/infer';
    const compressed = { ...origin, 'Accept-Encoding': 'gzip' };
    expect(await ask(server.address.port, 'POST', large, compressed, JSON.stringify({ inputs }))).toMatchObject({
      status: 200,
      headers: { 'content-encoding': 'gzip', vary: 'origin, accept-encoding' },
    });
    expect(fake.calls).toHaveLength(2);
    const other = { ...origin, ...asked, Origin: 'https://app.example.com.evil.example' };
    expect(await ask(server.address.port, 'OPTIONS', INFER, other)).toMatchObject({ status: 403 });
  });
});

describe('what is no browser', () => {
  it('may call by any name: a load balancer, a phone', async () => {
    const { server } = await rest(ANYWHERE);
    for (const headers of [
      { Host: 'models.example.com' },
      { Host: 'models.example.com', 'Accept-Language': 'de', 'User-Agent': 'App/1 CFNetwork/1490.0.4' },
      { Host: 'gpu-7', 'User-Agent': 'python-requests/2.31' },
    ]) {
      expect(await ask(server.address.port, 'POST', INFER, headers, BODY)).toMatchObject({ status: 200 });
    }
  });

  it('is told in one line that a request has one Host', async () => {
    const { server } = await rest(HERE);
    const client = rawConnection(server);
    client.write('GET /v2 HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n');
    expect(await client.closed).toMatch(/^HTTP\/1\.1 400 .*\{"error":"a request has one Host header[^\n]*"\}$/s);
  });
});

describe('a browser on a machine that nobody else reaches', () => {
  it('may call it by a name of this machine, or one that is allowed', async () => {
    const { server } = await rest(new Door({ host: '127.0.0.1', allowedHosts: ['sponge.internal'] }));
    const statusOf = async (host: string): Promise<number | undefined> =>
      (await ask(server.address.port, 'GET', '/v2', { Host: host, 'Accept-Language': 'en' })).status;
    for (const host of ['localhost', 'LOCALHOST.:8000', '[::1]:8000', 'sponge.internal:80'])
      expect(await statusOf(host)).toBe(200);
    for (const host of ['evil.example', 'localhost.evil.example', '192.0.2.1']) expect(await statusOf(host)).toBe(403);
  });
});

describe('a page of the server itself', () => {
  it('may call it, with or without the port that its scheme has anyway, and with TLS taken off before', async () => {
    const { server } = await rest(new Door({ host: '0.0.0.0', allowedHosts: ['models.example.com'] }));
    for (const [origin, host, expected] of [
      ['http://192.0.2.7:8000', '192.0.2.7:8000', 200],
      ['https://models.example.com', 'models.example.com', 200],
      ['https://models.example.com', 'models.example.com:443', 200],
      ['https://models.example.com', 'models.example.com:80', 403],
      ['http://models.example.com', 'models.example.com:443', 403],
      ['null', 'null', 403],
    ] as const) {
      const answer = await ask(server.address.port, 'GET', '/v2', { Origin: origin, Host: host });
      expect(answer.status, `${origin} ${host}`).toBe(expected);
    }
  });
});

describe('tokens', () => {
  it('decide over REST: none for probes, any for metadata, a full one for the rest', async () => {
    const { server, fake } = await rest(new Door({ host: '127.0.0.1', tokens: await openTokens() }));
    const statusOf = async (method: string, path: string, headers: object, body = ''): Promise<number | undefined> =>
      (await ask(server.address.port, method, path, headers, body)).status;
    for (const path of ['/v2/health/live', '/v2/health/ready', '/v2/models/raw/ready'])
      expect(await statusOf('GET', path, {})).toBe(200);
    const nobody = [{}, bearer('wrong-0123456789abcdef'), bearer(`${FULL}x`), { Authorization: `Basic ${FULL}` }];
    for (const headers of nobody) {
      for (const path of ['/v2', '/v2/models/raw', '/v2/models/stats', '/v2/models/ready', '/%76%32/nothing']) {
        expect(await statusOf('GET', path, headers), path).toBe(401);
      }
      expect(await statusOf('POST', INFER, headers, BODY)).toBe(401);
    }
    // What looks like a probe, and is answered by another route.
    for (const path of ['/v2/models/raw#/ready', '/v2/models/stats#/ready', '/v2/models/raw/versions/1#/ready']) {
      const client = rawConnection(server);
      client.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      expect(await client.closed, path).toMatch(/^HTTP\/1\.1 401 /);
    }
    expect(await statusOf('GET', '/v2/models/raw', bearer(SCRAPER))).toBe(200);
    expect(await statusOf('POST', '/v2/repository/index', bearer(SCRAPER), '{}')).toBe(200);
    for (const path of [INFER, '/v2/repository/models/raw/load', '/v2/repository/index/../models/raw/load']) {
      expect(await statusOf('POST', path, bearer(SCRAPER), BODY), path).toBe(403);
    }
    expect(fake.calls).toEqual([]);
    expect(await statusOf('POST', INFER, bearer(FULL), BODY)).toBe(200);
    expect(fake.calls[0]?.call.arrival.tokenName).toBe('ocr-app');
  });

  it('are asked for in words that a client understands', async () => {
    const { server } = await rest(new Door({ host: '127.0.0.1', tokens: await openTokens() }));
    const answer = await ask(server.address.port, 'POST', INFER, {}, BODY);
    expect(answer.headers['www-authenticate']).toBe('Bearer realm="sponge"');
    expect(answer.body).toBe('{"error":"a valid token is needed: \\"Authorization: Bearer <token>\\""}');
  });

  it('decide over gRPC', async () => {
    const door = new Door({ host: '127.0.0.1', tokens: await openTokens() });
    const harness = await startHarness({}, 'none', door);
    ends.push(() => harness.close());
    const codeOf = async (
      name: 'serverLive' | 'serverMetadata' | 'modelInfer' | 'repositoryModelLoad',
      token?: string,
    ) => {
      const metadata = token === undefined ? {} : { authorization: `Bearer ${token}` };
      return (
        (await callGrpc(harness.client, name, smallRequest({ modelName: 'none' }) as never, { metadata })).error
          ?.code ?? status.OK
      );
    };
    expect(await codeOf('serverLive')).toBe(status.OK);
    expect(await codeOf('serverMetadata')).toBe(status.UNAUTHENTICATED);
    expect(await codeOf('modelInfer', 'wrong-0123456789abcdef')).toBe(status.UNAUTHENTICATED);
    expect(await codeOf('serverMetadata', SCRAPER)).toBe(status.OK);
    expect(await codeOf('modelInfer', SCRAPER)).toBe(status.PERMISSION_DENIED);
    expect(await codeOf('repositoryModelLoad', SCRAPER)).toBe(status.PERMISSION_DENIED);
    // Let in, and told that there is no such model.
    expect(await codeOf('modelInfer', FULL)).toBe(status.NOT_FOUND);
  });

  it('give metrics to a scraper, and to a browser a session that only looks', async () => {
    const tokens = await openTokens();
    const { port } = await metrics(new Door({ host: '127.0.0.1', tokens }));
    expect(await ask(port, 'GET', '/metrics')).toMatchObject({ status: 401 });
    expect(await ask(port, 'GET', '/metrics', bearer(SCRAPER))).toMatchObject({ status: 200 });
    const form = await ask(port, 'GET', '/', { Accept: 'text/html' });
    expect(form.status).toBe(401);
    expect(form.body).toContain('<form method="post" action="/login">');
    expect(await ask(port, 'POST', '/login', {}, 'token=wrong-0123456789abcdef')).toMatchObject({ status: 401 });
    expect(await ask(port, 'POST', '/login', {}, `token=${'x'.repeat(100_000)}`)).toMatchObject({ status: 401 });
    const stranger = { Origin: 'http://evil.example' };
    expect(await ask(port, 'POST', '/login', stranger, `token=${FULL}`)).toMatchObject({ status: 403 });

    const login = await ask(port, 'POST', '/login', {}, `token=${FULL}`);
    expect(login).toMatchObject({ status: 303, headers: { location: '/' } });
    const [cookie, ...attributes] = login.headers['set-cookie']![0]!.split('; ');
    expect(attributes).toEqual(['Path=/', 'HttpOnly', 'SameSite=Strict']);
    expect(cookie).toMatch(new RegExp(`^sponge_session_${port}=`));
    expect(cookie).not.toContain(FULL);
    expect(await ask(port, 'GET', '/', { Cookie: `theme=dark; ${cookie!}` })).toMatchObject({ status: 200 });
    expect(await ask(port, 'GET', '/', { Cookie: `${cookie!.slice(0, -2)}AA` })).toMatchObject({ status: 401 });

    // Ends with the token.
    await writeFile(join(folder, 'tokens'), `prometheus ${SCRAPER} read-only\n`);
    await tokens.reload();
    expect(await ask(port, 'GET', '/', { Cookie: cookie! })).toMatchObject({ status: 401 });
  });

  it('are taken anew when their file is replaced; a bad one is told of once and changes nothing', async () => {
    const tokens = await openTokens();
    const path = join(folder, 'tokens');
    await writeFile(join(folder, 'next'), 'ocr-app short\n');
    await rename(join(folder, 'next'), path);
    await tokens.reload();
    await tokens.reload();
    expect(notices).toEqual([expect.stringContaining('line 1: a token has at least 16 characters')]);
    expect(tokens.identify(FULL)).toMatchObject({ name: 'ocr-app', isReadOnly: false });
    await rm(path);
    await tokens.reload();
    await tokens.reload();
    expect(notices.slice(1)).toEqual([expect.stringContaining('no such file')]);
    await writeFile(path, 'new-app another-0123456789abcdef\n');
    await tokens.reload();
    expect(tokens.identify(FULL)).toBeNull();
    expect(tokens.identify('another-0123456789abcdef')?.name).toBe('new-app');
  });

  it('that cannot be had stop the start, in one line that repeats no token', async () => {
    for (const [text, cause] of [
      ['', 'there is no token in it'],
      [`a b ${FULL}\n`, 'line 1: expected "<name> <token>"'],
      // A name that is as long as a token, whose own is missing.
      ['the-scraper-of-prometheus read-only\n', 'line 1: expected "<name> <token>"'],
      ['the-scraper-of-prometheus\n', 'line 1: expected "<name> <token>"'],
      [`# x\na ${FULL}\nb ${FULL}\n`, 'line 3: this token is there already'],
      [`a ${FULL}é\n`, 'line 1: a token consists of'],
    ] as const) {
      const failure = await openTokens(text).catch((error: unknown) => String(error));
      expect(failure).toContain(cause);
      expect(failure).not.toContain(FULL);
    }
  });

  it('that others can read are warned of', async () => {
    const path = join(folder, 'open');
    await writeFile(path, TOKENS);
    await chmod(path, 0o644);
    const tokens = await TokenFile.open({ path, onNotice: (line) => notices.push(line) });
    tokens.close();
    expect(notices).toEqual([`${path} can be read by other users: chmod 600 it`]);
  });
});
