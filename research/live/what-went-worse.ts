import { percentText } from '../../src/scheduler/domain/percent.js';
import { wilson95 } from '../../src/simulator/comparison/summary.js';
import type { LiveResults, LiveRun } from './live-results.js';
import {
  compare,
  idleText,
  liveSpread,
  measuredText,
  MEASURES,
  settingsOf,
  settingText,
  withUnit,
  type Measure,
  type Setting,
  type Spread,
} from './live-tables.js';

/*
 * What a reader should know before believing the tables, in generated sentences: where `sponge` is behind another policy,
 * where the machine is behind the simulation, where the measurement itself was disturbed. Pure.
 */

/** What `sponge` is called among the cases. */
const OURS = 'sponge';

/** More is worse in each. */
const JUDGED: readonly Measure[] = [
  MEASURES.violations,
  MEASURES.coreSeconds,
  MEASURES.usedCoreSeconds,
  MEASURES.latencyP50Ms,
  MEASURES.latencyP99Ms,
  MEASURES.routerCpuSeconds,
  MEASURES.resizes,
  MEASURES.throttledSeconds,
];

export function whatWentWorse(results: LiveResults): string[] {
  return [
    ...results.leftOut,
    ...repetitionNotes(results),
    ...JUDGED.flatMap((measure) => sameWhetherIdleOrNot((idle) => behindOthers(results, measure, idle))),
    ...LIVE_AGAINST_SIMULATED.flatMap((measure) => behindSimulation(results, measure)),
    ...generatorNotes(results.live),
    ...machineNotes(results.live),
  ];
}

function repetitionNotes({ repetitions }: LiveResults): string[] {
  if (repetitions > 1) return [];
  return ['One repetition: nothing is known of the spread, so any difference below may be chance.'];
}

// ---- policies --------------------------------------------------------------------------------------------------------

interface Compared {
  readonly ours: Spread;
  readonly others: readonly {
    readonly setting: Setting;
    readonly theirs: Spread;
    readonly verdict: ReturnType<typeof compare>;
  }[];
}

/** Null where `sponge` was not run so. */
function comparedWithOurs(results: LiveResults, measure: Measure, isIdleReleased: boolean): Compared | null {
  const settings = settingsOf(results).filter((setting) => setting.isIdleReleased === isIdleReleased);
  const own = settings.find(({ liveCase }) => liveCase.name === OURS);
  const ours = own === undefined ? null : liveSpread(own, measure);
  if (ours === null) return null;
  const others = settings.flatMap((setting) => {
    const theirs = setting === own ? null : liveSpread(setting, measure);
    if (theirs === null) return [];
    const ranges = compare(ours, theirs);
    const verdict = measure === MEASURES.violations && ranges !== comparePooled(own!, setting) ? 'overlapping' : ranges;
    return [{ setting, theirs, verdict }];
  });
  return { ours, others };
}

/** By the 95 % intervals of all repetitions together: a share of so few that missed may differ by chance in every one. */
function comparePooled(ours: Setting, theirs: Setting): ReturnType<typeof compare> {
  const [a, b] = [ours, theirs].map(({ live }) => {
    const due = live.reduce((sum, { measures }) => sum + measures.sent - measures.cancelled, 0);
    const missed = live.reduce((sum, { measures }) => sum + measures.sent - measures.cancelled - measures.onTime, 0);
    const [least, most] = wilson95(missed, due);
    return { median: missed / due, least, most };
  });
  return compare(a!, b!);
}

/** What holds with idle CPU released or kept, and the sentence for it. */
interface Finding {
  /** Who is how: the same for both settings where it is the same finding, whatever the numbers. */
  readonly verdict: string;
  readonly sentence: (idle: string) => string;
}

/** One sentence instead of two where both settings show the same; its numbers are those with idle CPU released. */
function sameWhetherIdleOrNot(find: (isIdleReleased: boolean) => Finding | null): string[] {
  const [released, kept] = [find(true), find(false)];
  if (released !== null && released.verdict === kept?.verdict) return [released.sentence('released or kept')];
  return [
    ...(released === null ? [] : [released.sentence(idleText(true))]),
    ...(kept === null ? [] : [kept.sentence(idleText(false))]),
  ];
}

function behindOthers(results: LiveResults, measure: Measure, isIdleReleased: boolean): Finding | null {
  const compared = comparedWithOurs(results, measure, isIdleReleased);
  if (compared === null) return null;
  const { ours, others } = compared;
  const behind = others.filter(({ verdict }) => verdict === 'above');
  const undecided = others.filter(({ verdict, theirs }) => verdict === 'overlapping' && ours.median > theirs.median);
  if (behind.length + undecided.length === 0) return null;
  const list = (those: Compared['others']): string =>
    joined(those.map(({ setting, theirs }) => `${setting.liveCase.name} ${measuredText(theirs, measure)}`));
  const parts = [
    ...(behind.length === 0 ? [] : [`less: ${list(behind)}`]),
    ...(undecided.length === 0 ? [] : [`a lower median, but within the spread: ${list(undecided)}`]),
  ];
  return {
    verdict: [behind, undecided].map((those) => those.map(({ setting }) => setting.liveCase.name).join()).join(';'),
    sentence: (idle) =>
      `${capitalised(measure.name)}, idle CPU ${idle}: ${OURS} ${measuredText(ours, measure)}; ${parts.join('; ')}.`,
  };
}

