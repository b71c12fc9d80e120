/** A share for people, as everywhere: `percentText(0.1234, 1)` is `12.3 %`. */
export function percentText(share: number, decimals: number): string {
  return `${(100 * share).toFixed(decimals)} %`;
}

/** To three digits, without zeros that say nothing: `0.049 %`, `12 %`. */
export function shortPercentText(share: number): string {
  return `${Number((100 * share).toPrecision(3))} %`;
}

/** Of a share of all, the number of percent: 100 is said only of all, so `percentOfAll(0.99999, 2)` is `99.99`. */
export function percentOfAll(share: number, decimals: number): string {
  return share >= 1 ? '100' : Math.min(100 - 10 ** -decimals, 100 * share).toFixed(decimals);
}
