import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import { identity } from '../../../research/load-models/tiny-graphs.js';
import { isAlive } from '../worker-fixture.js';
import { http, infer, scrape, type Reply } from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';

/* A spare process that takes over when the worker is lost: when there is one, and what clients notice. */

const bench = new TestBench();
afterAll(() => bench.close());

const FLAGS = ['--no-refine', '--spare-workers'];

/** `x` i64 [batch, 4] → `y` = −2⁶³ / (1 + x): the processor ends a process that divides the least integer by −1. */
function divider(): OnnxGraph {
  const graph = new OnnxGraph('divider');
  const x = graph.input('x', 'INT64', ['batch', 4]);
  graph.constant('least', 'INT64', [1, 1], BigInt64Array.of(-(2n ** 63n)));
  graph.constant('one', 'INT64', [1, 1], BigInt64Array.of(1n));
  graph.output(graph.add('Div', ['least', graph.add('Add', ['one', x])], {}, 'y'), 'INT64', ['batch', 4]);
  return graph;
}

const good = (number: number): number[] => [1, 2, 3, 3 + number];
const deadly = (number: number): number[] => [-2, 0, 0, number];

function send(server: RunningServer, data: readonly number[], model = 'divider'): Promise<Reply> {
  const x = { name: 'x', datatype: 'INT64' as const, shape: [1, 4], data };
  return infer(server, model, [x], { headers: { 'sponge-client': `client of ${String(data)}` } });
}

const readySpares = (server: RunningServer): number => server.log.match(/a spare process stands ready/g)?.length ?? 0;

function spareReady(server: RunningServer, count: number): Promise<void> {
  return eventually('a spare', () => readySpares(server) >= count);
}

const takeovers = async (server: RunningServer): Promise<number> =>
  (await scrape(server)).sum('sponge_worker_takeovers_total');

describe.each([
  ['one instance', ['--instances', '1']],
  ['two instances', ['--instances', '2']],
])('after a crash, %s', (_, instances) => {
  it('a spare is loaded, and the next crash is a takeover: the model is never away', async () => {
    const server = await bench.serve(bench.model('divider', divider()), [...instances, ...FLAGS, 'after-crash']);
    expect((await send(server, good(1))).status).toBe(200);
    const first = server.worker();
    expect((await send(server, deadly(1))).json.reason).toBe('poison');
    await spareReady(server, 1);
    expect(await takeovers(server)).toBe(0);
    const [worker, spare] = server.workers();
    expect(worker).not.toBe(first);
    expect(spare).toBeDefined();

    // One that ends the worker, among others that wait with it.
    const replies = await Promise.all(
      Array.from({ length: 12 }, (__, index) => send(server, index === 5 ? deadly(2) : good(index))),
    );
    expect(replies.map(({ status }) => status)).toEqual(replies.map((__, index) => (index === 5 ? 500 : 200)));
    expect(await takeovers(server)).toBeGreaterThanOrEqual(1);
    expect(server.log).toContain('worker lost: the worker process was killed by SIGFPE; the spare takes over');
    const ready = await http(`${server.rest}/v2/models/divider/ready`);
    expect(ready.status).toBe(200);
    // Poison is known to the next process too, which did not see it.
    const before = (await scrape(server)).sum('sponge_worker_losses_total');
    expect((await send(server, deadly(2))).json.reason).toBe('poison');
    expect((await scrape(server)).sum('sponge_worker_losses_total')).toBe(before);

    // Another one follows; the group that it was loaded in is gone.
    await eventually('the next spare', async () => (await scrape(server)).sum('sponge_spare_ready') === 1);
    const { groupDir } = server;
    const loadingGroups = (): string[] =>
      groupDir === null ? [] : readdirSync(dirname(groupDir)).filter((name) => name.startsWith(`sponge-${bench.group}`) && name.endsWith('-r0')); // prettier-ignore
    await eventually('the loading group to go', () => loadingGroups().length === 0);
    const takenBefore = await takeovers(server);
    process.kill(server.workers().sort((a, b) => a - b)[0]!, 'SIGKILL');
    await eventually('the takeover', async () => (await takeovers(server)) === takenBefore + 1);
    expect((await send(server, good(2))).status).toBe(200);
    await server.stop();
  });
});

describe('a server that is to', () => {
  it('never have spares has none after a crash', async () => {
    const server = await bench.serve(bench.model('never', divider()), [...FLAGS, 'never']);
    expect((await send(server, deadly(1), 'never')).json.reason).toBe('poison');
    expect((await send(server, good(1), 'never')).status).toBe(200);
    expect(server.workers()).toHaveLength(1);
    await server.stop();
  });

  it('always have spares has one for each model, also after it was killed itself', async () => {
    const repository = bench.repository('two', { one: identity('FP32'), other: identity('FP32') });
    const server = await bench.serve(repository, [...FLAGS, 'always']);
    await spareReady(server, 2);
    const workers = server.workers();
    expect(workers).toHaveLength(4);
    server.signal('SIGKILL');
    await server.exited;
    await eventually('its workers to end', () => !workers.some(isAlive));
    // Whatever groups it left are no obstacle.
    const next = await bench.serve(repository, [...FLAGS, 'always']);
    await spareReady(next, 2);
    await next.stop();
  });
});
