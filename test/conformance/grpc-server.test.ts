import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { FILE_DESCRIPTOR_SET_BASE64 } from '../../src/protocol/grpc/generated/descriptor-set.js';
import { startGrpcServer } from '../../src/server/edge/grpc/server.js';
import { Arrivals } from '../../src/server/edge/arrivals.js';
import { ReceiveBudget } from '../../src/server/edge/receive-budget.js';
import { createFakeService } from './fake-service.js';
import { call, createClient, deferred, LIMITS, smallRequest, startHarness, until } from './grpc-harness.js';

describe('startGrpcServer', () => {
  it('fails on a busy port with one line that names the remedy', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const starting = startGrpcServer({
      service: createFakeService(),
      host: '127.0.0.1',
      port,
      limits: LIMITS,
      receiveBudget: new ReceiveBudget(1),
      arrivals: new Arrivals(() => performance.now()),
      compat: 'none',
    });
    await expect(starting).rejects.toThrow(
      `port ${port} on 127.0.0.1 is in use: end the program that has it, or choose another with --grpc-port`,
    );
    other.close();
  });

  it('closes after the calls in progress, and takes no new ones', async () => {
    const harness = await startHarness();
    const { client, service, server, target } = harness;
    const identity = service.behaviour;
    const release = deferred();
    service.behaviour = async (received, signal) => {
      await release.promise;
      return identity(received, signal);
    };
    const answered = call(client, 'modelInfer', smallRequest({ id: 'in progress' }));
    await until(() => service.calls.length === 1);
    const closed = server.close(60_000);
    const late = createClient(target);
    expect((await call(late, 'modelInfer', smallRequest())).error?.code).toBe(status.UNAVAILABLE);
    late.close();
    release.resolve();
    expect((await answered).response.id).toBe('in progress');
    await closed;
    client.close();
  });

  it('cuts off what outlasts the grace period, and tells the service', async () => {
    const harness = await startHarness();
    const { client, service, server } = harness;
    service.behaviour = () => new Promise(() => undefined);
    const answered = call(client, 'modelInfer', smallRequest());
    await until(() => service.calls.length === 1);
    await server.close(20);
    // Which of these it is depends on what of the broken connection the client's library sees first.
    expect((await answered).error?.code).toBeOneOf([status.UNAVAILABLE, status.CANCELLED, status.INTERNAL]);
    await until(() => service.calls[0]!.signal.aborted);
    client.close();
  });
});

describe('the generated code', () => {
  it('is that of the .proto files', async ({ skip }) => {
    const buf = fileURLToPath(new URL('../../node_modules/.bin/buf', import.meta.url));
    if (!existsSync(buf)) {
      console.warn('skipped: @bufbuild/buf is not installed, so the .proto files cannot be compiled');
      skip();
    }
    const protoFolder = fileURLToPath(new URL('../../src/protocol/grpc/proto', import.meta.url));
    const { stdout } = await promisify(execFile)(
      buf,
      ['build', protoFolder, '--as-file-descriptor-set', '--exclude-source-info', '-o', '-'],
      { encoding: 'buffer' },
    );
    expect(stdout.toString('base64')).toBe(FILE_DESCRIPTOR_SET_BASE64);
  });
});
