import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { residualNetwork } from '../../research/load-models/load-models.js';
import { identity, slow, SLOW_WIDTH } from '../../research/load-models/tiny-graphs.js';
import { Runtime } from '../../src/server/onnx-runtime/runtime.js';
import { shapesFromSignature } from '../../src/server/served/shape-class.js';
import { tryBatching } from '../../src/server/workers/batch-trial.js';
import type { ProcessPool } from '../../src/server/workers/process-pool.js';
import { WorkerLostError } from '../../src/server/workers/synthetic-load.js';
import { NoiseSamples } from '../../src/server/workers/samples.js';
import type { SyntheticRun } from '../../src/server/workers/synthetic-load.js';
import { untilComputing } from './server/mid-run.js';
import { ModelLoadError } from '../../src/server/workers/worker-supervisor.js';
import {
  eventsOf,
  float32,
  isAlive,
  requestOf,
  run,
  stage,
  start,
  WORKER_ENTRY,
  WorkerBench,
} from './worker-fixture.js';

const bench = new WorkerBench();
afterAll(() => bench.close());

const x = float32('x', [1, 4], [1, 2, 3, 4]);
const wide = float32('x', [1, SLOW_WIDTH], new Float32Array(SLOW_WIDTH));
/** A batch of it is still running whenever a test looks. */
const endless = slow(Number.MAX_SAFE_INTEGER);

function oneRow({ signature }: ProcessPool): SyntheticRun {
  return { samples: new NoiseSamples(signature, { x: [1, SLOW_WIDTH] }), batchSize: 1, threadCount: 1 };
}

