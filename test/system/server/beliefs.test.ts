import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Profile } from '../../../src/scheduler/perf-model/profile.js';
import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import { coupledMean, identity, simple, slow } from '../../../research/load-models/tiny-graphs.js';
import { floatsOf, floatTensor, http, infer, inferBinary, binaryOutputs, queueDepth, scrape } from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';
import { slowStepsFor } from './machine-speed.js';
import { PATIENT } from './mid-run.js';

/* What the server believes of models that strangers bring, and how it finds out. */

const bench = new TestBench();
afterAll(() => bench.close());

/** 16 KiB a row: too much to go with its batch, so that it waits for a worker that stands still. */
const WIDTH = 4096;
const MARKER = 2e6;
/** However long they take: one request three times, and several together once. */
const LEAST_RUNS = 4;
/** Three times the budget of a quick profile, in which more are made: the machine may be faster now than when the model was made for it. */
const MOST_MS = 15_000;

/**
 * Its rows have nothing to do with each other until a number above a million comes: then each loses its distance from the mean of
 * the batch. In a loop, which nobody follows. `x` f32 [batch, 4096] → `y` = x − c · (mean − x), c = 1 if max(x) > 10⁶ else 0.
 */
function coupledByMarker(): OnnxGraph {
  const body = new OnnxGraph('marked.body');
  body.input('step', 'INT64', []);
  body.input('proceed', 'BOOL', []);
  body.input('row', 'FP32', ['batch', WIDTH]);
  body.output(body.add('Identity', ['proceed'], {}, 'proceed_next'), 'BOOL', []);
  const largest = body.add('ReduceMax', ['row'], { keepdims: { int: 0 } });
  const isMarked = body.add('Cast', [body.add('Greater', [largest, 'million'])], { to: { int: 1 } });
  const mean = body.add('ReduceMean', ['row'], { axes: { ints: [0] }, keepdims: { int: 1 } });
  const distance = body.add('Mul', [isMarked, body.add('Sub', [mean, 'row'])]);
  body.output(body.add('Sub', ['row', distance], {}, 'row_next'), 'FP32', ['batch', WIDTH]);
  const graph = new OnnxGraph('marked');
  const x = graph.input('x', 'FP32', ['batch', WIDTH]);
  graph.constant('million', 'FP32', [], Float32Array.of(1e6));
  graph.constant('once', 'INT64', [], BigInt64Array.of(1n));
  graph.output(graph.add('Loop', ['once', '', x], { body: { graph: body } }, 'y'), 'FP32', ['batch', WIDTH]);
  return graph;
}

/** Zeros behind them. */
function rowOf(values: readonly number[]): Float32Array<ArrayBuffer> {
  const row = new Float32Array(WIDTH);
  row.set(values);
  return row;
}

/** Ids that begin at 100, which the arithmetic before the look-up hides. `id` i64 [batch, 1] → `row` f32 [batch, 1]: 100 is 0.5. */
function offsetIds(): OnnxGraph {
  const graph = new OnnxGraph('offset_ids');
  graph.constant('table', 'FP32', [3], Float32Array.of(0.5, 1.5, 2.5));
  graph.constant('first', 'INT64', [], BigInt64Array.of(100n));
  const index = graph.add('Sub', [graph.input('id', 'INT64', ['batch', 1]), 'first']);
  graph.output(graph.add('Gather', ['table', index], {}, 'row'), 'FP32', ['batch', 1]);
  return graph;
}

async function maxBatchOf(server: RunningServer, model: string): Promise<unknown> {
  return (await http(`${server.rest}/v2/models/${model}/config`)).json['max_batch_size'];
}

