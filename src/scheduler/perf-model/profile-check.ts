import { profileCell } from './profile-cell.js';
import type { Profile, ProfileCell } from './profile.js';
import { quantile } from './quantile.js';

/*
 * Whether a stored profile still says what this machine does: a few of its cells are run again. What is the same everywhere is
 * the machine's (a neighbour, another clock speed), and scales the profile; what is not is no profile of this model any more.
 */

/** A cell that was run again. */
export interface RerunCell {
  readonly cell: ProfileCell;
  /** At least one. */
  readonly samplesMs: readonly number[];
}

export type ProfileCheck =
  | { readonly kind: 'holds' }
  /** Latencies are now this many times what was stored, alike for all cells that were run. */
  | { readonly kind: 'scaled'; readonly ratio: number; readonly profile: Profile }
  /** They disagree by unlike factors: it has to be measured anew. */
  | { readonly kind: 'broken'; readonly leastRatio: number; readonly greatestRatio: number };

/**
 * Medians of a few runs on a shared machine are off by a third now and then; what is less than this is corrected by the batches
 * that really run.
 */
const TOLERATED_RATIO = 1.5;
/** Cells may disagree with each other by as much before the shape is taken to be another: each may be off by a third either way. */
const UNLIKE_RATIO = 2;
/** What a run is off by that says nothing: timers, the link, a moment of somebody else's. */
const GRAIN_MS = 1;

/** A check is to be over within two seconds: cells that took longer are left out where others tell as much. */
const AFFORDABLE_MS = 250;

/**
 * Cells that tell most at least cost: one request on all CPU, the largest affordable batch there, and one request on less of it,
 * about half. By what was stored, which may be wrong.
 */
export function cellsToCheck({ cells }: Profile): readonly ProfileCell[] {
  const most = Math.max(...cells.map(({ cpuMillicores }) => cpuMillicores));
  const onAll = cells.filter(({ cpuMillicores }) => cpuMillicores === most).sort((a, b) => a.batchSize - b.batchSize);
  const [single] = onAll;
  const largest = onAll.findLast(({ p50Ms }) => p50Ms <= AFFORDABLE_MS) ?? onAll[1];
  const onLess = cells.filter((cell) => cell.batchSize === single!.batchSize && cell.cpuMillicores < most);
  const distance = ({ cpuMillicores }: ProfileCell): number => Math.abs(Math.log(cpuMillicores / (most / 2)));
  const [half] = onLess.filter(({ p50Ms }) => p50Ms <= AFFORDABLE_MS).sort((a, b) => distance(a) - distance(b));
  const chosen = [single, largest, half].filter((cell) => cell !== undefined);
  return [...new Set(chosen)];
}

/** @param reruns at least one */
export function checkProfile(profile: Profile, reruns: readonly RerunCell[]): ProfileCheck {
  const ratios = reruns.map(({ cell, samplesMs }) => {
    const medianMs = quantile(Float64Array.from(samplesMs).sort(), 0.5);
    return Math.abs(medianMs - cell.p50Ms) < GRAIN_MS ? 1 : medianMs / cell.p50Ms;
  });
  const leastRatio = Math.min(...ratios);
  const greatestRatio = Math.max(...ratios);
  if (1 / TOLERATED_RATIO <= leastRatio && greatestRatio <= TOLERATED_RATIO) return { kind: 'holds' };
  if (greatestRatio / leastRatio > UNLIKE_RATIO) return { kind: 'broken', leastRatio, greatestRatio };
  const ratio = Math.sqrt(leastRatio * greatestRatio);
  return { kind: 'scaled', ratio, profile: scaled(profile, ratio) };
}

/** It is planned with as a quick one is: nobody has measured it. */
function scaled(profile: Profile, ratio: number): Profile {
  const cells = profile.cells.map((cell) =>
    cell.samplesMs.length > 0
      ? profileCell(
          cell,
          cell.samplesMs.map((sampleMs) => sampleMs * ratio),
        )
      : { ...cell, p50Ms: cell.p50Ms * ratio, p95Ms: cell.p95Ms * ratio, p99Ms: cell.p99Ms * ratio },
  );
  return { ...profile, quality: 'quick', cells };
}
