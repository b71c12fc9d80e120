/* CSV as RFC 4180 has it, with `\n` between lines. */

export type CsvValue = string | number | null;

/** Unknown values are empty. @param columns names that carry their units   @param rows as long as `columns` */
export function csvText(columns: readonly string[], rows: readonly (readonly CsvValue[])[]): string {
  return [columns, ...rows].map((row) => `${row.map(csvCell).join(',')}\n`).join('');
}

function csvCell(value: CsvValue): string {
  if (value === null) return '';
  const text = typeof value === 'number' ? numberText(value) : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** To more digits than anything measured means; what rounding has left of 0 is 0. */
function numberText(value: number): string {
  return Math.abs(value) < 1e-12 ? '0' : String(Number(value.toPrecision(9)));
}
