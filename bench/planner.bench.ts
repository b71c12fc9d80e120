import { BudgetSample } from '../src/scheduler/controlplane/budget-sample.js';
import { shapeClass } from '../src/scheduler/domain/request.js';
import {
  cheapestBatch,
  firstLate,
  type BatchChoice,
  type BatchQuestion,
} from '../src/scheduler/controlplane/pricing.js';
import { allocationAt, stepCount } from '../src/scheduler/controlplane/solver.js';
import { OnlineLatencyModels } from '../src/scheduler/perf-model/latency-model.js';
import { publishedProfile } from '../src/scheduler/perf-model/published.js';
import { Prng } from '../src/scheduler/random/prng.js';
import { atMost, isTiny, report } from './harness/row.js';
import { chunks, quantile } from './harness/statistics.js';

/*
 * What one decision of the default planner costs, beside plain enumeration of every (n, c): 160 allocations, b ≤ 32.
 * Budget with a queue of 64: 100 µs p50, 500 µs p99. A curve over queue sizes shows how it grows.
 *
 *   npx tsx bench/planner.bench.ts [--tiny]
 */

const LIMITS = { minMillicores: 100, maxMillicores: 16_000, stepMillicores: 100 };
const MAX_BATCH_SIZE = 32;
const HEADLINE_QUEUE_SIZE = 64;
const ROUNDS = 5;

const profile = publishedProfile('yolov5s');
const model = new OnlineLatencyModels(profile).forClass(shapeClass('x', profile.elementCount));
const prng = new Prng(1);

function randomQuestion(queueSize: number): BatchQuestion {
  const budgets = new BudgetSample();
  for (let i = 0; i < 64; i++) budgets.observe(200 + 800 * prng.uniform());
  // Loose enough that most can be met: an infeasible queue is decided in no time.
  let dueAtMs = 1200 + 600 * prng.uniform();
  const ratePerSec = 5 + 20 * prng.uniform();
  return {
    nowMs: 0,
    dueAtMs: Array.from({ length: queueSize }, () => (dueAtMs += 100 * prng.uniform())),
    classIndexes: null,
    models: [model],
    limits: LIMITS,
    maxBatchSize: MAX_BATCH_SIZE,
    steadyRatePerSec: ratePerSec,
    expectedRatePerSec: ratePerSec,
    budgets,
    pricing: { safety: 1.4, lossCoreMs: 35_000, usesForecast: true },
  };
}

/** The cheapest feasible (n, c) at a price of 4 cores, by looking at them all; null where there is none. */
function enumerate(question: BatchQuestion): number | null {
  let least: number | null = null;
  for (let batchSize = 1; batchSize <= Math.min(MAX_BATCH_SIZE, question.dueAtMs.length); batchSize++) {
    for (let step = 0; step < stepCount(LIMITS); step++) {
      const c = allocationAt(LIMITS, step);
      const runMs = model.predictedLatencyMs(batchSize, c);
      const isHeadMet = model.plannedLatencyMs(batchSize, c) <= question.dueAtMs[0]!;
      if (!isHeadMet || firstLate(question, batchSize, runMs, c) !== -1) continue;
      const lost = (question.steadyRatePerSec / 1000) * question.budgets.lostMs(runMs, 50);
      const cost = ((c / 1000 + 4) * runMs + 20_000 * lost) / batchSize;
      if (least === null || cost < least) least = cost;
    }
  }
  return least;
}

function timedUs(questions: readonly BatchQuestion[], decide: (question: BatchQuestion) => unknown): number[] {
  return questions.map((question) => {
    const startMs = performance.now();
    decide(question);
    return (performance.now() - startMs) * 1000;
  });
}

function assertSame(question: BatchQuestion, choice: BatchChoice | null): void {
  if ((choice === null) !== (enumerate(question) === null))
    throw new Error('the planner and plain enumeration disagree');
}

for (let i = 0; i < (isTiny ? 50 : 3000); i++) cheapestBatch(randomQuestion(32));
for (const queueSize of isTiny
  ? [1, HEADLINE_QUEUE_SIZE]
  : [1, 4, 16, HEADLINE_QUEUE_SIZE, 256, 1000, 10_000, 100_000]) {
  const count = isTiny ? 20 : Math.round(Math.min(2000, Math.max(30, 500_000 / queueSize)));
  const questions = Array.from({ length: count }, () => randomQuestion(queueSize));
  const tookUs = timedUs(questions, cheapestBatch);
  const some = questions.slice(0, isTiny ? 5 : 50);
  if (queueSize <= 1000) for (const question of some) assertSame(question, cheapestBatch(question));
  console.log(
    `queue of ${String(queueSize).padStart(6)}: p50 ${quantile(tookUs, 0.5).toFixed(1)} µs, p99 ${quantile(tookUs, 0.99).toFixed(1)} µs`,
  );
  if (queueSize !== HEADLINE_QUEUE_SIZE) continue;
  const baselineUs = timedUs(some, enumerate);
  for (const { percentile, fraction, budget } of [
    { percentile: 'p50', fraction: 0.5, budget: atMost(100) },
    { percentile: 'p99', fraction: 0.99, budget: atMost(500) },
  ]) {
    const ofRounds = (values: readonly number[]): number[] =>
      chunks(values, ROUNDS).map((round) => quantile(round, fraction));
    report({
      what: `default planner's decision, queue of ${HEADLINE_QUEUE_SIZE}, ${percentile}`,
      unit: 'µs',
      ours: ofRounds(tookUs),
      baseline: { what: 'plain enumeration', values: ofRounds(baselineUs) },
      budget,
      note: `${count} decisions, in ${ROUNDS} parts`,
    });
  }
}
