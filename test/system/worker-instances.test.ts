import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { OnnxGraph } from '../../src/server/onnx/onnx-writer.js';
import { createScaler, type DetectedScaler } from '../../src/server/scalers/detect.js';
import type { JoinInstruction } from '../../src/server/scalers/join.js';
import type { ProcessPool } from '../../src/server/workers/process-pool.js';
import type { BatchResult } from '../../src/scheduler/dataplane/worker-pool.js';
import type { Tensor } from '../../src/scheduler/domain/tensor.js';
import { eventually } from './server/harness.js';
import {
  eventsOf,
  float32,
  floatsOf,
  isAlive,
  OCR_MODEL,
  outputsOf,
  requestOf,
  stage,
  WorkerBench,
} from './worker-fixture.js';

/* Several instances of a model as threads of one worker process. */

const bench = new WorkerBench();
afterAll(() => bench.close());

const joins = (count: number): { kind: 'none' }[] => Array.from({ length: count }, () => ({ kind: 'none' }));

/** Adds 1 to a row as often as a request says, a step an operator: `x` f32 [4], `steps` i64 [] → `y` = x + steps. */
function counting(): OnnxGraph {
  const body = new OnnxGraph('counting.body');
  body.input('step', 'INT64', []);
  body.input('proceed', 'BOOL', []);
  body.input('row', 'FP32', [4]);
  body.constant('one', 'FP32', [], Float32Array.of(1));
  body.output(body.add('Identity', ['proceed'], {}, 'proceed_next'), 'BOOL', []);
  body.output(body.add('Add', ['row', 'one'], {}, 'row_next'), 'FP32', [4]);
  const graph = new OnnxGraph('counting');
  const inputs = [graph.input('steps', 'INT64', []), '', graph.input('x', 'FP32', [4])];
  graph.output(graph.add('Loop', inputs, { body: { graph: body } }, 'y'), 'FP32', [4]);
  return graph;
}

const ENDLESS = 2n ** 60n;

function request(sequence: number, steps: bigint) {
  const data = new Uint8Array(BigInt64Array.of(steps).buffer);
  const count: Tensor = { name: 'steps', datatype: 'INT64', shape: [], data };
  return requestOf(sequence, [count, float32('x', [4], [sequence, 0, 0, 0])]);
}

let lastBatchId = 0;
let lastSequence = 0;

/** @returns the sequence, once the run has been started */
async function begin(
  pool: ProcessPool,
  instance: number,
  steps: bigint,
  threadCount = 1,
): Promise<{ readonly sequence: number; readonly result: Promise<BatchResult> }> {
  const sequence = ++lastSequence;
  await stage(pool, request(sequence, steps));
  const run = { batchId: ++lastBatchId, instance, sequences: [sequence], threadCount };
  return { sequence, result: new Promise((resolve) => pool.start(run, resolve)) };
}

/** Runs, and is right. */
async function expectAnswer(pool: ProcessPool, instance: number, steps: number, threadCount = 1): Promise<void> {
  const { sequence, result } = await begin(pool, instance, BigInt(steps), threadCount);
  const [outputs] = outputsOf(await result);
  expect(floatsOf(outputs![0]!)).toEqual([sequence + steps, steps, steps, steps]);
}

