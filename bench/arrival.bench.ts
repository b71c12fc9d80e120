import { classOf, heldNode, leastMsEach, type BenchPolicy, type HeldModel } from './harness/held-node.js';
import { atMost, isTiny, numberText, report, type Budget } from './harness/row.js';
import { chunks, median, quantile } from './harness/statistics.js';

/*
 * What the router spends on a request while n others wait: the whole control path, from `submit` on, while every worker is busy.
 * Beside it one cancellation, one plan by the clock, and one turn of a batch: it ends, the next is planned, and starts. Curves over
 * n, for queues of several kinds; the baseline of each is the same with ten waiting. Then one turn on a node of four models, by the
 * clock and in CPU time: on a machine that others use, the slowest of a hundred is whichever was interrupted.
 *
 *   npm run build && npx tsx bench/arrival.bench.ts [--tiny]
 */

type Kind = 'met' | 'overloaded' | 'best effort' | '16 classes';

const POLICIES: readonly BenchPolicy[] = ['static', 'sponge', 'sponge, 4 instances'];
const KINDS: readonly Kind[] = ['met', 'overloaded', 'best effort', '16 classes'];
const COUNTS = isTiny ? [10, 100] : [10, 100, 1000, 10_000, 100_000];
const ROUNDS = isTiny ? 4 : 60;
const EACH_ROUND = isTiny ? 2 : 20;
/** For one point of a curve. */
const PATIENCE_MS = 5000;
/** Of a curve that no longer is one: nothing longer is measured. */
const TOO_LONG_US = 20_000;

/** Far enough that the least allocation does for all of them. */
const FAR_MS = 1e7;
const HURRIED_MS = 150;
/** Of a batch; nothing beside a long queue. */
const SHORT_MS = 1000;
/** Of what can be met. */
const OVERLOAD = 1.05;
/** From one round to the next: what it asked for is no burst. */
const PAUSE_MS = 1000;

/** Numerical Recipes; in [0, 1). */
let lcgState = 1;
function nextRandom(): number {
  lcgState = (Math.imul(lcgState, 1_664_525) + 1_013_904_223) >>> 0;
  return lcgState / 2 ** 32;
}

/** Submits one of so many that wait. */
function submitterOf(kind: Kind, count: number, model: HeldModel): () => number {
  switch (kind) {
    case 'met':
      return () => model.submit(FAR_MS * (1 + nextRandom()));
    case '16 classes':
      return () => model.submit(FAR_MS * (1 + nextRandom()), { shapeClass: classOf(Math.floor(16 * nextRandom())) });
    case 'best effort':
      // Too late for any run, so they wait behind all others.
      return () => model.submit(nextRandom(), { isBestEffort: true });
    case 'overloaded': {
      // A twentieth more than can be met in full batches on all cores, so that whoever comes is one too many.
      const spanMs = SHORT_MS + (count / OVERLOAD) * leastMsEach();
      return () => model.submit(FAR_MS + spanMs * (1 - 0.1 * nextRandom()));
    }
  }
}

interface Costs {
  readonly arrivalUs: number[];
  readonly cancelUs: number[];
  /** Those that the clock asks for; none of a queue that must not grow older, or of a policy that seldom plans. */
  readonly planUs: number[];
  readonly turnUs: number[];
}

const usSince = (startMs: number): number => (performance.now() - startMs) * 1000;

function measure(policy: BenchPolicy, kind: Kind, count: number): Costs {
  const { clock, models } = heldNode(policy);
  const model = models[0]!;
  const submit = submitterOf(kind, count, model);
  model.fill(() => {
    for (let index = 0; index < count; index++) {
      // Twenty a second, which is no overload.
      clock.advanceBy(50);
      submit();
    }
    if (kind === 'overloaded') clock.advanceTo(FAR_MS);
  });
  // Whoever is in a hurry gets an instance that would rather wait.
  for (let attempt = 0; attempt < 20 && !model.isBusy; attempt++) {
    model.submit(clock.nowMs() + HURRIED_MS);
    clock.advanceBy(1);
  }
  const costs: Costs = { arrivalUs: [], cancelUs: [], planUs: [], turnUs: [] };
  const measureFromMs = performance.now();
  for (let round = 0; round < ROUNDS; round++) {
    if (round > 2 && performance.now() - measureFromMs > PATIENCE_MS) break;
    const sequences: number[] = [];
    const startMs = performance.now();
    for (let index = 0; index < EACH_ROUND; index++) sequences.push(submit());
    costs.arrivalUs.push(usSince(startMs) / EACH_ROUND);
    const cancelFromMs = performance.now();
    for (const sequence of sequences) model.system.cancel(sequence);
    costs.cancelUs.push(usSince(cancelFromMs) / EACH_ROUND);
    if (model.hasBatch) {
      const turnFromMs = performance.now();
      const left = model.endBatch();
      costs.turnUs.push(usSince(turnFromMs));
      for (let index = 0; index < left; index++) submit();
    }
    if (kind === 'overloaded') continue;
    const plansBefore = model.planCount;
    const pauseFromMs = performance.now();
    clock.advanceBy(PAUSE_MS);
    const plans = model.planCount - plansBefore;
    if (plans > 0) costs.planUs.push(usSince(pauseFromMs) / plans);
  }
  model.system.stop();
  const { arrivalUs, cancelUs, planUs, turnUs } = costs;
  // The first half warms up.
  return {
    arrivalUs: lastHalf(arrivalUs),
    cancelUs: lastHalf(cancelUs),
    planUs: lastHalf(planUs),
    turnUs: lastHalf(turnUs),
  };
}

