import type { Spread } from '../spread.js';

/* What the text and the page have in common: tables of finished cells, and sentences that say why numbers differ. */

export interface ReportTable {
  readonly caption: string;
  /** The first names its rows. */
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export interface ReportFigure {
  readonly title: string;
  readonly tables: readonly ReportTable[];
  /** Why our numbers differ, or do not: what it is about, and one or two sentences. */
  readonly why: readonly Reason[];
}

export type Reason = readonly [about: string, text: string];

export const NONE = '-';

export function fixed(value: number | null, digits: number): string {
  return value === null ? NONE : withoutMinusZero(value.toFixed(digits)).replace('-', '−');
}

/** Of a difference: its sign is always there, but for 0. */
export function signed(value: number, digits: number): string {
  const text = fixed(value, digits);
  return value > 0 && Number(value.toFixed(digits)) !== 0 ? `+${text}` : text;
}

/** `4.80 (0.14 … 6.37)`: the mean, and the least and the most of the seeds where they differ. */
export function spreadText({ mean, least, most }: Spread, digits: number): string {
  const [low, high] = [fixed(least, digits), fixed(most, digits)];
  return low === high ? fixed(mean, digits) : `${fixed(mean, digits)} (${low} … ${high})`;
}

/** `106.2 ± 9.0`. */
export function plusMinus({ mean, deviation }: Spread, digits: number): string {
  return `${fixed(mean, digits)} ± ${fixed(deviation, digits)}`;
}

function withoutMinusZero(text: string): string {
  return /^-0(?:\.0*)?$/.test(text) ? text.slice(1) : text;
}
