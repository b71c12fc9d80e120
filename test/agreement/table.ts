import type { Judgement } from './judgement.js';

/** One seed, both ways. */
export interface Repetition {
  readonly seed: number;
  readonly live: Judgement;
  readonly simulated: Judgement;
  /** Cores that others used during the live run; null where that cannot be told. */
  readonly otherCores: number | null;
}

const COLUMNS: readonly (readonly [title: string, text: (judgement: Judgement) => string])[] = [
  ['mean cores', ({ meanCores }) => meanCores.toFixed(3)],
  ['core-s', ({ coreSeconds }) => coreSeconds.toFixed(2)],
  ['used core-s', ({ usedCoreSeconds }) => usedCoreSeconds?.toFixed(2) ?? '–'],
  ['on time %', ({ onTimeShare }) => (100 * onTimeShare).toFixed(2)],
  ['resizes', ({ resizes }) => String(resizes)],
  ['mean batch', ({ meanBatchSize }) => meanBatchSize.toFixed(2)],
  ['p50 ms', ({ latencyP50Ms }) => latencyP50Ms.toFixed(0)],
  ['p99 ms', ({ latencyP99Ms }) => latencyP99Ms.toFixed(0)],
  ['batch/profile', ({ toProfile }) => toProfile.toFixed(3)],
];

/** Live and simulated under each other, a pair for each repetition. */
export function tableOf(repetitions: readonly Repetition[]): string {
  const header = ['seed', 'run', ...COLUMNS.map(([title]) => title), 'others'];
  const rows = repetitions.flatMap(({ seed, live, simulated, otherCores }) => [
    [String(seed), 'live', ...COLUMNS.map(([, text]) => text(live)), otherCores?.toFixed(2) ?? '–'],
    [String(seed), 'simulated', ...COLUMNS.map(([, text]) => text(simulated)), ''],
  ]);
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]!.length)));
  return [header, ...rows]
    .map((row) => row.map((cell, column) => cell.padStart(widths[column]!)).join('  '))
    .join('\n');
}