function lastHalf(values: readonly number[]): number[] {
  return values.slice(values.length >> 1);
}

function curve(policy: BenchPolicy, kind: Kind): void {
  let baseline: Costs | null = null;
  for (const count of COUNTS) {
    const costs = measure(policy, kind, count);
    console.log(
      [
        policy,
        kind,
        String(count),
        ...[costs.arrivalUs, costs.cancelUs, costs.planUs, costs.turnUs].map(medianText),
      ].join('\t'),
    );
    baseline ??= costs;
    if (count === COUNTS.at(-1)) reportCurve(policy, kind, costs, baseline);
    if (median(costs.arrivalUs) > TOO_LONG_US) return;
  }
}

/** Its end beside its beginning. */
function reportCurve(policy: BenchPolicy, kind: Kind, costs: Costs, fewest: Costs): void {
  const rowOf = (what: string, of: keyof Costs, budget: Budget | null): void =>
    report({
      what: `${what}, ${policy}, ${kind}, ${COUNTS.at(-1)!} queued`,
      unit: 'µs',
      ours: costs[of],
      baseline: { what: `${COUNTS[0]!} queued`, values: fewest[of] },
      budget,
      note: `rounds of ${EACH_ROUND}, a worker that is busy`,
    });
  rowOf('an arrival', 'arrivalUs', atMost(50));
  if (kind !== 'met') return;
  rowOf('a cancellation', 'cancelUs', null);
  if (costs.planUs.length > 0) rowOf('a plan', 'planUs', null);
}

function medianText(values: readonly number[]): string {
  return values.length === 0 ? '-' : numberText(median(values));
}

/** One turn of a batch on a node of four models, two instances and 64 waiting each. */
function nodeDecision(): void {
  const { clock, models } = heldNode('sponge, 2 instances', 4);
  const submitters = models.map((model) => () => model.submit(clock.nowMs() + 500 + 2500 * nextRandom()));
  models.forEach((model, index) => model.fill(() => repeat(8, submitters[index]!)));
  const tookUs: number[] = [];
  const cpuUs: number[] = [];
  for (let turn = 0; turn < (isTiny ? 40 : 4000); turn++) {
    const model = models[turn % models.length]!;
    const submit = submitters[turn % models.length]!;
    repeat(64 - model.queueDepth, submit);
    clock.advanceBy(50);
    if (!model.hasBatch) continue;
    const cpuBefore = process.cpuUsage();
    const startMs = performance.now();
    model.endBatch();
    tookUs.push(usSince(startMs));
    const { user, system } = process.cpuUsage(cpuBefore);
    cpuUs.push(user + system);
  }
  for (const [name, fraction, limitUs] of [
    ['p50', 0.5, 100],
    ['p99', 0.99, 300],
  ] as const) {
    const ofParts = (values: readonly number[]): number[] =>
      chunks(values.slice(values.length >> 2), isTiny ? 1 : 5).map((part) => quantile(part, fraction));
    const row = { unit: 'µs', baseline: null, budget: atMost(limitUs) };
    const what = `one decision of a node, ${name}`;
    const note = 'a batch ends, the next is planned and starts; four models, eight instances, up to 64 waiting each';
    report({ ...row, what, ours: ofParts(tookUs), note });
    report({
      ...row,
      what: `${what}, CPU time`,
      ours: ofParts(cpuUs),
      note: 'of all threads, compiler and collector too',
    });
  }
}

function repeat(count: number, act: () => unknown): void {
  for (let index = 0; index < count; index++) act();
}

console.log(`µs, medians of ${ROUNDS} rounds; node ${process.version}`);
console.log(['policy', 'queue', 'waiting', 'arrival', 'cancel', 'plan', 'turn'].join('\t'));
for (const policy of POLICIES) for (const kind of KINDS) curve(policy, kind);
nodeDecision();
