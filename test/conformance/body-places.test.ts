import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { BodyPlace } from '../../src/protocol/service.js';
import type { Tensor } from '../../src/scheduler/domain/tensor.js';
import type { FakeService } from './fake-service.js';
import {
  call as callGrpc,
  encodeRequest,
  framedMessage,
  rawRequest,
  startHarness,
  withSession,
  type Harness,
} from './grpc-harness.js';
import { binaryBody, call, rawConnection, splitBinary, startRest, type RestUnderTest } from './rest-harness.js';

/*
 * Bodies that are read to where the worker can read them: both front ends put them there, and whatever becomes of a call, its place is
 * given back once, and not before it is known what becomes of it.
 */

const ELEMENTS = 150_528;
const floats = Float32Array.from({ length: ELEMENTS }, (_, index) => index);
const bytes = new Uint8Array(floats.buffer);
const PATH = '/v2/models/identity_fp32/infer';
const input = { name: 'x', datatype: 'FP32', shape: [1, ELEMENTS], parameters: { binary_data_size: bytes.byteLength } };

/** What a service has given, and has not been given back. */
class Places {
  readonly held = new Set<BodyPlace>();
  givenCount = 0;

  readonly find = (modelName: string, byteCount: number): BodyPlace | null => {
    if (modelName !== 'identity_fp32') return null;
    this.givenCount += 1;
    const place: BodyPlace = {
      bytes: new Uint8Array(byteCount),
      release: () => {
        if (!this.held.delete(place)) throw new Error('a place was given back twice');
      },
    };
    this.held.add(place);
    return place;
  };

  holds({ data }: Tensor): boolean {
    return [...this.held].some((place) => place.bytes.buffer === data.buffer);
  }
}

/** Lets a call wait, with its inputs, until it is told what becomes of it. */
function heldCall(service: FakeService): { arrived: Promise<void>; goOn: () => void } {
  const { behaviour } = service;
  let goOn = (): void => undefined;
  const arrived = new Promise<void>((resolve) => {
    service.behaviour = async (received, departure) => {
      resolve();
      await new Promise<void>((go) => (goOn = go));
      return behaviour(received, departure);
    };
  });
  return { arrived, goOn: () => goOn() };
}

describe('a binary body over REST', () => {
  let rest: RestUnderTest;
  let places = new Places();
  const { body, headers } = binaryBody({ inputs: [input], parameters: { binary_data_output: true } }, bytes);
  beforeAll(async () => {
    rest = await startRest();
    rest.fake.placeFor = (...asked) => places.find(...asked);
  });
  afterEach(() => {
    rest.fake.reset();
    places = new Places();
  });
  afterAll(() => rest.server.close());

  it('lies in its place while it is worked on, and no longer', async () => {
    const { arrived, goOn } = heldCall(rest.fake);
    const replying = call(rest.server, 'POST', PATH, body, headers);
    await arrived;
    expect(places.holds(rest.fake.calls[0]!.call.inputs[0]!)).toBe(true);
    goOn();
    expect(Buffer.compare(splitBinary(await replying).tail, bytes)).toBe(0);
    expect([places.givenCount, places.held.size]).toEqual([1, 0]);
  });

  it('keeps it when its client leaves, until it is known what becomes of it', async () => {
    const { arrived, goOn } = heldCall(rest.fake);
    const client = rawConnection(rest.server);
    client.write(`POST ${PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n`);
    client.write(`inference-header-content-length: ${headers['inference-header-content-length']!}\r\n\r\n`);
    client.write(body);
    await arrived;
    client.destroy();
    await expect.poll(() => rest.fake.calls[0]!.signal.aborted).toBe(true);
    expect(places.held.size).toBe(1);
    goOn();
    await expect.poll(() => places.held.size).toBe(0);
  });

  it('gives it back when its client leaves in the middle', async () => {
    const client = rawConnection(rest.server);
    client.write(`POST ${PATH} HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n`);
    client.write(`inference-header-content-length: ${headers['inference-header-content-length']!}\r\n\r\n`);
    client.write(body.subarray(0, body.length / 2));
    await expect.poll(() => places.held.size).toBe(1);
    client.destroy();
    await expect.poll(() => places.held.size).toBe(0);
  });

  it.each([
    ['that is wrong', binaryBody({ inputs: [{ ...input, shape: [1, 7] }] }, bytes)],
    ['with too much behind it', binaryBody({ inputs: [input] }, bytes, Buffer.alloc(8))],
    ['for an output that there is not', binaryBody({ inputs: [input], outputs: [{ name: 'z' }] }, bytes)],
  ])('%s gives it back', async (_, wrong) => {
    expect((await call(rest.server, 'POST', PATH, wrong.body, wrong.headers)).status).toBe(400);
    expect([places.givenCount, places.held.size]).toEqual([1, 0]);
  });

  it('is asked for none where it is compressed, JSON, or for a call that has no inputs', async () => {
    const compressed = { ...headers, 'content-encoding': 'gzip' };
    expect((await call(rest.server, 'POST', PATH, gzipSync(body), compressed)).status).toBe(200);
    const json = { inputs: [{ ...input, parameters: {}, data: [...floats] }] };
    expect((await call(rest.server, 'POST', PATH, json)).status).toBe(200);
    await call(rest.server, 'POST', '/v2/repository/index', body, headers);
    await call(rest.server, 'POST', '/v2/models/identity_fp32/nothing', body, headers);
    expect(places.givenCount).toBe(0);
  });
});

