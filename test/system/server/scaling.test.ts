import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { slow } from '../../../research/load-models/tiny-graphs.js';
import { scrape } from './clients.js';
import { eventually, quotaMillicores, TestBench, type RunningServer } from './harness.js';
import { slowStepsFor } from './machine-speed.js';

/** On one core, or what there is of one. */
const RUN_MS = 75;
const STEPS = await slowStepsFor(RUN_MS);
const LOAD_MS = 4000;

const bench = new TestBench();
let server: RunningServer;

beforeAll(async () => {
  server = await bench.serve(bench.model('slow', slow(STEPS)), ['--no-refine', '--max-batch', '4']);
});
afterAll(() => bench.close());

/** The most that the model may have. */
function ceilingCores(): number {
  return Number(/ to ([\d.]+) cores a model/.exec(server.banner)![1]);
}

/** In force now, as the kernel says; as the server says where no cgroup is used. */
async function allocation(): Promise<number> {
  return server.groupDir === null
    ? (await scrape(server)).sum('sponge_allocation_millicores')
    : quotaMillicores(server.groupDir);
}

/** The worker's ends of its connections to the router. */
function socketsOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`)
    .map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
    .filter((target) => target.startsWith('socket:'))
    .sort();
}

describe('the CPU of the worker', () => {
  it('grows in place under load and shrinks after it: same process, same connections, no failed request', async () => {
    if (server.groupDir === null) {
      console.warn(
        `skipped: reading the quota from the kernel, because no cgroup can be written here:\n${server.banner}`,
      );
    }
    await eventually('the idle floor', async () => (await allocation()) === 100);
    const worker = server.worker();
    const sockets = socketsOf(worker);
    const before = await scrape(server);

    const client = new Agent({ connections: 16 });
    let lostConnections = 0;
    client.on('disconnect', () => lostConnections++);
    const body = JSON.stringify({
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1024], data: new Array<number>(1024).fill(1) }],
    });
    const statuses: Promise<number>[] = [];
    const samples: number[] = [];
    const sampling = setInterval(() => {
      void allocation().then((millicores) => samples.push(millicores));
    }, 5);
    // One by one they would take all the cores there are; in batches they need less. A run alone takes a twelfth of the SLO.
    const intervalMs = RUN_MS / Math.max(1, ceilingCores());
    const sloMs = 12 * RUN_MS;
    const untilMs = performance.now() + LOAD_MS;
    while (performance.now() < untilMs) {
      statuses.push(
        request(`${server.rest}/v2/models/slow/infer`, {
          method: 'POST',
          headers: { 'request-timeout-ms': String(sloMs) },
          body,
          dispatcher: client,
        }).then(async (response) => {
          await response.body.dump();
          return response.statusCode;
        }),
      );
      await delay(intervalMs);
    }
    const answered = await Promise.all(statuses);
    clearInterval(sampling);

    await eventually('the idle floor after the load', async () => (await allocation()) === 100);
    const after = await scrape(server);
    const grown = (name: string, labels = {}): number => after.sum(name, labels) - before.sum(name, labels);
    const peak = Math.max(...samples);
    console.info(
      `allocation 100 → ${peak} → ${await allocation()} millicores over ${answered.length} requests, ` +
        `${grown('sponge_resizes_total', { result: 'written' })} resizes`,
    );

    expect(peak, 'the quota under load').toBeGreaterThanOrEqual(Math.min(300, 800 * ceilingCores()));
    expect(grown('sponge_resizes_total', { result: 'written' })).toBeGreaterThanOrEqual(2);
    expect(grown('sponge_resizes_total', { result: 'refused' })).toBe(0);
    expect(after.sum('sponge_allocation_millicores')).toBe(await allocation());
    expect(grown('sponge_cpu_seconds_total')).toBeGreaterThan(0);
    expect(grown('sponge_allocated_cpu_seconds_total')).toBeGreaterThan(0);

    expect(server.worker()).toBe(worker);
    expect(socketsOf(worker)).toEqual(sockets);
    expect(after.sum('sponge_worker_losses_total')).toBe(0);
    expect(lostConnections).toBe(0);
    // On a machine that others keep busy some may be refused in time; none may fail.
    const refusals = answered.filter((status) => status !== 200);
    expect(refusals.filter((status) => status !== 429 && status !== 504)).toEqual([]);
    expect(refusals.length, 'refused').toBeLessThan(answered.length / 4);
    expect(grown('sponge_outcomes_total', { outcome: 'failed' })).toBe(0);
    await client.close();
  });

  it('limits the threads of ONNX Runtime alone: the socket threads of the worker are outside the group', () => {
    const { groupDir } = server;
    if (groupDir === null) {
      console.warn('skipped: membership of the CPU group, because no cgroup can be written here');
      return;
    }
    const membersFile = readdirSync(groupDir).includes('tasks') ? 'tasks' : 'cgroup.threads';
    const members = readFileSync(join(groupDir, membersFile), 'utf8').split('\n').filter(Boolean);
    const names = members.map((tid) => readFileSync(`/proc/${server.worker()}/task/${tid}/comm`, 'utf8').trim());
    expect(new Set(names)).toEqual(new Set(['sponge-infer']));
    expect(members).not.toContain(String(server.worker()));
    const threads = readdirSync(`/proc/${server.worker()}/task`);
    expect(threads.length).toBeGreaterThan(members.length);
  });
});
