import { markdownTable } from '../markdown-table.js';

/* What a planner is held to: a measure, what it has to be at least and is to be, and what it was. */

export interface Target {
  readonly measure: string;
  readonly least: string;
  readonly aim: string;
  readonly measured: string;
  readonly isMet: boolean;
  readonly isAimMet: boolean;
}

/** The worst of the values counts. @param values named, or one with the name '' */
export function atMost(
  measure: string,
  least: number,
  aim: number,
  values: readonly (readonly [name: string, value: number])[],
  digits: number,
  unit = '',
): Target {
  const worst = Math.max(...values.map(([, value]) => value));
  const text = (value: number): string => `${value.toFixed(digits)}${unit}`;
  return {
    measure,
    least: `≤ ${least}${unit}`,
    aim: `≤ ${aim}${unit}`,
    measured: values.map(([name, value]) => (name === '' ? text(value) : `${text(value)} ${name}`)).join(', '),
    isMet: worst <= least,
    isAimMet: worst <= aim,
  };
}

export function targetTable(targets: readonly Target[]): string[] {
  return markdownTable([
    ['measure', 'at least', 'aim', 'measured', ''],
    ...targets.map(({ measure, least, aim, measured, isMet, isAimMet }) => [
      measure,
      least,
      aim,
      measured,
      isAimMet ? 'aim met' : isMet ? 'met' : '**missed**',
    ]),
  ]);
}

/** Where violations are so few that the next run may show none. */
const FLOOR = 0.005;

export function percentText(share: number): string {
  const value = 100 * share;
  if (value > 0 && value < FLOOR) return `< ${FLOOR}`;
  return value.toFixed(value < 10 ? 3 : 1);
}
