import { percentText } from '../scheduler/domain/percent.js';
import type { Profile, ProfileCell } from '../scheduler/perf-model/profile.js';
import { interferenceText } from '../server/profiler/interference-runner.js';
import type { ProfileSummary } from '../server/profiler/profile-summary.js';

/** What `sponge profile` says at the end about one model. */
export interface ProfileReport {
  readonly profile: Profile;
  readonly summary: ProfileSummary;
  readonly elapsedMs: number;
  readonly scalerDescription: string;
  /** Null where the scaler does not count. */
  readonly throttledFraction: number | null;
  /** Empty when requests can be batched. */
  readonly notBatchableReason: string;
  /** Null where it could not be written. */
  readonly profilePath: string | null;
  readonly picturePath: string | null;
}

/** For people. */
export function reportText(report: ProfileReport): string {
  const { profile, summary, elapsedMs, scalerDescription, throttledFraction, notBatchableReason } = report;
  const { base, p99Factor } = summary;
  const { gamma, epsilon, delta, eta } = base.coefficients;
  const runs = profile.cells.reduce((sum, cell) => sum + cell.samplesMs.length, 0);
  const margin = profile.quality === 'quick' ? ', with the margin of a quick profile' : '';
  const throttled =
    throttledFraction === null ? 'not counted here' : `in ${percentText(throttledFraction, 1)} of the quota periods`;
  return [
    `${profile.name}: ${profile.quality} profile, ${profile.cells.length} cells, ${runs} runs in ${(elapsedMs / 1000).toFixed(1)} s`,
    scalerDescription,
    ...(notBatchableReason === '' ? [] : [`one at a time: ${notBatchableReason}`]),
    '',
    'p50 of a batch in ms, by batch size and cores',
    '',
    ...table(profile.cells, summary),
    '',
    `  fit         l(b, c) = ${short(gamma)}·b/c + ${short(epsilon)}/c + ${short(delta)}·b + ${short(eta)} ms`,
    `  held out    ${heldOutText(summary)}`,
    `  planned     ${p99Factor.toFixed(2)} × typical (p99)${margin}`,
    `  throttled   ${throttled}`,
    `  neighbours  ${profile.interference === undefined ? 'one instance: not measured' : interferenceText(profile.interference)}`,
    `  profile     ${report.profilePath ?? 'not stored'}`,
    `  picture     ${report.picturePath ?? 'not stored'}`,
  ].join('\n');
}

/** For machines: one line. */
export function reportJson({ summary, ...report }: ProfileReport): string {
  const { base, p99Factor } = summary;
  const { profile, elapsedMs, throttledFraction, notBatchableReason, profilePath, picturePath } = report;
  return JSON.stringify({
    model: profile.name,
    coefficients: base.coefficients,
    heldOut: base.heldOut,
    chosen: base.kind,
    p99Factor,
    throttledFraction,
    notBatchableReason,
    elapsedMs,
    profilePath,
    picturePath,
    profile,
  });
}

function heldOutText({ base: { heldOut, kind } }: ProfileSummary): string {
  if (heldOut === null) return `too few cells to tell; plans with the ${kind}`;
  return `median error of unseen cells: fit ${percentText(heldOut.fit, 1)}, table ${percentText(heldOut.table, 1)}; plans with the ${kind}`;
}

const COLUMN = 9;

/** Rows are batch sizes, columns allocations; "-" where nothing was measured. */
function table(cells: readonly ProfileCell[], { batchSizes, allocationsMillicores }: ProfileSummary): string[] {
  const head = allocationsMillicores.map((millicores) => String(millicores / 1000).padStart(COLUMN)).join('');
  const rows = batchSizes.map((batchSize) => {
    const columns = allocationsMillicores.map((millicores) => {
      const cell = cells.find((each) => each.batchSize === batchSize && each.cpuMillicores === millicores);
      return (cell === undefined ? '-' : milliseconds(cell.p50Ms)).padStart(COLUMN);
    });
    return `  ${String(batchSize).padStart(5)}${columns.join('')}`;
  });
  return [`  batch${head}`, ...rows];
}

/** Three digits that mean something: 0.0123, 1.23, 12.3, 1234. */
function milliseconds(ms: number): string {
  return ms >= 100 ? ms.toFixed(0) : String(Number(ms.toPrecision(3)));
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}
