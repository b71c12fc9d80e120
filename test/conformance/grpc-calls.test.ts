import { gzipSync } from 'node:zlib';
import { compressionAlgorithms, status } from '@grpc/grpc-js';
import type { ClientUnaryCall } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { ModelInferRequest } from '../../src/protocol/grpc/generated/open_inference.js';
import {
  call,
  createClient,
  deferred,
  framedMessage,
  rawCall,
  rawRequest,
  smallRequest,
  startHarness,
  trailersOf,
  until,
  withSession,
} from './grpc-harness.js';
import type { Harness } from './grpc-harness.js';

const MODEL_INFER = '/inference.GRPCInferenceService/ModelInfer';
const SMALL_BODY = framedMessage(ModelInferRequest.encode(smallRequest()).finish());

let harness: Harness;
afterEach(async () => {
  expect(harness.logged).toEqual([]);
  await harness.close();
});

/** Answers nothing until the client leaves. */
function waitForDeparture(target: Harness): void {
  target.service.behaviour = (_call, signal) =>
    new Promise((resolve) => {
      signal.addEventListener('abort', () =>
        resolve({ kind: 'error', error: { kind: 'internal', message: 'nobody reads this' } }),
      );
    });
}

describe('a gRPC client that leaves', () => {
  it('aborts its call', async () => {
    harness = await startHarness();
    const { client, service } = harness;
    waitForDeparture(harness);
    let started: ClientUnaryCall | undefined;
    const answered = call(client, 'modelInfer', smallRequest(), {
      deadlineMs: 60_000,
      onStarted: (unary) => (started = unary),
    });
    await until(() => service.calls.length === 1);
    started?.cancel();
    expect((await answered).error?.code).toBe(status.CANCELLED);
    const { signal } = service.calls[0]!;
    await until(() => signal.aborted);
  });

  it('aborts the signal when its connection breaks', async () => {
    harness = await startHarness();
    waitForDeparture(harness);
    await withSession(harness.target, async (session) => {
      void rawCall(session, MODEL_INFER, {}, SMALL_BODY);
      await until(() => harness.service.calls.length === 1);
    });
    await until(() => harness.service.calls[0]!.signal.aborted);
  });

  it('leaves others on the same connection alone', async () => {
    harness = await startHarness();
    const { client, service } = harness;
    const release = deferred();
    const identity = service.behaviour;
    service.behaviour = async (received, signal) => {
      await release.promise;
      return identity(received, signal);
    };
    const calls: ClientUnaryCall[] = [];
    const answers = ['a', 'b', 'c', 'd'].map((id) =>
      call(client, 'modelInfer', smallRequest({ id }), { onStarted: (unary) => calls.push(unary) }),
    );
    await until(() => service.calls.length === 4);
    calls[1]?.cancel();
    await until(() => service.calls.some((recorded) => recorded.signal.aborted));
    release.resolve();
    const ids = (await Promise.all(answers)).map(({ error, response }) => (error === null ? response.id : error.code));
    expect(ids).toEqual(['a', status.CANCELLED, 'c', 'd']);
    expect(service.calls.filter((recorded) => recorded.signal.aborted)).toHaveLength(1);
  });

  it('is not reported when the call had been answered', async () => {
    harness = await startHarness();
    const { client, service } = harness;
    await call(client, 'modelInfer', smallRequest());
    await call(client, 'serverLive', {});
    expect(service.calls[0]!.signal.aborted).toBe(false);
  });
});

