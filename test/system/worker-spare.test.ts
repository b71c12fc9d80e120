import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterAll, describe, expect, it } from 'vitest';
import { identity, slow, SLOW_WIDTH } from '../../research/load-models/tiny-graphs.js';
import { createScaler, type DetectedScaler } from '../../src/server/scalers/detect.js';
import { threadsIn, filesToJoin, type JoinInstruction } from '../../src/server/scalers/join.js';
import type { ProcessPool } from '../../src/server/workers/process-pool.js';
import { untilComputing } from './server/mid-run.js';
import {
  eventsOf,
  float32,
  floatsOf,
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
const endless = slow(Number.MAX_SAFE_INTEGER);

/** What a spare's callbacks have told, in order, and a promise for the next of a kind. */
class Told {
  readonly all: string[] = [];
  #waiting: (() => void)[] = [];

  readonly callbacks = {
    onReady: () => this.#tell('ready'),
    onTaken: () => this.#tell('taken'),
    onLost: (message: string) => this.#tell(`lost: ${message}`),
    onMovedOut: () => this.#tell('moved out'),
  };

  async until(what: string): Promise<void> {
    while (!this.all.some((each) => each.startsWith(what)))
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #tell(what: string): void {
    this.all.push(what);
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

async function withSpare(pool: ProcessPool, loading: JoinInstruction = { kind: 'none' }): Promise<Told> {
  const told = new Told();
  pool.spare.start(loading, told.callbacks);
  await told.until('ready');
  return told;
}

describe('a spare process', () => {
  it('takes over when the worker is killed in the middle of a batch: nothing is started in between', async () => {
    const spawned: number[] = [];
    const pool = await bench.pool(bench.modelFile(endless), { onSpawn: (pid) => spawned.push(pid) });
    const told = await withSpare(pool);
    const { events, next } = eventsOf(pool);
    const [first, second] = [pool.pid, pool.spare.pid];
    expect(second).not.toBe(first);
    await stage(pool, requestOf(1, [wide]));
    const result = start(pool, [1]);
    await untilComputing(first);
    const ready = next('ready');
    process.kill(first, 'SIGKILL');
    expect(await result).toEqual({ kind: 'worker-lost', message: 'the worker process was killed by SIGKILL' });
    await ready;
    expect(events).toEqual([
      { kind: 'lost', message: 'the worker process was killed by SIGKILL', restartEstimateMs: 0 },
      { kind: 'ready', isTakeover: true },
    ]);
    expect(pool.pid).toBe(second);
    expect(spawned).toEqual([first, second]);
    expect(told.all).toEqual(['moved out', 'ready', 'taken']);
    expect(pool.spare.pid).toBe(0);
    await pool.close();
  });

  it('answers as the worker did, and can be followed by another', async () => {
    const pool = await bench.pool(bench.modelFile(identity('FP32')));
    for (let round = 0; round < 2; round++) {
      await withSpare(pool);
      const { next } = eventsOf(pool);
      const ready = next('ready');
      process.kill(pool.pid, 'SIGKILL');
      await ready;
      const [member] = await run(pool, [[x]]);
      expect(floatsOf(member![0]!)).toEqual([1, 2, 3, 4]);
    }
    await pool.close();
  });

  it('that is still loading when the worker dies becomes the worker', async () => {
    const log: string[] = [];
    const pool = await bench.pool(bench.modelFile(identity('FP32')), { onLog: (line) => log.push(line) });
    const told = new Told();
    const { events, next } = eventsOf(pool);
    const ready = next('ready');
    pool.spare.start({ kind: 'none' }, told.callbacks);
    const spare = pool.spare.pid;
    process.kill(pool.pid, 'SIGKILL');
    await ready;
    expect(pool.pid).toBe(spare);
    expect(events.map(({ kind }) => kind)).toEqual(['lost', 'ready']);
    expect(events[1]).toEqual({ kind: 'ready' });
    expect(log).toEqual(['worker lost: the worker process was killed by SIGKILL; the spare is being loaded already']);
    expect(told.all.filter((each) => each !== 'moved out')).toEqual(['taken']);
    expect(await run(pool, [[x]])).toHaveLength(1);
    await pool.close();
  });

  it('that dies while it waits disturbs nothing', async () => {
    const pool = await bench.pool(bench.modelFile(identity('FP32')));
    const { events } = eventsOf(pool);
    const told = await withSpare(pool);
    process.kill(pool.spare.pid, 'SIGSEGV');
    await told.until('lost');
    expect(told.all.at(-1)).toBe('lost: the worker process was killed by SIGSEGV');
    expect(pool.spare.isWaiting).toBe(false);
    expect(await run(pool, [[x]])).toHaveLength(1);
    expect(new Set(events.map(({ kind }) => kind))).toEqual(new Set(['spare-settled']));
    await pool.close();
  });

  it('that hangs while it waits is given up', async () => {
    const pool = await bench.pool(bench.modelFile(identity('FP32')));
    const told = await withSpare(pool);
    const { pid } = pool.spare;
    process.kill(pid, 'SIGSTOP');
    await told.until('lost');
    expect(told.all.at(-1)).toBe('lost: it hung: it did not answer for 6 s');
    while (isAlive(pid)) await delay(10);
    await pool.close();
  });

  it('is not made of a file that has changed, and one that was made before answers as the worker did', async () => {
    const path = bench.modelFile(slow(3), 'changed.onnx');
    const original = readFileSync(path);
    const pool = await bench.pool(path);
    const told = new Told();
    writeFileSync(path, slow(4).toModel());
    pool.spare.start({ kind: 'none' }, told.callbacks);
    await told.until('lost');
    expect(told.all.at(0)).toContain('changed.onnx changed on disk since it was loaded');
    writeFileSync(path, original);
    await withSpare(pool);
    writeFileSync(path, slow(4).toModel());
    const { next } = eventsOf(pool);
    const ready = next('ready');
    process.kill(pool.pid, 'SIGKILL');
    await ready;
    const counted = float32(
      'x',
      [1, SLOW_WIDTH],
      Float32Array.from({ length: SLOW_WIDTH }, (_, index) => index),
    );
    const [rolled] = await run(pool, [[counted]]);
    // Rolled three times: what was in place 0 is in place 3 (as `worker-lifecycle.test.ts` has it).
    expect(floatsOf(rolled![0]!)[3]).toBe(0);
    await pool.close();
  });

  it('is gone when its pool is closed, whether it waits or is loading', async () => {
    for (const isLoading of [true, false]) {
      const pool = await bench.pool(bench.modelFile(identity('FP32')));
      const told = new Told();
      pool.spare.start({ kind: 'none' }, told.callbacks);
      if (!isLoading) await told.until('ready');
      const { pid } = pool.spare;
      await pool.close();
      expect(isAlive(pid)).toBe(false);
      expect(pool.spare.pid).toBe(0);
      expect(() => pool.spare.start({ kind: 'none' }, told.callbacks)).toThrow('the worker was stopped');
    }
  });

  it('is gone when its router is killed', async () => {
    const modulePath = new URL('./process-pool.js', WORKER_ENTRY).href;
    const router = spawn(process.execPath, ['--input-type=module', '--eval', routerScript(modulePath)], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, MODEL_PATH: bench.modelFile(identity('FP32')) },
    });
    const [line] = (await once(createInterface({ input: router.stdout }), 'line')) as [string];
    const pids = line.split(' ').map(Number);
    expect(pids.map(isAlive)).toEqual([true, true]);
    router.kill('SIGKILL');
    while (pids.some(isAlive)) await delay(10);
  });

  it('is loaded in a CPU group of its own, and waits in those of the worker', async () => {
    const groups = await openGroups(['spare-a', 'spare-b', 'spare-loading']);
    if (groups === null) return;
    const [first, second, loading] = groups;
    const joins = [first!.join, second!.join];
    const pool = await bench.pool(bench.modelFile(identity('FP32')), { joins, threadCounts: [1, 2] });
    try {
      const tasksOf = ({ join }: DetectedScaler): number[] => threadsIn(filesToJoin(join)[0]!);
      const before = [first!, second!].map((group) => tasksOf(group).length);
      const seenLoading: number[] = [];
      const looking = setInterval(() => seenLoading.push(tasksOf(loading!).length), 5);
      await withSpare(pool, loading!.join);
      clearInterval(looking);
      expect(Math.max(...seenLoading)).toBeGreaterThan(0);
      await expect.poll(() => tasksOf(loading!)).toEqual([]);
      expect([first!, second!].map((group) => tasksOf(group).length)).toEqual(before.map((count) => 2 * count));
      const { next } = eventsOf(pool);
      const ready = next('ready');
      process.kill(pool.pid, 'SIGKILL');
      await ready;
      for (const [instance, group] of [first!, second!].entries())
        expect(tasksOf(group)).toContain(pool.inferenceTids[instance]);
      // Taken in the middle of its load, it leaves that group as well.
      const told = new Told();
      pool.spare.start(loading!.join, told.callbacks);
      while (tasksOf(loading!).length === 0) await delay(1);
      const readyAgain = next('ready');
      process.kill(pool.pid, 'SIGKILL');
      await readyAgain;
      await told.until('moved out');
      await expect.poll(() => tasksOf(loading!)).toEqual([]);
      for (const [instance, group] of [first!, second!].entries())
        expect(tasksOf(group)).toContain(pool.inferenceTids[instance]);
      expect(await run(pool, [[x]], 2)).toHaveLength(1);
    } finally {
      await pool.close();
      for (const group of groups) await group.close();
    }
  });
});

/** Null, with a word, where there is no right to make them. */
async function openGroups(names: readonly string[]): Promise<readonly DetectedScaler[] | null> {
  const groups: DetectedScaler[] = [];
  for (const name of names) {
    const group = await createScaler({ kind: 'auto', groupName: `${name}-${process.pid}`, onWarning: () => undefined });
    groups.push(group);
    if (filesToJoin(group.join).length > 0) continue;
    console.warn('SKIPPED where a spare is loaded: no right to make CPU groups here');
    for (const each of groups) await each.close();
    return null;
  }
  return groups;
}

/** Starts a pool and a spare, then prints the pids of both. */
function routerScript(modulePath: string): string {
  return `
    import { startProcessPool } from '${modulePath}';
    const pool = await startProcessPool({
      modelPath: process.env.MODEL_PATH, threadCounts: [1], joins: [{ kind: 'none' }], maxBatchSize: 1,
      nowMs: () => performance.now(), onLog: () => undefined,
    });
    const onReady = () => console.log(pool.pid, pool.spare.pid);
    const onOther = () => undefined;
    pool.spare.start({ kind: 'none' }, { onReady, onTaken: onOther, onLost: onOther, onMovedOut: onOther });`;
}