describe('a message over gRPC', () => {
  let grpc: Harness;
  let places = new Places();
  const request = rawRequest('identity_fp32', 'FP32', [1, ELEMENTS], bytes);
  beforeAll(async () => {
    grpc = await startHarness();
    grpc.service.placeFor = (...asked) => places.find(...asked);
  });
  afterEach(() => {
    grpc.service.reset();
    places = new Places();
  });
  afterAll(() => grpc.close());

  it('lies in its place while it is worked on, and no longer', async () => {
    const { arrived, goOn } = heldCall(grpc.service);
    const replying = callGrpc(grpc.client, 'modelInfer', request);
    await arrived;
    expect(places.holds(grpc.service.calls[0]!.call.inputs[0]!)).toBe(true);
    goOn();
    const { response } = await replying;
    expect(Buffer.compare(response.rawOutputContents[0]!, bytes)).toBe(0);
    expect([places.givenCount, places.held.size]).toEqual([1, 0]);
  });

  it('keeps it when its client leaves, until it is known what becomes of it', async () => {
    const { arrived, goOn } = heldCall(grpc.service);
    const replying = callGrpc(grpc.client, 'modelInfer', request, {
      onStarted: (started) => void arrived.then(() => started.cancel()),
    });
    await replying;
    await expect.poll(() => grpc.service.calls[0]!.signal.aborted).toBe(true);
    expect(places.held.size).toBe(1);
    goOn();
    await expect.poll(() => places.held.size).toBe(0);
  });

  it('that is wrong gives it back', async () => {
    const { error } = await callGrpc(grpc.client, 'modelInfer', rawRequest('identity_fp32', 'FP32', [1, 7], bytes));
    expect(error?.code).toBe(3);
    expect([places.givenCount, places.held.size]).toEqual([1, 0]);
  });

  it('of a stream has one each', async () => {
    const stream = grpc.client.modelStreamInfer();
    const answers: Buffer[] = [];
    const ended = new Promise<void>((resolve, reject) => stream.on('end', resolve).on('error', reject));
    stream.on('data', (message: { inferResponse?: { rawOutputContents: Buffer[] } }) =>
      answers.push(message.inferResponse!.rawOutputContents[0]!),
    );
    for (let i = 0; i < 3; i++) stream.write(request);
    stream.end();
    await ended;
    expect(answers.map((answer) => Buffer.compare(answer, bytes))).toEqual([0, 0, 0]);
    expect([places.givenCount, places.held.size]).toEqual([3, 0]);
  });

  it('that never ends, or is followed by another where there may be one, gives it back', async () => {
    const message = framedMessage(encodeRequest(request));
    for (const sent of [message.subarray(0, message.length / 2), message, Buffer.concat([message, message])]) {
      const before = places.givenCount;
      await withSession(grpc.target, async (session) => {
        const path = '/inference.GRPCInferenceService/ModelInfer';
        const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' });
        stream.on('error', () => undefined);
        stream.write(sent);
        await expect.poll(() => places.givenCount).toBeGreaterThan(before);
      });
      await expect.poll(() => places.held.size).toBe(0);
    }
  });
});
