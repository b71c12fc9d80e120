/*
 * Which (replicas × cores each) meets a load at least cost, by looking at all of them; and whether one pod meets a rate, by looking at every
 * batch size of every budget, and at whether the rates that these meet leave no gap below it. Shares no code with `src/operate`.
 */

export interface SizingCase {
  /** By allocation, then batch size − 1, ms. */
  readonly tables: readonly (readonly number[])[];
  readonly millicores: readonly number[];
  /** Equally likely each. */
  readonly budgetsMs: readonly number[];
  readonly ratePerSec: number;
  readonly minReplicas: number;
  readonly maxReplicas: number;
  readonly podMillicores: number;
}

export interface CheapestSizing {
  readonly replicas: number;
  readonly cpuMillicores: number;
}

export function cheapestOfAll(of: SizingCase): CheapestSizing | null {
  const all: { readonly sizing: CheapestSizing; readonly cost: number }[] = [];
  for (let replicas = of.minReplicas; replicas <= of.maxReplicas; replicas++) {
    of.millicores.forEach((cpuMillicores, index) => {
      if (!isMet(of.tables[index]!, of.budgetsMs, of.ratePerSec / replicas)) return;
      all.push({ sizing: { replicas, cpuMillicores }, cost: replicas * (cpuMillicores + of.podMillicores) });
    });
  }
  const least = Math.min(...all.map(({ cost }) => cost));
  return all.find(({ cost }) => cost === least)?.sizing ?? null;
}

/** @param latenciesMs by batch size − 1 */
export function isMet(latenciesMs: readonly number[], budgetsMs: readonly number[], ratePerSec: number): boolean {
  // From just above a lower end to an upper end, requests per ms.
  const intervals: { readonly from: number; readonly to: number }[] = [];
  const choices = (left: readonly number[], chosen: readonly number[]): void => {
    if (left.length > 0) {
      for (let size = 1; size <= latenciesMs.length; size++) choices(left.slice(1), [...chosen, size]);
      return;
    }
    for (let largest = Math.max(...chosen); largest <= latenciesMs.length; largest++) {
      let from = 0;
      let busy = 0;
      chosen.forEach((size, index) => {
        const leftMs = budgetsMs[index]! - latenciesMs[largest - 1]! - latenciesMs[size - 1]!;
        if (leftMs < 0) from = Infinity;
        else if (size > 1) from = Math.max(from, leftMs === 0 ? Infinity : (size - 1) / leftMs);
        busy += latenciesMs[size - 1]! / size / budgetsMs.length;
      });
      if (from <= 1 / busy) intervals.push({ from, to: 1 / busy });
    }
  };
  choices(budgetsMs, []);
  const wanted = ratePerSec / 1000;
  let covered = 0;
  for (;;) {
    const next = Math.max(covered, ...intervals.filter(({ from }) => from <= covered).map(({ to }) => to));
    if (next >= wanted) return true;
    if (next === covered) return false;
    covered = next;
  }
}