describe('a model whose graph does not tell whether rows are independent', () => {
  it('is tried, batched, and audited: a batch that was wrong turns batching off, loudly, and answers are right again', async () => {
    const server = await bench.serve(bench.model('marked', coupledByMarker()), [
      ...['--no-refine', '--instances', '1', ...PATIENT],
    ]);
    expect(server.banner).toMatch(/batches of up to 16; tried, and audited while it serves \(Loop .*not followed\)/);
    const send = (values: readonly number[]) =>
      inferBinary(server, 'marked', [floatTensor('x', [1, WIDTH], rowOf(values))], { sloMs: 60_000 });
    // They wait for the one before together, and so share a batch.
    const [worker] = server.workers();
    process.kill(worker!, 'SIGSTOP');
    const started = async () => (await scrape(server)).sum('sponge_batch_size_sum');
    const startedBefore = await started();
    const before = send([1, 2, 3, 4]);
    await eventually('the one before', async () => (await started()) === startedBefore + 1);
    const together = Promise.all([send([1, 2, 3, 4]), send([MARKER, 0, 0, 0]), send([5, 6, 7, 8])]);
    await eventually('all to wait', async () => (await queueDepth(server)) === 3);
    process.kill(worker!, 'SIGCONT');
    await before;
    const sizes = (await together).map(({ json }) => json.parameters?.['sponge_batch']);
    expect(Math.max(...sizes.map(Number))).toBeGreaterThan(1);

    const audits = async () => (await scrape(server)).sum('sponge_batch_audits_total', { result: 'different' });
    await eventually('the audit', async () => (await scrape(server)).names.has('sponge_batch_audits_total'));
    await eventually('what it found', async () => (await audits()) === 1);
    await eventually('the log', () => server.log.includes('BATCHING TURNED OFF'));
    expect(await maxBatchOf(server, 'marked')).toBe(0);
    for (const { json } of await Promise.all([send([1, 2, 3, 4]), send([MARKER, 0, 0, 0])])) {
      expect(json.parameters?.['sponge_batch']).toBe(1);
    }
    const [alone] = binaryOutputs(await send([MARKER, 0, 0, 0]));
    expect(floatsOf(alone!)).toEqual(rowOf([MARKER, 0, 0, 0]));
    await server.stop();
  });

  it('is batched or not as the operator says, who is told what was found', async () => {
    const repository = bench.repository('forced', { mean: coupledMean(), plain: identity('FP32') });
    writeFileSync(join(repository, 'mean', 'model.yaml'), 'batching: on\n');
    writeFileSync(join(repository, 'plain', 'model.yaml'), 'batching: off\n');
    const server = await bench.serve(repository, ['--no-refine']);
    await eventually('the log', () =>
      /batching is turned on, but requests of one batch change each other’s answers \(ReduceMean/.test(server.log),
    );
    expect(server.banner).toMatch(/mean version 1, READY\n +batches of up to 16; turned on, whatever the graph says/);
    expect(server.banner).toMatch(/plain version 1, READY\n +served one at a time: batching is turned off/);
    await server.stop();
  });
});

describe('a model that does not run on what nobody sent', () => {
  const id = (value: number) => [{ name: 'id', datatype: 'INT64', shape: [1, 1], data: [value] }] as const;

  it('is served all the same, says so, and is profiled by the first real request', async () => {
    const server = await bench.serve(bench.model('numbers', offsetIds()), ['--no-refine']);
    await eventually('the log', () =>
      /served without a profile, on all CPU, until a real request shows what it takes/.test(server.log),
    );
    const first = await infer(server, 'numbers', id(102), { sloMs: 60_000 });
    expect(first.status, first.json.error).toBe(200);
    expect(first.json.outputs?.[0]?.data).toEqual([2.5]);
    await eventually('its profile', () => server.log.includes('quick profile of'));
    expect((await infer(server, 'numbers', id(100), { sloMs: 60_000 })).json.outputs?.[0]?.data).toEqual([0.5]);
    await server.stop();
  });

  it.each(['--sample', 'sample:', 'samples/'])('is profiled at once with a sample by %s', async (way) => {
    const repository = bench.repository(`by-${way.replaceAll(/\W/g, '')}`, { numbers: offsetIds() });
    const folder = join(repository, 'numbers');
    const request = JSON.stringify({ inputs: id(101) });
    const path = bench.file(
      `by-${way.replaceAll(/\W/g, '')}/numbers/${way === 'samples/' ? 'samples/' : ''}one.json`,
      request,
    );
    if (way === 'sample:') writeFileSync(join(folder, 'model.yaml'), 'sample: one.json\n');
    const server = await bench.serve(repository, ['--no-refine', ...(way === '--sample' ? ['--sample', path] : [])]);
    expect(server.banner).toMatch(/quick profile of/);
    await server.stop();
  });

  it('says in one line what is wrong with a sample', async () => {
    const path = bench.file(
      'wrong.json',
      JSON.stringify({ inputs: [{ name: 'ids', datatype: 'INT64', shape: [1, 1], data: [101] }] }),
    );
    const { code, stderr } = await bench.serveFailing(bench.model('wanting', offsetIds()), ['--sample', path]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/sample .*wrong\.json: the model has no input 'ids'; it has 'id'/);
  });
});

describe('a repository of which one model cannot be loaded', () => {
  it('serves the others, and names it with its reason', async () => {
    bench.repository('mixed', { simple: simple() });
    bench.file('mixed/torn/1/model.onnx', Buffer.alloc(100, 1));
    const server = await bench.serve(bench.path('mixed'), ['--no-refine']);
    expect(server.banner).toMatch(/torn version 1, NOT SERVED\n +cannot load .*not an ONNX model, or damaged/);
    await eventually('the log', () => /torn.* not served: cannot load/.test(server.log));
    const index = await http(`${server.rest}/v2/repository/index`, { method: 'POST', body: '{}' });
    expect(JSON.stringify(index.json)).toMatch(/"name":"torn".*"state":"UNAVAILABLE","reason":"cannot load/);
    expect((await http(`${server.rest}/v2/health/ready`)).status).toBe(200);
    expect((await http(`${server.rest}/v2/models/torn/ready`)).status).toBe(503);
    const refused = await infer(server, 'torn', [{ name: 'x', datatype: 'FP32', shape: [1], data: [1] }], {});
    expect([refused.status, refused.json.error]).toEqual([
      503,
      expect.stringContaining("model 'torn' is UNAVAILABLE: cannot load"),
    ]);
    const ones = Array.from({ length: 16 }, () => 1);
    const inputs = ['INPUT0', 'INPUT1'].map((name) => ({
      name,
      datatype: 'INT32' as const,
      shape: [1, 16],
      data: ones,
    }));
    expect((await infer(server, 'simple', inputs, {})).status).toBe(200);
    await server.stop();
  });

  it('serves none under --strict, and names all that failed, each with its reason', async () => {
    bench.repository('strict', { simple: simple() });
    bench.file('strict/torn/1/model.onnx', Buffer.alloc(100, 1));
    bench.file('strict/empty/1/model.onnx', '');
    const { code, stderr } = await bench.serveFailing(bench.path('strict'), ['--no-refine', '--strict']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/torn.*: cannot load .*not an ONNX model, or damaged/);
    expect(stderr).toMatch(/empty.*: cannot load /);
    expect(stderr).toContain('(without --strict the others would be served)');
    expect(stderr).not.toMatch(/\n +at /);
  });
});

describe('a model that takes long', () => {
  it('is ready after few runs, and is not refined: a request might wait for the end of one', async () => {
    const model = bench.model('long', slow(await slowStepsFor(1000)));
    const server = await bench.serve(model);
    expect(server.banner, server.log).toMatch(/quick profile of/);
    await eventually('the log', () => /the quick profile is not refined: a run takes \d+ ms/.test(server.log));
    const { cells } = JSON.parse(readFileSync(model.replace('.onnx', '.profile.json'), 'utf8')) as Profile;
    const samplesMs = cells.flatMap((cell) => cell.samplesMs);
    const beforeLastMs = samplesMs.reduce((sum, each) => sum + each, 0) - Math.max(...samplesMs);
    if (samplesMs.length > LEAST_RUNS) expect(beforeLastMs).toBeLessThanOrEqual(MOST_MS);
    await server.stop();
  });
});
