/* Numbers for people: three significant digits, units beside them, and a dash where there is nothing. */

export const NOTHING = '–';
const MINUS = '−';

export function significant(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0';
  const decimals = size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 3;
  return value.toFixed(decimals).replace(/^-/, MINUS);
}

export function cores(millicores: number | null | undefined): string {
  return isMissing(millicores) ? NOTHING : (millicores / 1000).toFixed(2);
}

export function duration(ms: number | null | undefined): string {
  if (isMissing(ms)) return NOTHING;
  if (Math.abs(ms) >= 999.5) return `${significant(ms / 1000)} s`;
  return Math.abs(ms) >= 10 ? `${ms.toFixed(0).replace(/^-/, MINUS)} ms` : `${significant(ms)} ms`;
}

export function percent(fraction: number | null | undefined): string {
  if (isMissing(fraction)) return NOTHING;
  const value = 100 * fraction;
  // 99.96 % is not all of them.
  if (value < 100 && value > 99.9) return `${(Math.floor(value * 100) / 100).toFixed(2)} %`;
  return `${value.toFixed(value === 100 || value === 0 ? 0 : 1)} %`;
}

export function perSecond(rate: number | null | undefined): string {
  return isMissing(rate) ? NOTHING : rate >= 100 ? rate.toFixed(0) : rate.toFixed(1);
}

export function whole(value: number | null | undefined): string {
  return isMissing(value) ? NOTHING : Math.round(value).toLocaleString('en').replaceAll(',', '\u202f');
}

/** Since the run began: `1:02.5`, hours where there are any. */
export function elapsed(sec: number, decimals = 0): string {
  const rounded = Number(sec.toFixed(decimals));
  const hours = Math.floor(rounded / 3600);
  const minutes = Math.floor((rounded % 3600) / 60);
  const seconds = (rounded % 60).toFixed(decimals).padStart(decimals === 0 ? 2 : 3 + decimals, '0');
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${seconds}` : `${minutes}:${seconds}`;
}

/** Before the right edge of a live chart: `−30 s`. */
export function ago(sec: number): string {
  if (sec < 0.001) return 'now';
  if (sec >= 120 && sec % 60 === 0) return `${MINUS}${sec / 60} min`;
  return `${MINUS}${Number(sec.toFixed(2))} s`;
}

function isMissing(value: number | null | undefined): value is null | undefined {
  return value === null || value === undefined || Number.isNaN(value);
}
