import { quantile } from '../../src/scheduler/perf-model/quantile.js';
import type { NetworkSource } from './network-source.js';
import { DELAYS, SLO_MS, type PublishedDelays } from './published.js';
import { spreadOf, type Spread } from './spread.js';

/*
 * The motivation: what is left of an SLO of 1 s when an upload of that size has come in, second by second.
 * Communication latency = bytes / bandwidth of the second.
 */

export interface RemainingSlo {
  readonly published: PublishedDelays;
  /** Over the seeds. */
  readonly meanMs: Spread;
  readonly p99Ms: Spread;
  readonly maxMs: Spread;
  /** s, never below 0, as the figure shows it. */
  readonly worstRemainingSec: Spread;
  /** The first seed's, ms, by second; may be negative. */
  readonly remainingMsBySecond: readonly number[];
}

export function remainingSlo(source: NetworkSource, seeds: readonly number[], seconds: number): RemainingSlo[] {
  const series = seeds.map((seed) => source.bytesPerMs(seed, seconds));
  return DELAYS.map((published) => {
    const each = series.map((bytesPerMs) => delaysOf(bytesPerMs, published.bytes));
    return {
      published,
      meanMs: spreadOf(each.map(({ meanMs }) => meanMs)),
      p99Ms: spreadOf(each.map(({ p99Ms }) => p99Ms)),
      maxMs: spreadOf(each.map(({ maxMs }) => maxMs)),
      worstRemainingSec: spreadOf(each.map(({ maxMs }) => Math.max(0, SLO_MS - maxMs) / 1000)),
      remainingMsBySecond: series[0]!.map((rate) => SLO_MS - published.bytes / rate),
    };
  });
}

export interface Delays {
  readonly meanMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export function delaysOf(bytesPerMs: readonly number[], bytes: number): Delays {
  const ascending = Float64Array.from(bytesPerMs, (rate) => bytes / rate).sort();
  return {
    meanMs: ascending.reduce((sum, delayMs) => sum + delayMs, 0) / ascending.length,
    p99Ms: quantile(ascending, 0.99),
    maxMs: ascending.at(-1)!,
  };
}
