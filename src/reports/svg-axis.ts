/*
 * The little that drawing a plot as SVG needs: where a value lies, and which values to write along the axis.
 */

/** From a value to its place on the page, px. */
export type Axis = (value: number) => number;

/** @param low > 0   @param high > low, or both ends are moved apart by `padding` alone   @param padding factor ≥ 1 beyond both ends */
export function logAxis(low: number, high: number, padding: number, fromPx: number, toPx: number): Axis {
  const from = Math.log(low / padding);
  const to = Math.log(high * padding);
  return (value) => fromPx + ((Math.log(value) - from) / (to - from)) * (toPx - fromPx);
}

/** From 0. @param high > 0 */
export function linearAxis(high: number, fromPx: number, toPx: number): Axis {
  return (value) => fromPx + (value / high) * (toPx - fromPx);
}

/** More labels than this along one side of a plot are not read. */
const MOST_TICKS = 9;

/** 1, 2, 5, 10, … within [low, high]; fewer a decade where those are too many. */
export function logTicks(low: number, high: number): number[] {
  const ticksOf = (multiples: readonly number[]): number[] => {
    const ticks: number[] = [];
    for (let exponent = Math.floor(Math.log10(low)); 10 ** exponent <= high; exponent++) {
      for (const multiple of multiples) {
        const value = Number(`${multiple}e${exponent}`);
        if (value >= low && value <= high) ticks.push(value);
      }
    }
    return ticks;
  };
  const fine = ticksOf([1, 2, 5]);
  return fine.length <= MOST_TICKS ? fine : ticksOf([1]);
}

/** The values whose places are at least `leastPx` apart, the last one always among them. */
export function readable(values: readonly number[], axis: Axis, leastPx: number): number[] {
  const kept: number[] = [];
  for (const value of [...values].reverse()) {
    const previous = kept[0];
    if (previous === undefined || Math.abs(axis(value) - axis(previous)) >= leastPx) kept.unshift(value);
  }
  return kept;
}

/** A polyline's `d`, in tenths of a pixel. */
export function pathThrough(points: readonly (readonly [xPx: number, yPx: number])[]): string {
  return points.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${px(x)} ${px(y)}`).join('');
}

export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

export function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