/** CPU time of one thread, ticks of 10 ms. */
function ticksOf(pool: ProcessPool, instance: number): number {
  const stat = readFileSync(`/proc/${pool.pid}/task/${pool.inferenceTids[instance]!}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

async function untilComputing(pool: ProcessPool, ...instances: number[]): Promise<void> {
  const from = instances.map((instance) => ticksOf(pool, instance));
  await eventually('the instances to compute', () =>
    instances.every((instance, i) => ticksOf(pool, instance) >= from[i]! + 3),
  );
}

describe('four instances in a worker process', () => {
  it('answer side by side, each on a thread of its own, with any of its sessions', async () => {
    const pool = await bench.pool(bench.modelFile(counting()), { joins: joins(4), threadCounts: [1, 2] });
    expect(pool.instanceCount).toBe(4);
    expect(new Set(pool.inferenceTids).size).toBe(4);
    const before = [0, 1, 2, 3].map((instance) => ticksOf(pool, instance));
    const client = async (instance: number): Promise<void> => {
      for (let i = 0; i < 200 || ticksOf(pool, instance) < before[instance]! + 3; i++)
        await expectAnswer(pool, instance, 100 + i, 1 + (i % 2));
    };
    await Promise.all([0, 1, 2, 3].map(client));
    const tasks = `/proc/${pool.pid}/task`;
    const named = readdirSync(tasks).filter((tid) => readFileSync(`${tasks}/${tid}/comm`, 'utf8') === 'sponge-infer\n');
    // One that runs, and the one helper of its session for two threads.
    expect(named).toHaveLength(8);
    expect(named).toEqual(expect.arrayContaining(pool.inferenceTids.map(String)));
    await pool.close();
  });

  it('are stopped one by one: by whoever waits, and by the limit', async () => {
    const runLimits = { standstillMs: 60_000, maxRunMs: 3000 };
    const pool = await bench.pool(bench.modelFile(counting()), { joins: joins(4), runLimits });
    const { events } = eventsOf(pool);
    const left = await begin(pool, 1, ENDLESS);
    const overrun = await begin(pool, 3, ENDLESS);
    await untilComputing(pool, 1, 3);
    pool.unstage(left.sequence);
    expect(await left.result).toEqual({ kind: 'aborted', message: 'all who waited for it have left' });
    await expectAnswer(pool, 1, 7);
    const ended: BatchResult[] = [];
    void overrun.result.then((result) => ended.push(result));
    for (let i = 0; ended.length === 0; i++) await expectAnswer(pool, i % 3, 1000);
    const message = 'the run took longer than 3000 ms and was stopped; see --max-run-ms';
    expect(ended).toEqual([{ kind: 'aborted', message }]);
    await expectAnswer(pool, 3, 9);
    expect(events).toEqual([]);
    await pool.close();
  });

  it('die together, and come back together', async () => {
    const spawned: (readonly number[])[] = [];
    const pool = await bench.pool(bench.modelFile(counting()), {
      joins: joins(4),
      onSpawn: (_, tids) => spawned.push(tids),
    });
    const { events, next } = eventsOf(pool);
    const running = await Promise.all([begin(pool, 0, ENDLESS), begin(pool, 2, ENDLESS)]);
    await untilComputing(pool, 0, 2);
    const [ready, { pid }] = [next('ready'), pool];
    process.kill(pid, 'SIGKILL');
    const message = 'the worker process was killed by SIGKILL';
    for (const { result } of running) expect(await result).toEqual({ kind: 'worker-lost', message });
    expect(pool.isReady!(0)).toBe(false);
    await ready;
    expect(events.map(({ kind }) => kind)).toEqual(['lost', 'instances-changed', 'ready']);
    expect(spawned).toHaveLength(2);
    expect(spawned[1]).toEqual(pool.inferenceTids);
    await Promise.all([0, 1, 2, 3].map((instance) => expectAnswer(pool, instance, 50)));
    await pool.close();
  });

  it('are replaced when one of them stands still, however busy another is', async () => {
    const freezer = `/sys/fs/cgroup/freezer/sponge-threads-test-${process.pid}`;
    try {
      mkdirSync(freezer);
    } catch {
      console.warn('skipped: a thread is stopped here by a cgroup v1 freezer, which cannot be made');
      return;
    }
    const runLimits = { standstillMs: 1000, maxRunMs: 60_000 };
    const pool = await bench.pool(bench.modelFile(counting()), { joins: joins(2), runLimits });
    const { next } = eventsOf(pool);
    try {
      const [ready, { pid }] = [next('ready'), pool];
      const hung = await begin(pool, 1, ENDLESS);
      const busy = await begin(pool, 0, ENDLESS);
      await untilComputing(pool, 0, 1);
      // Each computes, and so neither is taken for hung.
      await delay(1500);
      writeFileSync(`${freezer}/tasks`, String(pool.inferenceTids[1]));
      writeFileSync(`${freezer}/freezer.state`, 'FROZEN');
      const message = 'the run hung: it used no CPU for 1000 ms';
      expect(await hung.result).toEqual({ kind: 'worker-lost', message });
      expect(await busy.result).toEqual({ kind: 'worker-lost', message });
      writeFileSync(`${freezer}/freezer.state`, 'THAWED');
      await ready;
      expect(isAlive(pid)).toBe(false);
      await expectAnswer(pool, 1, 3);
    } finally {
      writeFileSync(`${freezer}/freezer.state`, 'THAWED');
      await pool.close();
      await eventually('the freezer to be empty', () => readFileSync(`${freezer}/tasks`, 'utf8') === '');
      rmdirSync(freezer);
    }
  });

  it('that cannot be started, for want of a group, leave nothing of the process', async () => {
    const gone = { kind: 'cgroup-v1', taskFiles: ['/nowhere/tasks'] } as const;
    const starting = bench.pool(bench.modelFile(counting()), { joins: [...joins(1), gone] });
    await expect(starting).rejects.toThrow(/^cannot join the CPU group through \/nowhere\/tasks: ENOENT/);
  });
});

describe('two instances in a worker process, each in a CPU group', () => {
  it('have no thread in common, and compute on what their own group has', async () => {
    const groupName = `test-${randomBytes(4).toString('hex')}`;
    const scalings: DetectedScaler[] = [];
    try {
      for (const slot of [1, 2]) {
        scalings.push(
          await createScaler({
            kind: 'auto',
            groupName: `${groupName}-${slot}`,
            onWarning: (line) => expect.fail(line),
          }),
        );
      }
      if (!scalings.every(({ scaler }) => scaler.kind.startsWith('cgroup'))) {
        console.warn('skipped: no CPU group for each instance can be made here');
        return;
      }
      const pool = await bench.pool(bench.modelFile(counting()), {
        joins: scalings.map(({ join }) => join),
        threadCounts: [1, 2],
        onSpawn: (pid, tids) => scalings.forEach((scaling, instance) => scaling.attachProcess(pid, tids[instance]!)),
      });
      const members = scalings.map(({ join }) => membersOf(join));
      expect(members.map((tids) => tids.length)).toEqual([2, 2]);
      expect(new Set(members.flat()).size).toBe(4);
      for (const [instance, tid] of pool.inferenceTids.entries()) expect(members[instance]).toContain(tid);
      // Less where this process is under a quota itself.
      const large = Math.min(500, ...scalings.map(({ scaler }) => scaler.limits.maxMillicores));
      for (const small of [0, 1]) {
        await Promise.all(scalings.map((scaling, instance) => resize(scaling, instance === small ? 100 : large)));
        const running = await Promise.all([begin(pool, 0, ENDLESS), begin(pool, 1, ENDLESS)]);
        const used = (): number[] => scalings.map(({ scaler }) => scaler.readCounters()!.usedSeconds);
        // By quota it has `large` / 100 times as much; others on this machine may take some of it, for a while.
        const leastRatio = large / 250;
        await eventually('the one at the large quota to use much more', async () => {
          const [fromMs, before] = [performance.now(), used()];
          await delay(300);
          const [grown, elapsedMs] = [used().map((seconds, i) => seconds - before[i]!), performance.now() - fromMs];
          // Of two periods more than there were, whose quota may have been left.
          expect(grown[small]).toBeLessThanOrEqual((0.1 * (elapsedMs + 20)) / 1000 + 0.01);
          return grown[small]! > 0 && grown[1 - small]! > leastRatio * grown[small]!;
        });
        for (const { sequence } of running) pool.unstage(sequence);
        for (const { result } of running) expect(await result).toMatchObject({ kind: 'aborted' });
      }
      await pool.close();
    } finally {
      for (const scaling of scalings) await scaling.close();
    }
  });
});

function membersOf(join: JoinInstruction): number[] {
  const file = join.kind === 'cgroup-v1' ? join.taskFiles[0]! : join.kind === 'cgroup-v2' ? join.threadsFile : null;
  if (file === null) throw new Error(`${join.kind} has no group`);
  return readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number);
}

function resize({ scaler }: DetectedScaler, cpuMillicores: number): Promise<void> {
  return new Promise((resolve, reject) => {
    scaler.resize(cpuMillicores, (result) =>
      result.kind === 'applied' ? resolve() : reject(new Error(result.message)),
    );
  });
}

describe('one more instance', () => {
  it('takes less memory than one more process', async () => {
    const [one, two] = await Promise.all(
      [1, 2].map((count) => bench.pool(OCR_MODEL, { joins: joins(count), threadCounts: [1, 2] })),
    );
    const [process, instance] = [anonymousMib(one!), anonymousMib(two!) - anonymousMib(one!)];
    expect(instance).toBeLessThan(0.75 * process);
    await Promise.all([one!.close(), two!.close()]);
  });
});

/** Not the pages of files, which all processes share. */
function anonymousMib({ pid }: ProcessPool): number {
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
}
