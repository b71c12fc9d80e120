import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import https from 'node:https';
import { connect as connectInClear, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { credentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startGrpcServer } from '../../src/server/edge/grpc/server.js';
import { Arrivals } from '../../src/server/edge/arrivals.js';
import { ReceiveBudget } from '../../src/server/edge/receive-budget.js';
import { startMetricsServer } from '../../src/server/telemetry/metrics-server.js';
import { LiveFeed } from '../../src/server/telemetry/live-feed.js';
import { SystemClock } from '../../src/server/system-clock.js';
import { ServerTls } from '../../src/server/tls/server-tls.js';
import { GRPCInferenceServiceClient } from '../fixtures/grpc-stubs.js';
import { createFakeService } from './fake-service.js';
import { call as callGrpc, smallRequest } from './grpc-harness.js';
import { LIMITS, startRest } from './rest-harness.js';

/* The ports with TLS on them, and clients that are who they should be, or not. */

const FIXTURES = join(import.meta.dirname, '../fixtures/tls');
const pem = (name: string): string => readFileSync(join(FIXTURES, `${name}.pem`), 'utf8');
const CA = pem('ca.cert');
const CLIENT = { cert: pem('client.cert'), key: pem('client.key') };
const STRANGER = { cert: pem('stranger.cert'), key: pem('stranger.key') };

/** So that each arrival is asked of the kernel. */
const LONG_AGO_MS = -1e9;
const STANDING_STILL = { unreadSinceMs: () => LONG_AGO_MS, standstillMs: () => 0 };

let folder = '';
const lines: string[] = [];
const closers: (() => Promise<void> | void)[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sponge-tls-'));
  lines.length = 0;
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  rmSync(folder, { recursive: true });
});

const path = (name: string): string => join(folder, name);

/** Puts a pair where the server looks for it. */
function install(name: string, key = name): void {
  copyFileSync(join(FIXTURES, `${name}.cert.pem`), path('tls.crt'));
  copyFileSync(join(FIXTURES, `${key}.key.pem`), path('tls.key'));
}

async function openTls(isMutual = false): Promise<ServerTls> {
  const tls = await ServerTls.open({
    files: {
      certPath: path('tls.crt'),
      keyPath: path('tls.key'),
      clientCaPath: isMutual ? join(FIXTURES, 'ca.cert.pem') : null,
    },
    logger: { info: (line) => lines.push(line), warn: (line) => lines.push(line) },
  });
  closers.push(() => tls.close());
  return tls;
}

async function startSecureRest(isMutual = false): Promise<{ url: string; port: number; tls: ServerTls }> {
  const tls = await openTls(isMutual);
  const { server } = await startRest({ tls });
  closers.push(() => server.close());
  return { url: server.url, port: server.address.port, tls };
}

/** Status and body; rejects as the client would. */
function get(url: string, options: https.RequestOptions = {}): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = https.get(url, { ca: CA, agent: false, ...options }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode!, body }));
    });
    request.on('error', reject);
  });
}

/** Common name of the certificate that a new connection is shown. */
function servedName(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({ port, host: '127.0.0.1', ca: CA }, () => {
      resolve(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

/** All that came until the server closed the connection. */
function received(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text));
  });
}

function protocolOf(port: number, options: ConnectionOptions): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', ca: CA, ...options }, () => {
      resolve(socket.getProtocol());
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

