/* Where axes end and where their ticks are. */

/** Where a logarithmic axis begins: 10 µs, if it is of ms. */
export const LEAST_LOGARITHMIC = 0.01;

/** The next of 1, 1.5, 2, 3, 4, 5, 6, 8 times a power of ten: an axis that rarely changes and wastes little. */
export function niceTop(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((each) => each * power >= value * 0.9999) ?? 10;
  return factor * power;
}

/** Between labels on a time axis, seconds: a round one, at least `least`. */
export function timeStep(least: number): number {
  const steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  return steps.find((step) => step >= least) ?? Math.ceil(least / 3600) * 3600;
}

/** From where a logarithmic axis begins. */
export function decades(most: number): number[] {
  const ticks: number[] = [];
  for (let tick = LEAST_LOGARITHMIC; tick <= most * 1.001; tick *= 10) ticks.push(tick);
  return ticks;
}
