import { afterAll, describe, expect, it } from 'vitest';
import { slow } from '../../../research/load-models/tiny-graphs.js';
import { isAlive } from '../worker-fixture.js';
import { batchesStarted, inferBinary, slowInput, slowPlace } from './clients.js';
import { eventually, TestBench } from './harness.js';
import { slowStepsFor } from './machine-speed.js';
import { untilComputing } from './mid-run.js';

/** 0.4 s on one core. */
const STEPS = await slowStepsFor(400);
const FLAGS = ['--max-batch', '2', '--min-cores', '1', '--max-cores', '1', '--no-refine', '--hang-timeout-ms', '500'];

const bench = new TestBench();
const model = bench.model('slow', slow(STEPS));
afterAll(() => bench.close());

describe('a worker that hangs', () => {
  it.each(['while it runs a batch', 'while it is idle'])('is replaced when it stops %s', async (when) => {
    // A batch counts as hung beyond 20 times its prediction, so a shorter one is given up sooner.
    const server = await bench.serve(model, FLAGS);
    const worker = server.worker();
    const before = await batchesStarted(server);
    if (when === 'while it is idle') process.kill(worker, 'SIGSTOP');
    // No budget is stated: nothing but the server's own watch can end this.
    const replying = inferBinary(server, 'slow', [slowInput(11)]);
    if (when === 'while it runs a batch') {
      await eventually('the batch to start', async () => (await batchesStarted(server)) === before + 1);
      await untilComputing(worker);
      process.kill(worker, 'SIGSTOP');
    }
    const reply = await replying;
    expect(reply.status, reply.json.error).toBe(200);
    expect(slowPlace(reply)).toBe((11 + STEPS) % 1024);
    expect(isAlive(worker)).toBe(false);
    expect(server.log).toMatch(/worker lost: .*hung/);
    await server.stop();
  });
});
