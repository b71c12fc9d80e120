import { shortPercentText } from '../scheduler/domain/percent.js';

/*
 * Shares that were missed, on a logarithmic axis, because policies differ by powers of ten; those that missed nothing stand
 * below it, at a zero of their own.
 */

/** From the axis' lowest power of ten down to its zero, and as much again below. */
export const ZERO_PX = 26;

export interface MissedAxis {
  readonly y: (share: number) => number;
  readonly ticks: readonly { readonly at: number; readonly text: string }[];
  /** Where nothing was missed, px; null where everybody missed something. */
  readonly zeroAt: number | null;
}

/** What an axis is for. */
export interface Missed {
  /** All that will be on it. */
  readonly shares: readonly number[];
  /** One request's share of all: the lowest power where nobody missed anything. */
  readonly one: number;
  readonly height: number;
}

export function missedAxis({ shares, one, height }: Missed): MissedAxis {
  const positive = shares.filter((share) => share > 0);
  const hasZero = positive.length < shares.length;
  const least = positive.length === 0 ? one : Math.min(...positive);
  const low = Math.floor(Math.log10(least) + 1e-9);
  const high = Math.max(low + 1, Math.min(0, Math.ceil(Math.log10(Math.max(least, ...shares)) - 1e-9)));
  const zeroAt = hasZero ? height - ZERO_PX : null;
  const bottom = hasZero ? height - 2 * ZERO_PX : height;
  const y = (share: number): number =>
    share > 0 ? bottom - ((Math.log10(share) - low) / (high - low)) * bottom : height - ZERO_PX;
  const decades = Array.from({ length: high - low + 1 }, (_, index) => low + index);
  return {
    y,
    ticks: [
      ...decades.map((decade) => ({
        at: Math.round(y(10 ** decade)),
        text: shortPercentText(10 ** decade),
      })),
      ...(zeroAt === null ? [] : [{ at: zeroAt, text: 'none' }]),
    ],
    zeroAt,
  };
}
