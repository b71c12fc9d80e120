import { readdirSync, readFileSync } from 'node:fs';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as tiny from '../../research/load-models/tiny-graphs.js';
import { tryBatching } from '../../src/server/workers/batch-trial.js';
import { NoiseSamples } from '../../src/server/workers/samples.js';
import { encodeStrings } from '../../src/scheduler/domain/bytes-elements.js';
import type { ProcessPool } from '../../src/server/workers/process-pool.js';
import { DATATYPES, ELEMENT_BYTES, type Datatype, type Tensor } from '../../src/scheduler/domain/tensor.js';
import { Prng } from '../../src/scheduler/random/prng.js';
import {
  float32,
  floatsOf,
  OCR_MODEL,
  outputsOf,
  requestOf,
  run,
  stage,
  start,
  WorkerBench,
} from './worker-fixture.js';

const bench = new WorkerBench();
afterAll(() => bench.close());

function randomLine(seed: number): Tensor {
  const prng = new Prng(seed);
  return float32(
    'x',
    [1, 3, 48, 320],
    Array.from({ length: 3 * 48 * 320 }, () => 2 * prng.uniform() - 1),
  );
}

describe('a worker with a real model', () => {
  let pool: ProcessPool;
  let direct: ort.InferenceSession;
  beforeAll(async () => {
    pool = await bench.pool(OCR_MODEL, { threadCounts: [1, 2] });
    direct = await ort.InferenceSession.create(OCR_MODEL, { intraOpNumThreads: 1 });
  });

  async function runDirectly(input: Tensor): Promise<Float32Array> {
    const feeds = { x: new ort.Tensor('float32', new Float32Array(input.data.buffer), input.shape) };
    return (await direct.run(feeds))[pool.signature.outputs[0]!.name]!.data as Float32Array;
  }

  it('says what the model takes and gives, and what it cost to load', () => {
    expect(pool.signature.inputs).toEqual([{ name: 'x', datatype: 'FP32', shape: [-1, 3, 48, -1] }]);
    expect(pool.signature.outputs).toMatchObject([{ datatype: 'FP32', shape: [-1, -1, 6625] }]);
    expect(pool.facts.onnxRuntimeVersion).toBe(ort.env.versions.common);
    // The weights alone are 10.8 MB.
    expect(pool.facts.residentBytes).toBeGreaterThan(10_800_000);
  });

  it('answers a single request as ONNX Runtime does, bit for bit', async () => {
    const line = randomLine(1);
    const [outputs] = await run(pool, [[line]]);
    expect(outputs![0]!.shape).toEqual([1, 40, 6625]);
    expect(Buffer.compare(outputs![0]!.data, new Uint8Array((await runDirectly(line)).buffer))).toBe(0);
  });

  it.each([1, 2])('gives each of four members its own answer, with %i threads', async (threadCount) => {
    const lines = [1, 2, 3, 4].map(randomLine);
    const outputs = await run(
      pool,
      lines.map((line) => [line]),
      threadCount,
    );
    for (const [slot, line] of lines.entries()) {
      const expected = await runDirectly(line);
      const actual = floatsOf(outputs[slot]![0]!);
      expect(actual).toHaveLength(expected.length);
      // Probabilities: 1e-4 is far above rounding and far below what a mixed-up member would show.
      expect(actual.findIndex((value, i) => !(Math.abs(value - expected[i]!) < 1e-4))).toBe(-1);
    }
  });

  it('is batchable, which allows the batch size that memory allows', () => {
    expect(pool.facts.batching).toEqual({ kind: 'independent' });
    expect(pool.maxBatchSize).toBe(1);
    pool.setBatchable(true);
    expect(pool.maxBatchSize).toBe(8);
  });

  it('times synthetic batches like a client would', async () => {
    const timing = await pool.runSynthetic({
      samples: new NoiseSamples(pool.signature, { x: [1, 3, 48, 320] }),
      batchSize: 3,
      threadCount: 2,
    });
    expect(timing.computeMs).toBeGreaterThan(0);
    expect(timing.latencyMs).toBeGreaterThan(timing.computeMs);
    pool.releaseSynthetic();
  });

  it('lets only the inference thread and those of ONNX Runtime into the CPU group', () => {
    // Threads inherit the name of the thread that made them: the inference thread itself and the one helper of
    // the session for two threads. ONNX Runtime’s telemetry would be one more.
    const tasks = `/proc/${pool.pid}/task`;
    const named = readdirSync(tasks).filter((tid) => readFileSync(`${tasks}/${tid}/comm`, 'utf8') === 'sponge-infer\n');
    expect(named).toHaveLength(2);
    expect(named).toContain(String(pool.inferenceTids[0]));
  });
});

