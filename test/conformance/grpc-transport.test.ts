import { constants } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { connect } from 'node:net';
import { status } from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { ServerReflectionRequest, ServerReflectionResponse } from '../../src/protocol/grpc/generated/reflection.js';
import {
  call,
  deferred,
  encodeRequest,
  framedMessage,
  rawCall,
  rawRequest,
  smallRequest,
  startHarness,
  until,
  withSession,
} from './grpc-harness.js';
import type { Harness } from './grpc-harness.js';

/* What is said below the messages: heads, frames, resets and windows, as no gRPC library would send them. */

const MODEL_INFER = '/inference.GRPCInferenceService/ModelInfer';
const MODEL_STREAM_INFER = '/inference.GRPCInferenceService/ModelStreamInfer';
const WATCH = '/grpc.health.v1.Health/Watch';
const SMALL_BODY = framedMessage(encodeRequest(smallRequest()));
const LARGE_BODY = framedMessage(
  encodeRequest(rawRequest('identity_uint8', 'UINT8', [1, 1_000_000], new Uint8Array(1_000_000))),
);

let harness: Harness;
afterEach(async () => {
  expect(harness.logged).toEqual([]);
  await harness.close();
});

interface OpenCall {
  readonly stream: ClientHttp2Stream;
  /** How it was reset, if it was. */
  readonly closed: Promise<number>;
}

/** A call whose answer is read by nobody, unless the stream is resumed. */
function open(session: ClientHttp2Session, path: string, body: Uint8Array): OpenCall {
  const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' });
  stream.on('error', () => undefined);
  stream.end(body);
  return { stream, closed: new Promise((resolve) => stream.on('close', () => resolve(stream.rstCode))) };
}

describe('a connection', () => {
  it('that speaks no HTTP/2 is closed', async () => {
    harness = await startHarness();
    const [host, port] = harness.target.split(':');
    const socket = connect(Number(port), host);
    socket.on('error', () => undefined);
    socket.resume();
    socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await new Promise((resolve) => socket.on('close', resolve));
    expect((await call(harness.client, 'modelInfer', smallRequest())).error).toBeNull();
  });

  it('is told to go elsewhere when the server closes, once its calls are answered', async () => {
    harness = await startHarness();
    const { promise, resolve } = deferred();
    const identity = harness.service.behaviour;
    harness.service.behaviour = async (received, signal) => {
      await promise;
      return identity(received, signal);
    };
    await withSession(harness.target, async (session) => {
      const goneAway = new Promise((settle) => session.on('goaway', settle));
      const answer = rawCall(session, MODEL_INFER, {}, SMALL_BODY);
      await until(() => harness.service.calls.length === 1);
      const closed = harness.server.close(60_000);
      expect(await goneAway).toBe(constants.NGHTTP2_NO_ERROR);
      resolve();
      expect((await answer).headers['grpc-status']).toBe('0');
      await closed;
    });
  });
});

describe('the head of a call', () => {
  it('has to be of gRPC: anything else is 415', async () => {
    harness = await startHarness();
    await withSession(harness.target, async (session) => {
      for (const type of ['application/json', 'application/grpcx', 'text/application/grpc']) {
        const { headers } = await rawCall(session, MODEL_INFER, { 'content-type': type }, SMALL_BODY);
        expect(headers).toMatchObject({ ':status': 415 });
      }
      for (const type of ['application/grpc+proto', 'application/grpc;x=y']) {
        const { headers } = await rawCall(session, MODEL_INFER, { 'content-type': type }, SMALL_BODY);
        expect(headers).toMatchObject({ ':status': 200, 'grpc-status': '0' });
      }
    });
    expect(harness.service.calls).toHaveLength(2);
  });

  it('names a method, or is UNIMPLEMENTED', async () => {
    harness = await startHarness();
    await withSession(harness.target, async (session) => {
      for (const path of ['/', '/inference.GRPCInferenceService/', `${MODEL_INFER}/`, '/nope.Nope/Nope']) {
        const { headers } = await rawCall(session, path, {}, SMALL_BODY);
        expect(headers).toMatchObject({ ':status': 200, 'grpc-status': String(status.UNIMPLEMENTED) });
      }
    });
  });
});

