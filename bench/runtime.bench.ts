import * as ort from 'onnxruntime-node';
import { OnnxGraph } from '../src/server/onnx/onnx-writer.js';
import { RESNET_18, residualNetwork } from '../research/load-models/load-models.js';
import { ModelSessions } from '../src/server/onnx-runtime/model-sessions.js';
import { Runtime } from '../src/server/onnx-runtime/runtime.js';
import { bytesOfHeld, isHeld } from '../src/server/onnx-runtime/values.js';
import type { Tensor } from '../src/scheduler/domain/tensor.js';
import { bench } from './harness/bench.js';
import { writeBareModel } from './harness/tensor-models.js';
import { isTiny, report } from './harness/row.js';
import { chunks, median, quantile } from './harness/statistics.js';

/*
 * ONNX Runtime's C API against its Node binding, in one process and in turn: what a run costs beside the model (y = x + x), what
 * another session of the same model adds to resident memory, and how soon a run ends that is told to.
 */

const ROUNDS = 5;
const RUNS = isTiny ? 200 : 5000;
const ABORTS = isTiny ? 3 : 30;
/** The abort comes this long after the beginning of a run. */
const ABORT_AFTER_MS = 20;

/** Sessions that must live until they have been measured. */
const kept: unknown[] = [];

await bench(async (scope) => {
  const folder = scope.folder();
  const runtime = new Runtime();
  const load = (path: string, threadCounts: readonly number[]): Promise<ModelSessions> =>
    ModelSessions.load(runtime, path, { threadCounts, onTrouble: console.warn });

  const doubling = new OnnxGraph('doubling');
  const x = doubling.input('x', 'FP32', ['batch', 'length']);
  doubling.output(doubling.add('Add', [x, x], {}, 'y'), 'FP32', ['batch', 'length']);
  const doublingPath = writeBareModel(folder, 'doubling', doubling);
  const sessions = await load(doublingPath, [1]);
  const binding = await ort.InferenceSession.create(doublingPath, { intraOpNumThreads: 1 });
  for (const length of [4, 150_528]) {
    const values = new Float32Array(length).fill(0.5);
    const input: Tensor = { name: 'x', datatype: 'FP32', shape: [1, length], data: new Uint8Array(values.buffer) };
    const oursUs: number[] = [];
    const bindingUs: number[] = [];
    for (let run = 0; run < RUNS; run++) {
      oursUs.push(await microseconds(() => runOnce(runtime, sessions, [input])));
      bindingUs.push(await microseconds(() => binding.run({ x: new ort.Tensor('float32', values, [1, length]) })));
    }
    const ofRounds = (all: readonly number[]) => chunks(all, ROUNDS).map(median);
    report({
      what: `a run beside the model, ${length} floats, p50`,
      unit: 'µs',
      ours: ofRounds(oursUs),
      baseline: { what: 'Node binding', values: ofRounds(bindingUs) },
      budget: null,
      note: 'tensors made, run on the thread for it, output there to be read',
    });
  }

  const resnetPath = writeBareModel(folder, 'resnet18', residualNetwork(RESNET_18));
  const image: Tensor = { name: 'input', datatype: 'FP32', shape: [1, 3, 224, 224], data: new Uint8Array(602_112) };
  const one = await grownMib(async () => runOnce(runtime, await load(resnetPath, [1]), [image]));
  const four = await grownMib(async () => {
    const shared = await load(resnetPath, [1, 2, 3, 4]);
    for (const threadCount of [1, 2, 3, 4]) await runOnce(runtime, shared, [image], threadCount);
  });
  const bound = await grownMib(async () => {
    for (const intraOpNumThreads of [1, 2, 3, 4]) {
      const session = await ort.InferenceSession.create(resnetPath, { intraOpNumThreads });
      await session.run({ input: new ort.Tensor('float32', new Float32Array(150_528), [1, 3, 224, 224]) });
      kept.push(session);
    }
  });
  report({
    what: 'ResNet-18, sessions of 1, 2, 3 and 4 threads, resident',
    unit: 'MiB',
    ours: [four],
    baseline: { what: 'Node binding', values: [bound] },
    budget: null,
    note: `one session alone: ${one.toFixed(0)} MiB`,
  });

  const single = await load(resnetPath, [1]);
  const batch: Tensor = { ...image, shape: [64, 3, 224, 224], data: new Uint8Array(64 * 602_112) };
  const endedAfterMs: number[] = [];
  for (let run = 0; run < ABORTS; run++) endedAfterMs.push(await abortedAfterMs(runtime, single, batch));
  const wholeMs = (await microseconds(() => runOnce(runtime, single, [batch]))) / 1000;
  report({
    what: 'ResNet-18, a batch of 64: told to end → ended, p50',
    unit: 'ms',
    ours: chunks(endedAfterMs, Math.min(ROUNDS, ABORTS)).map((round) => quantile(round, 0.5)),
    baseline: { what: 'the whole run', values: [wholeMs] },
    budget: null,
    note: `longest of ${ABORTS}: ${Math.max(...endedAfterMs).toFixed(0)} ms; the Node binding cannot`,
  });
});

async function microseconds(act: () => Promise<unknown>): Promise<number> {
  const startedAtMs = performance.now();
  await act();
  return 1000 * (performance.now() - startedAtMs);
}

async function runOnce(
  runtime: Runtime,
  sessions: ModelSessions,
  inputs: readonly Tensor[],
  threadCount = 1,
): Promise<void> {
  const runOptions = runtime.api.pointer('createRunOptions');
  const { outputs } = await sessions.run({ inputs, outputNames: [], threadCount, runOptions });
  for (const output of outputs) {
    if (!isHeld(output)) continue;
    bytesOfHeld(output);
    runtime.values.release(output.value);
  }
  runtime.api.call('releaseRunOptions', runOptions);
}

/** Resident memory that it adds to this process. */
async function grownMib(act: () => Promise<void>): Promise<number> {
  const before = process.memoryUsage.rss();
  await act();
  return (process.memoryUsage.rss() - before) / 1024 ** 2;
}

async function abortedAfterMs(runtime: Runtime, sessions: ModelSessions, input: Tensor): Promise<number> {
  const runOptions = runtime.api.pointer('createRunOptions');
  let toldAtMs = 0;
  setTimeout(() => {
    toldAtMs = performance.now();
    runtime.api.check('runOptionsSetTerminate', runOptions);
  }, ABORT_AFTER_MS);
  for (;;) {
    try {
      // One run may be over before it is told.
      await sessions.run({ inputs: [input], outputNames: [], threadCount: 1, runOptions });
    } catch {
      break;
    }
  }
  const endedAtMs = performance.now();
  runtime.api.call('releaseRunOptions', runOptions);
  return endedAtMs - toldAtMs;
}