describe('a worker process', () => {
  it('killed in the middle of a batch: the batch ends, the loss is reported, then a new process is ready', async () => {
    const spawned: number[] = [];
    const pool = await bench.pool(bench.modelFile(endless), { onSpawn: (pid) => spawned.push(pid) });
    const { events, next } = eventsOf(pool);
    await stage(pool, requestOf(1, [wide]));
    const order: string[] = [];
    const lost = next('lost').then(() => order.push('lost'));
    const result = start(pool, [1]).finally(() => order.push('result'));
    const ready = next('ready');
    process.kill(pool.pid, 'SIGKILL');
    expect(await result).toEqual({ kind: 'worker-lost', message: 'the worker process was killed by SIGKILL' });
    await lost;
    expect(order).toEqual(['result', 'lost']);
    await ready;
    expect(events.map(({ kind }) => kind)).toEqual(['lost', 'ready']);
    expect(events[0]).toMatchObject({ restartEstimateMs: expect.any(Number) as unknown });
    expect(spawned).toEqual([expect.any(Number), pool.pid]);
    // Nothing is staged any more, and staging works again.
    await stage(pool, requestOf(1, [wide]));
    await pool.close();
  });

  it('is loaded again from the bytes that were loaded first, or not at all', async () => {
    const path = bench.modelFile(slow(3), 'replaced.onnx');
    const original = readFileSync(path);
    const log: string[] = [];
    const pool = await bench.pool(path, { onLog: (line) => log.push(line) });
    const { events, next } = eventsOf(pool);
    // The same inputs and outputs, and another answer.
    writeFileSync(path, slow(4).toModel());
    const lost = next('lost');
    process.kill(pool.pid, 'SIGKILL');
    await lost;
    while (!log.some((line) => line.includes('replaced.onnx changed on disk since it was loaded'))) await delay(20);
    expect(events.map(({ kind }) => kind)).not.toContain('ready');
    const ready = next('ready');
    writeFileSync(path, original);
    await ready;
    const [rolled] = await run(pool, [
      [
        float32(
          'x',
          [1, SLOW_WIDTH],
          Array.from({ length: SLOW_WIDTH }, (_, i) => i),
        ),
      ],
    ]);
    expect(new Float32Array(rolled![0]!.data.slice().buffer)[3]).toBe(0);
    await pool.close();
  });

  it('that hangs is replaced', async () => {
    const pool = await bench.pool(bench.modelFile(identity('FP32')));
    const { events, next } = eventsOf(pool);
    const { pid } = pool;
    await stage(pool, requestOf(1, [x]));
    process.kill(pid, 'SIGSTOP');
    const result = start(pool, [1]);
    let isInsideCall = true;
    void result.then(() => expect(isInsideCall).toBe(false));
    const ready = next('ready');
    pool.replace('no answer for 5 s');
    isInsideCall = false;
    expect(await result).toEqual({ kind: 'worker-lost', message: 'no answer for 5 s' });
    await ready;
    expect(events.map(({ kind }) => kind)).toEqual(['lost', 'ready']);
    expect(isAlive(pid)).toBe(false);
    expect(await run(pool, [[x]])).toHaveLength(1);
    await pool.close();
  });

  it('that stands still in a synthetic run is replaced, and the run fails', async () => {
    const pool = await bench.pool(bench.modelFile(endless), { runLimits: { standstillMs: 1000, maxRunMs: 60_000 } });
    const { events, next } = eventsOf(pool);
    const { pid } = pool;
    const ready = next('ready');
    const running = pool.runSynthetic(oneRow(pool));
    const message = 'the run hung: it used no CPU for 1000 ms';
    const failed = expect(running).rejects.toThrow(message);
    await untilComputing(pid);
    // It computes, and so is not taken for hung beyond the standstill time.
    await delay(1500);
    expect(events).toEqual([]);
    process.kill(pid, 'SIGSTOP');
    await failed;
    await ready;
    expect(events.map(({ kind }) => kind)).toEqual(['lost', 'ready']);
    expect(isAlive(pid)).toBe(false);
    await pool.close();
  });

  it('that stands still in a synthetic run is ended by closing its pool, and the run fails', async () => {
    const pool = await bench.pool(bench.modelFile(endless));
    const running = pool.runSynthetic(oneRow(pool));
    const failed = expect(running).rejects.toThrow('the worker was stopped');
    await untilComputing(pool.pid);
    process.kill(pool.pid, 'SIGSTOP');
    await pool.close();
    await failed;
  });

  it('keeps answering by the weights that it loaded when their file is written to in place', async () => {
    const path = bench.modelFile(
      residualNetwork({ stageChannels: [8, 16], blocksPerStage: 1, pictureSize: 32, classCount: 10 }),
    );
    const runtime = new Runtime();
    // ONNX Runtime writes the weights to a file beside the model's.
    const split = path.replace('.onnx', '-split.onnx');
    await runtime.createOptimizingSession(path, split, 'split.bin', 16);
    const weights = join(dirname(split), 'split.bin');
    const pool = await bench.pool(split);
    expect(pool.facts.files.map((file) => file.path)).toEqual([split, weights]);
    const [input] = new NoiseSamples(pool.signature, shapesFromSignature(pool.signature)!, []).at(1);
    const [before] = await run(pool, [[input!]]);
    writeFileSync(weights, Buffer.alloc(statSync(weights).size));
    const [after] = await run(pool, [[input!]]);
    expect(after![0]!.data).toEqual(before![0]!.data);
    expect(
      readdirSync(tmpdir()).filter((name) => name.startsWith('sponge-weights-') && name.includes(`-${pool.pid}-`)),
    ).toEqual([]);
    await pool.close();
  });

  it('that dies while it is probed fails the probe as nothing else does: it may have died of it', async () => {
    const pool = await bench.pool(bench.modelFile(endless));
    const samples = new NoiseSamples(pool.signature, { x: [1, SLOW_WIDTH] });
    const probing = tryBatching(samples, (batch) => pool.runBatch(batch));
    const failed = expect(probing).rejects.toThrow(new WorkerLostError('the worker process was killed by SIGKILL'));
    await untilComputing(pool.pid);
    process.kill(pool.pid, 'SIGKILL');
    await failed;
    await pool.close();
  });

  it('that not even SIGKILL can end yet is reported as lost at once', async () => {
    const freezer = `/sys/fs/cgroup/freezer/sponge-test-${process.pid}`;
    try {
      mkdirSync(freezer);
    } catch (error) {
      console.warn(`SKIPPED freezing a worker: no right to make a cgroup v1 freezer here (${String(error)})`);
      return;
    }
    const pool = await bench.pool(bench.modelFile(endless));
    const { pid } = pool;
    const setState = (state: string): void => writeFileSync(`${freezer}/freezer.state`, state);
    try {
      writeFileSync(`${freezer}/cgroup.procs`, String(pid));
      const running = pool.runSynthetic(oneRow(pool));
      const failed = expect(running).rejects.toThrow('the worker was stopped');
      await untilComputing(pid);
      setState('FROZEN');
      const closing = pool.close();
      await failed;
      expect(isAlive(pid)).toBe(true);
      setState('THAWED');
      await closing;
      expect(isAlive(pid)).toBe(false);
    } finally {
      setState('THAWED');
      await pool.close();
      rmdirSync(freezer);
    }
  });

  it('is started again and again, with growing delays, while its model file is missing', async () => {
    const modelPath = bench.modelFile(identity('FP32'), 'moving.onnx');
    const log: string[] = [];
    const pool = await bench.pool(modelPath, { onLog: (line) => log.push(line) });
    const { events, next } = eventsOf(pool);
    rmSync(modelPath);
    const ready = next('ready');
    process.kill(pool.pid, 'SIGKILL');
    await next('lost');
    await next('lost');
    bench.modelFile(identity('FP32'), 'moving.onnx');
    await ready;
    expect(events.at(-1)).toEqual({ kind: 'ready' });
    expect(log[0]).toBe('worker lost: the worker process was killed by SIGKILL; starting it again in 0 ms');
    expect(log[1]).toBe(
      `worker lost: cannot load ${modelPath}: no such file; check the path; starting it again in 100 ms`,
    );
    await pool.close();
  });

  it('ignores the signals that are meant for its router', async () => {
    const pool = await bench.pool(bench.modelFile(identity('FP32')));
    const { events } = eventsOf(pool);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(pool.pid, signal);
    expect(await run(pool, [[x]])).toHaveLength(1);
    expect(events).toEqual([]);
    await pool.close();
  });

  it('gets only the variables it needs of the environment', async () => {
    const pool = await bench.pool(bench.modelFile(identity('FP32')));
    const names = readFileSync(`/proc/${pool.pid}/environ`, 'utf8')
      .split('\0')
      .filter(Boolean)
      .map((entry) => entry.split('=')[0]);
    expect(Object.keys(process.env)).toContain('VITEST');
    expect(
      names.filter((name) => !['PATH', 'LD_LIBRARY_PATH', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'].includes(name!)),
    ).toEqual(['ORT_DISABLE_TELEMETRY', 'UV_THREADPOOL_SIZE']);
    await pool.close();
  });

  it('is gone when its pool is closed, even in the middle of a batch', async () => {
    const pool = await bench.pool(bench.modelFile(endless));
    const { events } = eventsOf(pool);
    const { pid } = pool;
    await stage(pool, requestOf(1, [wide]));
    const result = start(pool, [1]);
    await pool.close();
    expect(await result).toEqual({ kind: 'worker-lost', message: 'the worker was stopped' });
    expect(isAlive(pid)).toBe(false);
    expect(events).toEqual([]);
  });

  it('is gone within 1 s of its router, killed in the middle of a batch', async () => {
    const modulePath = new URL('./process-pool.js', WORKER_ENTRY).href;
    const spawnedAtMs = performance.now();
    const router = spawn(process.execPath, ['--input-type=module', '--eval', routerScript(modulePath)], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, MODEL_PATH: bench.modelFile(endless) },
    });
    const [line] = (await once(createInterface({ input: router.stdout }), 'line')) as [string];
    const startMs = performance.now() - spawnedAtMs;
    const workerPid = Number(line);
    expect(isAlive(workerPid)).toBe(true);
    await untilComputing(workerPid);
    router.kill('SIGKILL');
    const killedAtMs = performance.now();
    // A second is promised; a machine on which it took the router longer than that to start takes longer for this too.
    const mostMs = Math.max(1000, startMs);
    while (isAlive(workerPid) && performance.now() - killedAtMs < mostMs) await delay(10);
    expect(isAlive(workerPid)).toBe(false);
  });
});

