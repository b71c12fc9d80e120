import { existsSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { slow } from '../../../research/load-models/tiny-graphs.js';
import { isAlive } from '../worker-fixture.js';
import { batchesStarted, inferBinary, slowInput, slowPlace } from './clients.js';
import { eventually, groupsOf, TestBench, type RunningServer } from './harness.js';
import { slowStepsFor } from './machine-speed.js';
import { untilComputing } from './mid-run.js';

/** 0.5 s on one core. */
const STEPS = await slowStepsFor(500);
const FLAGS = ['--max-batch', '1', '--min-cores', '1', '--max-cores', '1', '--no-refine'];

const bench = new TestBench();
let model: string;
let server: RunningServer;
beforeAll(async () => {
  model = bench.model('slow', slow(STEPS));
  server = await bench.serve(model, FLAGS);
});
afterAll(() => bench.close());

describe('a router that is killed with SIGKILL', () => {
  it('takes its worker with it, even in the middle of a batch, and the next start reclaims the group', async () => {
    const worker = server.worker();
    const { groupDir } = server;
    const before = await batchesStarted(server);
    const reply = inferBinary(server, 'slow', [slowInput(0)], { sloMs: 60_000 }).then(
      () => 'answered',
      () => 'connection lost',
    );
    await eventually('a batch to start', async () => (await batchesStarted(server)) === before + 1);
    await untilComputing(worker);
    const killedAtMs = performance.now();
    server.signal('SIGKILL');
    expect(await reply).toBe('connection lost');
    await eventually('the worker to end', () => !isAlive(worker), 5000);
    console.info(`worker gone ${(performance.now() - killedAtMs).toFixed(0)} ms after its router`);
    expect((await server.exited).signal).toBe('SIGKILL');
    if (groupDir === null)
      console.warn('skipped: the group that is left behind, because no cgroup can be written here');
    else expect(existsSync(groupDir), 'nobody was there to remove the group').toBe(true);

    server = await bench.serve(model, FLAGS);
    expect(server.groupDir).toBe(groupDir);
    const served = await inferBinary(server, 'slow', [slowInput(3)], { sloMs: 60_000 });
    expect(slowPlace(served)).toBe((3 + STEPS) % 1024);
  });

  it('shares its group name with no other server that runs', async () => {
    if (server.groupDir === null) {
      console.warn('skipped: two servers on one group name, because no cgroup can be written here');
      return;
    }
    const second = await bench.serveFailing(model, FLAGS);
    expect(second.code).toBe(1);
    expect(second.stdout).toBe('');
    expect(second.stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(second.stderr).toMatch(
      new RegExp(
        `^sponge: the CPU group sponge-${bench.group}-slow in \\S+ belongs to a running server \\(process ${server.pid}\\): stop`,
      ),
    );
    expect(groupsOf(bench.group).length).toBeGreaterThan(0);
    const served = await inferBinary(server, 'slow', [slowInput(4)], { sloMs: 60_000 });
    expect(slowPlace(served), 'the first one is undisturbed').toBe((4 + STEPS) % 1024);
  });
});
