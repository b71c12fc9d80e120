import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { slow } from '../../../research/load-models/tiny-graphs.js';
import { isAlive } from '../worker-fixture.js';
import { inferBinary, scrape, slowInput, slowPlace, type Reply } from './clients.js';
import { eventually, quotaMillicores, TestBench, type RunningServer } from './harness.js';
import { slowStepsFor } from './machine-speed.js';
import { batchesOf, PATIENT } from './mid-run.js';

/*
 * Several warm instances of a model, each in a CPU group of its own that is resized by itself: threads of one process, or a
 * process each. Where a machine has no such groups there is one worker, which is said.
 */

/** On one core. */
const LONG_STEPS = await slowStepsFor(300);
const SHORT_STEPS = await slowStepsFor(4);
/** What one that rests holds, and the least quota that the kernel takes: a millisecond in the period of ten. */
const IDLE_MILLICORES = 0;
const LEAST_QUOTA_MILLICORES = 100;
const RESIZES = 150;

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

/** Of a server on this machine: whether it has CPU groups. */
let banner: string;
let hasGroups: boolean;
beforeAll(async () => {
  const probe = await bench.serve(bench.model('probe', slow(1)), ['--no-refine']);
  hasGroups = probe.groupDir !== null;
  ({ banner } = probe);
  await probe.stop();
});

/** The server, or null, loudly, where instances cannot be limited one by one. */
async function serve(steps: number, count: number, flags: readonly string[] = []): Promise<RunningServer | null> {
  const model = bench.model('slow', slow(steps));
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

const LAYOUTS = [
  { perProcess: 'all', processCount: 1, where: 'in one process' },
  { perProcess: '1', processCount: 2, where: 'a process each' },
] as const;

describe.each(LAYOUTS)('sponge serve --instances 2 --instances-per-process $perProcess', (layout) => {
  const { perProcess, processCount, where } = layout;
  let server: RunningServer | null = null;

  beforeAll(async () => {
    const flags = ['--max-batch', '1', '--instances-per-process', perProcess, ...PATIENT];
    server = await serve(LONG_STEPS, 2, flags);
  });
  afterAll(() => server?.stop());

  it('says what it is, and runs two batches side by side, each right', async () => {
    if (server === null) return;
    expect(server.banner).toContain(`; 2 warm instances a model, ${where}, `);
    expect(server.banner).toMatch(/, [\d.]+ cores for all of them, each resized by itself/);
    expect(server.workers()).toHaveLength(processCount);
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
    const metrics = await scrape(server);
    const ofEach = (name: string): number[] => ['0', '1'].map((instance) => metrics.sum(name, { instance }));
    expect(ofEach('sponge_instance_ready')).toEqual([1, 1]);
    const batches = ofEach('sponge_instance_batches_total');
    expect(batches[0]! + batches[1]!).toBe(metrics.sum('sponge_batches_total'));
    if (runsBoth)
      for (const seconds of ofEach('sponge_instance_busy_seconds_total')) expect(seconds).toBeGreaterThan(0);
    expect(metrics.sum('sponge_limit_millicores')).toBe(metrics.sum('sponge_core_budget_millicores'));
    await eventually('both to rest', () =>
      groupDirs(server!, 2).every((dir) => quotaMillicores(dir) === LEAST_QUOTA_MILLICORES),
    );
  });

  it('loses nothing when a process is killed in the middle of its batches, and has it back', async () => {
    if (server === null) return;
    const before = server.workers();
    const losses = (await scrape(server)).sum('sponge_worker_losses_total');
    const sent = Array.from({ length: 6 }, (_, place) =>
      inferBinary(server!, 'slow', [slowInput(place)], { sloMs: 60_000 }),
    );
    const running = budgetMillicores(server) >= SIDE_BY_SIDE_MILLICORES ? 2 : 1;
    await eventually('as many to run as there are cores for', async () => {
      const { started, ended } = await batchesOf(server!);
      return started - ended === running;
    });
    const killed = before[Math.min(running, processCount) - 1]!;
    process.kill(killed, 'SIGKILL');
    for (const [place, reply] of (await Promise.all(sent)).entries()) {
      expect(reply.status, reply.json.error).toBe(200);
      expect(slowPlace(reply)).toBe(rolled(place, LONG_STEPS));
    }
    // Where others go on the model was never without a worker.
    const lost = (await scrape(server)).sum('sponge_worker_losses_total') - losses;
    expect(lost).toBe(processCount === 1 ? 1 : 0);
    await eventually('two again', async () => (await scrape(server!)).sum('sponge_instances') === 2);
    const kept = before.filter((pid) => pid !== killed);
    expect(kept.every(isAlive)).toBe(true);
    expect(server.workers()).toEqual(expect.arrayContaining(kept));
    expect(server.workers()).toHaveLength(processCount);
    const after = await inferBinary(server, 'slow', [slowInput(7)], { sloMs: 60_000 });
    expect(slowPlace(after)).toBe(rolled(7, LONG_STEPS));
    await eventually('both to rest', () =>
      groupDirs(server!, 2).every((dir) => quotaMillicores(dir) === LEAST_QUOTA_MILLICORES),
    );
  });
});

describe.each(['all', '1'])('sponge serve --instances 4 --instances-per-process %s', (perProcess) => {
  it('is resized more than a hundred times under load: nothing is lost, and the kernel has what the server says', async () => {
    const server = await serve(SHORT_STEPS, 4, [
      ...['--max-batch', '1', '--instances-per-process', perProcess],
      ...PATIENT,
    ]);
    if (server === null) return;
    const workers = server.workers();
    expect(workers).toHaveLength(perProcess === '1' ? 4 : 1);
    const replies: Reply[] = [];
    let sent = 0;
    const resizes = async (): Promise<number> =>
      (await scrape(server)).sum('sponge_resizes_total', { result: 'written' });
    const client = async (): Promise<void> => {
      while ((await resizes()) < RESIZES) {
        const place = sent++ % 1024;
        const reply = await inferBinary(server, 'slow', [slowInput(place)], { sloMs: 60_000 });
        expect(reply.status, reply.json.error).toBe(200);
        expect(slowPlace(reply)).toBe(rolled(place, SHORT_STEPS));
        replies.push(reply);
        // Longer than a free instance keeps its CPU.
        await delay(20);
      }
    };
    await Promise.all([client(), client(), client(), client()]);
    expect(replies).toHaveLength(sent);
    expect(server.workers()).toEqual(workers);
    await eventually('all to rest', () =>
      groupDirs(server, 4).every((dir) => quotaMillicores(dir) === LEAST_QUOTA_MILLICORES),
    );
    const metrics = await scrape(server);
    expect(metrics.sum('sponge_allocation_millicores')).toBe(IDLE_MILLICORES);
    expect(metrics.sum('sponge_resizes_total', { result: 'refused' })).toBe(0);
    expect(metrics.sum('sponge_outcomes_total', { outcome: 'completed_on_time' })).toBe(sent);
    await server.stop();
  });
});

describe('sponge serve --instances-per-process', () => {
  it('has no mix of threads and processes, and says so', async () => {
    const model = bench.model('refused', slow(1));
    const refused = await bench.serveFailing(model, ['--instances', '4', '--instances-per-process', '2']);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain(
      'sponge: --instances-per-process 2: use 1 (a process each) or all (threads of one process)',
    );
  });
});