describe('the messages of a call', () => {
  it('are one where the method takes one', async () => {
    harness = await startHarness();
    await withSession(harness.target, async (session) => {
      const { headers } = await rawCall(session, MODEL_INFER, {}, Buffer.concat([SMALL_BODY, SMALL_BODY]));
      expect(headers['grpc-status']).toBe(String(status.UNIMPLEMENTED));
    });
    expect(harness.service.calls).toHaveLength(0);
  });

  it('say how they are compressed where they are, and are flagged as gRPC has it', async () => {
    harness = await startHarness();
    await withSession(harness.target, async (session) => {
      const compressed = framedMessage(SMALL_BODY.subarray(5), true);
      for (const headers of [{}, { 'grpc-encoding': 'identity' }]) {
        const answer = await rawCall(session, MODEL_INFER, headers, compressed);
        expect(answer.headers['grpc-status']).toBe(String(status.INTERNAL));
      }
      const flagged = Buffer.from(SMALL_BODY);
      flagged[0] = 2;
      const answer = await rawCall(session, MODEL_INFER, {}, flagged);
      expect(answer.headers['grpc-status']).toBe(String(status.INVALID_ARGUMENT));
    });
  });

  it('of a stream that is ended for one of them are not worked on any more', async () => {
    harness = await startHarness();
    const { service, target } = harness;
    service.behaviour = () => new Promise(() => undefined);
    await withSession(target, async (session) => {
      const { headers } = await rawCall(
        session,
        MODEL_STREAM_INFER,
        {},
        Buffer.concat([SMALL_BODY, Buffer.alloc(5, 9)]),
      );
      expect(headers['grpc-status']).toBe(String(status.INVALID_ARGUMENT));
    });
    expect(service.calls).toHaveLength(1);
    expect(service.calls[0]!.signal.aborted).toBe(true);
  });

  it('that are refused on their way leave room on the connection for those after them', async () => {
    harness = await startHarness({ maxBinaryBytes: 100_000 });
    await withSession(harness.target, async (session) => {
      // Twenty megabytes, where the connection's window is four.
      for (let i = 0; i < 20; i++) {
        const { headers } = await rawCall(session, MODEL_INFER, {}, LARGE_BODY);
        expect(headers['grpc-status']).toBe(String(status.RESOURCE_EXHAUSTED));
      }
      for (let i = 0; i < 20; i++) {
        const { headers } = await rawCall(session, '/nope.Nope/Nope', {}, LARGE_BODY);
        expect(headers['grpc-status']).toBe(String(status.UNIMPLEMENTED));
      }
      expect((await rawCall(session, MODEL_INFER, {}, SMALL_BODY)).headers['grpc-status']).toBe('0');
    });
  });
});

describe('an answer that is not read', () => {
  it('is thrown away when its time is up, and its call with it', async () => {
    harness = await startHarness({ maxConcurrentCalls: 1, bodyTimeoutMs: 200 });
    const { client, target, service } = harness;
    await withSession(target, async (session) => {
      // The client's window is 64 KiB.
      const { closed } = open(session, MODEL_INFER, LARGE_BODY);
      await until(() => service.calls.length === 1);
      expect(await closed).toBe(constants.NGHTTP2_CANCEL);
      await expect.poll(async () => (await call(client, 'modelInfer', smallRequest())).error).toBeNull();
    });
    expect(service.calls[0]!.signal.aborted).toBe(false);
  });

  it('ends a stream of them too, and one that is read on does not', async () => {
    harness = await startHarness({ bodyTimeoutMs: 200 });
    await withSession(harness.target, async (session) => {
      const unread = open(session, MODEL_STREAM_INFER, Buffer.concat([LARGE_BODY, LARGE_BODY]));
      expect(await unread.closed).toBe(constants.NGHTTP2_CANCEL);
      const idle = session.request({ ':method': 'POST', ':path': WATCH, 'content-type': 'application/grpc' });
      let isClosed = false;
      idle.on('close', () => (isClosed = true));
      idle.resume();
      idle.end(framedMessage(new Uint8Array()));
      await new Promise((resolve) => setTimeout(resolve, 600));
      expect(isClosed).toBe(false);
      idle.close();
    });
  });
});

