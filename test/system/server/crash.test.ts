import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { slow } from '../../../src/adapters/models/tiny-graphs.js';
import { isAlive } from '../worker-fixture.js';
import {
  batchesStarted,
  GrpcClient,
  grpcRequest,
  http,
  inferBinary,
  queueDepth,
  scrape,
  slowInput,
  slowPlace,
} from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';

/** About 0.4 s on one core. */
const STEPS = 3000;
const FLAGS = ['--max-batch', '2', '--min-cores', '1', '--max-cores', '1', '--no-refine'];
const rolled = (place: number): number => (place + STEPS) % 1024;

const bench = new TestBench();
let server: RunningServer;
let grpc: GrpcClient;

beforeAll(async () => {
  server = await bench.serve(bench.model('slow', slow(STEPS)), FLAGS);
  grpc = new GrpcClient(server);
});
afterAll(async () => {
  grpc.close();
  await bench.close();
});

const isReady = async (): Promise<boolean> => (await http(`${server.rest}/v2/health/ready`)).status === 200;

describe('a worker that is killed in the middle of a batch', () => {
  it('costs only those who cannot wait for the next one; everyone else is answered, and readiness tells', async () => {
    const probe = await inferBinary(server, 'slow', [slowInput(0)], { sloMs: 60_000 });
    const plannedMs = Number(probe.json.parameters?.['sponge_predicted_us']) / 1000;
    const worker = server.worker();
    const before = await scrape(server);

    // This one runs, and cannot be run again in its time (a restart takes more than a tenth of a run); the others can.
    const hasty = inferBinary(server, 'slow', [slowInput(1)], { sloMs: 1.1 * plannedMs });
    const startedBefore = before.sum('sponge_batch_size_count');
    await eventually('the hasty one to run', async () => (await batchesStarted(server)) === startedBefore + 1);
    const patient = [2, 3].map((place) => inferBinary(server, 'slow', [slowInput(place)], { sloMs: 60_000 }));
    const viaGrpc = grpc.infer(grpcRequest('slow', [slowInput(4)]), { deadlineMs: 60_000 });
    await eventually('the others to wait', async () => (await queueDepth(server)) === 3);
    process.kill(worker, 'SIGKILL');

    await eventually('not ready', async () => !(await isReady()));
    // Its worker will not be back in this time.
    const refused = await inferBinary(server, 'slow', [slowInput(5)], { sloMs: 1.05 * plannedMs });
    const lost = await hasty;
    for (const { status, json, headers } of [lost, refused]) {
      expect([status, json.reason], json.error).toEqual([503, 'model_unavailable']);
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
    }
    const model = await http(`${server.rest}/v2/models/slow/ready`);
    expect([200, 503]).toContain(model.status);

    for (const [i, reply] of (await Promise.all(patient)).entries()) {
      expect(reply.status, reply.json.error).toBe(200);
      expect(slowPlace(reply)).toBe(rolled([2, 3][i]!));
    }
    expect((await viaGrpc).error).toBeNull();
    expect(await isReady()).toBe(true);
    expect(isAlive(worker)).toBe(false);
    expect(server.worker()).not.toBe(worker);
    const after = await scrape(server);
    expect(after.sum('sponge_worker_losses_total') - before.sum('sponge_worker_losses_total')).toBe(1);
    expect(after.sum('sponge_queue_depth')).toBe(0);
    expect(server.log).toMatch(/worker lost: the worker process was killed by SIGKILL; starting it again in 0 ms/);
  });

  it('is tried again alone, and answered by the next worker', async () => {
    const before = await batchesStarted(server);
    const worker = server.worker();
    const running = inferBinary(server, 'slow', [slowInput(7)], { sloMs: 60_000 });
    await eventually('it to run', async () => (await batchesStarted(server)) === before + 1);
    process.kill(worker, 'SIGKILL');
    const reply = await running;
    expect(reply.status, reply.json.error).toBe(200);
    expect(slowPlace(reply)).toBe(rolled(7));
    expect(await batchesStarted(server)).toBe(before + 2);
  });

  it('fails with the reason backend when it breaks its worker twice', async () => {
    const before = await batchesStarted(server);
    const running = inferBinary(server, 'slow', [slowInput(8)], { sloMs: 60_000 });
    for (const attempt of [1, 2]) {
      await eventually(`attempt ${attempt}`, async () => (await batchesStarted(server)) === before + attempt);
      process.kill(server.worker(), 'SIGKILL');
    }
    const { status, json } = await running;
    expect([status, json.reason]).toEqual([500, 'backend']);
    await eventually('ready again', isReady);
    const next = await inferBinary(server, 'slow', [slowInput(9)], { sloMs: 60_000 });
    expect(slowPlace(next)).toBe(rolled(9));
  });
});
