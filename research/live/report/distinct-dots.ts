/*
 * Thousands of dots that lie on each other are megabytes of page that nobody sees: of those that fall into one cell of a
 * grid as fine as a dot, the first is kept. Unlike a sample, no outlier is lost.
 */

export interface Dot {
  readonly x: number;
  readonly y: number;
}

export interface DotSize {
  /** Extent of a dot on each axis, in the axis' own unit. */
  readonly xPerDot: number;
  readonly yPerDot: number;
}

export function distinctDots(dots: readonly Dot[], { xPerDot, yPerDot }: DotSize): Dot[] {
  const kept = new Map<string, Dot>();
  for (const { x, y } of dots) {
    const cell = `${Math.floor(x / xPerDot)} ${Math.floor(y / yPerDot)}`;
    if (!kept.has(cell)) kept.set(cell, { x, y });
  }
  return [...kept.values()];
}
