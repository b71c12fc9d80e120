import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import { lookup, SLOW_WIDTH, slow } from '../../../research/load-models/tiny-graphs.js';
import type { Tensor } from '../../../src/scheduler/domain/tensor.js';
import type { Profile } from '../../../src/scheduler/perf-model/profile.js';
import {
  batchesStarted,
  binaryOutputs,
  floatsOf,
  floatTensor,
  GrpcClient,
  grpcRequest,
  infer,
  inferBinary,
  parameterOf,
  scrape,
  slowInput,
  slowPlace,
  type InferOptions,
  type Reply,
} from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';
import { slowStepsFor } from './machine-speed.js';
import { holdRun, PATIENT } from './mid-run.js';

/** 0.3 s on one core. */
const STEPS = await slowStepsFor(300);

const bench = new TestBench();
afterAll(() => bench.close());

const rolled = (place: number): number => (place + STEPS) % SLOW_WIDTH;

describe('a batch of four', () => {
  let server: RunningServer;
  let grpc: GrpcClient;

  beforeAll(async () => {
    // A fixed allocation waits for its batch to be full, so that each four requests are one batch.
    const repository = bench.repository('models', { slow: slow(STEPS), lookup: lookup() });
    const policy = ['--policy', 'static', '--cpu', '1', '--batch', '4', '--max-batch', '4', '--no-refine', ...PATIENT];
    server = await bench.serve(repository, policy);
    grpc = new GrpcClient(server);
  });
  afterAll(() => grpc.close());

  const sendSlow = (place: number, options: InferOptions = {}): Promise<Reply> =>
    inferBinary(server, 'slow', [slowInput(place)], { id: `slow-${place}`, sloMs: 30_000, ...options });

  const expectOwnAnswer = (reply: Reply, place: number, batchSize: number): void => {
    expect(reply.status, reply.json.error).toBe(200);
    expect(reply.json.id).toBe(`slow-${place}`);
    expect(reply.json.parameters?.['sponge_batch']).toBe(batchSize);
    expect(slowPlace(reply)).toBe(rolled(place));
  };

  it('really forms, and gives each request its own answer', async () => {
    const before = await scrape(server);
    const places = [3, 5, 8, 13];
    const replies = await Promise.all(places.map((place) => sendSlow(place)));
    for (const [i, place] of places.entries()) expectOwnAnswer(replies[i]!, place, 4);
    const after = await scrape(server);
    const grown = (name: string): number => after.sum(name, { model: 'slow' }) - before.sum(name, { model: 'slow' });
    expect([grown('sponge_batch_size_count'), grown('sponge_batch_size_sum')]).toEqual([1, 4]);
    expect([grown('nv_inference_exec_count'), grown('nv_inference_count')]).toEqual([1, 4]);
  });

  it.each(['REST', 'gRPC'])('survives that one of its clients leaves while it runs (%s)', async (protocol) => {
    const mates = [21, 34, 55];
    let before = await scrape(server);
    let leave: () => void = () => undefined;
    let leaving = Promise.resolve('');
    const batch = await holdRun(server, async () => {
      before = await scrape(server);
      const departure = new AbortController();
      leave = () => departure.abort();
      leaving =
        protocol === 'REST'
          ? sendSlow(1, { signal: departure.signal }).then(
              () => 'answered',
              () => 'left',
            )
          : grpc
              .infer(grpcRequest('slow', [slowInput(1)]), {
                deadlineMs: 30_000,
                onStarted: (call) => (leave = () => call.cancel()),
              })
              .then(({ error }) => (Number(error?.code) === 1 ? 'left' : 'answered'));
      return Promise.all(mates.map((place) => sendSlow(place)));
    });
    leave();
    expect(await leaving).toBe('left');
    const cancelledSince = async (): Promise<number> => {
      const labels = { model: 'slow', outcome: 'cancelled' };
      return (await scrape(server)).sum('sponge_outcomes_total', labels) - before.sum('sponge_outcomes_total', labels);
    };
    await eventually('the server to know', async () => (await cancelledSince()) === 1);
    batch.release();
    for (const [i, reply] of (await batch.answer).entries()) expectOwnAnswer(reply, mates[i]!, 4);
    expect(await cancelledSince()).toBe(1);
    const after = await scrape(server);
    expect(
      after.sum('sponge_batch_size_count', { model: 'slow' }) -
        before.sum('sponge_batch_size_count', { model: 'slow' }),
    ).toBe(1);
  });

  it('loses only the request that breaks it: its mates are run again, each alone', async () => {
    const before = await scrape(server);
    const indices = [2, 999, 5, 7];
    const replies = await Promise.all(
      indices.map((index) =>
        infer(server, 'lookup', [{ name: 'index', datatype: 'INT64', shape: [1, 1], data: [index] }], {
          id: `row-${index}`,
          sloMs: 30_000,
        }),
      ),
    );
    for (const [i, index] of indices.entries()) {
      const { status, json } = replies[i]!;
      if (index === 999) {
        expect([status, json.reason]).toEqual([500, 'backend']);
        expect(json.error).toMatch(/indices element out of data bounds/);
        continue;
      }
      expect(status, json.error).toBe(200);
      expect(json.id).toBe(`row-${index}`);
      expect(json.outputs?.[0]?.data).toEqual([index, index * index]);
      expect(json.parameters?.['sponge_batch']).toBe(1);
    }
    const after = await scrape(server);
    const broken = { model: 'lookup', result: 'backend-error' };
    // The batch of four, and the poisonous request alone.
    expect(after.sum('sponge_batches_total', broken) - before.sum('sponge_batches_total', broken)).toBe(2);
    const failed = { model: 'lookup', outcome: 'failed', reason: 'backend' };
    expect(after.sum('sponge_outcomes_total', failed) - before.sum('sponge_outcomes_total', failed)).toBe(1);
    expect(server.workers()).toHaveLength(2);
  });
});

