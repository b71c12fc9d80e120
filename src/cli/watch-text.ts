/* Words of `sponge watch`. */

export function coresText(millicores: number): string {
  return (millicores / 1000).toFixed(millicores < 10_000 ? 2 : 1).replace(/\.?0+$/, '');
}

/** So many columns at most, with an ellipsis where it was longer. */
export function fit(text: string, columns: number): string {
  return text.length <= columns ? text : `${text.slice(0, Math.max(0, columns - 1))}…`;
}

/** Names are others' words, and a terminal obeys control characters. */
export function clean(text: string): string {
  return text.replaceAll(/\p{C}/gu, '�');
}

export function msText(value: number | null): string {
  return value === null ? '-' : `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)} ms`;
}
