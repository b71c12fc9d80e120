import { percentOfAll } from '../../src/scheduler/domain/percent.js';
import { quantile } from '../../src/scheduler/perf-model/quantile.js';
import type { LiveCase, LiveResults, LiveRun, SimulatedRun } from './live-results.js';

/*
 * The measures of the live experiment and what repetitions make of them: a median between a least and a most. Pure.
 * A difference counts only where the ranges of two policies do not overlap; of one load, whose seed all repetitions share.
 */

/** All runs of one policy, with idle CPU released or kept. */
export interface Setting {
  readonly liveCase: LiveCase;
  readonly isIdleReleased: boolean;
  /** At least one. */
  readonly live: readonly LiveRun[];
  readonly simulated: SimulatedRun | null;
}

/** Policy by policy, idle CPU released first. What has no live run is left out. */
export function settingsOf({ cases, live, simulated }: LiveResults): Setting[] {
  return cases.flatMap((liveCase) =>
    [true, false].flatMap((isIdleReleased): Setting[] => {
      const isOfThis = (run: LiveRun | SimulatedRun): boolean =>
        run.case === liveCase.name && run.isIdleReleased === isIdleReleased;
      const runs = live.filter(isOfThis);
      const setting = { liveCase, isIdleReleased, live: runs, simulated: simulated.find(isOfThis) ?? null };
      return runs.length === 0 ? [] : [setting];
    }),
  );
}

// ---- measures --------------------------------------------------------------------------------------------------------

export interface Measure {
  readonly heading: string;
  readonly unit?: string;
  /** For sentences. */
  readonly name: string;
  /** Null where it was not, or cannot be, measured. */
  readonly of: (run: LiveRun | SimulatedRun) => number | null;
  /** Without its unit. */
  readonly text: (value: number) => string;
}

export const MEASURES = {
  onTime: {
    heading: 'on time',
    unit: '%',
    name: 'share on time',
    of: ({ measures }) => 1 - measures.violationRate,
    text: (share) => percentOfAll(share, 2),
  },
  violations: {
    heading: 'violations',
    unit: '%',
    name: 'violations',
    of: ({ measures }) => measures.violationRate,
    text: percentText,
  },
  coreSeconds: {
    heading: 'core-s',
    unit: 'charged',
    name: 'core-seconds',
    of: ({ measures }) => measures.coreSeconds,
    text: numberText,
  },
  usedCoreSeconds: {
    heading: 'core-s',
    unit: 'used',
    name: 'used core-seconds',
    of: ({ measures }) => measures.usedCoreSeconds,
    text: numberText,
  },
  meanCores: {
    heading: 'cores',
    unit: 'mean',
    name: 'mean cores',
    of: ({ measures }) => measures.coreSeconds / measures.durationSec,
    text: (cores) => cores.toFixed(2),
  },
  routerCpuSeconds: {
    heading: 'router',
    unit: 'CPU s',
    name: 'CPU of the router',
    of: liveOnly(({ routerCpuSeconds }) => routerCpuSeconds),
    text: numberText,
  },
  latencyP50Ms: {
    heading: 'p50',
    unit: 'ms',
    name: 'p50 latency',
    of: ({ measures }) => measures.latencyP50Ms,
    text: numberText,
  },
  latencyP99Ms: {
    heading: 'p99',
    unit: 'ms',
    name: 'p99 latency',
    of: ({ measures }) => measures.latencyP99Ms,
    text: numberText,
  },
  meanBatchSize: {
    heading: 'batch',
    unit: 'mean',
    name: 'mean batch size',
    of: ({ measures }) => measures.meanBatchSize,
    text: (size) => size.toFixed(2),
  },
  actualToPredicted: {
    heading: 'actual',
    unit: '/ predicted',
    name: 'actual over predicted latency',
    of: ({ measures }) => measures.actualToPredictedP50,
    text: (ratio) => ratio.toFixed(2),
  },
  resizes: { heading: 'resizes', name: 'resizes', of: ({ measures }) => measures.resizes, text: countText },
  throttledSeconds: {
    heading: 'throttled',
    unit: 's',
    name: 'time throttled',
    of: liveOnly(({ throttledSeconds }) => throttledSeconds),
    text: numberText,
  },
  coldStarts: {
    heading: 'cold starts',
    name: 'cold starts',
    of: liveOnly(({ coldStartsMs }) => coldStartsMs.length),
    text: countText,
  },
} as const satisfies Record<string, Measure>;

/** Of the main table, in its order. */
export const HEADLINE: readonly Measure[] = [
  MEASURES.onTime,
  MEASURES.violations,
  MEASURES.coreSeconds,
  MEASURES.usedCoreSeconds,
  MEASURES.meanCores,
  MEASURES.routerCpuSeconds,
  MEASURES.latencyP50Ms,
  MEASURES.latencyP99Ms,
  MEASURES.meanBatchSize,
  MEASURES.resizes,
  MEASURES.throttledSeconds,
  MEASURES.coldStarts,
];