/** Takes as long as a run of `slow`, whatever the batch, and returns its input. `x` f32 [batch, 1024] → `y`. */
function costOfOne(stepCount: number): OnnxGraph {
  const body = new OnnxGraph('cost_of_one.body');
  body.input('step', 'INT64', []);
  body.input('proceed', 'BOOL', []);
  body.input('row', 'FP32', [1, SLOW_WIDTH]);
  body.output(body.add('Identity', ['proceed'], {}, 'proceed_next'), 'BOOL', []);
  body.output(body.add('MatMul', ['row', 'nothing'], {}, 'row_next'), 'FP32', [1, SLOW_WIDTH]);

  const graph = new OnnxGraph('cost_of_one');
  const x = graph.input('x', 'FP32', ['batch', SLOW_WIDTH]);
  graph.constant('nothing', 'FP32', [SLOW_WIDTH, SLOW_WIDTH], new Float32Array(SLOW_WIDTH * SLOW_WIDTH));
  graph.constant('zeros', 'FP32', [1, SLOW_WIDTH], new Float32Array(SLOW_WIDTH));
  graph.constant('step_count', 'INT64', [], BigInt64Array.of(BigInt(stepCount)));
  const zeros = graph.add('Loop', ['step_count', '', 'zeros'], { body: { graph: body } });
  graph.output(graph.add('Add', [x, zeros], {}, 'y'), 'FP32', ['batch', SLOW_WIDTH]);
  return graph;
}

/** What a quick profile would say of such a model on a machine where nobody else disturbs it: every batch takes what one takes. */
function withBatchesAsOne(profile: Profile): Profile {
  const ofOne = profile.cells.find(({ batchSize }) => batchSize === 1)!;
  return { ...profile, cells: profile.cells.map((cell) => ({ ...ofOne, batchSize: cell.batchSize })) };
}

