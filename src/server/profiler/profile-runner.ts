import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import {
  interleaved,
  profileGrid,
  RUNS_PER_CELL,
  withinBudget,
  type BudgetedGrid,
  type GridQuality,
} from '../../scheduler/perf-model/grid.js';
import { profileCell, type GridCell } from '../../scheduler/perf-model/profile-cell.js';
import type { ProfileCell } from '../../scheduler/perf-model/profile.js';
import { Prng } from '../../scheduler/random/prng.js';

/*
 * Measures the grid of a profile in the worker's real group and threads. One step is one visit to one cell; whoever owns
 * the worker decides when a step may run, so the same code profiles before serving, from the command line and in the
 * background.
 */

/** The worker and its allocation, for one visit. */
export interface ProfilingTarget {
  /** Resolves when it is in force. @throws when the machine refuses */
  resize(cpuMillicores: number): Promise<void>;
  /** One batch, dispatch → reply. @throws when the worker is lost or refuses the batch */
  run(batchSize: number, threadCount: number): Promise<{ readonly latencyMs: number }>;
}

export interface ProfilingPlan {
  readonly quality: GridQuality;
  readonly maxBatchSize: number;
  readonly limits: AllocationLimits;
  readonly threadCounts: readonly number[];
  /** Roughly how long it may take; the grid is thinned to fit. */
  readonly budgetMs: number;
  /**
   * Leaves out cells whose run takes longer than this at the largest allocation, to which it grows where a request comes to wait
   * for its end; one request alone is always run.
   */
  readonly maxRunMs: number;
  /** Leaves out cells whose run takes longer than this at their own: where requests wait already, a step is not broken off. */
  readonly maxStepRunMs: number;
  readonly seed: number;
}

export function cellKey({ batchSize, cpuMillicores }: { batchSize: number; cpuMillicores: number }): string {
  return `${batchSize}@${cpuMillicores}`;
}

/**
 * A quota write refills the kernel's bucket, so what runs right after it is faster than serving under load by up to one
 * period's quota. Runs shorter than this are preceded by one that is not counted; for longer ones it does not matter.
 */
const WARM_UP_BELOW_MS = 150;
/** Runs counted a visit: two share one resize and one warm-up. */
const RUNS_PER_VISIT = 2;
/** Warm-up before anything: the first runs allocate arenas and fault pages in. */
const COLD_RUNS = 3;
/** Of the budget; after that the next cold run is left out. */
const COLD_SHARE = 0.2;
/** At which one request alone is always run: the two largest. */
const LEAST_ALLOCATIONS = 2;
/** The budget of requests that state none: at least a second, and ten runs (`serving/served-model.ts`). */
const LEAST_DEADLINE_MS = 1000;
const DEADLINE_RUNS = 10;

/**
 * Runs a cell when time is short. Few runs of many cells tell more than many of few: residuals are pooled over all cells,
 * and where only the corners are measured the terms of the fit cannot be told apart.
 */
const FEWEST_RUNS = 3;

export class ProfileRun {
  readonly #target: ProfilingTarget;
  readonly #plan: ProfilingPlan;
  readonly #samples = new Map<string, number[]>();
  readonly #earlier: readonly GridCell[];
  readonly #runMs = new Map<string, number>();
  #cells: readonly GridCell[] = [];
  /** Measured with the first step alone. */
  #once: GridCell | null = null;
  #visits: GridCell[] = [];
  #isProbed = false;
  #visitCount = 0;

  /** @param earlier cells of an unfinished or quicker run with the same fingerprint, to go on from */
  constructor(target: ProfilingTarget, plan: ProfilingPlan, earlier: readonly ProfileCell[] = []) {
    this.#target = target;
    this.#plan = plan;
    this.#earlier = earlier;
    for (const cell of earlier) this.#samples.set(cellKey(cell), [...cell.samplesMs]);
  }

  get isDone(): boolean {
    return this.#isProbed && this.#visits.length === 0;
  }

