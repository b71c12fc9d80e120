import { status } from '@grpc/grpc-js';
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelInferRequest } from '../../src/protocol/grpc/generated/open_inference.js';
import type { ModelStreamInferResponse } from '../../src/protocol/grpc/generated/open_inference.js';
import { deferred, framedMessage, rawRequest, smallRequest, startHarness, until, withSession } from './grpc-harness.js';
import type { Harness } from './grpc-harness.js';

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
});
afterEach(async () => {
  expect(harness.logged).toEqual([]);
  await harness.close();
});

interface Streaming {
  readonly stream: ClientDuplexStream<ModelInferRequest, ModelStreamInferResponse>;
  readonly responses: ModelStreamInferResponse[];
  readonly ended: Promise<ServiceError | null>;
}

function open(): Streaming {
  const stream = harness.client.modelStreamInfer();
  const responses: ModelStreamInferResponse[] = [];
  stream.on('data', (response: ModelStreamInferResponse) => responses.push(response));
  const ended = new Promise<ServiceError | null>((resolve) => {
    stream.on('error', (error: ServiceError) => resolve(error));
    stream.on('end', () => resolve(null));
  });
  return { stream, responses, ended };
}

describe('ModelStreamInfer', () => {
  it('answers each request once, in their order, and ends after the client has', async () => {
    const { stream, responses, ended } = open();
    const count = 100;
    for (let i = 0; i < count; i++) {
      stream.write(rawRequest('identity_uint8', 'UINT8', [1, 1], new Uint8Array([i]), { id: String(i) }));
    }
    stream.end();
    expect(await ended).toBeNull();
    expect(responses.map((response) => response.inferResponse?.rawOutputContents[0]?.[0])).toEqual(
      Array.from({ length: count }, (_, i) => i),
    );
    expect(responses.every((response) => response.errorMessage === '')).toBe(true);
  });

  it('runs requests side by side but answers in order', async () => {
    const { service } = harness;
    const identity = service.behaviour;
    const release = deferred();
    service.behaviour = async (received, signal) => {
      if (received.id === 'slow') await release.promise;
      return identity(received, signal);
    };
    const { stream, responses, ended } = open();
    stream.write(smallRequest({ id: 'slow' }));
    stream.write(smallRequest({ id: 'quick' }));
    await until(() => service.calls.length === 2);
    release.resolve();
    stream.end();
    await ended;
    expect(responses.map((response) => response.inferResponse?.id)).toEqual(['slow', 'quick']);
  });

  it('tells which response is the last where that is asked for, and else says nothing of it', async () => {
    const { stream, responses, ended } = open();
    const asked = {
      triton_enable_empty_final_response: { parameterChoice: { $case: 'boolParam', value: true } },
    } as const;
    stream.write(smallRequest({ id: 'asked', parameters: asked }));
    stream.write(smallRequest({ id: 'not asked' }));
    stream.end();
    expect(await ended).toBeNull();
    expect(responses.map((response) => response.inferResponse?.parameters['triton_final_response'])).toEqual([
      { parameterChoice: { $case: 'boolParam', value: true } },
      undefined,
    ]);
  });

  it('puts an error into error_message with the id and the reason, and goes on', async () => {
    const { stream, responses, ended } = open();
    stream.write(smallRequest({ id: 'bad', modelName: 'nope' }));
    stream.write(smallRequest({ id: 'good' }));
    stream.end();
    expect(await ended).toBeNull();
    expect(responses[0]).toMatchObject({
      errorMessage: expect.stringContaining('unknown model') as string,
      inferResponse: { id: 'bad' },
    });
    expect(responses[1]).toMatchObject({ errorMessage: '', inferResponse: { id: 'good' } });
  });

  it('aborts every request of a stream that its client cancels', async () => {
    const { service } = harness;
    service.behaviour = () => new Promise(() => undefined);
    const { stream, ended } = open();
    for (let i = 0; i < 3; i++) stream.write(smallRequest());
    await until(() => service.calls.length === 3);
    stream.cancel();
    expect((await ended)?.code).toBe(status.CANCELLED);
    await until(() => service.calls.every(({ signal }) => signal.aborted));
  });

  it('takes no more than 16 requests of a stream at a time', async () => {
    const { service } = harness;
    const identity = service.behaviour;
    const release = deferred();
    let inProgress = 0;
    let most = 0;
    service.behaviour = async (received, signal) => {
      most = Math.max(most, ++inProgress);
      await release.promise;
      inProgress -= 1;
      return identity(received, signal);
    };
    const { stream, responses, ended } = open();
    for (let i = 0; i < 50; i++) stream.write(smallRequest());
    stream.end();
    await until(() => service.calls.length === 16);
    release.resolve();
    await ended;
    expect(responses).toHaveLength(50);
    expect(most).toBe(16);
  });

  it('stops reading from a client that does not read', async () => {
    const { service, target } = harness;
    // The first response alone is more than the client's window of 64 KiB.
    const data = new Uint8Array(100_000);
    const message = ModelInferRequest.encode(rawRequest('identity_uint8', 'UINT8', [1, data.length], data)).finish();
    await withSession(target, async (session) => {
      const path = '/inference.GRPCInferenceService/ModelStreamInfer';
      const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' });
      stream.on('error', () => undefined);
      for (let i = 0; i < 100; i++) stream.write(framedMessage(message));
      await until(() => service.calls.length === 16);
      // Time enough to read all 100.
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(service.calls).toHaveLength(16);
    });
  });

  it('does not take the timeout of the stream for that of a request', async () => {
    const stream = harness.client.modelStreamInfer({ deadline: Date.now() + 60_000 });
    stream.on('error', () => undefined);
    stream.resume();
    stream.write(smallRequest());
    await until(() => harness.service.calls.length === 1);
    expect(harness.service.calls[0]!.call.statedBudgetsMs).toEqual([]);
    stream.end();
    await new Promise((resolve) => stream.on('end', resolve));
  });

  it('answers what is in progress when the server closes, then ends with UNAVAILABLE', async () => {
    const { service } = harness;
    const identity = service.behaviour;
    const release = deferred();
    service.behaviour = async (received, signal) => {
      await release.promise;
      return identity(received, signal);
    };
    const { stream, responses, ended } = open();
    stream.write(smallRequest({ id: 'last' }));
    await until(() => service.calls.length === 1);
    const closed = harness.server.close(60_000);
    release.resolve();
    expect((await ended)?.code).toBe(status.UNAVAILABLE);
    expect(responses.map((response) => response.inferResponse?.id)).toEqual(['last']);
    await closed;
  });
});
