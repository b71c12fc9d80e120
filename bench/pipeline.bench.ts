import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { randomBytes } from 'node:crypto';
import { identity } from '../research/load-models/tiny-graphs.js';
import { bench, Scope } from './harness/bench.js';
import { usedCpuMs } from './harness/cpu-time.js';
import { Disturbed } from './harness/disturbed.js';
import { startHelper, type Helper } from './harness/helper.js';
import { jsonRequest } from './harness/messages.js';
import { olderTree, statedBefore } from './harness/older-tree.js';
import { memoryOfAll } from './harness/process-memory.js';
import { interleaved } from './harness/repeat.js';
import { atMost, isTiny, numberText, report, skip } from './harness/row.js';
import { residentMib, startSponge, type SpongeServer } from './harness/sponge-server.js';
import { median, quantile } from './harness/statistics.js';
import { writeBareModel } from './harness/tensor-models.js';
import type { Called, InProcessRequest, InProcessResult } from './helpers/served-in-process.js';
import type { LoadRequest, LoadResult } from './helpers/load-generator.js';

/*
 * What a pipeline costs beside calls of its models, and what all of it costs who has none.
 *
 * Models of one operator, so that it is our own time that is seen: two steps beside the same two models called one after the other from inside
 * the server's process, which no client can do; one step for eight parts beside eight such calls at once. All is planned as it is served,
 * but that nothing is given back while it rests.
 *
 *   npm run bench -- pipeline --before COMMIT
 *
 * also builds that commit in a temporary folder and serves one tensor model with both trees in turn: start, memory, latency.
 */

const ROUNDS = isTiny ? 1 : 9;
const RUNS_PER_ROUND = isTiny ? 10 : 200;
const PARTS = 8;
/** What two steps may cost more than two calls inside one process, and eight parts more than eight. */
const MOST_ADDED_MS = 1;

const ROW = { name: 'x', datatype: 'FP32', shape: [1, 4] } as const;

const START_ROUNDS = isTiny ? 1 : 5;
/** By then what the start needed is given back. */
const IDLE_MS = isTiny ? 500 : 4000;
/** The same, but for what a machine scatters. */
const MOST_OF_BEFORE = 1.05;

const TWO_STEPS = `
inputs:
  x: { datatype: FP32, shape: [-1, 4] }
outputs: [y]
steps:
  - { name: first, model: first, inputs: { x: x }, outputs: { y: between } }
  - { name: second, model: second, inputs: { x: between }, outputs: { y: y } }
`;
const EIGHT_PARTS = `
inputs:
  x: { datatype: FP32, shape: [-1, 4] }
outputs: [y]
steps:
  - { name: first, model: first, for_each: x, inputs: { x: x }, outputs: { y: y } }
`;

type InProcess = Helper<InProcessRequest, InProcessResult>;

await bench(async (scope) => {
  const repository = writeRepository(scope.folder());
  await besideCalls(scope, repository);
  await overRest(scope, repository);
  await ofOneModel(scope);
});

function writeRepository(folder: string): string {
  for (const name of ['first', 'second']) {
    mkdirSync(join(folder, name, '1'), { recursive: true });
    writeFileSync(join(folder, name, '1', 'model.onnx'), identity('FP32').toModel());
  }
  for (const [name, text] of [
    ['two', TWO_STEPS],
    ['eight', EIGHT_PARTS],
  ] as const) {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, 'pipeline.yaml'), text);
  }
  return folder;
}

// ---- beside calls inside one process ---------------------------------------------------------------------------------

async function besideCalls(scope: Scope, path: string): Promise<void> {
  const helper: InProcess = startHelper(scope, 'served-in-process');
  const groupName = `bench-${randomBytes(4).toString('hex')}`;
  await helper.call({ kind: 'start', path, groupName });
  const p99s: Record<string, number[]> = {};
  const run = (name: string, what: Called) => async () => {
    const took = await helper.call({ kind: 'run', runCount: RUNS_PER_ROUND, what });
    (p99s[name] ??= []).push(quantile(took, 0.99));
    return median(took);
  };
  const p50s = await interleaved(ROUNDS, {
    two: run('two', { pipeline: 'two', rowCount: 1 }),
    twoCalls: run('twoCalls', { models: ['first', 'second'], rowCount: 1 }),
    eight: run('eight', { pipeline: 'eight', rowCount: PARTS }),
    eightCalls: run('eightCalls', { models: ['first'], rowCount: PARTS }),
  });
  const rows = [
    ['two steps of a pipeline', 'two', 'twoCalls', 'two calls inside the process'],
    [`one step for ${PARTS} parts`, 'eight', 'eightCalls', `${PARTS} calls at once inside the process`],
  ] as const;
  for (const [what, ours, theirs, baseline] of rows) {
    for (const [quantileName, values] of [
      ['p50', p50s],
      // As in `interleaved`, the first round warms up.
      ['p99', Object.fromEntries(Object.entries(p99s).map(([name, all]) => [name, all.slice(1)]))],
    ] as const) {
      const [own, other] = [values[ours], values[theirs]];
      report({
        what: `${what}, added to ${baseline}, ${quantileName}`,
        unit: 'ms',
        // One after the other each time: what the machine does meanwhile meets both.
        ours: own.map((ms, round) => ms - other[round]!),
        baseline: null,
        budget: atMost(MOST_ADDED_MS),
        note: `${numberText(median(own))} and ${numberText(median(other))} ms; ${own.length} pairs of ${RUNS_PER_ROUND}`,
      });
    }
  }
  await helper.call({ kind: 'close' });
  await helper.stop();
}

