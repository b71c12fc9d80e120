import { chmodSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { OnnxGraph } from '../../src/server/onnx/onnx-writer.js';
import { identity } from '../../research/load-models/tiny-graphs.js';
import { createScaler } from '../../src/server/scalers/detect.js';
import { filesToJoin } from '../../src/server/scalers/join.js';
import { confinementGap } from '../../src/server/workers/confinement.js';
import type { Tensor } from '../../src/scheduler/domain/tensor.js';
import { eventsOf, float32, floatsOf, requestOf, run, stage, start, WorkerBench } from './worker-fixture.js';

const bench = new WorkerBench();
afterAll(() => bench.close());
const isLinux = process.platform === 'linux';
if (!isLinux) console.warn('SKIPPED the confinement of workers: Linux only');
const gap = confinementGap();
const MIB = 1024 ** 2;

/** `n` i64 [1] → `y` f32 [1]: the sum of so many ones, which are all in memory at once. */
function hungry(): OnnxGraph {
  const graph = new OnnxGraph('hungry');
  const n = graph.input('n', 'INT64', [1]);
  graph.constant('one', 'FP32', [1], Float32Array.of(1));
  const ones = graph.add('Expand', ['one', n]);
  graph.output(graph.add('ReduceSum', [ones], { keepdims: { int: 1 } }, 'y'), 'FP32', [1]);
  return graph;
}

const count = (value: number): Tensor => {
  const data = new Uint8Array(BigInt64Array.of(BigInt(value)).buffer);
  return { name: 'n', datatype: 'INT64', shape: [1], data };
};

const read = (pid: number, file: string): string => readFileSync(`/proc/${pid}/${file}`, 'utf8');
const statusOf = (text: string, field: string): string => new RegExp(`^${field}:[ \\t]*(.*)$`, 'm').exec(text)![1]!;

describe.runIf(isLinux)('a worker process', () => {
  it('is ended before its router when memory runs out, leaves no core file and has few descriptors', async () => {
    const { pid } = await bench.pool(bench.modelFile(identity('FP32')));
    const scores = ['self', pid].map((of) => Number(readFileSync(`/proc/${of}/oom_score_adj`, 'utf8')));
    expect(scores[1]).toBe(Math.min(1000, scores[0]! + 500));
    expect(read(pid, 'limits')).toMatch(/^Max core file size\s+0\s+0\s/m);
    expect(read(pid, 'limits')).toMatch(/^Max open files\s+(\d+)\s+\1\s/m);
    expect(Number(/^Max open files\s+(\d+)/m.exec(read(pid, 'limits'))![1])).toBeLessThanOrEqual(1024);
  });

  it('has no memory limit of its own, unless it is given one', async () => {
    const modelPath = bench.modelFile(identity('FP32'));
    const [free, limited] = [
      await bench.pool(modelPath),
      await bench.pool(modelPath, { workerMemoryBytes: 300 * MIB }),
    ];
    const limitOf = (pid: number): string => /^Max data size\s+(\S+)/m.exec(read(pid, 'limits'))![1]!;
    expect(limitOf(free.pid)).toBe(/^Max data size\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))![1]);
    expect(limitOf(limited.pid)).toBe(String(300 * MIB));
  });

  it('that is refused memory in a run fails that run, says why, and answers the next one', async () => {
    const pool = await bench.pool(bench.modelFile(hungry()), { workerMemoryBytes: 300 * MIB });
    const { pid } = pool;
    // 1 GiB of floats.
    await stage(pool, requestOf(1, [count(2 ** 28)]));
    expect(await start(pool, [1])).toEqual({
      kind: 'backend-error',
      message: expect.stringMatching(/^out of its memory limit of 300 MiB \(--worker-memory-mib\): ./) as unknown,
    });
    const [member] = await run(pool, [[count(10)]]);
    expect(floatsOf(member![0]!)).toEqual([10]);
    expect(pool.pid).toBe(pid);
  });

  it('that is refused memory where nobody expects it ends alone, and the loss says why', async () => {
    const pool = await bench.pool(bench.modelFile(identity('FP32')), { workerMemoryBytes: 150 * MIB });
    const { events, next } = eventsOf(pool);
    const ready = next('ready');
    const rowCount = (128 * MIB) / 16;
    pool.stage(requestOf(1, [float32('x', [rowCount, 4], new Float32Array(4 * rowCount))]), () => undefined);
    await ready;
    expect(events[0]).toMatchObject({
      kind: 'lost',
      message: expect.stringMatching(/^out of its memory limit of 150 MiB \(--worker-memory-mib\): ./) as unknown,
    });
    expect(await run(pool, [[float32('x', [1, 4], [1, 2, 3, 4])]])).toHaveLength(1);
  });

  it('can gain no privileges, in none of its threads', async () => {
    if (gap !== null) {
      console.warn(`SKIPPED no new privileges: ${gap}`);
      return;
    }
    const { pid } = await bench.pool(bench.modelFile(identity('FP32')));
    for (const tid of readdirSync(`/proc/${pid}/task`)) {
      expect(statusOf(read(pid, `task/${tid}/status`), 'NoNewPrivs')).toBe('1');
    }
  });

  it('has of the environment only what it needs, and of descriptors only its own', async () => {
    process.env['SPONGE_TEST_SECRET'] = 'not for workers';
    const { pid } = await bench.pool(bench.modelFile(identity('FP32')));
    delete process.env['SPONGE_TEST_SECRET'];
    const names = read(pid, 'environ')
      .split('\0')
      .filter(Boolean)
      .map((line) => line.split('=')[0]!);
    const allowed = [
      'PATH',
      'LD_LIBRARY_PATH',
      'LANG',
      'LC_ALL',
      'TZ',
      'TMPDIR',
      'ORT_DISABLE_TELEMETRY',
      'UV_THREADPOOL_SIZE',
    ];
    expect(allowed).toEqual(expect.arrayContaining(names));
    const targets = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    // The log, and the two connections: no listener, no other worker's.
    expect(targets.filter((target) => target.startsWith('socket:'))).toHaveLength(3);
    const files = targets.filter((target) => target.startsWith('/') && target !== '/dev/null');
    expect(files).toEqual([]);
  });

  it('runs as another user where the router is root, without capabilities, in its CPU group all the same', async () => {
    const obstacle = gap ?? (process.getuid?.() === 0 ? null : 'only root can choose the user of a worker');
    if (obstacle !== null) {
      console.warn(`SKIPPED the user of workers: ${obstacle}`);
      return;
    }
    const modelPath = bench.modelFile(identity('FP32'), 'for-others.onnx');
    chmodSync(dirname(modelPath), 0o755);
    chmodSync(modelPath, 0o644);
    const log: string[] = [];
    const onLog = (line: string): void => void log.push(line);
    const groupName = `confine-user-${process.pid}`;
    const scaling = await createScaler({ kind: 'auto', groupName, onWarning: onLog });
    const pool = await bench.pool(modelPath, { workerUser: 'nobody', joins: [scaling.join, { kind: 'none' }], onLog });
    if (log.some((line) => line.includes('cannot read'))) {
      console.warn(`SKIPPED the user of workers: ${log.join('; ')}`);
      await pool.close();
      await scaling.close();
      return;
    }
    expect(log).toEqual([]);
    const uid = /^nobody:[^:]*:(\d+)/m.exec(readFileSync('/etc/passwd', 'utf8'))![1]!;
    for (const tid of readdirSync(`/proc/${pool.pid}/task`)) {
      const status = read(pool.pid, `task/${tid}/status`);
      expect(statusOf(status, 'Uid').split('\t')).toEqual([uid, uid, uid, uid]);
      expect(statusOf(status, 'Groups')).toBe('');
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
        expect(statusOf(status, set)).toMatch(/^0+$/);
    }
    for (const file of filesToJoin(scaling.join)) {
      expect(readFileSync(file, 'utf8').split('\n')).toContain(String(pool.inferenceTids[0]));
    }
    const [outputs] = await run(pool, [[float32('x', [1, 4], [1, 2, 3, 4])]]);
    expect(floatsOf(outputs![0]!)).toEqual([1, 2, 3, 4]);
    await pool.close();
    await scaling.close();
  });

  it('stays the router’s where the other user cannot read the model, which is said in one line', async () => {
    if (gap !== null || process.getuid?.() !== 0) {
      console.warn('SKIPPED a model that the user of workers cannot read: needs root and setpriv');
      return;
    }
    const modelPath = bench.modelFile(identity('FP32'), 'for-root.onnx');
    chmodSync(modelPath, 0o600);
    const log: string[] = [];
    const pool = await bench.pool(modelPath, { workerUser: 'nobody', onLog: (line) => log.push(line) });
    expect(log).toEqual([
      expect.stringMatching(/^workers run as this server's own user, not as nobody: it cannot read \//),
    ]);
    expect(statusOf(read(pool.pid, 'status'), 'Uid')).toMatch(/^0\t/);
  });

  it('answers as it would otherwise', async () => {
    const pool = await bench.pool(bench.modelFile(identity('FP32')));
    const [outputs] = await run(pool, [[float32('x', [1, 4], [1, 2, 3, 4])]]);
    expect(floatsOf(outputs![0]!)).toEqual([1, 2, 3, 4]);
  });
});
