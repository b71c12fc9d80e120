/** A share for people, as everywhere: `percentText(0.1234, 1)` is `12.3 %`. */
export function percentText(share: number, decimals: number): string {
  return `${(100 * share).toFixed(decimals)} %`;
}

/** To three digits, without zeros that say nothing: `0.049 %`, `12 %`. */
export function shortPercentText(share: number): string {
  return `${Number((100 * share).toPrecision(3))} %`;
}