  /** Visits done and all visits; 0 of 0 before the first step. */
  get progress(): { readonly done: number; readonly total: number } {
    return { done: this.#visitCount - this.#visits.length, total: this.#visitCount };
  }

  /** What the next step visits; null before the first step and after the last. */
  get nextCell(): GridCell | null {
    return this.#visits.at(-1) ?? null;
  }

  /** Of the visits to come, going by the latest run of each cell; 0 before the first step. */
  get remainingMs(): number {
    return this.#visits.reduce((sum, cell) => sum + this.#visitMs(cell), 0);
  }

  /** Of the planned cell that has the fewest, the earlier ones included; 0 before the first step. */
  get fewestRuns(): number {
    if (!this.#isProbed) return 0;
    return Math.min(...this.#cells.map((cell) => this.#samples.get(cellKey(cell))?.length ?? 0));
  }

  /** Cells with at least one sample, the earlier ones included; as they are now, whatever is measured after that. */
  cells(): ProfileCell[] {
    const once = this.#once === null ? [] : [this.#once];
    const byKey = new Map([...this.#earlier, ...once, ...this.#cells].map((cell) => [cellKey(cell), cell]));
    return [...byKey].flatMap(([key, { batchSize, cpuMillicores, threadCount }]) => {
      const samples = this.#samples.get(key) ?? [];
      return samples.length > 0 ? [profileCell({ batchSize, cpuMillicores, threadCount }, [...samples])] : [];
    });
  }

  /** The first step warms up and decides what can be afforded; each further one visits a cell. One that fails can be repeated. */
  async step(): Promise<void> {
    if (!this.#isProbed) return this.#probe();
    const cell = this.nextCell;
    if (cell === null) return;
    await this.#target.resize(cell.cpuMillicores);
    if (this.#expectedMs(cell) < WARM_UP_BELOW_MS) await this.#target.run(cell.batchSize, cell.threadCount);
    const samples = this.#samples.get(cellKey(cell)) ?? [];
    this.#samples.set(cellKey(cell), samples);
    for (let run = 0; run < this.#runsPerVisit(cell); run++) {
      const { latencyMs } = await this.#target.run(cell.batchSize, cell.threadCount);
      samples.push(latencyMs);
      this.#runMs.set(cellKey(cell), latencyMs);
    }
    this.#visits.pop();
  }

  async #probe(): Promise<void> {
    const { quality, limits, threadCounts, maxBatchSize, budgetMs, maxRunMs, maxStepRunMs, seed } = this.#plan;
    const grid = profileGrid({ maxBatchSize, limits, threadCounts, quality });
    const largest = grid.filter((cell) => cell.cpuMillicores === limits.maxMillicores);
    const smallest = largest[0]!;
    await this.#target.resize(limits.maxMillicores);
    let singleMs = 0;
    let coldMs = 0;
    for (let run = 0; run < COLD_RUNS && coldMs <= COLD_SHARE * budgetMs; run++) {
      singleMs = (await this.#target.run(smallest.batchSize, smallest.threadCount)).latencyMs;
      coldMs += singleMs;
    }
    // A batch that no default deadline leaves time for is not worth its time here, nor the memory that it takes for good.
    const longestMs = Math.min(
      maxRunMs,
      Math.max(LEAST_DEADLINE_MS, DEADLINE_RUNS * singleMs),
      Math.max(singleMs, budgetMs),
    );
    // The largest batch that may be run tells whether batching pays; linear in between and beyond.
    const top = largest.findLast((cell) => cell.batchSize * singleMs <= longestMs) ?? smallest;
    // Where the grid has none that short, two are run all the same.
    const isPairRun = top === smallest && maxBatchSize > 1 && singleMs <= budgetMs && 2 * singleMs <= maxRunMs;
    const several = isPairRun ? { ...smallest, batchSize: 2 } : top;
    const severalMs =
      several === smallest ? singleMs : (await this.#target.run(several.batchSize, several.threadCount)).latencyMs;
    const perItemMs = several === smallest ? singleMs : Math.max(0, (severalMs - singleMs) / (several.batchSize - 1));
    const leastMs = (cell: GridCell): number => singleMs + perItemMs * (cell.batchSize - 1);
    const estimateMs = (cell: GridCell): number => (leastMs(cell) * limits.maxMillicores) / cell.cpuMillicores;
    for (const cell of grid) this.#runMs.set(cellKey(cell), estimateMs(cell));

    // Without one request alone, on all CPU and on less, nothing is known at all.
    const least = grid.filter(({ batchSize }) => batchSize === 1).slice(-LEAST_ALLOCATIONS);
    const affordable = grid.filter(
      (cell) =>
        least.includes(cell) ||
        (estimateMs(cell) <= maxStepRunMs && (cell.batchSize === 1 || leastMs(cell) <= longestMs)),
    );
    const { cells, rounds } = this.#affordableGrid(affordable, RUNS_PER_CELL[quality], budgetMs);
    this.#cells = cells;
    if (!cells.includes(several)) this.#keep(several, severalMs);
    this.#visits = this.#missingVisits(cells, rounds, new Prng(seed)).reverse();
    this.#visitCount = this.#visits.length;
    this.#isProbed = true;
  }

  /**
   * The batch that was run once, where there is no time for its cell, or none in the grid: that company costs as much again would
   * be believed for ever, as it would never run.
   */
  #keep(cell: GridCell, latencyMs: number): void {
    this.#once = cell;
    this.#samples.set(cellKey(cell), [...(this.#samples.get(cellKey(cell)) ?? []), latencyMs]);
  }

  /** Runs go before more than half of the cells do. */
  #affordableGrid(cells: readonly GridCell[], intendedRuns: number, budgetMs: number): BudgetedGrid {
    const perRunMs = (cell: GridCell): number => this.#visitMs(cell) / this.#runsPerVisit(cell);
    for (let runs = intendedRuns; ; runs = Math.max(FEWEST_RUNS, Math.floor(runs / 2))) {
      const grid = withinBudget(cells, runs, perRunMs, budgetMs);
      if (runs === FEWEST_RUNS || 2 * grid.cells.length >= cells.length) return grid;
    }
  }

  /** Interleaved rounds; a cell that has samples already leaves out as many visits. */
  #missingVisits(cells: readonly GridCell[], rounds: number, prng: Prng): GridCell[] {
    const missing = new Map(
      cells.map((cell) => {
        const have = this.#samples.get(cellKey(cell))?.length ?? 0;
        return [cell, Math.ceil(Math.max(0, rounds - have) / this.#runsPerVisit(cell))];
      }),
    );
    return interleaved(cells, rounds, prng).filter((cell) => {
      const left = missing.get(cell)!;
      missing.set(cell, left - 1);
      return left > 0;
    });
  }

  #expectedMs(cell: GridCell): number {
    return this.#runMs.get(cellKey(cell)) ?? 0;
  }

  #runsPerVisit(cell: GridCell): number {
    return this.#expectedMs(cell) < WARM_UP_BELOW_MS ? RUNS_PER_VISIT : 1;
  }

  #visitMs(cell: GridCell): number {
    const warmUps = this.#expectedMs(cell) < WARM_UP_BELOW_MS ? 1 : 0;
    return (warmUps + this.#runsPerVisit(cell)) * this.#expectedMs(cell);
  }
}