describe('grpc-timeout', () => {
  it('is one of the stated budgets beside those of other headers', async () => {
    harness = await startHarness();
    await withSession(harness.target, (session) =>
      rawCall(
        session,
        MODEL_INFER,
        { 'grpc-timeout': '30S', 'x-envoy-expected-rq-timeout-ms': '15000', 'x-llm-d-slo-ttft-ms': '500' },
        SMALL_BODY,
      ),
    );
    expect(harness.service.calls[0]!.call.statedBudgetsMs).toEqual([15_000, 500, 30_000]);
    const { headers } = await withSession(harness.target, (session) =>
      rawCall(session, MODEL_INFER, { 'x-request-timeout-seconds': 'soon' }, SMALL_BODY),
    );
    expect(headers).toMatchObject({
      'grpc-status': '3',
      'grpc-message': expect.stringContaining('x-request-timeout') as string,
    });
  });

  it.each([
    ['250m', 250],
    ['1500u', 1.5],
    ['2S', 2000],
    ['1000H', 3_600_000_000],
  ])('%s is a stated budget of exactly %d ms', async (text, budgetMs) => {
    harness = await startHarness();
    const { headers } = await withSession(harness.target, (session) =>
      rawCall(session, MODEL_INFER, { 'grpc-timeout': text }, SMALL_BODY),
    );
    // 1000 hours are 3.6e9 ms, beyond 2^31: answered, and not taken for a deadline in the past.
    expect(headers['grpc-status']).toBe('0');
    expect(harness.service.calls[0]!.call.statedBudgetsMs).toEqual([budgetMs]);
  });

  it.each(['0m', '-5m', 'soon', '123456789m', '5x'])('%s is INVALID_ARGUMENT', async (text) => {
    harness = await startHarness();
    const { headers } = await withSession(harness.target, (session) =>
      rawCall(session, MODEL_INFER, { 'grpc-timeout': text }, SMALL_BODY),
    );
    expect(headers['grpc-status']).toBe(String(status.INVALID_ARGUMENT));
    expect(harness.service.calls).toHaveLength(0);
  });

  it('ends a call that is not answered in time with DEADLINE_EXCEEDED from the server, and aborts it', async () => {
    harness = await startHarness();
    waitForDeparture(harness);
    const { headers } = await withSession(harness.target, (session) =>
      rawCall(session, MODEL_INFER, { 'grpc-timeout': '60m' }, SMALL_BODY),
    );
    expect(headers['grpc-status']).toBe(String(status.DEADLINE_EXCEEDED));
    expect(harness.service.calls[0]!.signal.aborted).toBe(true);
  });

  it('set by a gRPC client ends its call with DEADLINE_EXCEEDED, and aborts it', async () => {
    harness = await startHarness();
    const { client, service } = harness;
    waitForDeparture(harness);
    const { error } = await call(client, 'modelInfer', smallRequest(), { deadlineMs: 200 });
    expect(error?.code).toBe(status.DEADLINE_EXCEEDED);
    const { call: received, signal } = service.calls[0]!;
    await until(() => signal.aborted);
    expect(received.statedBudgetsMs[0]).toBeLessThanOrEqual(200);
  });
});

describe('gRPC arrival', () => {
  it('counts from the metadata to the end of the message', async () => {
    harness = await startHarness();
    const pauseMs = 60;
    await withSession(harness.target, async (session) => {
      // On a connection that is new, pings overtake the head of a call.
      await rawCall(session, MODEL_INFER, {}, SMALL_BODY);
      const stream = session.request({ ':method': 'POST', ':path': MODEL_INFER, 'content-type': 'application/grpc' });
      stream.on('error', () => undefined);
      stream.resume();
      stream.write(SMALL_BODY.subarray(0, 10));
      // Answered in order: the server has the metadata, however busy the machine is.
      for (let i = 0; i < 2; i++) await new Promise((resolve) => session.ping(resolve));
      // A timer counts from when its turn of the event loop began, which may have been a while ago.
      const resumedAtMs = performance.now() + pauseMs;
      await until(() => performance.now() >= resumedAtMs);
      stream.end(SMALL_BODY.subarray(10));
      await new Promise((resolve) => stream.on('close', resolve));
    });
    const { firstByteAtMs, receivedAtMs } = harness.service.calls[1]!.call.arrival;
    expect(receivedAtMs - firstByteAtMs).toBeGreaterThanOrEqual(pauseMs);
  });

  it('is not throttled by the flow-control window: a megabyte takes one round trip', async () => {
    harness = await startHarness();
    await withSession(harness.target, async (session) => {
      await until(() => (session.remoteSettings.initialWindowSize ?? 0) > 65_535);
      expect(session.remoteSettings.initialWindowSize).toBe(1 << 20);
      // The connection's own window: 64 KiB − 1 by default, then raised by a WINDOW_UPDATE.
      await until(() => (session.state.remoteWindowSize ?? 0) > 1 << 20);
    });
  });
});

