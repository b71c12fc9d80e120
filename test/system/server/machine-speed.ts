import * as ort from 'onnxruntime-node';
import { grantableMillicores, measureCpuCeiling } from '../../../src/server/scalers/cpu-ceiling.js';
import { SLOW_WIDTH, slow } from '../../../research/load-models/tiny-graphs.js';

/*
 * How fast this machine is, now: no test may take it from a constant. CPU time is measured, not time on a clock, so that a
 * quota or other work beside the tests makes no model smaller.
 */

/** Some tens of ms: far above what a run costs in itself, and above the resolution of the CPU clock. */
const TRIAL_STEPS = 400;
const TRIALS = 5;

/** What a model may have of this machine, or of the quota that this process is under. */
export function leftMillicores(): number {
  return grantableMillicores(measureCpuCeiling());
}

/** @returns steps of the model `slow` that take about `runMs` for one row, on one core, or on what there is of one */
export async function slowStepsFor(runMs: number): Promise<number> {
  const session = await ort.InferenceSession.create(slow(TRIAL_STEPS).toModel(), {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
  });
  const feeds = { x: new ort.Tensor('float32', new Float32Array(SLOW_WIDTH), [1, SLOW_WIDTH]) };
  let leastMs = Infinity;
  // The first also loads the weights.
  for (let trial = 0; trial <= TRIALS; trial++) {
    const before = process.cpuUsage();
    await session.run(feeds);
    const { user, system } = process.cpuUsage(before);
    if (trial > 0) leastMs = Math.min(leastMs, (user + system) / 1000);
  }
  await session.release();
  const cpuMs = runMs * Math.min(1, leftMillicores() / 1000);
  return Math.max(1, Math.round((cpuMs * TRIAL_STEPS) / leastMs));
}