describe('REST with TLS', () => {
  it('answers under https, and only to clients of TLS 1.2 and later', async () => {
    install('server');
    const { url, port } = await startSecureRest();
    expect(url).toBe(`https://127.0.0.1:${port}`);
    expect((await get(`${url}/v2/health/live`)).status).toBe(200);
    expect(await protocolOf(port, { maxVersion: 'TLSv1.2' })).toBe('TLSv1.2');
    expect(await protocolOf(port, {})).toBe('TLSv1.3');
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
    await expect(protocolOf(port, old)).rejects.toThrow(/protocol version/i);
  });

  it('closes a connection in clear and says nothing in clear', async () => {
    install('server');
    const { port } = await startSecureRest();
    const socket = connectInClear(port, '127.0.0.1');
    socket.write('GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n');
    expect(await received(socket)).toBe('');
  });

  it('counts a handshake that is not complete as a connection, and refuses one too many without a word', async () => {
    install('server');
    const tls = await openTls();
    // 256 connections are the least limit there is; 0.02 of them are 5 for one client.
    const { server } = await startRest({ tls, limits: { ...LIMITS, maxConcurrentCalls: 64, clientFraction: 0.02 } });
    closers.push(() => server.close());
    const silent = Array.from({ length: 5 }, () => connectInClear(server.address.port, '127.0.0.1'));
    await Promise.all(silent.map((socket) => new Promise((resolve) => socket.once('connect', resolve))));
    await expect(get(`${server.url}/v2/health/live`)).rejects.toThrow();
    const refused = connectInClear(server.address.port, '127.0.0.1');
    expect(await received(refused)).toBe('');
    for (const socket of silent) socket.destroy();
    await expect
      .poll(() =>
        get(`${server.url}/v2/health/live`).then(
          ({ status }) => status,
          () => 0,
        ),
      )
      .toBe(200);
  });

  it('does not wait for handshakes when it closes', async () => {
    install('server');
    const tls = await openTls();
    const { server } = await startRest({ tls });
    const silent = connectInClear(server.address.port, '127.0.0.1');
    const ended = received(silent);
    await new Promise((resolve) => silent.once('connect', resolve));
    await get(`${server.url}/v2/health/live`);
    await server.close();
    expect(await ended).toBe('');
  });

  it('lets in who has a certificate of the client CA, and nobody else', async () => {
    install('server');
    const { url } = await startSecureRest(true);
    expect((await get(`${url}/v2/health/live`, CLIENT)).status).toBe(200);
    await expect(get(`${url}/v2/health/live`)).rejects.toThrow(/certificate required|ECONNRESET|socket hang up/i);
    await expect(get(`${url}/v2/health/live`, STRANGER)).rejects.toThrow(/unknown ca|ECONNRESET|socket hang up/i);
  });
});

describe('gRPC with TLS', () => {
  async function startSecureGrpc(isMutual: boolean): Promise<{ port: number; tls: ServerTls; arrivals: Arrivals }> {
    install('server');
    const tls = await openTls(isMutual);
    const arrivals = new Arrivals(() => performance.now(), STANDING_STILL);
    const server = await startGrpcServer({
      service: createFakeService(),
      host: '127.0.0.1',
      port: 0,
      limits: LIMITS,
      receiveBudget: new ReceiveBudget(LIMITS.maxBytesInReceipt),
      arrivals,
      compat: 'none',
      tls,
    });
    closers.push(() => server.close(0));
    return { port: server.address.port, tls, arrivals };
  }

  function client(port: number, pair?: { cert: string; key: string }): GRPCInferenceServiceClient {
    const [ca, key, cert] = [CA, pair?.key, pair?.cert].map((text) => (text === undefined ? null : Buffer.from(text)));
    const created = new GRPCInferenceServiceClient(`127.0.0.1:${port}`, credentials.createSsl(ca, key, cert), {
      'grpc.use_local_subchannel_pool': 1,
    });
    closers.push(() => created.close());
    return created;
  }

  it('answers a client of grpc-js', async () => {
    const { port } = await startSecureGrpc(false);
    const { error, response } = await callGrpc(client(port), 'modelInfer', smallRequest());
    expect(error).toBeNull();
    expect(response.modelName).toBe('raw');
  });

  it('asks the kernel of the connection below when its calls came', async () => {
    const { port, arrivals } = await startSecureGrpc(false);
    const arrivedAtMs = vi.spyOn(arrivals, 'arrivedAtMs');
    expect((await callGrpc(client(port), 'modelInfer', smallRequest())).error).toBeNull();
    // Where it could not be asked, all has lain here since the standstill began.
    expect(arrivedAtMs.mock.results.length).toBeGreaterThan(0);
    for (const { value } of arrivedAtMs.mock.results) expect(value).toBeGreaterThan(LONG_AGO_MS);
  });

  it('shows new connections the new certificate', async () => {
    const { port, tls } = await startSecureGrpc(false);
    install('server-2');
    await tls.reload();
    expect(await servedName(port)).toBe('second server');
    expect((await callGrpc(client(port), 'modelInfer', smallRequest())).error).toBeNull();
  });

  it('lets in who has a certificate of the client CA, and nobody else', async () => {
    const { port } = await startSecureGrpc(true);
    expect((await callGrpc(client(port, CLIENT), 'modelInfer', smallRequest())).error).toBeNull();
    const { error } = await callGrpc(client(port), 'modelInfer', smallRequest());
    expect(error?.details).toMatch(/certificate required|ECONNRESET|connection/i);
  });

  it('closes a connection that is no TLS', async () => {
    const { port } = await startSecureGrpc(false);
    const socket = connectInClear(port, '127.0.0.1');
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    expect(await received(socket)).toBe('');
  });
});

