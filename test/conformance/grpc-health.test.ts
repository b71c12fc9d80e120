import { credentials, status } from '@grpc/grpc-js';
import type { ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HealthCheckResponse_ServingStatus as ServingStatus } from '../../src/protocol/grpc/generated/health.js';
import type { HealthCheckResponse } from '../../src/protocol/grpc/generated/health.js';
import { HealthClient } from '../fixtures/grpc-stubs.js';
import { startHarness, until } from './grpc-harness.js';
import type { Harness } from './grpc-harness.js';

let harness: Harness;
let health: HealthClient;
beforeEach(async () => {
  harness = await startHarness();
  health = new HealthClient(harness.target, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
});
afterEach(async () => {
  health.close();
  await harness.close();
});

function check(service: string): Promise<ServingStatus> {
  return new Promise((resolve, reject) => {
    health.check({ service }, (error, response) => (error === null ? resolve(response.status) : reject(error)));
  });
}

interface Watching {
  readonly stream: ClientReadableStream<HealthCheckResponse>;
  readonly told: ServingStatus[];
  readonly ended: Promise<void>;
}

function watch(service: string): Watching {
  const stream = health.watch({ service });
  const told: ServingStatus[] = [];
  stream.on('data', (response: HealthCheckResponse) => told.push(response.status));
  // Cancelling reports itself as an error.
  stream.on('error', () => undefined);
  return { stream, told, ended: new Promise((resolve) => stream.on('end', resolve)) };
}

describe('grpc.health.v1', () => {
  it('checks the server and its models', async () => {
    expect(await check('')).toBe(ServingStatus.SERVING);
    expect(await check('inference.GRPCInferenceService')).toBe(ServingStatus.SERVING);
    expect(await check('raw')).toBe(ServingStatus.SERVING);
    expect(await check('loading')).toBe(ServingStatus.NOT_SERVING);
    harness.service.isReadyNow = false;
    expect(await check('')).toBe(ServingStatus.NOT_SERVING);
  });

  it('does not know other names', async () => {
    const error = await check('nope').catch((reason: unknown) => reason as ServiceError);
    expect(error).toMatchObject({ code: status.NOT_FOUND });
  });

  it('tells a watcher the status at once and every change of it', async () => {
    const { stream, told } = watch('');
    await until(() => told.length === 1);
    harness.service.isReadyNow = false;
    await until(() => told.length === 2);
    harness.service.isReadyNow = true;
    await until(() => told.length === 3);
    expect(told).toEqual([ServingStatus.SERVING, ServingStatus.NOT_SERVING, ServingStatus.SERVING]);
    stream.cancel();
  });

  it('tells a watcher of an unknown name SERVICE_UNKNOWN and goes on', async () => {
    const { stream, told } = watch('nope');
    await until(() => told.length === 1);
    expect(told).toEqual([ServingStatus.SERVICE_UNKNOWN]);
    stream.cancel();
  });

  it('lets watchers go with NOT_SERVING when the server closes, without waiting for the grace period', async () => {
    const { told, ended } = watch('');
    await until(() => told.length === 1);
    await harness.server.close(60_000);
    await ended;
    expect(told).toEqual([ServingStatus.SERVING, ServingStatus.NOT_SERVING]);
  });
});
