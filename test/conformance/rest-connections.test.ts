import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { startRestServer } from '../../src/server/edge/rest/server.js';
import type { RestOptions } from '../../src/server/edge/rest/server.js';
import type { InferReply } from '../../src/protocol/service.js';
import { Arrivals } from '../../src/server/edge/arrivals.js';
import { Intake } from '../../src/server/edge/intake.js';
import { ReceiveBudget } from '../../src/server/edge/receive-budget.js';
import { createFakeService, okReply } from './fake-service.js';
import { LIMITS, call, rawConnection, startRest } from './rest-harness.js';
import type { RestUnderTest } from './rest-harness.js';

/* Clients that are slow, leave, crowd or stay: what becomes of their connections and of the calls on them. */

const started: RestUnderTest[] = [];
async function start(options: Partial<RestOptions> = {}): Promise<RestUnderTest> {
  const rest = await startRest(options);
  started.push(rest);
  return rest;
}
afterEach(async () => {
  await Promise.all(started.splice(0).map(({ server }) => server.close()));
});

const BODY = JSON.stringify({ inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] }] });
const HEAD = `POST /v2/models/raw/infer HTTP/1.1\r\nHost: h\r\nContent-Length: ${BODY.length}\r\n`;

/** A call that the service holds until the test lets it go. */
function holdCalls(rest: RestUnderTest): { begun: Promise<void>; aborted: Promise<void>; release: () => void } {
  let release: () => void = () => undefined;
  let onBegun: () => void = () => undefined;
  let onAborted: () => void = () => undefined;
  const begun = new Promise<void>((resolve) => (onBegun = resolve));
  const aborted = new Promise<void>((resolve) => (onAborted = resolve));
  const released = new Promise<void>((resolve) => (release = resolve));
  rest.fake.behaviour = async (infer, signal): Promise<InferReply> => {
    signal.addEventListener('abort', onAborted);
    onBegun();
    await released;
    return okReply(rest.fake.model('raw'), infer);
  };
  return { begun, aborted, release };
}

describe('a slow client', () => {
  it('is answered 408 and cut off when its body does not end in time', async () => {
    const rest = await start({ limits: { ...LIMITS, bodyTimeoutMs: 100 } });
    const client = rawConnection(rest.server);
    client.write(`${HEAD}\r\n${BODY.slice(0, 20)}`);
    const received = await client.closed;
    expect(received).toMatch(/^HTTP\/1.1 408 .*connection: close/is);
    expect(received).toContain('{"error":"request body was not complete within 100 ms"}');
    expect(rest.fake.calls).toEqual([]);
  });

  it('is answered 408 and cut off when its headers do not end in time', async () => {
    const rest = await start({ limits: { ...LIMITS, bodyTimeoutMs: 100 } });
    const client = rawConnection(rest.server);
    client.write('POST /v2/models/raw/infer HTTP/1.1\r\nHost:');
    expect(await client.closed).toMatch(/^HTTP\/1.1 408 .*{"error":"request headers were not complete in time"}$/s);
  });

  it('is told nothing when its connection is closed on which it never sent anything', async () => {
    const rest = await start({ limits: { ...LIMITS, bodyTimeoutMs: 100 } });
    expect(await rawConnection(rest.server).closed).toBe('');
  });

  it('is charged for the time from the first to the last byte', async () => {
    let nowMs = 1000;
    const rest = await start({ arrivals: new Arrivals(() => nowMs) });
    const client = rawConnection(rest.server);
    client.write(`${HEAD}Expect: 100-continue\r\n\r\n`);
    await client.until('100 Continue');
    // The head has been parsed: the first byte is stamped. The rest comes 250 ms later.
    nowMs = 1250;
    client.write(BODY);
    await client.until('"outputs"');
    expect(rest.fake.calls[0]!.call.arrival).toMatchObject({ firstByteAtMs: 1000, receivedAtMs: 1250 });
    client.destroy();
  });
});