/** `rows` rows of 4 random elements, and what they may not lose on the way. */
function randomRows(datatype: Datatype, rows: number, prng: Prng): Tensor {
  const shape = [rows, 4];
  if (datatype === 'BYTES') {
    const words = ['', 'a', 'née', '🧽'.repeat(20), 'line\nbreak'];
    return {
      name: 'x',
      datatype,
      shape,
      data: encodeStrings(Array.from({ length: rows * 4 }, () => words[prng.int(5)]!)),
    };
  }
  const data = new Uint8Array(rows * 4 * ELEMENT_BYTES[datatype]);
  for (let i = 0; i < data.byteLength; i++) data[i] = prng.int(datatype === 'BOOL' ? 2 : 256);
  return { name: 'x', datatype, shape, data };
}

describe('a worker', () => {
  it.each(DATATYPES)('carries %s unchanged, alone and in a batch of unequal row counts', async (datatype) => {
    const pool = await bench.pool(bench.modelFile(tiny.identity(datatype), `${datatype}.onnx`));
    const prng = new Prng(7);
    // Some go with their batch, one is staged before.
    const inputs = [1, 3, 3000, 0].map((rows) => randomRows(datatype, rows, prng));
    for (const members of [inputs.slice(0, 1), inputs]) {
      const outputs = await run(
        pool,
        members.map((input) => [input]),
      );
      expect(outputs.map((tensors) => tensors!.map((tensor) => ({ ...tensor, data: [...tensor.data] })))).toEqual(
        members.map((input) => [{ ...input, name: 'y', data: [...input.data] }]),
      );
    }
    await pool.close();
  });

  it('sends each member the outputs it asked for, in the order it asked', async () => {
    const pool = await bench.pool(bench.modelFile(tiny.simple()));
    const ones = (name: string): Tensor => {
      return { name, datatype: 'INT32', shape: [1, 16], data: new Uint8Array(new Int32Array(16).fill(1).buffer) };
    };
    const inputs = [ones('INPUT0'), ones('INPUT1')];
    await stage(pool, requestOf(0, inputs, ['OUTPUT1']));
    await stage(pool, requestOf(1, inputs, ['OUTPUT1', 'OUTPUT0']));
    const outputs = outputsOf(await start(pool, [0, 1]));
    expect(outputs.map((tensors) => tensors!.map(({ name }) => name))).toEqual([['OUTPUT1'], ['OUTPUT1', 'OUTPUT0']]);
    // 1 − 1 and 1 + 1.
    expect(outputs[1]!.map(({ data }) => data[0])).toEqual([0, 2]);
    await pool.close();
  });

  it('drops a member that leaves during the run and disturbs nobody', async () => {
    const pool = await bench.pool(bench.modelFile(tiny.slow(400)));
    const rowOf = (value: number): Tensor => {
      return float32(
        'x',
        [1, tiny.SLOW_WIDTH],
        Array.from({ length: tiny.SLOW_WIDTH }, (_, i) => (i === 0 ? value : 0)),
      );
    };
    await Promise.all([1, 2, 3].map((sequence) => stage(pool, requestOf(sequence, [rowOf(sequence)]))));
    const result = start(pool, [1, 2, 3]);
    pool.unstage(2);
    const outputs = outputsOf(await result);
    expect(outputs[1]).toBeNull();
    // 400 steps move element 0 to place 400.
    expect(floatsOf(outputs[0]![0]!).indexOf(1)).toBe(400);
    expect(floatsOf(outputs[2]![0]!).indexOf(3)).toBe(400);
    await pool.close();
  });

  it('survives a batch that the model refuses', async () => {
    const pool = await bench.pool(bench.modelFile(tiny.lookup()));
    const indexOf = (index: bigint): Tensor => {
      return { name: 'index', datatype: 'INT64', shape: [1, 1], data: new Uint8Array(BigInt64Array.of(index).buffer) };
    };
    await stage(pool, requestOf(1, [indexOf(8n)]));
    const refused = await start(pool, [1]);
    expect(refused).toMatchObject({ kind: 'backend-error', message: expect.stringContaining('Gather') as unknown });
    const [outputs] = await run(pool, [[indexOf(3n)]]);
    expect(floatsOf(outputs![0]!)).toEqual([3, 9]);
    await pool.close();
  });

  it('keeps inputs beyond its memory waiting in the router until room is made', async () => {
    // One request takes 4 × 1024 × 4 = 16 KiB, too much to go with its batch: there is room for two.
    const pool = await bench.pool(bench.modelFile(tiny.slow(1)), { maxStagedBytes: 32 * 1024, sharedBytes: 0 });
    const row = float32('x', [4, tiny.SLOW_WIDTH], new Float32Array(4 * tiny.SLOW_WIDTH));
    const staged: number[] = [];
    const all = [0, 1, 2, 3].map((sequence) =>
      stage(pool, requestOf(sequence, [row])).then(() => staged.push(sequence)),
    );
    await Promise.all(all.slice(0, 2));
    pool.unstage(2);
    outputsOf(await start(pool, [0, 1]));
    await all[3];
    expect(staged).toEqual([0, 1, 3]);
    await pool.close();
  });

  it('lets synthetic inputs and those of clients not wait for each other to make room', async () => {
    // Room for two requests of 16 KiB; four synthetic ones take none of it.
    const pool = await bench.pool(bench.modelFile(tiny.slow(1)), { maxStagedBytes: 32 * 1024, sharedBytes: 0 });
    const row = float32('x', [4, tiny.SLOW_WIDTH], new Float32Array(4 * tiny.SLOW_WIDTH));
    await Promise.all([0, 1].map((sequence) => stage(pool, requestOf(sequence, [row]))));
    const samples = new NoiseSamples(pool.signature, { x: [1, tiny.SLOW_WIDTH] });
    const synthetic = { samples, batchSize: 4, threadCount: 1 };
    expect((await pool.runSynthetic(synthetic)).computeMs).toBeGreaterThan(0);
    outputsOf(await start(pool, [0, 1]));
    await Promise.all([2, 3].map((sequence) => stage(pool, requestOf(sequence, [row]))));
    await pool.close();
  });

  it.each([
    ['a fixed first axis', tiny.fixedBatch(), "input 'x': it has no open first axis"],
    ['no axes', tiny.scalar(), "input 'x': it has no open first axis"],
    ['a softmax over the batch', tiny.coupledSoftmax(), 'Softmax'],
    ['a mean over the batch', tiny.coupledMean(), 'ReduceMean'],
  ])('with %s says why it cannot be batched', async (_, graph, reason) => {
    const pool = await bench.pool(bench.modelFile(graph));
    const { batching } = pool.facts;
    expect(batching.kind).toBe('coupled');
    expect(batching.kind === 'independent' ? '' : `${batching.node}: ${batching.reason}`).toContain(reason);
    expect(pool.maxBatchSize).toBe(1);
    await pool.close();
  });

  it.each([
    ['a softmax over the batch', tiny.coupledSoftmax(), 'coupled'],
    ['a mean over the batch', tiny.coupledMean(), 'coupled'],
    ['rows that have nothing to do with each other', tiny.anyLength(), 'passed'],
  ] as const)('with %s is found out by unlike rows', async (_, graph, kind) => {
    const pool = await bench.pool(bench.modelFile(graph));
    const samples = new NoiseSamples(pool.signature, { x: [1, 4] });
    expect(await tryBatching(samples, (batch) => pool.runBatch(batch))).toMatchObject({ kind });
    await pool.close();
  });

  it.each(['INT64', 'FP16', 'BF16', 'BYTES', 'BOOL'] as const)('of %s tensors passes unlike rows', async (datatype) => {
    const pool = await bench.pool(bench.modelFile(tiny.identity(datatype)));
    const samples = new NoiseSamples(pool.signature, { x: [1, 4] });
    expect(await tryBatching(samples, (batch) => pool.runBatch(batch))).toEqual({ kind: 'passed' });
    expect(() => new NoiseSamples(pool.signature, { x: [1, 5] })).toThrow(
      "input 'x' has the shape [-1, 4]; [1, 5] does not fit",
    );
    await pool.close();
  });
});
