import { existsSync, readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { identity, slow, SLOW_WIDTH } from '../../research/load-models/tiny-graphs.js';
import type { ProcessPool } from '../../src/server/workers/process-pool.js';
import type { Tensor } from '../../src/scheduler/domain/tensor.js';
import { encodeStrings } from '../../src/scheduler/domain/bytes-elements.js';
import {
  eventsOf,
  float32,
  outputsOf,
  requestOf,
  run,
  stage,
  start,
  WORKER_ENTRY,
  WorkerBench,
} from './worker-fixture.js';

const bench = new WorkerBench();
afterAll(() => bench.close());
const isLinux = process.platform === 'linux';
if (!isLinux) console.warn('SKIPPED memory shared with workers: Linux only');

/** As a worker tells of it. */
const OUTPUT = { name: 'y', datatype: 'FP32', shape: [4], byteCount: 16, offset: 0 };

const KIB = 1024;
const ROW_BYTES = 16;
/** Rows of four floats, told from others by their content. */
function rows(count: number, seed: number): Tensor {
  return float32(
    'x',
    [count, 4],
    Float32Array.from({ length: 4 * count }, (_, i) => (seed * 1e6 + i) % 9973),
  );
}

const kib = (size: number, seed: number): Tensor => rows((size * KIB) / ROW_BYTES, seed);

function expectSame(actual: readonly Tensor[] | null | undefined, expected: Tensor): void {
  expect(actual![0]!.shape).toEqual(expected.shape);
  expect(Buffer.compare(actual![0]!.data, expected.data)).toBe(0);
}

function isArenaFree(pool: ProcessPool): boolean {
  return pool.inputArena!.takenCount === 0;
}

describe.runIf(isLinux)('memory that a worker shares with its router', () => {
  it('carries large tensors both ways, for one request and for batches', async () => {
    const pool = await bench.pool(bench.modelFile(identity('FP32')));
    pool.setBatchable(true);
    for (const members of [[kib(600, 1)], [kib(600, 2), kib(600, 3), kib(600, 4)], [kib(9, 5)], [rows(1, 6)]]) {
      const outputs = await run(
        pool,
        members.map((member) => [member]),
      );
      for (const [slot, member] of members.entries()) expectSame(outputs[slot], member);
      expect(isArenaFree(pool)).toBe(true);
    }
    expect(pool.inputArena!.byteCount).toBe(64 * KIB * KIB);
  });

  it('is used where there is room in it: what finds none goes over the connections, in and out', async () => {
    const pool = await bench.pool(bench.modelFile(identity('FP32')), { sharedBytes: 100 * KIB });
    const members = [kib(60, 1), kib(60, 2), kib(120, 3), kib(20, 4)];
    await Promise.all(members.map((member, i) => stage(pool, requestOf(i, [member]))));
    // 60 and 20; the other two were sent.
    expect(pool.inputArena!.takenCount).toBe(2);
    for (const [i, member] of members.entries()) expectSame(outputsOf(await start(pool, [i]))[0], member);
    expect(isArenaFree(pool)).toBe(true);
    // Places of outputs are free again with the next batch: however many there were.
    for (let i = 0; i < 10; i++) expectSame((await run(pool, [[kib(60, i)]]))[0], kib(60, i));
  });

  it('is not missed where it is not there, nor for strings', async () => {
    const without = await bench.pool(bench.modelFile(identity('FP32')), { sharedBytes: 0 });
    expect(without.inputArena).toBeNull();
    expectSame((await run(without, [[kib(600, 1)]]))[0], kib(600, 1));
    const texts = await bench.pool(bench.modelFile(identity('BYTES'), 'texts.onnx'));
    const data = encodeStrings(Array.from({ length: 4000 }, (_, i) => `word ${i}`));
    const words: Tensor = { name: 'x', datatype: 'BYTES', shape: [1000, 4], data };
    expectSame((await run(texts, [[words]]))[0], words);
  });

  it('can be read by the worker and not written, and has no descriptor there', async () => {
    const { pid } = await bench.pool(bench.modelFile(identity('FP32')));
    const maps = readFileSync(`/proc/${pid}/maps`, 'utf8').match(/^\S+ \S+(?= .*\/memfd:sponge)/gm)!;
    expect(maps.map((line) => line.split(' ')[1]).sort()).toEqual(['r--s', 'rw-s']);
    const own = readFileSync('/proc/self/maps', 'utf8').match(/^\S+ \S+(?= .*\/memfd:sponge)/gm)!;
    expect(own.map((line) => line.split(' ')[1])).toEqual(expect.arrayContaining(['r--s', 'rw-s']));
    expect(existsSync(`/proc/${pid}/fd/5`) && readFileSync(`/proc/${pid}/fdinfo/5`, 'utf8').includes('memfd')).toBe(
      false,
    );
  });

  it('is free again when a request leaves before its batch, and when its batch has ended without it', async () => {
    const pool = await bench.pool(bench.modelFile(slow(3)));
    const wide = float32('x', [1, SLOW_WIDTH], new Float32Array(SLOW_WIDTH));
    const many: Tensor = { ...wide, shape: [16, SLOW_WIDTH], data: new Uint8Array(16 * wide.data.byteLength) };
    await stage(pool, requestOf(1, [many]));
    expect(isArenaFree(pool)).toBe(false);
    pool.unstage(1);
    expect(isArenaFree(pool)).toBe(true);
    await stage(pool, requestOf(2, [many]));
    const ended = start(pool, [2]);
    pool.unstage(2);
    // The worker may still read it.
    expect(isArenaFree(pool)).toBe(false);
    await ended;
    expect(isArenaFree(pool)).toBe(true);
  });

  it('outlives a worker that is killed in the middle of a batch: all is free, and the next one reads the same', async () => {
    const endless = slow(Number.MAX_SAFE_INTEGER);
    const pool = await bench.pool(bench.modelFile(endless, 'endless.onnx'));
    const wide = float32('x', [16, SLOW_WIDTH], new Float32Array(16 * SLOW_WIDTH));
    const { next } = eventsOf(pool);
    for (let death = 0; death < 2; death++) {
      await stage(pool, requestOf(1, [wide]));
      await stage(pool, requestOf(2, [wide]));
      const result = start(pool, [1]);
      expect(pool.inputArena!.takenCount).toBe(2);
      const arena = pool.inputArena!;
      const ready = next('ready');
      process.kill(pool.pid, 'SIGKILL');
      expect(await result).toMatchObject({ kind: 'worker-lost' });
      expect(arena.takenCount).toBe(0);
      await ready;
      expect(pool.inputArena).toBe(arena);
    }
  });

  it.each([
    ['that lies nowhere', { slot: 0, placeId: 1, tensors: [{ ...OUTPUT, offset: 2 ** 40 }] }, 'does not lie where'],
    ['of a member that there is not', { slot: 7, placeId: 1, tensors: [OUTPUT] }, 'has no member 7 to have outputs of'],
    ['of no shape', { slot: 0, placeId: 1, tensors: [{ ...OUTPUT, shape: null }] }, 'does not lie where'],
    ['that is none', { slot: 0, placeId: 1, tensors: null }, 'says of no tensors'],
  ])('a worker that tells of an output %s is lost, and the router goes on', async (_, placed, reason) => {
    const entry = bench.file(lyingWorker(placed), 'lying.mjs');
    const pool = await bench.pool(bench.modelFile(identity('FP32')), { entryUrl: pathToFileURL(entry) });
    const { next } = eventsOf(pool);
    await stage(pool, requestOf(1, [kib(16, 1)]));
    const ready = next('ready');
    const message = expect.stringMatching(`^the connection to the worker broke: .*${reason}`) as unknown;
    expect(await start(pool, [1])).toEqual({ kind: 'worker-lost', message });
    await ready;
  });
});

/** Speaks as a worker does, and tells of one output whatever it was given. */
function lyingWorker(placed: object): string {
  const connection = new URL('./framed-connection.js', WORKER_ENTRY).href;
  const spec = { name: 'x', datatype: 'FP32', shape: [-1, 4] };
  const facts = {
    batching: { kind: 'independent' },
    hints: {},
    files: [],
    signature: { inputs: [spec], outputs: [{ ...spec, name: 'y' }] },
    symbolicDimensions: {},
    onnxRuntimeVersion: '',
    loadMs: 0,
    residentBytes: 0,
  };
  return `
    import { descriptor, FramedConnection } from ${JSON.stringify(connection)};
    const end = () => process.exit();
    new FramedConnection(descriptor(4), end, end);
    const control = new FramedConnection(descriptor(3), ({ header: { kind, batchId } }) => {
      if (kind === 'load') control.send(${JSON.stringify({ kind: 'ready', facts, threadIds: [[]], isSharing: true })});
      if (kind === 'run')
        control.send({ kind: 'done', batchId, computeMs: 1, enclosed: [], placed: [${JSON.stringify(placed)}], following: 0 });
    }, end);
  `;
}