describe('a client that stops reading', () => {
  it('is cut off, and its slot is free again', async () => {
    const rest = await start({ limits: { ...LIMITS, bodyTimeoutMs: 200, maxConcurrentCalls: 1 } });
    // 32 MiB: more than the kernel's buffers of both ends hold.
    const answer = { name: 'y', datatype: 'FP32', shape: [1, 2 ** 23], data: new Uint8Array(2 ** 25) } as const;
    rest.fake.behaviour = (infer) => {
      const reply = okReply(rest.fake.model('raw'), infer);
      return Promise.resolve(reply.kind === 'ok' ? { ...reply, outputs: [answer] } : reply);
    };
    const body = JSON.stringify({ ...(JSON.parse(BODY) as object), parameters: { binary_data_output: true } });
    const socket = connect(rest.server.address.port, rest.server.address.host);
    socket.on('error', () => undefined);
    socket.pause();
    socket.write(`POST /v2/models/raw/infer HTTP/1.1\r\nHost: h\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await expect.poll(() => rest.fake.calls.length).toBe(1);
    rest.fake.reset();
    const next = (): Promise<number> =>
      call(rest.server, 'POST', '/v2/models/raw/infer', BODY).then((reply) => reply.status);
    expect(await next()).toBe(429);
    await expect.poll(next).toBe(200);
    socket.destroy();
  });
});

describe('what is no HTTP', () => {
  it.each([
    ['garbage', '\x16\x03\x01\x02\x00\r\n\r\n', 400],
    ['huge headers', `GET /v2 HTTP/1.1\r\nHost: h\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['a content length that is no number', 'POST /v2 HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n', 400],
  ])('%s is answered and cut off', async (_, bytes, status) => {
    const rest = await start();
    const client = rawConnection(rest.server);
    client.write(bytes);
    expect(await client.closed).toMatch(new RegExp(`^HTTP/1.1 ${status} .*\\{"error":"[^"]+"\\}$`, 's'));
  });
});

describe('a client that leaves', () => {
  it('before its body ended: nothing reaches the service, and its slot is free again', async () => {
    const rest = await start({ limits: { ...LIMITS, maxConcurrentCalls: 1 } });
    const client = rawConnection(rest.server);
    client.write(`${HEAD}Expect: 100-continue\r\n\r\n`);
    await client.until('100 Continue');
    client.write(BODY.slice(0, 20));
    client.destroy();
    await client.closed;
    await expect.poll(async () => (await call(rest.server, 'POST', '/v2/models/raw/infer', BODY)).status).toBe(200);
    expect(rest.fake.calls).toHaveLength(1);
  });

  it('while its request waits or runs: the signal is aborted and the late answer is dropped', async () => {
    const rest = await start();
    const held = holdCalls(rest);
    const client = rawConnection(rest.server);
    client.write(`${HEAD}\r\n${BODY}`);
    await held.begun;
    client.destroy();
    await held.aborted;
    held.release();
    rest.fake.reset();
    expect((await call(rest.server, 'POST', '/v2/models/raw/infer', BODY)).status).toBe(200);
  });

  it('after its answer: nothing is aborted', async () => {
    const rest = await start();
    const client = rawConnection(rest.server);
    client.write(`${HEAD}\r\n${BODY}`);
    await client.until('"outputs"');
    client.destroy();
    await client.closed;
    expect(rest.fake.calls[0]!.signal.aborted).toBe(false);
  });
});

describe('connections', () => {
  it('are kept for the next request, also after an error', async () => {
    const rest = await start();
    const client = rawConnection(rest.server);
    client.write(`${HEAD}\r\n${'x'.repeat(BODY.length)}`);
    await client.until('not valid JSON');
    client.write(`${HEAD}\r\n${BODY}`);
    await client.until('"outputs"');
    client.destroy();
  });

  it('answer calls beyond the limit with 429 at once, and serve again when there is room', async () => {
    const rest = await start({ limits: { ...LIMITS, maxConcurrentCalls: 1 } });
    const held = holdCalls(rest);
    const first = call(rest.server, 'POST', '/v2/models/raw/infer', BODY);
    await held.begun;
    const second = await call(rest.server, 'POST', '/v2/models/raw/infer', BODY);
    expect(second.status).toBe(429);
    expect(second.json()).toEqual({
      error: '1 calls are in progress, which is the limit; try again later',
      reason: 'queue_full',
      retry_after_ms: 1000,
    });
    expect(second.headers['retry-after']).toBe('1');
    expect((await call(rest.server, 'GET', '/v2/health/live')).status).toBe(200);
    held.release();
    expect((await first).status).toBe(200);
    await expect.poll(async () => (await call(rest.server, 'POST', '/v2/models/raw/infer', BODY)).status).toBe(200);
  });
});

describe('a connection of which one side has ended', () => {
  it('gets its answer where the client has sent all it will', async () => {
    const rest = await start();
    const held = holdCalls(rest);
    const socket = connect({ port: rest.server.address.port, host: '127.0.0.1', allowHalfOpen: true });
    const answer = textOf(socket);
    socket.end(`${HEAD}\r\n${BODY}`);
    await held.begun;
    // Longer than it takes to find out that nobody is there.
    await sleep(200);
    held.release();
    // After interim responses, which ask whether it is still there.
    expect(await answer).toMatch(/^(HTTP\/1\.1 100 Continue\r\n\r\n)+HTTP\/1\.1 200 OK[^]*"outputs"/);
  });

  it('aborts the call where the client has left, which looks the same at first', async () => {
    const rest = await start();
    const held = holdCalls(rest);
    const socket = connect({ port: rest.server.address.port, host: '127.0.0.1' });
    socket.write(`${HEAD}\r\n${BODY}`);
    await held.begun;
    socket.destroy();
    await held.aborted;
    held.release();
  });

  it('keeps no descriptor of a peer that was told off and never closes', async () => {
    const rest = await start();
    // Of this process: both ends of each.
    const openCount = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
    const openBefore = openCount();
    const sockets = Array.from({ length: 20 }, () => {
      const socket = connect({ port: rest.server.address.port, host: '127.0.0.1', allowHalfOpen: true });
      socket.write('NONSENSE\r\n\r\n');
      return socket.on('error', () => undefined).resume();
    });
    await Promise.all(sockets.map((socket) => once(socket, 'end')));
    await expect.poll(openCount).toBeLessThanOrEqual(openBefore + 20);
    expect(openCount(), 'the peers keep their ends').toBe(openBefore + 20);
    for (const socket of sockets) socket.destroy();
  });
});

describe('too many connections', () => {
  it('are told so and closed, and counted; one client leaves room for others', async () => {
    const refused: string[] = [];
    const intake = new Intake({
      maxCalls: 10,
      clientFraction: 0.75,
      compat: 'none',
      onRefused: (protocol, cause) => refused.push(`${protocol} ${cause}`),
    });
    const rest = await start({ limits: { ...LIMITS, maxConcurrentCalls: 1, clientFraction: 0.75 }, intake });
    const { port } = rest.server.address;
    // 256 at least, of which one client may have three quarters.
    const sockets = Array.from({ length: 192 }, () => connect(port, '127.0.0.1'));
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    const oneMore = connect(port, '127.0.0.1');
    expect(await textOf(oneMore)).toMatch(/^HTTP\/1\.1 429 [^]*Connection: close[^]*too many connections are open/);
    expect(refused).toEqual(['rest connection_limit']);
    sockets.pop()!.destroy();
    await expect
      .poll(async () => {
        const socket = connect(port, '127.0.0.1');
        socket.write('GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
        return textOf(socket);
      })
      .toMatch(/^HTTP\/1\.1 200 /);
    for (const socket of sockets) socket.destroy();
  });
});

async function textOf(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('utf8').on('data', (part: string) => (text += part));
  await once(socket, 'close');
  return text;
}

describe('the port', () => {
  it('that is taken is told in one line with a remedy', async () => {
    const rest = await start();
    const { port } = rest.server.address;
    const again = startRestServer({
      service: createFakeService(),
      host: '127.0.0.1',
      port,
      limits: LIMITS,
      receiveBudget: new ReceiveBudget(1),
      arrivals: new Arrivals(() => 0),
      compat: 'none',
    });
    await expect(again).rejects.toThrow(
      `port ${port} on 127.0.0.1 is in use: end the program that has it, or choose another with --port`,
    );
  });

  it('is closed only after calls in progress were answered, and without waiting for idle connections', async () => {
    const rest = await startRest();
    const held = holdCalls(rest);
    const idle = rawConnection(rest.server);
    idle.write('GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n');
    await idle.until('"live":true');
    const busy = rawConnection(rest.server);
    busy.write(`${HEAD}\r\n${BODY}`);
    await held.begun;

    let isClosed = false;
    const closing = rest.server.close().then(() => (isClosed = true));
    await idle.closed;
    await expect(call(rest.server, 'GET', '/v2/health/live')).rejects.toThrow(/ECONNREFUSED/);
    expect(isClosed).toBe(false);
    held.release();
    // Its connection would live for another minute if closing did not end it.
    expect(await busy.closed).toContain('"outputs"');
    await closing;
  });
});
