import { Arrivals } from '../../src/server/edge/arrivals.js';
import { connect, constants } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2';
import { gzipSync } from 'node:zlib';
import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { startGrpcServer } from '../../src/server/edge/grpc/server.js';
import type { EdgeLimits } from '../../src/protocol/service.js';
import * as grpc from './grpc-harness.js';
import { call, LIMITS, rawConnection, startRest } from './rest-harness.js';
import type { RawConnection, RestUnderTest } from './rest-harness.js';

/* How much may be on its way in at a time, over all calls: what is charged, who is refused, and that it is given back. */

const BODY = JSON.stringify({ inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', data: [1, 2, 3, 4] }] });
const INFER = '/v2/models/raw/infer';
const MODEL_INFER = '/inference.GRPCInferenceService/ModelInfer';
const MODEL_STREAM_INFER = '/inference.GRPCInferenceService/ModelStreamInfer';

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function startRestWith(limits: Partial<EdgeLimits>): Promise<RestUnderTest> {
  const rest = await startRest({ limits: { ...LIMITS, ...limits } });
  closers.push(() => rest.server.close());
  return rest;
}

async function startGrpcWith(limits: Partial<EdgeLimits>): Promise<grpc.Harness> {
  const harness = await grpc.startHarness(limits);
  closers.push(() => harness.close());
  return harness;
}

/** A client that has sent the head of a call and these bytes of its body, and no more. */
function beginBody(rest: RestUnderTest, headers: string, bytes: string | Uint8Array = '', path = INFER): RawConnection {
  const client = rawConnection(rest.server);
  closers.push(() => client.destroy());
  client.write(`POST ${path} HTTP/1.1\r\nHost: h\r\n${headers}\r\n\r\n`);
  client.write(bytes);
  return client;
}

function openSession(target: string): ClientHttp2Session {
  const session = connect(`http://${target}`);
  session.on('error', () => undefined);
  closers.push(() => session.destroy());
  return session;
}

interface HalfCall {
  readonly stream: ClientHttp2Stream;
  /** The headers or trailers that carry the status. */
  readonly answer: Promise<Record<string, unknown>>;
  readonly closed: Promise<void>;
}

/** A gRPC call that sends these bytes and neither more nor an end. */
function beginCall(
  session: ClientHttp2Session,
  path: string,
  bytes: Uint8Array,
  headers: OutgoingHttpHeaders = {},
): HalfCall {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  stream.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => void stream.on('close', () => resolve()));
  const answer = new Promise<Record<string, unknown>>((resolve) => {
    for (const event of ['response', 'trailers'] as const) {
      stream.on(event, (received: Record<string, unknown>) => {
        if ('grpc-status' in received) resolve(received);
      });
    }
  });
  stream.resume();
  stream.write(bytes);
  return { stream, answer, closed };
}

describe('REST bodies in receipt', () => {
  it('are refused with queue_full beyond the budget, which is free again when their clients have left', async () => {
    const rest = await startRestWith({ maxBytesInReceipt: 100_000 });
    const held = [1, 2].map(() => beginBody(rest, 'Content-Length: 50000', Buffer.alloc(40_000)));
    await expect.poll(() => rest.receiveBudget.takenBytes).toBeGreaterThan(80_000);
    const third = beginBody(rest, 'Content-Length: 50000', Buffer.alloc(40_000));
    await third.until('retry_after_ms');
    third.destroy();
    const answer = await third.closed;
    expect(answer).toMatch(/^HTTP\/1.1 429 .*retry-after: 1\r\n/is);
    expect(answer).toContain(
      '{"error":"too many bytes are being received at once; try again later","reason":"queue_full"',
    );
    expect(rest.receiveBudget.takenBytes).toBeLessThanOrEqual(100_000);

    for (const client of held) client.destroy();
    await expect.poll(() => rest.receiveBudget.takenBytes).toBe(0);
    expect((await call(rest.server, 'POST', INFER, BODY)).status).toBe(200);
    await expect.poll(() => rest.receiveBudget.takenBytes).toBe(0);
    expect(rest.fake.calls).toHaveLength(1);
  });

  it('let a client that writes all of its body before it reads have the answer, on a connection that goes on', async () => {
    const rest = await startRestWith({ maxBytesInReceipt: 100_000 });
    const client = beginBody(rest, 'Content-Length: 8000000', Buffer.alloc(8_000_000));
    await client.until('retry_after_ms');
    client.write(`POST ${INFER} HTTP/1.1\r\nHost: h\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`);
    await client.until('"outputs"');
  });

  it('cost nothing as long as they are only announced', async () => {
    const rest = await startRestWith({ maxBytesInReceipt: 100_000 });
    const announced = beginBody(rest, 'Content-Length: 10000000\r\nExpect: 100-continue');
    await announced.until('100 Continue');
    expect(rest.receiveBudget.takenBytes).toBe(0);
    expect((await call(rest.server, 'POST', INFER, BODY)).status).toBe(200);
  });

  it('are charged for every chunk, so that bytes sent singly do not cost more than they are charged', async () => {
    const rest = await startRestWith({ maxBytesInReceipt: 100_000 });
    // 195 chunks of 1 + 512 are 100 035.
    const client = beginBody(rest, 'Transfer-Encoding: chunked', '1\r\nx\r\n'.repeat(194));
    await expect.poll(() => rest.receiveBudget.takenBytes).toBe(194 * 513);
    client.write('1\r\nx\r\n');
    await client.until('queue_full');
    expect(rest.receiveBudget.takenBytes).toBe(0);
  });

  it('are refused where they come in pieces of a few bytes, whatever room there is', async () => {
    const rest = await startRestWith({ maxBytesInReceipt: 100_000_000 });
    const client = beginBody(rest, 'Transfer-Encoding: chunked', '1\r\nx\r\n'.repeat(4097));
    await client.until('chunks of fewer than 16 bytes');
    expect(rest.receiveBudget.takenBytes).toBe(0);
    // Larger ones may be as many.
    beginBody(rest, 'Transfer-Encoding: chunked', `20\r\n${'x'.repeat(32)}\r\n`.repeat(5000));
    await expect.poll(() => rest.receiveBudget.takenBytes).toBeGreaterThanOrEqual(5000 * (32 + 512));
  });

  it('are charged for what they expand to', async () => {
    const rest = await startRestWith({ maxBytesInReceipt: 1_000_000 });
    // 10 MB of spaces within the limit on one body.
    const bomb = gzipSync(Buffer.alloc(10_000_000, ' '));
    const reply = await call(rest.server, 'POST', INFER, bomb, { 'content-encoding': 'gzip' });
    expect([reply.status, reply.json()]).toMatchObject([429, { reason: 'queue_full' }]);
    await expect.poll(() => rest.receiveBudget.takenBytes).toBe(0);
    expect((await call(rest.server, 'POST', INFER, gzipSync(BODY), { 'content-encoding': 'gzip' })).status).toBe(200);
  });

  it('are given back when their time is up, and when they turn out malformed', async () => {
    const rest = await startRestWith({ bodyTimeoutMs: 100 });
    expect(await beginBody(rest, 'Content-Length: 50000', Buffer.alloc(40_000)).closed).toMatch(/^HTTP\/1.1 408/);
    expect(rest.receiveBudget.takenBytes).toBe(0);
    expect((await call(rest.server, 'POST', INFER, 'x'.repeat(1000))).status).toBe(400);
    await expect.poll(() => rest.receiveBudget.takenBytes).toBe(0);
  });

  it('are no longer charged once the service has the request', async () => {
    const rest = await startRestWith({});
    const { promise, resolve } = grpc.deferred();
    const identity = rest.fake.behaviour;
    rest.fake.behaviour = async (...args) => {
      await promise;
      return identity(...args);
    };
    const reply = call(rest.server, 'POST', INFER, BODY);
    await expect.poll(() => rest.fake.calls.length).toBe(1);
    expect(rest.receiveBudget.takenBytes).toBe(0);
    resolve();
    expect((await reply).status).toBe(200);
  });

  it('are not read for a model that is not there, or beyond the limit by their own account', async () => {
    const rest = await startRestWith({});
    const unknown = beginBody(rest, 'Content-Length: 1000000\r\nX-Request-Id: r7', '', '/v2/models/nope/infer');
    await unknown.until('unknown model');
    const version = beginBody(rest, 'Content-Length: 1000000', '', '/v2/models/raw/versions/9/infer');
    await version.until('HTTP/1.1 404');
    const large = beginBody(rest, `Content-Length: ${LIMITS.maxJsonBytes + 1}`);
    await large.until('HTTP/1.1 413');
    unknown.write(Buffer.alloc(500_000));
    unknown.write(Buffer.alloc(500_000));
    unknown.write(`POST ${INFER} HTTP/1.1\r\nHost: h\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`);
    await unknown.until('"outputs"');
    unknown.destroy();
    expect(await unknown.closed).toMatch(/^HTTP\/1.1 404 .*x-request-id: r7/is);
  });
});

describe('gRPC messages in receipt', () => {
  const large = grpc.framedMessage(Buffer.alloc(50_000)).subarray(0, 40_000);

  it('are refused with queue_full beyond the budget, and their streams closed; it is free again when clients leave', async () => {
    const { target, receiveBudget, client, service } = await startGrpcWith({ maxBytesInReceipt: 100_000 });
    const session = openSession(target);
    const held = [1, 2].map(() => beginCall(session, MODEL_INFER, large));
    await expect.poll(() => receiveBudget.takenBytes).toBeGreaterThan(80_000);
    const third = beginCall(session, MODEL_INFER, large);
    expect(await third.answer).toMatchObject({
      'grpc-status': String(status.RESOURCE_EXHAUSTED),
      'x-sponge-reason': 'queue_full',
      'retry-after': '1',
    });
    // By the server: nobody would read the rest.
    await third.closed;
    expect(receiveBudget.takenBytes).toBeLessThanOrEqual(100_000);

    for (const { stream } of held) stream.close(constants.NGHTTP2_CANCEL);
    await expect.poll(() => receiveBudget.takenBytes).toBe(0);
    expect((await grpc.call(client, 'modelInfer', grpc.smallRequest())).error).toBeNull();
    expect(receiveBudget.takenBytes).toBe(0);
    expect(service.calls).toHaveLength(1);
  });

  it('share the budget with REST', async () => {
    const rest = await startRestWith({ maxBytesInReceipt: 100_000 });
    const { receiveBudget, fake } = rest;
    const server = await startGrpcServer({
      ...{ service: fake, host: '127.0.0.1', port: 0, limits: LIMITS, receiveBudget, compat: 'none' },
      arrivals: new Arrivals(() => performance.now()),
    });
    closers.push(() => server.close(0));
    beginCall(
      openSession(`127.0.0.1:${server.address.port}`),
      MODEL_INFER,
      Buffer.concat([large, large]).subarray(0, 45_000),
    );
    await expect.poll(() => receiveBudget.takenBytes).toBeGreaterThan(45_000);
    const client = beginBody(rest, 'Content-Length: 60000', Buffer.alloc(59_000));
    await client.until('queue_full');
  });

  it('are charged for what they expand to', async () => {
    const { target, receiveBudget } = await startGrpcWith({ maxBytesInReceipt: 1_000_000 });
    const bomb = grpc.framedMessage(gzipSync(Buffer.alloc(10_000_000)), true);
    const { answer } = beginCall(openSession(target), MODEL_INFER, bomb, { 'grpc-encoding': 'gzip' });
    expect(await answer).toMatchObject({ 'x-sponge-reason': 'queue_full' });
    await expect.poll(() => receiveBudget.takenBytes).toBe(0);
  });

  it('are given back, and their streams closed, when the deadline of the call ends it', async () => {
    const { target, receiveBudget } = await startGrpcWith({});
    const { answer, closed } = beginCall(openSession(target), MODEL_INFER, large, { 'grpc-timeout': '50m' });
    expect(await answer).toMatchObject({ 'grpc-status': String(status.DEADLINE_EXCEEDED) });
    await closed;
    expect(receiveBudget.takenBytes).toBe(0);
  });

  it('are refused where they come in pieces of a few bytes, whatever room there is', async () => {
    const { target, receiveBudget } = await startGrpcWith({ maxBytesInReceipt: 100_000_000 });
    const { stream, answer } = beginCall(openSession(target), MODEL_INFER, large.subarray(0, 5));
    // One after the other, so that each is a frame of its own.
    for (let i = 0; i < 4200 && !stream.closed; i++)
      await new Promise((resolve) => stream.write(Buffer.of(7), resolve));
    expect(await answer).toMatchObject({ 'grpc-status': String(status.INVALID_ARGUMENT) });
    expect(receiveBudget.takenBytes).toBe(0);
  });

  it('of one stream are each given back as the service gets them', async () => {
    const { target, receiveBudget, service } = await startGrpcWith({ maxBytesInReceipt: 200_000 });
    const data = new Uint8Array(40_000);
    const message = grpc.framedMessage(
      grpc.encodeRequest(grpc.rawRequest('identity_uint8', 'UINT8', [1, 40_000], data)),
    );
    const { stream } = beginCall(openSession(target), MODEL_STREAM_INFER, message);
    // 20 messages of 40 KB are four times the budget.
    for (let i = 1; i < 20; i++) {
      await expect.poll(() => service.calls.length, { interval: 2 }).toBe(i);
      expect(receiveBudget.takenBytes).toBe(0);
      stream.write(message);
    }
    await expect.poll(() => service.calls.length).toBe(20);
    expect(receiveBudget.takenBytes).toBe(0);
    // Compressed, and cut anywhere, they add up as well.
    const packed = beginCall(openSession(target), MODEL_STREAM_INFER, new Uint8Array(0), { 'grpc-encoding': 'gzip' });
    const two = grpc.framedMessage(gzipSync(message.subarray(5)), true);
    const bytes = Buffer.concat([two, two, message]);
    packed.stream.write(bytes.subarray(0, two.length + 3));
    await expect.poll(() => service.calls.length).toBe(21);
    packed.stream.write(bytes.subarray(two.length + 3));
    await expect.poll(() => service.calls.length).toBe(23);
    expect(receiveBudget.takenBytes).toBe(0);
  });

  it('of one stream have each the time limit of a body, and an idle stream has none', async () => {
    const { target, service, receiveBudget } = await startGrpcWith({ bodyTimeoutMs: 100 });
    const message = grpc.framedMessage(grpc.encodeRequest(grpc.smallRequest()));
    const session = openSession(target);
    const idle = beginCall(session, MODEL_STREAM_INFER, message);
    await expect.poll(() => service.calls.length).toBe(1);
    const half = beginCall(session, MODEL_STREAM_INFER, Buffer.concat([message, message.subarray(0, 20)]));
    expect(await half.answer).toMatchObject({
      'grpc-status': String(status.DEADLINE_EXCEEDED),
      'grpc-message': encodeURI('the message was not complete 100 ms after it began'),
    });
    expect(receiveBudget.takenBytes).toBe(0);
    idle.stream.write(message);
    await expect.poll(() => service.calls.length).toBe(3);
  });
});
