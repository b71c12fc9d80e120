import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anyLength, slow } from '../../../research/load-models/tiny-graphs.js';
import { isAlive } from '../worker-fixture.js';
import { batchesStarted, inferBinary, queueDepth, scrape, slowInput, slowPlace, type Reply } from './clients.js';
import { eventually, groupsOf, quotaMillicores, TestBench, type RunningServer } from './harness.js';
import { leftMillicores, slowStepsFor } from './machine-speed.js';
import { untilComputing } from './mid-run.js';

/*
 * The baselines that are served for comparison: replicas of a fixed unit instead of resizing, and a queue without deadlines.
 */

/** 75 ms on one core, 0.3 s on a quarter of it. */
const STEPS = await slowStepsFor(75);
/** Three units of a quarter of a core; two of a tenth where the machine has no more. */
const [REPLICAS, UNIT_MILLICORES] = leftMillicores() >= 750 ? [3, 250] : [2, 100];
const UNIT_CORES = UNIT_MILLICORES / 1000;
/** Units that the load would keep busy: all keep up, one fewer does not. */
const BUSY_UNITS = REPLICAS - 0.5;
/** What each request states, and nobody looks at. */
const SLO_MS = 1;
/** Fewer replicas only after the busiest of five seconds has been low for ten. */
const SCALE_DOWN_MS = 60_000;

const rolled = (place: number): number => (place + STEPS) % 1024;
const bench = new TestBench();
afterAll(() => bench.close());

/** The i-th has input i. */
function send(server: RunningServer, sent: Promise<Reply>[]): Promise<Reply> {
  const reply = inferBinary(server, 'slow', [slowInput(sent.length)], { sloMs: SLO_MS });
  reply.catch(() => undefined); // Whoever awaits it is told.
  sent.push(reply);
  return reply;
}

/** What the server takes a run on one unit for. */
function plannedMs(reply: Reply): number {
  return Number(reply.json.parameters?.['sponge_planned_us']) / 1000;
}

/** Sends what keeps `BUSY_UNITS` busy, as the last reply tells of a unit, while something is waited for. */
async function loadWhile(server: RunningServer, sent: Promise<Reply>[], wait: () => Promise<void>): Promise<void> {
  let unitMs = plannedMs(await send(server, sent));
  const load = { isOver: false };
  const waiting = wait().finally(() => (load.isOver = true));
  waiting.catch(() => undefined); // It is awaited below.
  while (!load.isOver) {
    void send(server, sent).then(
      (reply) => (unitMs = plannedMs(reply)),
      () => undefined,
    );
    await delay(unitMs / BUSY_UNITS);
  }
  await waiting;
}

async function instances(server: RunningServer): Promise<number> {
  return (await scrape(server)).sum('sponge_instances');
}

/** Processes that have threads in a group. */
function processesIn(groupDir: string): number[] {
  const membersFile = existsSync(join(groupDir, 'tasks')) ? 'tasks' : 'cgroup.threads';
  const threads = readFileSync(join(groupDir, membersFile), 'utf8').split('\n').filter(Boolean).map(Number);
  const pids = threads.map((tid) => Number(/^Tgid:\s*(\d+)$/m.exec(readFileSync(`/proc/${tid}/status`, 'utf8'))![1]));
  return [...new Set(pids)];
}