describe('limits of the gRPC edge', () => {
  it('refuse a message above the limit, before it is there', async () => {
    harness = await startHarness({ maxBinaryBytes: 100_000 });
    const { client, service } = harness;
    const fits = rawRequest('identity_uint8', 'UINT8', [1, 99_000], new Uint8Array(99_000));
    expect((await call(client, 'modelInfer', fits)).error).toBeNull();
    const tooLarge = rawRequest('identity_uint8', 'UINT8', [1, 100_001], new Uint8Array(100_001));
    const { error } = await call(client, 'modelInfer', tooLarge);
    expect(error?.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(error?.details).toContain('larger than max');
    expect(service.calls).toHaveLength(1);
    // Claims 4 GB and sends nothing more.
    const claim = Buffer.from([0, 0xff, 0xff, 0xff, 0xff]);
    const { headers } = await withSession(harness.target, (session) => rawCall(session, MODEL_INFER, {}, claim));
    expect(headers['grpc-status']).toBe(String(status.RESOURCE_EXHAUSTED));
  });

  it('refuse a megabyte where names are enough', async () => {
    harness = await startHarness();
    const { client } = harness;
    const { error } = await call(client, 'modelReady', { name: 'x'.repeat(1 << 20), version: '' });
    expect(error?.code).toBe(status.RESOURCE_EXHAUSTED);
  });

  it('take gzip and deflate, and stop inflating at the limit', async () => {
    harness = await startHarness({ maxBinaryBytes: 100_000 });
    const { target } = harness;
    for (const algorithm of [compressionAlgorithms.gzip, compressionAlgorithms.deflate]) {
      const client = createClient(target, { 'grpc.default_compression_algorithm': algorithm });
      const request = rawRequest('identity_uint8', 'UINT8', [1, 90_000], new Uint8Array(90_000));
      expect((await call(client, 'modelInfer', request)).error).toBeNull();
      // 50 MiB of zeros are about 50 KB compressed: within the limit on the wire, beyond it after.
      const bomb = gzipSync(new Uint8Array(50 << 20));
      expect(bomb.length).toBeLessThan(100_000);
      const { headers } = await withSession(target, (session) =>
        rawCall(session, MODEL_INFER, { 'grpc-encoding': 'gzip' }, framedMessage(bomb, true)),
      );
      expect(headers['grpc-status']).toBe(String(status.RESOURCE_EXHAUSTED));
      client.close();
    }
    const { headers } = await withSession(target, (session) =>
      rawCall(session, MODEL_INFER, { 'grpc-encoding': 'br' }, framedMessage(new Uint8Array(1), true)),
    );
    expect(headers['grpc-status']).toBe(String(status.UNIMPLEMENTED));
    const broken = await withSession(target, (session) =>
      rawCall(session, MODEL_INFER, { 'grpc-encoding': 'gzip' }, framedMessage(new Uint8Array([1, 2, 3]), true)),
    );
    expect(broken.headers['grpc-status']).toBe(String(status.INTERNAL));
  });

  it('refuse calls beyond those in progress with queue_full, but answer health probes', async () => {
    harness = await startHarness({ maxConcurrentCalls: 3 });
    const { client, service } = harness;
    waitForDeparture(harness);
    const waiting: ClientUnaryCall[] = [];
    const answers = Array.from({ length: 3 }, () =>
      call(client, 'modelInfer', smallRequest(), { onStarted: (unary) => waiting.push(unary) }),
    );
    await until(() => service.calls.length === 3);
    const { error } = await call(client, 'modelInfer', smallRequest());
    expect(error?.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(trailersOf(error)).toMatchObject({ 'x-sponge-reason': 'queue_full', 'retry-after': '1' });
    expect((await call(client, 'serverReady', {})).response).toEqual({ ready: true });
    for (const unary of waiting) unary.cancel();
    await Promise.all(answers);
    await until(() => service.calls.every((recorded) => recorded.signal.aborted));
    service.reset();
    // Their places are free again.
    for (let i = 0; i < 10; i++) expect((await call(client, 'modelInfer', smallRequest())).error).toBeNull();
  });

  it('end a call whose message does not become complete', async () => {
    harness = await startHarness({ bodyTimeoutMs: 50 });
    await withSession(harness.target, async (session) => {
      const stream = session.request({ ':method': 'POST', ':path': MODEL_INFER, 'content-type': 'application/grpc' });
      const grpcStatus = new Promise((resolve) => stream.on('response', (headers) => resolve(headers['grpc-status'])));
      stream.write(SMALL_BODY.subarray(0, 10));
      expect(await grpcStatus).toBe(String(status.DEADLINE_EXCEEDED));
      stream.destroy();
    });
    expect(harness.service.calls).toHaveLength(0);
  });

  it('refuse metadata of a megabyte and go on serving', async () => {
    harness = await startHarness();
    const { client, target } = harness;
    const { headers } = await withSession(target, (session) =>
      rawCall(session, MODEL_INFER, { 'x-big': 'x'.repeat(1 << 20) }, SMALL_BODY),
    );
    expect(headers['grpc-status']).not.toBe('0');
    expect(harness.service.calls).toHaveLength(0);
    expect((await call(client, 'modelInfer', smallRequest())).error).toBeNull();
  });

  it('survive a half-sent message and a call without one', async () => {
    harness = await startHarness();
    const { client, target } = harness;
    await withSession(target, async (session) => {
      const empty = await rawCall(session, MODEL_INFER, {}, new Uint8Array(0));
      expect(empty.headers['grpc-status']).toBe(String(status.UNIMPLEMENTED));
      // Ended within the message: that is none.
      const half = await rawCall(session, MODEL_INFER, {}, SMALL_BODY.subarray(0, 10));
      expect(half.headers['grpc-status']).toBe(String(status.UNIMPLEMENTED));
    });
    expect((await call(client, 'modelInfer', smallRequest())).error).toBeNull();
  });
});
