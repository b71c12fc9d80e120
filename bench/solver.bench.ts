import { solve } from '../src/scheduler/controlplane/solver.js';
import { shapeClass } from '../src/scheduler/domain/request.js';
import type { PlanningProblem } from '../src/scheduler/controlplane/program.js';
import { EXACT_LIMIT, serveMost } from '../src/scheduler/dataplane/queue-dp.js';
import { OnlineLatencyModels } from '../src/scheduler/perf-model/latency-model.js';
import { publishedProfile } from '../src/scheduler/perf-model/published.js';
import { atMost, isTiny, report } from './harness/row.js';
import { chunks, quantile } from './harness/statistics.js';

/*
 * What one planning decision costs with n requests queued, beside plain enumeration: every c, every b, a replay of the
 * queue each, until the first that fits. Budget: 100 µs p50 and 500 µs p99 with a queue of 64, 1–16 cores in 0.1 steps, b ≤ 32.
 *
 *   npx tsx bench/solver.bench.ts [--tiny]
 *
 * The latency model is the one that serving uses, on the published YOLOv5s table. Every decision is about another queue,
 * drawn so that the plan mostly lies between the floor and the largest allocation. `steady`: deadlines spread out, an
 * early one binds, so that a plan that is too small fails after a few batches. `burst`: all due at once, the last one
 * binds, and only a whole replay tells. `mixed`: steady, three shape classes.
 */

const LIMITS = { minMillicores: 1000, maxMillicores: 16_000, stepMillicores: 100 };
const MAX_BATCH_SIZE = 32;
const IN_FLIGHT_MS = 30;
const ARRIVAL_RATE_PER_SEC = 5;

const profile = publishedProfile('yolov5s');
const classOf = (scale: number) => shapeClass(`x${scale}`, profile.elementCount * scale);
const source = new OnlineLatencyModels(profile);
const models = [source.forClass(classOf(1)), source.forClass(classOf(0.5)), source.forClass(classOf(2))];

/** Linear congruential sequence (Numerical Recipes), in [0, 1). */
let lcgState = 1;
function nextRandom(): number {
  lcgState = (Math.imul(lcgState, 1_664_525) + 1_013_904_223) >>> 0;
  return lcgState / 2 ** 32;
}

type Load = 'steady' | 'burst' | 'mixed';

function randomProblem(load: Load, queueSize: number): PlanningProblem {
  // In large batches a request takes 170 ms on one core, 59 on four and 31 on sixteen.
  const spacingMs = 35 + 40 * nextRandom();
  let dueAtMs = 150 + 300 * nextRandom() + (load === 'burst' ? spacingMs * queueSize : 0);
  const classCount = load === 'mixed' ? models.length : 1;
  const queue = Array.from({ length: queueSize }, () => {
    if (load !== 'burst') dueAtMs += 2 * spacingMs * nextRandom();
    return { dueAtMs, classIndex: Math.floor(classCount * nextRandom()) };
  });
  return {
    nowMs: 0,
    queue,
    models,
    inFlightRemainingMs: () => IN_FLIGHT_MS,
    arrivalRatePerSec: ARRIVAL_RATE_PER_SEC,
    arrivalModel: models[0]!,
    limits: LIMITS,
    maxBatchSize: MAX_BATCH_SIZE,
  };
}

/** The plain way, one class: the same answer as `solve` for queues without unsalvageable requests, as all of these are. */
function enumerate(problem: PlanningProblem): string {
  const { queue, limits, arrivalRatePerSec } = problem;
  const model = problem.models[0]!;
  for (let cpu = limits.minMillicores; cpu <= limits.maxMillicores; cpu += limits.stepMillicores) {
    for (let batchSize = 1; batchSize <= problem.maxBatchSize; batchSize++) {
      if (arrivalRatePerSec * model.plannedLatencyMs(batchSize, cpu) > 1000 * batchSize) continue;
      let finishAtMs = problem.nowMs + problem.inFlightRemainingMs(cpu);
      let head = 0;
      for (; head < queue.length; head += batchSize) {
        finishAtMs += model.plannedLatencyMs(Math.min(batchSize, queue.length - head), cpu);
        if (finishAtMs > queue[head]!.dueAtMs) break;
      }
      if (head >= queue.length) return `${cpu} ${batchSize}`;
    }
  }
  return 'infeasible';
}

function assertSame(problem: PlanningProblem): void {
  const solution = solve(problem);
  const ours = solution.kind === 'feasible' ? `${solution.cpuMillicores} ${solution.batchSize}` : solution.kind;
  const plain = enumerate(problem);
  if (ours !== plain) throw new Error(`solve says ${ours}, enumeration ${plain}`);
}

interface Timing {
  /** In the order of the inputs. */
  readonly tookUs: readonly number[];
  readonly p50Us: number;
  readonly p99Us: number;
}