describe('reflection', () => {
  const V1 = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
  const V1_ALPHA = '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo';
  type Question = NonNullable<ServerReflectionRequest['messageRequest']>;

  /** Asks all of them on one stream. */
  async function ask(path: string, questions: readonly (Question | undefined)[]): Promise<ServerReflectionResponse[]> {
    const messages = questions.map((messageRequest) =>
      framedMessage(ServerReflectionRequest.encode({ host: 'h', messageRequest }).finish()),
    );
    return withSession(harness.target, async (session) => {
      const { stream } = open(session, path, Buffer.concat(messages));
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      await new Promise((resolve) => stream.on('end', resolve));
      const answers: ServerReflectionResponse[] = [];
      for (let rest = Buffer.concat(chunks); rest.length > 0;) {
        const end = 5 + rest.readUInt32BE(1);
        answers.push(ServerReflectionResponse.decode(rest.subarray(5, end)));
        rest = rest.subarray(end);
      }
      return answers;
    });
  }

  it.each([V1, V1_ALPHA])('answers each question of a stream, what is not there too: %s', async (path) => {
    harness = await startHarness();
    const symbols = [
      'inference.GRPCInferenceService.ModelInfer',
      'inference.ModelInferRequest.InferInputTensor',
      'inference.ModelInferRequest.model_name',
      'inference.DataType',
      'inference.TYPE_FP32',
      'grpc.health.v1.HealthCheckResponse.SERVING',
    ];
    const answers = await ask(path, [
      { $case: 'listServices', value: '*' },
      { $case: 'fileByFilename', value: 'health.proto' },
      { $case: 'fileByFilename', value: 'nope.proto' },
      ...symbols.map((value) => ({ $case: 'fileContainingSymbol' as const, value })),
      { $case: 'fileContainingSymbol', value: 'inference.Nope' },
      { $case: 'fileContainingExtension', value: { containingType: 'inference.DataType', extensionNumber: 1 } },
      { $case: 'allExtensionNumbersOfType', value: 'inference.DataType' },
      undefined,
    ]);
    // The service's file imports that of the model configuration, where element types are.
    const filesWith = (symbol: string): object[] => (/^inference\.(GRPC|ModelInfer)/.test(symbol) ? [{}, {}] : [{}]);
    const notFound = { $case: 'errorResponse', value: { errorCode: status.NOT_FOUND } };
    expect(answers.map(({ messageResponse }) => messageResponse)).toMatchObject([
      {
        value: {
          service: [
            { name: 'grpc.health.v1.Health' },
            { name: 'inference.GRPCInferenceService' },
            { name: 'grpc.reflection.v1.ServerReflection' },
          ],
        },
      },
      { $case: 'fileDescriptorResponse', value: { fileDescriptorProto: [{}] } },
      notFound,
      ...symbols.map((symbol) => ({
        $case: 'fileDescriptorResponse',
        value: { fileDescriptorProto: filesWith(symbol) },
      })),
      notFound,
      notFound,
      notFound,
      { $case: 'errorResponse', value: { errorCode: status.INVALID_ARGUMENT } },
    ]);
    expect(answers[1]).toMatchObject({
      validHost: 'h',
      originalRequest: { messageRequest: { value: 'health.proto' } },
    });
  });

  it('is INVALID_ARGUMENT for what is no question', async () => {
    harness = await startHarness();
    await withSession(harness.target, async (session) => {
      // Field 7 claims 100 bytes and there are none.
      const { headers } = await rawCall(session, V1, {}, framedMessage(new Uint8Array([0x3a, 100])));
      expect(headers['grpc-status']).toBe(String(status.INVALID_ARGUMENT));
      expect(decodeURIComponent(String(headers['grpc-message']))).toContain('malformed message');
    });
  });
});
