import { describe, expect, it } from 'vitest';
import { chooseLevels, type Demand, type LevelPrices } from '../../src/scheduler/variants/choice.js';
import { Prng } from '../../src/scheduler/random/prng.js';
import { mostAccuracy } from '../../src/simulator/clairvoyant/variants-bound.js';

/*
 * The choice of variants against all choices there are, and the bound against all schedules of tiny instances. What is met is found out by
 * working the queue off in steps, not by sums of prefixes.
 */

interface Tiny {
  readonly demands: readonly Demand[];
  readonly works: readonly number[];
  readonly accuracies: readonly number[];
  readonly cores: number;
  readonly busyCoreMs: number;
}

const pricesOf = ({ works, accuracies }: Tiny): readonly LevelPrices[] =>
  works.map((work, level) => ({
    ...{ accuracy: accuracies[level]!, runMs: work / 4 },
    coreMs: (leftMs) => (leftMs < work / 3 ? Infinity : work),
  }));

function tiny(prng: Prng, most: number): Tiny {
  const count = 1 + prng.int(most);
  const levels = 2 + prng.int(2);
  const works = [10 + prng.int(20)];
  const accuracies = [50 + prng.int(20)];
  for (let level = 1; level < levels; level++) {
    // Now and then one that is better and cheaper, or no better.
    works.push(works.at(-1)! + prng.int(60) - 5);
    accuracies.push(accuracies.at(-1)! + prng.int(10));
  }
  const demands = Array.from({ length: count }, (): Demand => {
    const least = prng.uniform() < 0.2 ? prng.int(levels) : 0;
    const allowed = works.map((_, level) => level).filter((level) => level >= least);
    return { dueInMs: 5 + prng.int(120), count: 1, claim: 1, levels: allowed };
  }).sort((a, b) => a.dueInMs - b.dueInMs);
  return { demands, works, accuracies, cores: 1 + prng.int(3), busyCoreMs: prng.int(2) * prng.int(40) };
}

/** Works what was chosen off, earliest deadline first, and looks at each deadline. */
function isMet({ demands, works, cores, busyCoreMs }: Tiny, levels: readonly number[]): boolean {
  let atMs = busyCoreMs / cores;
  return demands.every(({ dueInMs }, index) => {
    const level = levels[index]!;
    if (level === -1) return true;
    const endAtMs = atMs + works[level]! / 4;
    atMs += works[level]! / cores;
    return dueInMs >= works[level]! / 3 && endAtMs <= dueInMs + 1e-9;
  });
}

/** Over all choices: the most that are met, and of those the most accuracy. */
function bestOf(instance: Tiny): readonly [met: number, accuracy: number] {
  const { demands, accuracies } = instance;
  let best: [number, number] = [0, 0];
  const chosen: number[] = [];
  const go = (index: number): void => {
    if (index === demands.length) {
      if (!isMet(instance, chosen)) return;
      const met = chosen.filter((level) => level !== -1).length;
      const accuracy = chosen.reduce((sum, level) => sum + (level === -1 ? 0 : accuracies[level]!), 0);
      if (met > best[0] || (met === best[0] && accuracy > best[1])) best = [met, accuracy];
      return;
    }
    for (const level of [-1, ...demands[index]!.levels]) {
      chosen.push(level);
      go(index + 1);
      chosen.pop();
    }
  };
  go(0);
  return best;
}

const accuracyOf = ({ accuracies }: Tiny, levels: readonly number[]): number =>
  levels.reduce((sum, level) => sum + (level === -1 ? 0 : accuracies[level]!), 0);

describe('which variant serves which request', () => {
  it('is the best of all choices: 3,000 queues of up to six requests', () => {
    const prng = new Prng(1);
    for (let round = 0; round < 3000; round++) {
      const instance = tiny(prng, 6);
      const { levels, lost } = chooseLevels(instance.demands, pricesOf(instance), instance.cores, instance.busyCoreMs);
      const [met, accuracy] = bestOf(instance);
      expect(isMet(instance, levels), JSON.stringify(instance)).toBe(true);
      expect([instance.demands.length - lost, accuracyOf(instance, levels)], JSON.stringify(instance)).toEqual([
        met,
        accuracy,
      ]);
    }
  });

  it('takes every request to have what it is allowed, and is met by working the queue off, also step by step', () => {
    const prng = new Prng(2);
    let sum = 0;
    let exactSum = 0;
    for (let round = 0; round < 300; round++) {
      const instance = tiny(prng, 6);
      // More to choose for than is done exactly: copies of the same requests that may have one variant only come beside them.
      const idle: Demand[] = Array.from({ length: 8 }, (_, index) => ({
        ...{ dueInMs: 100_000 + index, count: 1, claim: 1, levels: instance.works.map((_, level) => level) },
      }));
      const demands = [...instance.demands, ...idle];
      const { levels } = chooseLevels(demands, pricesOf(instance), instance.cores, instance.busyCoreMs);
      const own = levels.slice(0, instance.demands.length);
      expect(isMet(instance, own), JSON.stringify(instance)).toBe(true);
      own.forEach((level, index) => expect([-1, ...instance.demands[index]!.levels]).toContain(level));
      const [met, accuracy] = bestOf(instance);
      if (own.filter((level) => level !== -1).length === met)
        [sum, exactSum] = [sum + accuracyOf(instance, own), exactSum + accuracy];
    }
    // Where it meets as many, it is within a hundredth of the best choice.
    expect(sum).toBeGreaterThan(0.99 * exactSum);
  });
});

describe('the most accuracy that anybody can answer with', () => {
  it('is never less than the best of all choices of variants on a machine that may be interrupted: 2,000 instances', () => {
    const prng = new Prng(3);
    let tight = 0;
    for (let round = 0; round < 2000; round++) {
      const { works, accuracies, cores } = tiny(prng, 1);
      const count = 1 + prng.int(4);
      const releaseAtMs = Float64Array.from({ length: count }, () => prng.int(80));
      const dueAtMs = releaseAtMs.map((atMs) => atMs + 5 + prng.int(80));
      const variants = works.map((coreMs, level) => ({ accuracy: accuracies[level]!, coreMs }));
      const bound = mostAccuracy(variants, { releaseAtMs, dueAtMs, work: new Float64Array(count).fill(1) }, cores);
      let best = 0;
      const chosen: number[] = [];
      const go = (index: number): void => {
        if (index < count) {
          for (let level = -1; level < works.length; level++) {
            chosen.push(level);
            go(index + 1);
            chosen.pop();
          }
          return;
        }
        const jobs = chosen.map((level, job) => ({
          from: releaseAtMs[job]!,
          to: dueAtMs[job]!,
          ms: level === -1 ? 0 : works[level]! / cores,
        }));
        if (fits(jobs))
          best = Math.max(
            best,
            chosen.reduce((sum, level) => sum + (level === -1 ? 0 : accuracies[level]!), 0),
          );
      };
      go(0);
      expect(bound).toBeGreaterThanOrEqual(best - 1e-6);
      if (bound <= best + 1e-6) tight += 1;
    }
    // It is reached where nothing is divided.
    expect(tight).toBeGreaterThan(200);
  });
});

/** One machine, interruptible: between any two instants no more is to be done than there is time. */
function fits(jobs: readonly { readonly from: number; readonly to: number; readonly ms: number }[]): boolean {
  return jobs.every(({ from }) =>
    jobs.every(({ to }) => {
      const inside = jobs.filter((job) => job.from >= from && job.to <= to);
      return inside.reduce((sum, { ms }) => sum + ms, 0) <= Math.max(0, to - from) + 1e-9;
    }),
  );
}
