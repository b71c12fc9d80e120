/*
 * Sizes of axes as products: of a number, of the batch's size B, and of sizes that are not known but do not depend on the
 * batch. That is enough to follow an axis through the reshapes that exporters write, where sizes are multiplied and
 * divided, and seldom added.
 */

export interface Dimension {
  readonly factor: number;
  /** How often B is in it. */
  readonly batchPower: number;
  /** Unknown sizes, sorted; one that is in it twice is listed twice. What begins with a bracket may be any whole number. */
  readonly symbols: readonly string[];
}

export const BATCH: Dimension = { factor: 1, batchPower: 1, symbols: [] };
export const ONE = fixed(1);

export function fixed(size: number): Dimension {
  return { factor: size, batchPower: 0, symbols: [] };
}

/** A size that does not depend on the batch and is not known. */
export function unknown(symbol: string): Dimension {
  return { factor: 1, batchPower: 0, symbols: [symbol] };
}

/** The number it is, or null. */
export function numberOf({ factor, batchPower, symbols }: Dimension): number | null {
  return batchPower === 0 && (symbols.length === 0 || factor === 0) ? factor : null;
}

/** Whether it cannot be below zero, as the size of an axis cannot. */
export function isSize({ factor, symbols }: Dimension): boolean {
  return factor >= 0 && !symbols.some((symbol) => symbol.startsWith('('));
}

export function isBatchFree({ batchPower }: Dimension): boolean {
  return batchPower === 0;
}

export function areEqual(a: Dimension, b: Dimension): boolean {
  return a.factor === b.factor && a.batchPower === b.batchPower && a.symbols.join('\0') === b.symbols.join('\0');
}

export function product(dimensions: readonly Dimension[]): Dimension {
  return {
    factor: dimensions.reduce((result, { factor }) => result * factor, 1),
    batchPower: dimensions.reduce((result, { batchPower }) => result + batchPower, 0),
    symbols: dimensions.flatMap(({ symbols }) => symbols).sort(),
  };
}

/** a / b where that is again a product of the same kind; null otherwise. */
export function quotient(a: Dimension, b: Dimension): Dimension | null {
  const factor = a.factor / b.factor;
  const batchPower = a.batchPower - b.batchPower;
  if (!Number.isInteger(factor) || batchPower < 0) return null;
  const symbols = [...a.symbols];
  for (const symbol of b.symbols) {
    const at = symbols.indexOf(symbol);
    if (at < 0) return null;
    symbols.splice(at, 1);
  }
  return { factor, batchPower, symbols };
}