describe('deadlines that only batches can meet', () => {
  it('make the planner batch, and everyone gets their own answer in time', async () => {
    // One core for good: more CPU is no way out.
    const flags = ['--min-cores', '1', '--max-cores', '1', '--no-refine', '--group', `${bench.group}-b`];
    const model = bench.model('slow', costOfOne(STEPS));
    const first = await bench.serve(model, flags);
    await first.stop();
    const profilePath = model.replace('.onnx', '.profile.json');
    const profile = JSON.parse(readFileSync(profilePath, 'utf8')) as Profile;
    writeFileSync(profilePath, JSON.stringify(withBatchesAsOne(profile)));
    const server = await bench.serve(model, flags);
    const grpc = new GrpcClient(server);
    const alone = await inferBinary(server, 'slow', [slowInput(0)], { sloMs: 60_000 });
    const plannedMs = Number(alone.json.parameters?.['sponge_planned_us']) / 1000;

    const before = await batchesStarted(server);
    const blocker = inferBinary(server, 'slow', [slowInput(0)], { sloMs: 60_000 });
    await eventually('the first batch to start', async () => (await batchesStarted(server)) === before + 1);
    // One after the other would take 1 + 8 planned latencies; all in one batch, 2.
    const sloMs = 6 * plannedMs;
    const places = [1, 2, 3, 4, 5, 6, 7];
    const replies = places.map((place) => inferBinary(server, 'slow', [slowInput(place)], { sloMs }));
    const viaGrpc = grpc.infer(grpcRequest('slow', [slowInput(8)]), { deadlineMs: sloMs });
    await blocker;
    const sizes: number[] = [];
    for (const [i, reply] of (await Promise.all(replies)).entries()) {
      expect(reply.status, reply.json.error).toBe(200);
      expect(slowPlace(reply)).toBe(places[i]!);
      sizes.push(Number(reply.json.parameters?.['sponge_batch']));
    }
    const { error, response } = await viaGrpc;
    expect(error).toBeNull();
    sizes.push(Number(parameterOf(response, 'sponge_batch')));
    expect(Math.max(...sizes)).toBeGreaterThanOrEqual(2);
    expect((await batchesStarted(server)) - before, 'fewer batches than requests').toBeLessThan(9);
    grpc.close();
  });
});

describe('requests of several rows', () => {
  const ROLL = 3;
  const rowsInput = (rowCount: number): Tensor => {
    const values = new Float32Array(rowCount * SLOW_WIDTH);
    for (let row = 0; row < rowCount; row++) values[row * SLOW_WIDTH + row] = 1;
    return floatTensor('x', [rowCount, SLOW_WIDTH], values);
  };
  /** Row i comes back with its 1 at i + 3. */
  const expectRolled = (reply: Reply, rowCount: number): void => {
    expect(reply.status, reply.json.error).toBe(200);
    const [output] = binaryOutputs(reply);
    expect(output!.shape).toEqual([rowCount, SLOW_WIDTH]);
    const values = floatsOf(output!);
    const ones = [...values.keys()].filter((index) => values[index] === 1);
    expect(ones).toEqual(Array.from({ length: rowCount }, (_, row) => row * SLOW_WIDTH + row + ROLL));
    expect(values.reduce((sum, value) => sum + Math.abs(value), 0)).toBe(rowCount);
  };
  const send = (server: RunningServer, model: string, rowCount: number): Promise<Reply> =>
    inferBinary(server, model, [rowsInput(rowCount)], { sloMs: 60_000 });

  it('count by rows against the largest batch and in statistics; more than our own limit runs alone', async () => {
    const server = await bench.serve(bench.model('rows', slow(ROLL)), ['--no-refine']);
    const before = await scrape(server);
    const replies = await Promise.all(Array.from({ length: 64 }, () => send(server, 'rows', 8)));
    for (const reply of replies) {
      expectRolled(reply, 8);
      // 16 rows at most: two requests of eight.
      expect(Number(reply.json.parameters?.['sponge_batch'])).toBeLessThanOrEqual(2);
    }
    expectRolled(await send(server, 'rows', 17), 17);
    const after = await scrape(server);
    const grown = (name: string): number => after.sum(name, { model: 'rows' }) - before.sum(name, { model: 'rows' });
    expect(grown('nv_inference_count')).toBe(64 * 8 + 17);
    expect(grown('nv_inference_request_success')).toBe(65);
    expect(grown('nv_inference_exec_count')).toBeGreaterThanOrEqual(33);
  });

  it('are refused where they have more rows than was stated', async () => {
    const server = await bench.serve(bench.model('stated', slow(ROLL)), ['--no-refine', '--max-batch', '4']);
    expectRolled(await send(server, 'stated', 4), 4);
    const refused = await send(server, 'stated', 5);
    expect(refused.status).toBe(400);
    expect(refused.json.error).toContain("batch axis is 5, model 'stated' takes at most 4");
  });
});