function liveOnly(of: (run: LiveRun) => number | null): Measure['of'] {
  return (run) => ('repetition' in run ? of(run) : null);
}

// ---- repetitions -----------------------------------------------------------------------------------------------------

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** Of what is known; null where nothing is. */
export function spreadOf(values: readonly (number | null)[]): Spread | null {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  return sorted.length === 0 ? null : { median: quantile(sorted, 0.5), least: sorted[0]!, most: sorted.at(-1)! };
}

export function liveSpread({ live }: Setting, { of }: Measure): Spread | null {
  return spreadOf(live.map(of));
}

/** `12.1–13.4`; null where all are the same to the eye. */
export function rangeText({ least, most }: Spread, { text }: Measure): string | null {
  return text(least) === text(most) ? null : `${text(least)}–${text(most)}`;
}

/** `12.5 (12.1–13.4)`, `–` where nothing is known. */
export function spreadText(spread: Spread | null, measure: Measure): string {
  if (spread === null) return '–';
  const range = rangeText(spread, measure);
  return `${measure.text(spread.median)}${range === null ? '' : ` (${range})`}`;
}

/** How one setting's range lies to another's: apart on either side, or overlapping, which says nothing. */
export function compare(ours: Spread, theirs: Spread): 'below' | 'above' | 'overlapping' {
  if (ours.most < theirs.least) return 'below';
  return ours.least > theirs.most ? 'above' : 'overlapping';
}

// ---- live and simulated ----------------------------------------------------------------------------------------------

export interface Agreement {
  readonly setting: Setting;
  /** In the order of `AGREEMENT_MEASURES`; null where one of the two has none. */
  readonly cells: readonly (AgreementCell | null)[];
}

export interface AgreementCell {
  readonly live: Spread;
  readonly simulated: number;
  /** How far the simulation is from the median of the live runs: `+3.1 %`, in points where both are shares. */
  readonly error: string;
  readonly isWithinRange: boolean;
}

export const AGREEMENT_MEASURES: readonly Measure[] = [
  MEASURES.coreSeconds,
  MEASURES.violations,
  MEASURES.latencyP50Ms,
  MEASURES.latencyP99Ms,
  MEASURES.meanBatchSize,
  MEASURES.resizes,
];

/** What both sides have. */
export function agreementsOf(results: LiveResults): Agreement[] {
  return settingsOf(results).flatMap((setting) => {
    const { simulated } = setting;
    if (simulated === null) return [];
    const cells = AGREEMENT_MEASURES.map((measure) => agreementCell(setting, simulated, measure));
    return [{ setting, cells }];
  });
}

function agreementCell(setting: Setting, run: SimulatedRun, measure: Measure): AgreementCell | null {
  const live = liveSpread(setting, measure);
  const simulated = measure.of(run);
  if (live === null || simulated === null) return null;
  return {
    live,
    simulated,
    error: errorText(simulated, live.median, measure),
    isWithinRange: live.least <= simulated && simulated <= live.most,
  };
}

/** A share of a share would make two violations against one a hundred percent. */
function errorText(simulated: number, live: number, measure: Measure): string {
  if (measure === MEASURES.violations) return `${signed(100 * (simulated - live), 2)} pt`;
  if (live === 0) return simulated === 0 ? '0 %' : '–';
  return `${signed(100 * (simulated / live - 1), 1)} %`;
}

function signed(value: number, decimals: number): string {
  const text = value.toFixed(decimals);
  if (Number(text) === 0) return '0';
  return value < 0 ? `−${text.slice(1)}` : `+${text}`;
}

// ---- words -----------------------------------------------------------------------------------------------------------

export function idleText(isIdleReleased: boolean): string {
  return isIdleReleased ? 'released' : 'kept';
}

/** `sponge, idle CPU kept`. */
export function settingText({ liveCase, isIdleReleased }: Setting): string {
  return `${liveCase.name}, idle CPU ${idleText(isIdleReleased)}`;
}

/** `512 ms (500–520)`. */
export function measuredText(spread: Spread, measure: Measure): string {
  const range = rangeText(spread, measure);
  return `${withUnit(spread.median, measure)}${range === null ? '' : ` (${range})`}`;
}

/** A unit that says what kind of number it is, such as the mean, is a heading's. */
export function withUnit(value: number, { text, unit }: Measure): string {
  const isUnit = unit === '%' || unit === 'ms' || unit === 's';
  return `${text(value)}${unit === 'CPU s' ? ' s' : isUnit ? ` ${unit}` : ''}`;
}

/** Three digits that count, and never 0 for what is more. */
function percentText(share: number): string {
  const percent = 100 * share;
  if (percent === 0) return '0';
  return percent < 0.01 ? '< 0.01' : percent.toFixed(percent < 10 ? 2 : 1);
}

function numberText(value: number): string {
  const decimals = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toLocaleString('en', { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

/** A median of an even number of runs may be half a count. */
function countText(value: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: 1 });
}