describe('sponge serve --policy fa2-published', () => {
  let server: RunningServer;
  const sent: Promise<Reply>[] = [];

  beforeAll(async () => {
    const most = String((REPLICAS + 0.2) * UNIT_CORES);
    const flags = ['--unit-cores', String(UNIT_CORES), '--max-cores', most, '--slo', '60000', '--no-idle-release'];
    server = await bench.serve(bench.model('slow', slow(STEPS)), [
      '--policy',
      'fa2-published',
      '--max-batch',
      '1',
      ...flags,
    ]);
  });

  it('says what it is', () => {
    const replicas = `replicas of ${UNIT_CORES} cores`;
    expect(server.banner).toContain(`; 1 to ${REPLICAS} ${replicas} a model, each in a group of its own\n`);
    expect(server.banner).toMatch(/planning +fa2-published, once a second: .*first come, first served/);
    expect(/planning .*/.exec(server.banner)![0]).toContain(replicas);
    expect(server.banner).not.toContain('refined in the background');
  });

  it('starts replicas under load, each a process of its own in a group of one unit', async () => {
    await loadWhile(server, sent, () =>
      eventually('every replica', async () => (await instances(server)) === REPLICAS),
    );
    const hasQuota = (dir: string): boolean =>
      readdirSync(dir).some((name) => name === 'cpu.max' || name === 'cpu.cfs_quota_us');
    const groups = groupsOf(bench.group).filter(hasQuota);
    expect(groups.map(quotaMillicores)).toEqual(Array.from({ length: REPLICAS }, () => UNIT_MILLICORES));
    const pids = groups.flatMap(processesIn);
    expect(pids).toHaveLength(REPLICAS);
    expect(pids.sort()).toEqual(server.workers().sort());
  });

  it('charges a replica from the request for it on, and counts the CPU of all', async () => {
    const askedMs = performance.now();
    const before = await scrape(server);
    const answeredMs = performance.now();
    await delay(1000);
    const askedAgainMs = performance.now();
    const after = await scrape(server);
    const answeredAgainMs = performance.now();
    const grown = (name: string): number => after.sum(name) - before.sum(name);
    const allocatedMs = grown('sponge_allocated_cpu_seconds_total') * 1000;
    // The counters were read at some instant of each scrape. A quota period begun before may still be used in a window
    // that granted nothing of it.
    expect(allocatedMs).toBeGreaterThanOrEqual(0.95 * REPLICAS * UNIT_CORES * (askedAgainMs - answeredMs));
    expect(allocatedMs).toBeLessThanOrEqual(1.1 * REPLICAS * UNIT_CORES * (answeredAgainMs - askedMs));
    expect(after.sum('sponge_cpu_seconds_total')).toBeLessThanOrEqual(after.sum('sponge_allocated_cpu_seconds_total'));
  });

  it('loses nothing but a run when one is killed in the middle of its batch: its members run again, on another', async () => {
    const victim = server.workers().at(-1)!;
    for (let count = 0; count < 12; count++) void send(server, sent);
    await untilComputing(victim);
    process.kill(victim, 'SIGSTOP');
    // While others wait it is not idle; and stopped, it cannot end what it has.
    while ((await queueDepth(server)) === 0) void send(server, sent);
    process.kill(victim, 'SIGKILL');
    await eventually('its death', () => !isAlive(victim));
    await eventually(
      'a batch to have broken',
      async () => (await scrape(server)).sum('sponge_batches_total', { result: 'worker-lost' }) === 1,
    );
    await eventually('another in its place', async () => (await instances(server)) === REPLICAS);
    expect((await scrape(server)).sum('sponge_worker_losses_total')).toBe(0);
    expect(server.log).toMatch(/worker lost: .*SIGKILL; starting it again in 0 ms/);
  });

  it('answers every request, in the end and though each was late, and refuses none', async () => {
    const replies = await Promise.all(sent);
    expect(replies.filter(({ status }) => status !== 200).map(({ json }) => json.error)).toEqual([]);
    expect(replies.map(slowPlace)).toEqual(replies.map((_, index) => rolled(index)));
    const outcomes = await scrape(server);
    expect(outcomes.sum('sponge_outcomes_total', { outcome: 'completed_late' })).toBe(replies.length);
  });

  it('gives them up when they are no longer needed: one is left, and the groups of the others are gone', async () => {
    await eventually('one replica', async () => (await instances(server)) === 1, SCALE_DOWN_MS);
    await eventually('one process', () => server.workers().length === 1);
    await eventually('one group', () => groupsOf(bench.group).every((dir) => !/-r\d+$/.test(dir)));
    const reply = await inferBinary(server, 'slow', [slowInput(3)]);
    expect(slowPlace(reply)).toBe(rolled(3));
    await server.stop();
  });
});

describe('sponge serve --policy static --order fifo', () => {
  it('answers in the order of arrival, whatever the deadlines, and late rather than not', async () => {
    const flags = ['--policy', 'static', '--cpu', '1', '--batch', '1', '--order', 'fifo', '--no-refine'];
    const server = await bench.serve(bench.model('ordered/slow', slow(STEPS)), flags);
    expect(server.banner).toMatch(/planning +static: 1 cores, batches of up to 1, first come, first served; deadlines/);
    const replies: Promise<Reply>[] = [];
    const startedBefore = await batchesStarted(server);
    for (const [index, sloMs] of [60_000, 40_000, 20_000, 1].entries()) {
      replies.push(inferBinary(server, 'slow', [slowInput(index)], { sloMs }));
      await eventually(
        `request ${index} to be there`,
        async () => (await batchesStarted(server)) + (await queueDepth(server)) === startedBefore + index + 1,
      );
    }
    const answers = await Promise.all(replies);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    const inOrder = [...answers].sort((a, b) => a.atMs - b.atMs);
    expect(inOrder.map(slowPlace)).toEqual([0, 1, 2, 3].map(rolled));
    await server.stop();
  });
});

describe('a baseline that cannot be served', () => {
  it.each<[string, () => string, readonly string[], RegExp]>([
    [
      'an order for a policy that has its own',
      () => bench.model('slow', slow(STEPS)),
      ['--policy', 'paper', '--order', 'fifo'],
      /^sponge: --order belongs to --policy static; paper has an order of its own/,
    ],
    [
      'a unit without replicas',
      () => bench.model('slow', slow(STEPS)),
      ['--unit-cores', '0.5'],
      /^sponge: --unit-cores belongs to --policy fa2-published; sponge has no replicas/,
    ],
    [
      'replicas that nothing limits',
      () => bench.model('slow', slow(STEPS)),
      ['--policy', 'fa2-published', '--scaler', 'none'],
      /^sponge: --policy fa2-published limits each instance by a CPU group of its own, which scaler none cannot: run as root, or /,
    ],
    [
      'replicas of a model that cannot be profiled before it is served',
      () => bench.model('any', anyLength()),
      ['--policy', 'fa2-published'],
      /model any leaves sizes open: .*--shape x=1,<size>/,
    ],
  ])('%s is refused in one line', async (_, model, flags, pattern) => {
    const { code, stderr } = await bench.serveFailing(model(), flags);
    expect(code).toBe(1);
    expect(stderr).toMatch(pattern);
    expect(groupsOf(bench.group)).toEqual([]);
  });
});
