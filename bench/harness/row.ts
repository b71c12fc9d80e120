import { median } from './statistics.js';

/*
 * One line of the table: what was measured, ours beside a baseline of the same run, and the budget it is held against.
 * A bench reports its rows; started by `run.ts`, they travel to it, and alone they are only printed.
 */

export interface Budget {
  readonly kind: 'at-most' | 'at-least';
  readonly limit: number;
}

export interface Row {
  /** Unique among all rows. */
  readonly what: string;
  readonly unit: string;
  /** One value a repetition; empty when it was skipped. */
  readonly ours: readonly number[];
  readonly baseline: { readonly what: string; readonly values: readonly number[] } | null;
  readonly budget: Budget | null;
  /** What a reader of the numbers has to know, or why there are none. */
  readonly note: string;
  /** What it is made of, where somebody may want to compare that with another run's; not in the table. */
  readonly parts?: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

export function atMost(limit: number): Budget {
  return { kind: 'at-most', limit };
}

export function atLeast(limit: number): Budget {
  return { kind: 'at-least', limit };
}

/** With a small load that shows only that the bench works. */
export const isTiny = process.argv.includes('--tiny');

export function report(row: Row): void {
  if (row.ours.some((value) => !Number.isFinite(value)))
    throw new Error(`${row.what}: not a number: ${row.ours.join()}`);
  if (process.send === undefined) console.log(rowLine(row));
  else process.send(row);
}

/** For what this machine cannot run; loud, and a row all the same. */
export function skip(what: string, reason: string): void {
  console.warn(`SKIPPED ${what}: ${reason}`);
  report({ what, unit: '', ours: [], baseline: null, budget: null, note: `skipped: ${reason}` });
}

/** Null where nothing was measured or nothing is asked. */
export function isBudgetMet({ ours, budget }: Row): boolean | null {
  if (ours.length === 0 || budget === null) return null;
  return budget.kind === 'at-most' ? median(ours) <= budget.limit : median(ours) >= budget.limit;
}

/** Ours to baseline, medians; null without a baseline. */
export function ratio({ ours, baseline }: Row): number | null {
  return ours.length === 0 || baseline === null ? null : median(ours) / median(baseline.values);
}

/** Three significant digits, no exponent. */
export function numberText(value: number): string {
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(digits);
}

/** `median (min…max)`. */
export function spreadText(values: readonly number[]): string {
  if (values.length === 0) return '-';
  const range = `${numberText(Math.min(...values))}…${numberText(Math.max(...values))}`;
  return values.length === 1 ? numberText(values[0]!) : `${numberText(median(values))} (${range})`;
}

export function budgetText({ budget }: Row): string {
  return budget === null ? '-' : `${budget.kind === 'at-most' ? '≤' : '≥'} ${budget.limit}`;
}

export function verdictText(row: Row): string {
  const isMet = isBudgetMet(row);
  return isMet === null ? '-' : isMet ? 'met' : 'MISSED';
}

function rowLine(row: Row): string {
  const { what, unit, ours, baseline, note } = row;
  const beside = baseline === null ? '' : `, ${baseline.what} ${spreadText(baseline.values)}`;
  const budget = row.budget === null ? '' : `, budget ${budgetText(row)}: ${verdictText(row)}`;
  return `${what}: ${spreadText(ours)} ${unit}${beside}${budget}${note === '' ? '' : ` [${note}]`}`;
}