/** Where `sponge` stands in what counts most: below or above only where ranges are apart, so not after one repetition. */
export function standing(results: LiveResults): string[] {
  if (results.repetitions < 2) return [];
  return sameWhetherIdleOrNot((isIdleReleased) => {
    const parts = [MEASURES.coreSeconds, MEASURES.violations].flatMap((measure) => {
      const compared = comparedWithOurs(results, measure, isIdleReleased);
      return compared === null || compared.others.length === 0 ? [] : [`${measure.name} are ${standingIn(compared)}`];
    });
    const verdict = parts.join('; its ');
    return parts.length === 0 ? null : { verdict, sentence: (idle) => `With idle CPU ${idle}, ${OURS}’s ${verdict}.` };
  });
}

function standingIn({ others }: Compared): string {
  const names = (verdict: ReturnType<typeof compare>): string =>
    joined(others.filter((other) => other.verdict === verdict).map(({ setting }) => setting.liveCase.name));
  const [below, above, overlapping] = [names('below'), names('above'), names('overlapping')];
  return [
    ...(below === '' ? [] : [`below those of ${below}`]),
    ...(above === '' ? [] : [`above those of ${above}`]),
    ...(overlapping === '' ? [] : [`within the spread of ${overlapping}`]),
  ].join(', ');
}

// ---- simulation ------------------------------------------------------------------------------------------------------

const LIVE_AGAINST_SIMULATED: readonly Measure[] = [
  MEASURES.violations,
  MEASURES.coreSeconds,
  MEASURES.latencyP50Ms,
  MEASURES.latencyP99Ms,
];

function behindSimulation(results: LiveResults, measure: Measure): string[] {
  const pairs = settingsOf(results).flatMap((setting) => {
    const live = liveSpread(setting, measure);
    const simulated = setting.simulated === null ? null : measure.of(setting.simulated);
    return live === null || simulated === null ? [] : [{ setting, live, simulated }];
  });
  const behind = pairs.filter(({ live, simulated }) => live.least > simulated);
  if (behind.length === 0) return [];
  const worst = behind.reduce((a, b) => (b.live.median - b.simulated > a.live.median - a.simulated ? b : a));
  return [
    `${capitalised(measure.name)}: every live repetition is above the simulation in ${behind.length} of ${pairs.length} settings; ` +
      `furthest for ${settingText(worst.setting)}: ${measuredText(worst.live, measure)} live, ` +
      `${withUnit(worst.simulated, measure)} simulated.`,
  ];
}

// ---- the measurement -------------------------------------------------------------------------------------------------

/** A hundredth of an SLO of a second: beyond it, the load is no longer quite the one that was asked for. */
const LATE_MS = 10;
/** Beyond which a thread's own queue shapes what it sends. */
const BUSY_FRACTION = 0.7;
/** What the load generator promises of its uploads. */
const PACING_ERROR_FRACTION = 0.02;
/** Less than this is what any machine does beside. */
const OTHER_CORES = 0.1;

function generatorNotes(live: readonly LiveRun[]): string[] {
  return [
    ...exceeding(live, LATE_MS, ({ load }) => load.generator.sendLateMs?.p99 ?? null, {
      what: `the generator sent its latest percent of requests more than ${LATE_MS} ms late`,
      text: (ms) => `${ms.toFixed(1)} ms`,
    }),
    ...exceeding(live, BUSY_FRACTION, ({ load }) => load.generator.busiestFraction, {
      what: `the generator's busiest thread was busy for more than ${percentText(BUSY_FRACTION, 1)} of the time`,
      text: (fraction) => percentText(fraction, 1),
    }),
    ...exceeding(live, PACING_ERROR_FRACTION, ({ load }) => load.generator.pacingErrorFraction?.p99 ?? null, {
      what: `the worst percent of uploads took more than ${percentText(PACING_ERROR_FRACTION, 1)} longer or shorter than planned`,
      text: (fraction) => percentText(fraction, 1),
    }),
    ...exceeding(live, 0, ({ load }) => load.planned - load.sent, {
      what: 'the generator did not send all that was planned',
      text: (count) => `${count} not sent`,
    }),
  ];
}

function machineNotes(live: readonly LiveRun[]): string[] {
  return exceeding(
    live,
    OTHER_CORES,
    ({ otherCores, load }) => (otherCores === null ? null : otherCores - load.generator.cores),
    {
      what: `something else on the machine used more than ${OTHER_CORES} cores`,
      text: (cores) => `${cores.toFixed(2)} cores`,
    },
  );
}

/** One sentence for all runs, with the worst of them. */
function exceeding(
  live: readonly LiveRun[],
  limit: number,
  of: (run: LiveRun) => number | null,
  { what, text }: { readonly what: string; readonly text: (value: number) => string },
): string[] {
  const known = live.flatMap((run) => {
    const value = of(run);
    return value === null ? [] : [{ run, value }];
  });
  const beyond = known.filter(({ value }) => value > limit);
  if (beyond.length === 0) return [];
  const { run, value } = beyond.reduce((a, b) => (b.value > a.value ? b : a));
  const where = `${run.case}, idle CPU ${idleText(run.isIdleReleased)}, repetition ${run.repetition}`;
  return [`In ${beyond.length} of ${live.length} runs ${what}; at worst ${text(value)} (${where}).`];
}

// ---- words -----------------------------------------------------------------------------------------------------------

/** `a, b and c`. */
function joined(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)!}`;
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