// ---- beside calls of a client ----------------------------------------------------------------------------------------

async function overRest(scope: Scope, path: string): Promise<void> {
  const server = await startSponge(scope, [path, '--no-refine']);
  const client = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  const latency = (model: string) => latencies(client, server, model, [1, 2, 3, 4]).then(median);
  const values = await interleaved(ROUNDS, {
    pipeline: () => latency('two'),
    // One has the other's answer before it asks: medians of both, added up.
    calls: async () => (await latency('first')) + (await latency('second')),
  });
  report({
    what: 'two steps of a pipeline over REST JSON, p50',
    unit: 'ms',
    ours: values.pipeline,
    baseline: { what: 'two calls of a client', values: values.calls },
    budget: null,
    note: 'one request at a time, planned; the calls are of one model, and then of the other: they do not take turns',
  });
  await client.stop();
  await server.stop();
}

async function latencies(
  client: Helper<LoadRequest, LoadResult>,
  { restPort: port }: SpongeServer,
  model: string,
  data: readonly number[],
): Promise<readonly number[]> {
  const target = { protocol: 'http', port, message: jsonRequest(model, ROW, data) } as const;
  const until = { requestCount: RUNS_PER_ROUND, durationMs: Infinity };
  const { latenciesMs, statusCounts } = await client.call({ kind: 'closed-loop', target, connectionCount: 1, until });
  if (statusCounts['200'] !== RUNS_PER_ROUND) throw new Disturbed(`not all served: ${JSON.stringify(statusCounts)}`);
  return latenciesMs;
}

// ---- who serves one tensor model -------------------------------------------------------------------------------------

interface Resting {
  readonly startSec: number[];
  readonly routerMib: number[];
  readonly allMib: number[];
}

async function ofOneModel(scope: Scope): Promise<void> {
  const before = statedBefore();
  if (before === null) {
    skip('one tensor model, beside the tree before', 'give --before and a commit, or a folder with a built tree');
    return;
  }
  const bins = { now: undefined, before: olderTree(scope, before) };
  const modelPath = writeBareModel(scope.folder(), 'identity', identity('FP32'));
  const start = (own: Scope, tree: 'now' | 'before') =>
    startSponge(own, [modelPath, '--no-refine'], { bin: bins[tree] });
  const beside = (
    what: string,
    unit: string,
    now: readonly number[],
    older: readonly number[],
    note = '',
    isHeld = true,
  ): void =>
    report({
      what: `one tensor model, ${what}`,
      unit,
      ours: now,
      baseline: { what: `the tree before, ${before}`, values: older },
      budget: isHeld ? atMost(Number((MOST_OF_BEFORE * median(older)).toPrecision(3))) : null,
      note,
    });

  const empty = (): Resting => ({ startSec: [], routerMib: [], allMib: [] });
  const found = { now: empty(), before: empty() };
  // The first makes the profile that all others find, and fills the caches of files.
  for (let round = -1; round < START_ROUNDS; round++) {
    const order = round % 2 === 0 ? (['now', 'before'] as const) : (['before', 'now'] as const);
    for (const tree of order) {
      const { startSec, routerMib, allMib } = round < 0 ? empty() : found[tree];
      const own = new Scope();
      try {
        const server = await start(own, tree);
        startSec.push(server.readyMs / 1000);
        await delay(IDLE_MS);
        routerMib.push(residentMib(server.pid));
        allMib.push(memoryOfAll(server.pid));
      } finally {
        await own.end();
      }
    }
  }
  const { now, before: older } = found;
  beside('start with a stored profile', 's', now.startSec, older.startSec);
  beside('resident memory of the router, idle', 'MiB', now.routerMib, older.routerMib);
  beside('memory of all processes, idle', 'MiB', now.allMib, older.allMib, 'proportional set size');

  const client = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  const servers = { now: await start(scope, 'now'), before: await start(scope, 'before') };
  const p99s = { now: [] as number[], before: [] as number[] };
  const cpuMs = { now: [] as number[], before: [] as number[] };
  const run = (tree: 'now' | 'before') => async () => {
    const usedMs = usedCpuMs(servers[tree].pid);
    const took = await latencies(client, servers[tree], 'identity', [1, 2, 3, 4]);
    p99s[tree].push(quantile(took, 0.99));
    cpuMs[tree].push((usedCpuMs(servers[tree].pid) - usedMs) / RUNS_PER_ROUND);
    return median(took);
  };
  const p50s = await interleaved(ROUNDS, { now: run('now'), before: run('before') });
  beside('REST JSON, p50', 'ms', p50s.now, p50s.before, 'one request at a time');
  beside('REST JSON, p99', 'ms', p99s.now.slice(1), p99s.before.slice(1), 'one request at a time', false);
  if (process.platform === 'linux')
    beside('CPU a request', 'ms', cpuMs.now.slice(1), cpuMs.before.slice(1), 'router and worker, all of their threads');
}