function timed<Input>(inputs: readonly Input[], run: (input: Input) => unknown): Timing {
  const tookUs = inputs.map((input) => {
    const startMs = performance.now();
    run(input);
    return (performance.now() - startMs) * 1000;
  });
  return { tookUs, p50Us: quantile(tookUs, 0.5), p99Us: quantile(tookUs, 0.99) };
}

function cells(...values: readonly (number | string)[]): string {
  return values.map((value) => (typeof value === 'number' ? value.toFixed(1) : value).padStart(11)).join('');
}

/** One # per doubling of the median above 1 µs. */
function bar(us: number): string {
  return '#'.repeat(Math.max(1, Math.round(Math.log2(us))));
}

const queueSizes = isTiny ? [1, 16, 64] : [1, 4, 16, 64, 256, 1000, 4000, 16_000, 64_000, 100_000];
const HEADLINE_QUEUE_SIZE = 64;
const ROUNDS = 5;
const decisionsAt = (queueSize: number): number => (isTiny ? 20 : Math.min(2000, Math.max(30, 2_000_000 / queueSize)));

console.log(
  `One planning decision, µs; c ${LIMITS.minMillicores}–${LIMITS.maxMillicores} millicores, b ≤ ${MAX_BATCH_SIZE}`,
);
console.log(`node ${process.version}; budget at 64: p50 ≤ 100, p99 ≤ 500`);
for (const load of ['steady', 'burst', 'mixed'] as const) {
  const warmUp = Array.from({ length: isTiny ? 50 : 2000 }, () => randomProblem(load, 32));
  for (const problem of warmUp) solve(problem);
  console.log(`\n${load.padEnd(6)}${cells('p50', 'p99', 'enumerated', '× faster')}  p50, log scale`);
  for (const queueSize of queueSizes) {
    const problems = Array.from({ length: Math.round(decisionsAt(queueSize)) }, () => randomProblem(load, queueSize));
    const { tookUs, p50Us, p99Us } = timed(problems, solve);
    const enumerated = timedBaseline(load, problems);
    const baselineCells = enumerated === null ? ['-', '-'] : [enumerated.p50Us, enumerated.p50Us / p50Us];
    console.log(`${String(queueSize).padStart(6)}${cells(p50Us, p99Us, ...baselineCells)}  ${bar(p50Us)}`);
    if (queueSize === HEADLINE_QUEUE_SIZE) reportHeadline(load, tookUs, enumerated);
  }
}

/** Enumeration is written for one class and ends within seconds for all but the largest bursts; null for the others. */
function timedBaseline(load: Load, problems: readonly PlanningProblem[]): Timing | null {
  const isLong = load === 'burst' && problems[0]!.queue.length > 16_000;
  if (load === 'mixed' || isLong) return null;
  const some = problems.slice(0, isTiny ? 5 : 50);
  some.forEach(assertSame);
  return timed(some, enumerate);
}

/** One value for each run of decisions: how far they are apart tells what the machine did meanwhile. */
function reportHeadline(load: Load, tookUs: readonly number[], enumerated: Timing | null): void {
  const headlines = [
    { percentile: 'p50', fraction: 0.5, budget: atMost(100) },
    { percentile: 'p99', fraction: 0.99, budget: atMost(500) },
  ];
  for (const { percentile, fraction, budget } of headlines) {
    const ofRounds = (values: readonly number[]) => chunks(values, ROUNDS).map((round) => quantile(round, fraction));
    report({
      what: `planning decision, queue of ${HEADLINE_QUEUE_SIZE}, ${load}, ${percentile}`,
      unit: 'µs',
      ours: ofRounds(tookUs),
      baseline: enumerated === null ? null : { what: 'plain enumeration', values: ofRounds(enumerated.tookUs) },
      budget,
      note: `${tookUs.length} decisions, in ${ROUNDS} parts`,
    });
  }
}

console.log('\nWhom to serve when not all can be (exact up to 64), µs');
console.log(cells('queued', 'p50', 'p99'));
for (const queueSize of isTiny ? [EXACT_LIMIT] : [8, 16, 32, EXACT_LIMIT, 1000, 100_000]) {
  const overloads = Array.from({ length: Math.round(decisionsAt(queueSize)) }, () => ({
    freeAtMs: 0,
    // About half of what arrives can be served.
    dueAtMs: Array.from({ length: queueSize }, () => 20 * queueSize * nextRandom()).sort((a, b) => a - b),
    latencyMs: (batchSize: number) => models[0]!.plannedLatencyMs(batchSize, LIMITS.maxMillicores),
    maxBatchSize: MAX_BATCH_SIZE,
  }));
  for (const overload of overloads.slice(0, 200)) serveMost(overload);
  const { p50Us, p99Us } = timed(overloads, serveMost);
  console.log(cells(String(queueSize), p50Us, p99Us));
}
