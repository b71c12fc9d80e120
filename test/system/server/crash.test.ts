import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { slow } from '../../../research/load-models/tiny-graphs.js';
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
import { slowStepsFor } from './machine-speed.js';
import { holdRun, PATIENT } from './mid-run.js';

/** 0.4 s on one core. */
const STEPS = await slowStepsFor(400);
const FLAGS = ['--max-batch', '2', '--min-cores', '1', '--max-cores', '1', '--no-refine', ...PATIENT];
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
    const plannedMs = Number(probe.json.parameters?.['sponge_planned_us']) / 1000;
    const worker = server.worker();
    const before = await scrape(server);

    // This one runs, and when its worker is killed it has less than a run left; the others have time.
    const hastySloMs = 5 * plannedMs;
    let hastySentAtMs = 0;
    const hasty = await holdRun(server, () => {
      hastySentAtMs = performance.now();
      return inferBinary(server, 'slow', [slowInput(1)], { sloMs: hastySloMs });
    });
    await delay(Math.max(0, hastySentAtMs + hastySloMs - 0.9 * plannedMs - performance.now()));
    const patient = [2, 3].map((place) => inferBinary(server, 'slow', [slowInput(place)], { sloMs: 60_000 }));
    const viaGrpc = grpc.infer(grpcRequest('slow', [slowInput(4)]), { deadlineMs: 60_000 });
    await eventually('the others to wait', async () => (await queueDepth(server)) === 3);
    process.kill(worker, 'SIGKILL');

    // The next worker takes its time: it is stopped while it starts.
    let next: number | undefined;
    await eventually('the next worker', () => (next = server.workers().find((pid) => pid !== worker)) !== undefined);
    process.kill(next!, 'SIGSTOP');
    onTestFinished(() => void process.kill(next!, 'SIGCONT'));
    await eventually('not ready', async () => !(await isReady()));
    // Its worker will not be back in this time.
    const asked = [5, 6].map((place) => inferBinary(server, 'slow', [slowInput(place)], { sloMs: 1.05 * plannedMs }));
    const answers = await Promise.all([hasty.answer, ...asked]);
    // How long a restart takes is a belief, too: one request in 250 ms is let wait for it, and here in vain.
    const refused = answers.filter(({ status }) => status !== 504);
    for (const { status, json, headers } of refused) {
      expect([status, json.reason], json.error).toEqual([503, 'model_unavailable']);
      expect(Number(headers['retry-after'])).toBeGreaterThanOrEqual(1);
    }
    expect(refused.length).toBeGreaterThan(0);
    for (const { status, json } of answers) if (status === 504) expect(json.reason).toBe('expired');
    const model = await http(`${server.rest}/v2/models/slow/ready`);
    expect(model.status).toBe(503);
    process.kill(next!, 'SIGCONT');

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
    const running = await holdRun(server, () => inferBinary(server, 'slow', [slowInput(7)], { sloMs: 60_000 }));
    const before = await batchesStarted(server);
    process.kill(server.worker(), 'SIGKILL');
    const reply = await running.answer;
    expect(reply.status, reply.json.error).toBe(200);
    expect(slowPlace(reply)).toBe(rolled(7));
    expect(await batchesStarted(server)).toBe(before + 1);
  });

  it('fails with the reason backend when it breaks its worker twice', async () => {
    const running = await holdRun(server, () => inferBinary(server, 'slow', [slowInput(8)], { sloMs: 60_000 }));
    const before = await batchesStarted(server);
    process.kill(server.worker(), 'SIGKILL');
    await eventually('the second attempt', async () => (await batchesStarted(server)) === before + 1);
    process.kill(server.worker(), 'SIGKILL');
    const { status, json } = await running.answer;
    expect([status, json.reason]).toEqual([500, 'backend']);
    await eventually('ready again', isReady);
    const next = await inferBinary(server, 'slow', [slowInput(9)], { sloMs: 60_000 });
    expect(slowPlace(next)).toBe(rolled(9));
  });
});