describe('a worker process that cannot be relied on', () => {
  it.each([
    ['dies while it starts', 'process.exit(3)', 'the worker process exited with code 3'],
    [
      'sends nonsense',
      'fs.writeSync(3, Buffer.alloc(16, 0xff)); setInterval(() => {}, 1000)',
      'the connection to the worker broke: frame of 4294967295 bytes exceeds 1073741824',
    ],
  ])('because it %s is ended, and says why', async (_, script, message) => {
    const entry = bench.file(`import fs from 'node:fs'; ${script};`, 'worker.mjs');
    const starting = bench.pool(bench.modelFile(identity('FP32')), { entryUrl: pathToFileURL(entry) });
    await expect(starting).rejects.toThrow(new ModelLoadError(message));
  });
});

/** Starts a pool and a batch, then prints the worker's pid. */
function routerScript(modulePath: string): string {
  return `
    import { startProcessPool } from '${modulePath}';
    const pool = await startProcessPool({
      modelPath: process.env.MODEL_PATH, threadCounts: [1], joins: [{ kind: 'none' }], maxBatchSize: 1,
      nowMs: () => performance.now(), onLog: () => undefined,
    });
    const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, ${SLOW_WIDTH}], data: new Uint8Array(${SLOW_WIDTH * 4}) }];
    pool.stage({ sequence: 1, inputs, outputNames: [] }, () => {
      pool.start({ batchId: 1, sequences: [1], threadCount: 1 }, () => undefined);
      console.log(pool.pid);
    });`;
}

describe('a model that does not load', () => {
  it.each([
    ['is missing', '/nowhere/model.onnx', 'cannot load /nowhere/model.onnx: no such file; check the path'],
    ['is a folder', '/tmp', 'cannot load /tmp: a directory, not a model file; name the .onnx file in it'],
  ])('because it %s fails in one line', async (_, modelPath, message) => {
    await expect(bench.pool(modelPath)).rejects.toThrow(new ModelLoadError(message));
  });

  it('because it is damaged fails in one line, and is not tried again', async () => {
    const modelPath = bench.file('not a model', 'damaged.onnx');
    const log: string[] = [];
    const problem = `cannot load ${modelPath}: not an ONNX model, or damaged; export or download it again`;
    const starting = bench.pool(modelPath, { onLog: (line) => log.push(line) });
    await expect(starting).rejects.toThrow(new ModelLoadError(problem));
    expect(log).toEqual([]);
  });

  it('because its CPU group is gone fails in one line', async () => {
    const gone = { kind: 'cgroup-v1', taskFiles: ['/nowhere/tasks'] } as const;
    const starting = bench.pool(bench.modelFile(identity('FP32')), { joins: [{ kind: 'none' }, gone] });
    await expect(starting).rejects.toThrow(/^cannot join the CPU group through \/nowhere\/tasks: ENOENT/);
  });

  it('in time counts as failed', async () => {
    const starting = bench.pool(bench.modelFile(identity('FP32')), { startTimeoutMs: 1 });
    await expect(starting).rejects.toThrow(/not ready after 1 ms/);
  });
});
