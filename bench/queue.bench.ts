import { EdfQueue, compareByDeadline, type Queueable } from '../src/scheduler/dataplane/edf-queue.js';
import { atMost, isTiny, report } from './harness/row.js';
import { median } from './harness/statistics.js';

/*
 * What one push and one pop cost with n requests queued: the EDF queue beside a sorted array with binary search, which is
 * what a first version would be. Budget: 2 µs per push or pop at 100 000 queued.
 *
 *   npx tsx bench/queue.bench.ts [--tiny]
 *
 * Each round pushes a block of requests onto n queued ones and pops as many; queues alternate, the median round counts.
 */

interface Contender {
  push(item: Queueable): void;
  pop(): Queueable | undefined;
}

/** Latest first, so that popping the earliest is cheap; inserting moves half of it on average. */
class SortedArray implements Contender {
  private readonly items: Queueable[] = [];

  push(item: Queueable): void {
    let low = 0;
    let high = this.items.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareByDeadline(this.items[middle]!, item) > 0) low = middle + 1;
      else high = middle;
    }
    this.items.splice(low, 0, item);
  }

  pop(): Queueable | undefined {
    return this.items.pop();
  }
}

/** Deadlines spread like uniform slacks over one second; a linear congruential sequence (Numerical Recipes). */
let lcgState = 1;
function nextDueAtMs(): number {
  lcgState = (Math.imul(lcgState, 1_664_525) + 1_013_904_223) >>> 0;
  return (lcgState / 2 ** 32) * 1000;
}

let nextSequence = 0;
function nextItem(): Queueable {
  nextSequence += 1;
  return { sequence: nextSequence, dueAtMs: nextDueAtMs(), priority: 0, byteCount: 1 };
}

interface Cost {
  readonly pushUs: number[];
  readonly popUs: number[];
}

function runRound(queue: Contender, block: readonly Queueable[], cost: Cost): void {
  const startMs = performance.now();
  for (const item of block) queue.push(item);
  const pushedMs = performance.now();
  for (let count = 0; count < block.length; count += 1) queue.pop();
  const poppedMs = performance.now();
  cost.pushUs.push(((pushedMs - startMs) * 1000) / block.length);
  cost.popUs.push(((poppedMs - pushedMs) * 1000) / block.length);
}

const queuedCounts = isTiny ? [100, 1000] : [100, 1000, 10_000, 100_000];
const blockSize = isTiny ? 100 : 1000;
const roundCount = isTiny ? 5 : 31;

console.log(`µs per operation, median of ${roundCount} rounds of ${blockSize}; node ${process.version}`);
console.log('queued    EDF push  EDF pop | sorted-array push   pop');
for (const queuedCount of queuedCounts) {
  const contenders: readonly { queue: Contender; cost: Cost }[] = [
    { queue: new EdfQueue<Queueable>(), cost: { pushUs: [], popUs: [] } },
    { queue: new SortedArray(), cost: { pushUs: [], popUs: [] } },
  ];
  const initial = Array.from({ length: queuedCount }, nextItem).sort(compareByDeadline).reverse();
  for (const { queue } of contenders) for (const item of initial) queue.push(item);
  for (let round = 0; round < roundCount; round += 1) {
    const block = Array.from({ length: blockSize }, nextItem);
    for (const { queue, cost } of contenders) runRound(queue, block, cost);
  }
  const isHeadline = queuedCount === queuedCounts.at(-1);
  if (isHeadline) reportHeadline(queuedCount, contenders[0]!.cost, contenders[1]!.cost);
  const [edf, array] = contenders.map(({ cost }) => ({
    push: median(cost.pushUs).toFixed(2),
    pop: median(cost.popUs).toFixed(2),
  })) as [{ push: string; pop: string }, { push: string; pop: string }];
  console.log(
    `${String(queuedCount).padStart(6)}  ${edf.push.padStart(10)} ${edf.pop.padStart(8)} | ${array.push.padStart(17)} ${array.pop.padStart(5)}`,
  );
}

function reportHeadline(queuedCount: number, edf: Cost, array: Cost): void {
  for (const operation of ['push', 'pop'] as const) {
    report({
      what: `queue ${operation} at ${queuedCount} queued`,
      unit: 'µs',
      ours: edf[`${operation}Us`],
      baseline: { what: 'sorted array', values: array[`${operation}Us`] },
      budget: atMost(2),
      note: `blocks of ${blockSize}`,
    });
  }
}
