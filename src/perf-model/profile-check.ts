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

/** Cells that tell most at least cost: one request on all CPU, and a larger batch there. */
export function cellsToCheck({ cells }: Profile): readonly ProfileCell[] {
  const most = Math.max(...cells.map(({ cpuMillicores }) => cpuMillicores));
  const onAll = cells.filter(({ cpuMillicores }) => cpuMillicores === most).sort((a, b) => a.batchSize - b.batchSize);
  return onAll.filter(({ batchSize }, i) => i === 0 || batchSize === onAll.at(-1)!.batchSize).slice(0, 2);
}

/** @param reruns at least one */
export function checkProfile(profile: Profile, reruns: readonly RerunCell[]): ProfileCheck {
  const ratios = reruns.map(({ cell, samplesMs }) => quantile(Float64Array.from(samplesMs).sort(), 0.5) / cell.p50Ms);
  const leastRatio = Math.min(...ratios);
  const greatestRatio = Math.max(...ratios);
  if (1 / TOLERATED_RATIO <= leastRatio && greatestRatio <= TOLERATED_RATIO) return { kind: 'holds' };
  if (greatestRatio / leastRatio > TOLERATED_RATIO) return { kind: 'broken', leastRatio, greatestRatio };
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
