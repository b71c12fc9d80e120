/*
 * How many instances are worth running side by side where they slow each other down.
 *
 * One alone sustains a rate r with P̂(r) cores (`power-curve.ts`). Each of k that share it has r/k to do, and as it is slowed down by the
 * others, does it as if it were (1 + φ·f)·r/k, with f what the k − 1 others keep busy: x = P̂((1 + φ·f((k − 1)·x))·r/k), solved by going
 * on from x = P̂(r/k), which only rises. Together they hold k·x. Without interference more are never dearer; with it they are from some φ on,
 * as everyone needs more cores to make up for what the others' cores cost it.
 *
 * What a plan really needs is above P̂, the more the fewer instances there are: an instance that idled has time to make up for.
 */
import { slowdownBeside } from '../perf-model/interference.js';
import { coresAt, type PowerCurve } from '../perf-model/power-curve.js';

/** Cores over P̂ of one instance, on steady loads and on bursts; of k it is a k²th (docs/planner.md: 1.03 to 1.07 for two, 1.01 for four). */
const SINGLE_EXCESS = 0.15;
/** What another number must save before it is changed: rates are estimates, and whoever waits was promised time by the old one. */
const HYSTERESIS = 0.05;
/** Of the fixed point, at which it has been found; and how often it is gone on. */
const TOLERANCE = 1e-3;
const MOST_STEPS = 60;

export interface SideBySideQuestion {
  /** P̂ of one instance, alone. */
  readonly curve: PowerCurve;
  /** Of all. */
  readonly ratePerMs: number;
  readonly interference: number;
  /** What all may have together. */
  readonly budgetMillicores: number;
  /** What other models keep busy. */
  readonly otherMillicores: number;
}

/** So many, and what it means for each of them. */
export interface SideBySide {
  readonly count: number;
  /** Cores of all; the whole budget where it does not suffice. */
  readonly cores: number;
  /** The rate over what they can do at most; above 1 they cannot do it. */
  readonly load: number;
  /** What is busy beside each on average. */
  readonly busyBesideMillicores: number;
}

/** @param count integer ≥ 1 */
export function sideBySide(question: SideBySideQuestion, count: number): SideBySide {
  const { curve, ratePerMs, interference, budgetMillicores, otherMillicores } = question;
  const mostCores = budgetMillicores / 1000 / count;
  const besideOf = (cores: number): number => otherMillicores + (count - 1) * 1000 * cores;
  const load = ratePerMs / (count * topRatePerMs(curve, mostCores) || Infinity);
  const full = { count, cores: count * mostCores, busyBesideMillicores: besideOf(mostCores) };
  const loadAtMost = load * slowdownBeside(interference, full.busyBesideMillicores);
  let cores = 0;
  for (let step = 0; step < MOST_STEPS; step++) {
    const slowdown = slowdownBeside(interference, besideOf(cores));
    const next = coresAt(curve, (slowdown * ratePerMs) / count) ?? Infinity;
    if (next > mostCores) return { ...full, load: Math.max(1, loadAtMost) };
    const isFound = next - cores <= TOLERANCE;
    cores = next;
    if (isFound) break;
  }
  return { count, cores: count * cores, load: Math.min(1, loadAtMost), busyBesideMillicores: besideOf(cores) };
}

/**
 * Of 1 … `most`, that of the least cores; where none can do the rate, that which can do most of it.
 * @param previous stays where no other is better by much
 */
export function bestSideBySide(question: SideBySideQuestion, most: number, previous: number): SideBySide {
  let best = sideBySide(question, most);
  for (let count = most - 1; count >= 1; count--) {
    const other = sideBySide(question, count);
    if (costOf(other) < costOf(best)) best = other;
  }
  if (best.count === previous || previous < 1 || previous > most) return best;
  const kept = sideBySide(question, previous);
  return costOf(best) < costOf(kept) / (1 + HYSTERESIS) ? best : kept;
}

/** Beyond what it can do the budget is not the cost, but what is lost. */
function costOf({ count, cores, load }: SideBySide): number {
  return cores * (1 + SINGLE_EXCESS / count ** 2) * (load > 1 ? 1000 * load : 1);
}

/** On at most so many cores. */
function topRatePerMs({ ratesPerMs, cores }: PowerCurve, mostCores: number): number {
  const last = cores.length - 1;
  if (cores[last]! <= mostCores) return ratesPerMs[last]!;
  const above = cores.findIndex((each) => each > mostCores);
  if (above === 0) return 0;
  const share = (mostCores - cores[above - 1]!) / (cores[above]! - cores[above - 1]!);
  return ratesPerMs[above - 1]! + share * (ratesPerMs[above]! - ratesPerMs[above - 1]!);
}
