import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { analyseBatching } from '../../../src/server/onnx/batch-analysis.js';
import { inputHints } from '../../../src/server/onnx/input-hints.js';
import { readModelGraph } from '../../../src/server/onnx/model-graph.js';
import { ModelSessions } from '../../../src/server/onnx-runtime/model-sessions.js';
import { Runtime } from '../../../src/server/onnx-runtime/runtime.js';
import { bytesOfHeld, isHeld } from '../../../src/server/onnx-runtime/values.js';
import { concatenateInputs, splitOutput } from '../../../src/server/workers/batch-tensors.js';
import { tryBatching, type RunBatch, type TrialResult } from '../../../src/server/workers/batch-trial.js';
import { NoiseSamples } from '../../../src/server/workers/samples.js';
import { requiredInputs, type Tensor } from '../../../src/scheduler/domain/tensor.js';
import { BATCH_CASES } from '../../fixtures/batch-cases/index.js';

/*
 * The graphs of which `src/server/onnx/batch-analysis.test.ts` says what reading them finds, in ONNX Runtime: those that are
 * called independent load, run, and answer rows that are nothing alike as they answer each alone.
 */

/** For axes that are open, the first apart. */
const LENGTH = 5;

const runtime = new Runtime();
const folder = mkdtempSync(join(tmpdir(), 'sponge-batch-cases-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function judged(model: Uint8Array): Promise<TrialResult> {
  const path = join(folder, 'model.onnx');
  writeFileSync(path, model);
  const sessions = await ModelSessions.load(runtime, path, { threadCounts: [1], onTrouble: () => undefined });
  const { signature } = sessions.description;
  const shapes = Object.fromEntries(
    requiredInputs(signature).map(({ name, shape }) => [
      name,
      shape!.map((size, axis) => (axis === 0 ? 1 : size === -1 ? LENGTH : size)),
    ]),
  );
  const hints = inputHints(readModelGraph(model));
  return tryBatching(new NoiseSamples(signature, shapes, hints), runBatch(sessions), hints);
}

function runBatch(sessions: ModelSessions): RunBatch {
  return async (batch) => {
    const runOptions = runtime.api.pointer('createRunOptions');
    try {
      const inputs = concatenateInputs(batch);
      const { outputs } = await sessions.run({ inputs, outputNames: [], threadCount: 1, runOptions });
      const rows = batch.map(() => 1);
      const split = outputs.map((output) => {
        if (!isHeld(output)) return splitOutput(output, rows);
        const tensor: Tensor = { ...output, data: bytesOfHeld(output).slice() };
        runtime.values.release(output.value);
        return splitOutput(tensor, rows);
      });
      return batch.map((_, member) => split.map((parts) => parts[member]!));
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    } finally {
      runtime.api.call('releaseRunOptions', runOptions);
    }
  };
}

describe('ONNX Runtime', () => {
  const loadable = BATCH_CASES.filter(({ out }) => out !== null).map((each) => ({ ...each, model: each.model() }));
  const found = loadable.filter(({ model }) => analyseBatching(readModelGraph(model)).kind === 'independent');

  it.each(found)('answers each row of a batch as it does alone: $operator $title', async ({ model }) => {
    expect(await judged(model)).toEqual({ kind: 'passed' });
  });
});
