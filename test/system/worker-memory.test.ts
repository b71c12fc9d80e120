import { readFileSync, statSync } from 'node:fs';
import { afterAll, expect, it } from 'vitest';
import * as tiny from '../../research/load-models/tiny-graphs.js';
import type { ProcessPool } from '../../src/server/workers/process-pool.js';
import { eventually } from './server/harness.js';
import { float32, OCR_MODEL, run, WorkerBench } from './worker-fixture.js';

/* What a worker keeps for itself, against another worker or itself: no machine's sizes, no times. */

const bench = new WorkerBench();
afterAll(() => bench.close());

/** Its own: not the pages of files, which are there once for all workers. */
function anonymousBytes({ pid }: ProcessPool): number {
  const line = /^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (line === null) throw new Error(`no RssAnon of process ${pid}`);
  return Number(line[1]) * 1024;
}

/** The kernel of other systems does not tell. */
const onLinux = it.skipIf(process.platform !== 'linux');

onLinux('keeps nothing of a model that it has loaded but the model', async () => {
  const small = await bench.pool(bench.modelFile(tiny.identity('FP32'), 'small.onnx'));
  const large = await bench.pool(OCR_MODEL);
  const grownBytes = anonymousBytes(large) - anonymousBytes(small);
  // Its weights and what kernels make of them (1.7 times its file): not the file, which was read, nor what the optimiser left.
  expect(grownBytes / statSync(OCR_MODEL).size).toBeLessThan(2.5);
  await Promise.all([small.close(), large.close()]);
});

onLinux('gives back what runs have left', async () => {
  const pool = await bench.pool(bench.modelFile(tiny.anyLength(), 'any.onnx'));
  const rows = float32('x', [1, 2 ** 20], new Float32Array(2 ** 20));
  const before = anonymousBytes(pool);
  for (let i = 0; i < 20; i++) await run(pool, [[rows]]);
  pool.releaseSynthetic();
  await eventually('its memory', () => anonymousBytes(pool) < 1.3 * before);
  await pool.close();
});
