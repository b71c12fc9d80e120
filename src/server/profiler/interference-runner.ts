import { busyFraction, GREATEST_INTERFERENCE } from '../../scheduler/perf-model/interference.js';
import type { InterferenceCell, MeasuredInterference } from '../../scheduler/perf-model/profile.js';
import { quantile } from '../../scheduler/perf-model/quantile.js';
import { percentText } from '../../scheduler/domain/percent.js';

/*
 * Measures how much the instances of a model slow each other down: the same batch on the first instance alone, and on it while the others
 * run that batch without a pause, in turns, so that a machine that changes meanwhile changes both. First beside one other, then beside all.
 */

/** Several instances, each in its own group and threads, while nobody waits. */
export interface SideBySideTarget {
  readonly instanceCount: number;
  /** The most that so many can have each: a core, or less where there are fewer cores. */
  millicoresOfEach(instances: number): number;
  /** Gives the first ones so much each, and has them rest again afterwards. @throws when the machine refuses */
  sideBySide<Result>(instances: number, cpuMillicores: number, step: () => Promise<Result>): Promise<Result>;
  /** One batch on one of them, dispatch → reply; on several at once. @throws when the worker is lost or refuses the batch */
  run(instance: number, batchSize: number): Promise<{ readonly latencyMs: number }>;
}

export interface InterferencePlan {
  readonly batchSize: number;
  /** On less than this nothing is measured. */
  readonly minMillicores: number;
  /** Roughly how long it may take. */
  readonly budgetMs: number;
  readonly nowMs: () => number;
}

/** Of each; with fewer a single bad one moves the median. */
const FEWEST_ROUNDS = 4;
/** Beyond these the medians hardly get better. */
const MOST_ROUNDS = 60;

/** Null where there is nobody to be beside, or no core for it. */
export async function measureInterference(
  target: SideBySideTarget,
  plan: InterferencePlan,
): Promise<MeasuredInterference | null> {
  const counts = [...new Set([2, target.instanceCount])].filter(
    (count) => count > 1 && count <= target.instanceCount && target.millicoresOfEach(count) >= plan.minMillicores,
  );
  const cells: InterferenceCell[] = [];
  for (const instances of counts) {
    const cpuMillicores = target.millicoresOfEach(instances);
    const measured = await target.sideBySide(instances, cpuMillicores, () =>
      inTurns(target, instances, { ...plan, budgetMs: plan.budgetMs / counts.length }),
    );
    cells.push({ batchSize: plan.batchSize, cpuMillicores, instances, ...measured });
  }
  return cells.length === 0 ? null : { coefficient: coefficientOf(cells), cells };
}

/** φ by least squares: slowdown = φ · busy share, through the origin. */
export function coefficientOf(cells: readonly InterferenceCell[]): number {
  let [products, squares] = [0, 0];
  for (const { instances, cpuMillicores, aloneMs, besideMs } of cells) {
    const fraction = busyFraction((instances - 1) * cpuMillicores);
    products += fraction * (besideMs / aloneMs - 1);
    squares += fraction ** 2;
  }
  return Math.min(GREATEST_INTERFERENCE, Math.max(0, products / squares));
}

/** For people. */
export function interferenceText({ coefficient, cells }: MeasuredInterference): string {
  const each = cells.map(({ instances, cpuMillicores, aloneMs, besideMs }) => {
    return `${percentText(besideMs / aloneMs - 1, 1)} slower with ${instances} busy on ${cpuMillicores / 1000} cores each`;
  });
  return `${each.join(', ')} (φ = ${coefficient.toFixed(2)})`;
}

async function inTurns(
  target: SideBySideTarget,
  instances: number,
  { batchSize, budgetMs, nowMs }: InterferencePlan,
): Promise<Pick<InterferenceCell, 'runs' | 'aloneMs' | 'besideMs'>> {
  // The first run of each allocates, and has what the kernel's bucket holds after a quota write.
  for (let instance = 0; instance < instances; instance++) await target.run(instance, batchSize);
  const [aloneMs, besideMs]: [number[], number[]] = [[], []];
  const endAtMs = nowMs() + budgetMs;
  while (aloneMs.length < MOST_ROUNDS && (aloneMs.length < FEWEST_ROUNDS || nowMs() < endAtMs)) {
    aloneMs.push((await target.run(0, batchSize)).latencyMs);
    besideMs.push(await besideOthers(target, instances, batchSize));
  }
  return { runs: aloneMs.length, aloneMs: medianOf(aloneMs), besideMs: medianOf(besideMs) };
}

/** Latency of the first while the others go on running. */
async function besideOthers(target: SideBySideTarget, instances: number, batchSize: number): Promise<number> {
  let isDone = false;
  const others = Array.from({ length: instances - 1 }, async (_, index) => {
    do await target.run(index + 1, batchSize);
    while (!isDone);
  });
  const first = target.run(0, batchSize).finally(() => (isDone = true));
  // All have ended before one's failure is told: whoever owns the worker may then do something else with it.
  const [measured, ...beside] = await Promise.allSettled([first, ...others]);
  for (const each of beside) if (each.status === 'rejected') throw each.reason;
  if (measured.status === 'rejected') throw measured.reason;
  return measured.value.latencyMs;
}

function medianOf(samplesMs: readonly number[]): number {
  return quantile(Float64Array.from(samplesMs).sort(), 0.5);
}