describe('the metrics port with TLS', () => {
  it('answers under https', async () => {
    install('server');
    const tls = await openTls();
    const feed = new LiveFeed({ clock: new SystemClock(), title: 't', startedAt: '', budgetMillicores: () => null });
    closers.push(() => feed.close());
    const server = await startMetricsServer({
      host: '127.0.0.1',
      port: 0,
      render: () => Promise.resolve('sponge_up 1\n'),
      contentType: 'text/plain',
      page: null,
      feed,
      tls,
    });
    closers.push(() => server.close());
    expect(await get(`https://127.0.0.1:${server.port}/metrics`)).toEqual({ status: 200, body: 'sponge_up 1\n' });
  });
});

describe('the certificate files', () => {
  it('are taken up when a symbolic link above them is swapped, as Kubernetes does it', async () => {
    for (const [data, name] of [
      ['data-1', 'server'],
      ['data-2', 'server-2'],
    ] as const) {
      writeFolder(data, name);
    }
    symlinkSync('data-1', path('current'));
    symlinkSync('current/tls.crt', path('tls.crt'));
    symlinkSync('current/tls.key', path('tls.key'));
    const { port } = await startSecureRest();
    expect(await servedName(port)).toBe('first server');
    symlinkSync('data-2', path('next'));
    renameSync(path('next'), path('current'));
    // By itself: this is the one test that waits for the next look.
    await expect.poll(() => servedName(port)).toBe('second server');
    expect(lines).toEqual(['TLS: new certificate files are in use for new connections']);
  });

  it('do not disturb a connection that is open when they change', async () => {
    install('server');
    const { url, tls } = await startSecureRest();
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    await get(`${url}/v2/health/live`, { agent });
    install('server-2');
    await tls.reload();
    expect((await get(`${url}/v2/health/live`, { agent })).status).toBe(200);
    agent.destroy();
  });

  it('that cannot be served are not: the old ones stay, and it is said once', async () => {
    install('server');
    const { port, tls } = await startSecureRest();
    install('server-2', 'server');
    for (let look = 0; look < 5; look++) await tls.reload();
    expect(await servedName(port)).toBe('first server');
    expect(lines).toEqual([
      `TLS stays with the certificate it has: --tls-key ${path('tls.key')} does not fit the first certificate of ` +
        `${path('tls.crt')}; give the key it was made with`,
    ]);
    install('server-2');
    await tls.reload();
    expect(await servedName(port)).toBe('second server');
  });

  it('are refused at the start in one line that says which and what to do', async () => {
    const refusal = (): Promise<string> =>
      openTls().then(
        () => 'none',
        (error: unknown) => (error as Error).message,
      );
    expect(await refusal()).toBe(`--tls-cert ${path('tls.crt')}: no such file; check the path`);
    install('server', 'client');
    expect(await refusal()).toMatch(/^--tls-key .* does not fit the first certificate of .*; give the key/);
    install('server', 'encrypted');
    expect(await refusal()).toMatch(/^--tls-key .* has a passphrase; give it without one \(openssl pkey\)$/);
    install('server');
    writeFileSync(path('tls.key'), pem('server.cert'));
    expect(await refusal()).toMatch(
      /^--tls-key .* has no private key in PEM .* but a certificate; are files exchanged\?$/,
    );
    writeFileSync(path('tls.crt'), 'DER');
    expect(await refusal()).toMatch(
      /^--tls-cert .* has no certificate in PEM .*; convert it with openssl if it is DER$/,
    );
    writeFileSync(path('tls.crt'), '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n');
    expect(await refusal()).toMatch(/^--tls-cert .*: the certificate is damaged; copy it again$/);
  });

  it('that have expired are served, with a warning', async () => {
    install('expired');
    await openTls();
    expect(lines).toEqual([
      `--tls-cert ${path('tls.crt')} expired on Jan  1 00:00:00 2021 GMT: clients refuse it; renew it`,
    ]);
  });
});

function writeFolder(data: string, name: string): void {
  mkdirSync(path(data));
  copyFileSync(join(FIXTURES, `${name}.cert.pem`), path(`${data}/tls.crt`));
  copyFileSync(join(FIXTURES, `${name}.key.pem`), path(`${data}/tls.key`));
}
