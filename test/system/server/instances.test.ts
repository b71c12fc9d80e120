import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { slow } from '../../../src/adapters/models/tiny-graphs.js';
import { isAlive } from '../worker-fixture.js';
import { inferBinary, queueDepth, scrape, slowInput, slowPlace, type Reply } from './clients.js';
import { eventually, quotaMillicores, TestBench, type RunningServer } from './harness.js';
import { slowStepsFor } from './machine-speed.js';
import { PATIENT } from './mid-run.js';

/*
 * Several warm instances of a model, each a process in a CPU group of its own that is resized by itself. Where a machine has no such
 * groups there is one worker, which is said.
 */

/** On one core. */
const LONG_STEPS = await slowStepsFor(300);
const SHORT_STEPS = await slowStepsFor(4);
const IDLE_MILLICORES = 10;

const bench = new TestBench();
afterAll(() => bench.close());

const rolled = (place: number, steps: number): number => (place + steps) % 1024;

/** Their groups, where each has one. */
function groupDirs(server: RunningServer, count: number): string[] {
  const first = server.groupDir!;
  return [
    first,
    ...Array.from({ length: count - 1 }, (_, index) => join(first, '..', `${first.split('/').at(-1)!}-r${index + 2}`)),
  ];
}

/** The server, or null, loudly, where instances cannot be limited one by one. */
async function serve(steps: number, count: number, flags: readonly string[] = []): Promise<RunningServer | null> {
  const model = bench.model('slow', slow(steps));
  const probe = await bench.serve(model, ['--no-refine']);
  const hasGroups = probe.groupDir !== null;
  const { banner } = probe;
  await probe.stop();
  if (hasGroups) return bench.serve(model, ['--no-refine', '--instances', String(count), ...flags]);
  const refused = await bench.serveFailing(model, ['--instances', String(count)]);
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toMatch(
    /--instances limits each instance by a CPU group of its own, which scaler \w+ cannot: run as root/,
  );
  console.warn(`skipped: no CPU group for each instance can be made here:\n${banner}`);
  return null;
}

/** What all instances together may have. */
function budgetMillicores(server: RunningServer): number {
  return Math.round(Number(/ ([\d.]+) cores for all/.exec(server.banner)![1]) * 1000);
}

/** On a core and what is left of another; on less there is one after the other. */
const SIDE_BY_SIDE_MILLICORES = 1300;

describe('sponge serve --instances 2', () => {
  let server: RunningServer | null = null;

  beforeAll(async () => {
    server = await serve(LONG_STEPS, 2, ['--max-batch', '1', ...PATIENT]);
  });
  afterAll(() => server?.stop());

  it('says what it is, and runs two batches side by side, each right', async () => {
    if (server === null) return;
    expect(server.banner).toMatch(/; 2 warm instances a model, [\d.]+ cores for all of them, each resized by itself/);
    const sent = Array.from({ length: 6 }, (_, place) =>
      inferBinary(server!, 'slow', [slowInput(place)], { sloMs: 60_000 }),
    );
    let mostAllocated = 0;
    const runsBoth = budgetMillicores(server) >= SIDE_BY_SIDE_MILLICORES;
    if (!runsBoth)
      console.warn(`skipped: two batches side by side, because there are too few cores:\n${server.banner}`);
    await eventually('as many to run as there are cores for', async () => {
      const metrics = await scrape(server!);
      const granted = ['0', '1'].map((instance) => metrics.sum('sponge_instance_allocation_millicores', { instance }));
      mostAllocated = Math.max(mostAllocated, metrics.sum('sponge_allocation_millicores'));
      return granted.filter((each) => each > IDLE_MILLICORES).length === (runsBoth ? 2 : 1);
    });
    for (const [place, reply] of (await Promise.all(sent)).entries()) {
      expect(reply.status, reply.json.error).toBe(200);
      expect(slowPlace(reply)).toBe(rolled(place, LONG_STEPS));
    }
    expect(mostAllocated).toBeLessThanOrEqual(budgetMillicores(server));
    await eventually('both to rest', () =>
      groupDirs(server!, 2).every((dir) => quotaMillicores(dir) === IDLE_MILLICORES),
    );
  });

  it('loses nothing when one of them is killed in the middle of a batch, and has it back', async () => {
    if (server === null) return;
    const before = server.workers();
    expect(before).toHaveLength(2);
    const sent = Array.from({ length: 4 }, (_, place) =>
      inferBinary(server!, 'slow', [slowInput(place)], { sloMs: 60_000 }),
    );
    const running = budgetMillicores(server) >= SIDE_BY_SIDE_MILLICORES ? 2 : 1;
    await eventually('as many to run as there are cores for', async () => (await queueDepth(server!)) === 4 - running);
    process.kill(before[running - 1]!, 'SIGKILL');
    for (const [place, reply] of (await Promise.all(sent)).entries()) {
      expect(reply.status, reply.json.error).toBe(200);
      expect(slowPlace(reply)).toBe(rolled(place, LONG_STEPS));
    }
    expect(isAlive(before[2 - running]!)).toBe(true);
    // Never was the model without a worker.
    expect((await scrape(server)).sum('sponge_worker_losses_total')).toBe(0);
    await eventually('two again', async () => (await scrape(server!)).sum('sponge_instances') === 2);
    expect(server.workers()).toContain(before[2 - running]);
    const after = await inferBinary(server, 'slow', [slowInput(7)], { sloMs: 60_000 });
    expect(slowPlace(after)).toBe(rolled(7, LONG_STEPS));
  });
});

describe('sponge serve --instances 4', () => {
  it('is resized a thousand times under load: nothing is lost, and the kernel has what the server says', async () => {
    const server = await serve(SHORT_STEPS, 4, ['--max-batch', '1']);
    if (server === null) return;
    const workers = server.workers();
    const replies: Reply[] = [];
    let sent = 0;
    const resizes = async (): Promise<number> =>
      (await scrape(server)).sum('sponge_resizes_total', { result: 'written' });
    const client = async (): Promise<void> => {
      while ((await resizes()) < 1000) {
        const place = sent++ % 1024;
        const reply = await inferBinary(server, 'slow', [slowInput(place)], { sloMs: 60_000 });
        expect(slowPlace(reply)).toBe(rolled(place, SHORT_STEPS));
        replies.push(reply);
        // Longer than a free instance keeps its CPU.
        await delay(20);
      }
    };
    await Promise.all([client(), client(), client(), client()]);
    expect(replies).toHaveLength(sent);
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
    expect(server.workers()).toEqual(workers);
    await eventually('all to rest', () =>
      groupDirs(server, 4).every((dir) => quotaMillicores(dir) === IDLE_MILLICORES),
    );
    const metrics = await scrape(server);
    expect(metrics.sum('sponge_allocation_millicores')).toBe(4 * IDLE_MILLICORES);
    expect(metrics.sum('sponge_resizes_total', { result: 'refused' })).toBe(0);
    expect(metrics.sum('sponge_outcomes_total', { outcome: 'completed_on_time' })).toBe(sent);
  });
});
