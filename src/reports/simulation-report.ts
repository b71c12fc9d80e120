import { percentOfAll } from '../scheduler/domain/percent.js';
import type { SeedResult } from '../simulator/comparison/run-seed.js';
import { setUp } from '../simulator/scenarios/setup.js';
import type { ScenarioFile, SimulationResults } from '../simulator/comparison/simulate.js';
import type { PolicySummary, SimulationSummary } from '../simulator/comparison/summary.js';
import { renderChart } from './chart.js';
import { latencyChart, latencyCurve, latencyFrame } from './latency-chart.js';
import { outcomeChart } from './outcome-chart.js';
import { renderPage, type Block, type Figure, type Table } from './page.js';
import { POLICY_COLUMNS } from './policy-columns.js';
import { policyLooks, type PolicyLook } from './policy-look.js';
import { commandText, describeOrigin, type RunOrigin } from './run-origin.js';
import { scenarioFacts, scenarioYaml } from './scenario-text.js';
import { mostShownPerSec, timeChart, type TimeFrame, type TimePanel } from './time-chart.js';
import { binLengthSec, durationText } from './time-bins.js';
import { tradeOffChart } from './trade-off-chart.js';

/* The page that `sponge simulate --report` writes: what each policy cost and missed, and why. */

export interface SimulationReportOptions extends Pick<SimulationResults, 'summary' | 'results'> {
  readonly file: ScenarioFile;
  /** Of this run and this machine where absent. */
  readonly origin?: RunOrigin;
}

/** One HTML file. @param options results policy by policy, seed by seed, as `simulate` gives them */
export async function simulationReport({ file, summary, results, origin }: SimulationReportOptions): Promise<string> {
  const { scenario, name } = file;
  const { limits } = setUp(scenario, name, file.folder).environment.cpu;
  const looks = policyLooks(summary.policies.map(({ policy }) => policy));
  return renderPage({
    title: scenario.title === '' ? name : `${name}: ${scenario.title}`,
    intro: [scenario.about.trim(), `${requestsSentence(summary.policies[0]!)} ${seedsSentence(summary)}`],
    sections: [
      {
        heading: 'Cost and violations',
        text: [tradeOffText(summary)],
        blocks: [await overview(summary, looks), policyTable(summary, looks), ...chosenFacts(results)],
      },
      {
        heading: 'Over time',
        text: [timeText(summary, results)],
        blocks: [{ kind: 'figures', columns: 'thirds', figures: await timeFigures(results, looks) }],
      },
      {
        heading: 'Latency',
        text: [
          'How many were answered within how long, of all that were sent and whose clients stayed, all seeds together. A curve ' +
            'that levels off below 100 % belongs to a policy that refuses the rest or lets it expire' +
            `${slosOf(file).length === 1 ? '; its height at the SLO is the share on time' : ''}. Grey: the other policies.`,
        ],
        blocks: [{ kind: 'figures', columns: 'thirds', figures: await latencyFigures(file, summary, results, looks) }],
      },
      {
        heading: 'The scenario',
        blocks: [
          { kind: 'facts', facts: scenarioFacts(scenario, limits) },
          { kind: 'details', summary: 'Every setting, as YAML', text: scenarioYaml(scenario) },
        ],
      },
    ],
    origin:
      origin ??
      describeOrigin({
        command: commandText(process.argv.slice(2)),
        seeds: seedsText(summary),
        tookSeconds: summary.wallSeconds,
      }),
    notes: [
      [
        'events',
        `\`${summary.eventHash}\`, a digest of all that happened; the same scenario, seeds and code give the same one on any machine`,
      ],
    ],
  });
}

// ---- cost and violations ---------------------------------------------------------------------------------------------

const WIDE_PX = 560;
const NARROW_PX = 360;
/** The least. */
const OVERVIEW_HEIGHT_PX = 400;
/** Of an overview beside its bars. */
const AROUND_BARS_PX = 100;
const PER_POLICY_PX = 25;

async function overview(summary: SimulationSummary, looks: readonly PolicyLook[]): Promise<Block> {
  const height = Math.max(OVERVIEW_HEIGHT_PX, AROUND_BARS_PX + summary.policies.length * PER_POLICY_PX);
  const tradeOff = (width: number): Promise<string> => renderChart(tradeOffChart(summary, looks, { width, height }));
  const outcomes = (width: number): Promise<string> =>
    renderChart(outcomeChart(summary.policies, looks, width, height - AROUND_BARS_PX));
  return {
    kind: 'figures',
    columns: 'halves',
    figures: [
      {
        title: 'Violations against cost',
        svg: { wide: await tradeOff(WIDE_PX), narrow: await tradeOff(NARROW_PX) },
        caption: 'Down and left is better. The vertical axis is logarithmic.',
      },
      {
        title: 'What became of the requests',
        svg: { wide: await outcomes(WIDE_PX), narrow: await outcomes(NARROW_PX) },
        caption: 'At the right: how many were not answered on time, infeasible ones included, and their share of all.',
      },
    ],
  };
}

function tradeOffText({ seeds, referenceCoreSeconds, referenceReason }: SimulationSummary): string {
  const reference =
    referenceCoreSeconds === null
      ? `There is no reference: ${referenceReason ?? ''}.`
      : 'The reference is the least at which one instance could answer all feasible requests on time, knowing the future; several small ones may need less.';
  return (
    'Core-seconds are what was held, used or not. ' +
    `${reference} ${seeds === 1 ? 'One seed: its spread is not known.' : `Whiskers run from the least to the most of ${seeds} seeds.`}`
  );
}

function policyTable(
  { policies, referenceCoreSeconds, seeds }: SimulationSummary,
  looks: readonly PolicyLook[],
): Table {
  return {
    kind: 'table',
    columns: [{ heading: 'policy' }, ...POLICY_COLUMNS],
    rows: policies.map((policy, index) => ({
      name: policy.policy,
      swatch: looks[index]!.colour,
      cells: POLICY_COLUMNS.map(({ text }) => text(policy, referenceCoreSeconds)),
    })),
    notes: [
      [
        'violations',
        'requests not answered within their SLO, of all whose clients stayed; feasible: of those that could be',
      ],
      [
        '/ reference',
        referenceCoreSeconds === null
          ? 'none here'
          : `core-seconds over the reference, ${Math.round(referenceCoreSeconds).toLocaleString('en')}${seeds === 1 ? '' : ' in all'}`,
      ],
      [
        '/ bound',
        'core-seconds over the least that anyone needs for what this policy answered on time, at the fastest batch seen',
      ],
    ],
  };
}

/** What a policy in hindsight chose. */
function chosenFacts(results: SimulationResults['results']): Block[] {
  const facts = results.flatMap((seeds) => {
    const chosen = [...new Set(seeds.flatMap((each) => (each.chosen === undefined ? [] : [each.chosen])))];
    return chosen.length === 0
      ? []
      : [[`${seeds[0]!.policy} chose`, chosen.map((each) => `\`${each}\``).join(', ')] as const];
  });
  return facts.length === 0 ? [] : [{ kind: 'facts', facts }];
}

// ---- over time -------------------------------------------------------------------------------------------------------

/** Of the load; a run that goes on is cut off here, so that one policy's backlog does not squeeze all panels. */
const BEYOND_LOAD = 1.1;

function shownSeconds(results: SimulationResults['results']): number {
  const longest = Math.max(1, ...results.map(([first]) => first!.coresBySecond.length));
  return Math.min(longest, Math.ceil(results[0]![0]!.sentBySecond.length * BEYOND_LOAD));
}

function timeText({ seed, seeds }: SimulationSummary, results: SimulationResults['results']): string {
  const lengthSec = binLengthSec(shownSeconds(results));
  return [
    ...(seeds === 1 ? [] : [`Seed ${seed}, the first.`]),
    lengthSec === 1
      ? 'Each step is the mean of a second.'
      : `Each step is the mean of ${durationText(lengthSec)}; the pale band runs from its least second to its most.`,
    'Right: the same time sorted, the share of it in which at least so much was held; its area is the cost.',
    'Below: requests not answered on time, in the second in which they were sent, with a tick wherever there was at least one.',
    'All policies have the same axes.',
  ].join(' ');
}

async function timeFigures(results: SimulationResults['results'], looks: readonly PolicyLook[]): Promise<Figure[]> {
  const firsts = results.map(([first]) => first!);
  const seconds = shownSeconds(results);
  const frame: TimeFrame = {
    seconds,
    most: firsts.flatMap(({ heldMs }) => heldCores(heldMs)).reduce((most, [cores]) => Math.max(most, cores), 0.1),
    mostViolationsPerSec: Math.max(...firsts.map((first) => mostShownPerSec(first.violatedBySecond, seconds))),
  };
  const figures = [await loadFigure(firsts[0]!, seconds)];
  for (const [index, first] of firsts.entries()) {
    const { policy, coresBySecond, violatedBySecond } = first;
    const held = heldCores(first.heldMs);
    const svg = await renderChart(
      timeChart(
        {
          description: `Cores that ${policy} held, and its violations, over ${durationText(seconds)}`,
          colour: looks[index]!.colour,
          title: 'cores held',
          values: coresBySecond.slice(0, seconds),
          held,
          violations: violatedBySecond,
        },
        frame,
      ),
    );
    figures.push({
      title: policy,
      swatch: looks[index]!.colour,
      numbers: heldNumbers(first, held, seconds),
      svg,
    });
  }
  return figures;
}

function heldNumbers(
  { coreSeconds, durationSec, resizes }: SeedResult,
  held: TimePanel['held'],
  shownSec: number,
): string {
  return [
    `mean ${(coreSeconds / durationSec).toFixed(2)}, peak ${(held.at(-1)?.[0] ?? 0).toFixed(1)} cores`,
    `${resizes.toLocaleString('en')} resizes`,
    ...(durationSec > shownSec + 1 ? [`ends after ${durationText(Math.round(durationSec / 60) * 60)}`] : []),
  ].join(' · ');
}

/** The same for all policies. */
async function loadFigure({ sentBySecond, sent }: SeedResult, seconds: number): Promise<Figure> {
  const peak = sentBySecond.reduce((most, sentPerSec) => Math.max(most, sentPerSec), 0);
  const durations = new Map<number, number>();
  for (const perSec of sentBySecond) durations.set(perSec, (durations.get(perSec) ?? 0) + 1);
  const svg = await renderChart(
    timeChart(
      {
        description: `Requests sent per second, over ${durationText(seconds)}`,
        colour: 'ink',
        title: 'requests sent per s',
        values: sentBySecond,
        held: [...durations].sort(([a], [b]) => a - b),
      },
      { seconds, most: Math.max(1, peak), mostViolationsPerSec: 0 },
    ),
  );
  return {
    title: 'The load',
    numbers: `requests/s: mean ${(sent / sentBySecond.length).toFixed(1)}, peak ${peak} in a second`,
    svg,
  };
}

function heldCores(heldMs: SeedResult['heldMs']): [cores: number, durationMs: number][] {
  return heldMs.map(([millicores, durationMs]) => [millicores / 1000, durationMs]);
}

// ---- latency ---------------------------------------------------------------------------------------------------------

async function latencyFigures(
  file: ScenarioFile,
  { policies }: SimulationSummary,
  results: SimulationResults['results'],
  looks: readonly PolicyLook[],
): Promise<Figure[]> {
  const curves = results.map((seeds, index) => {
    const sorted = joined(seeds.map(({ latenciesMs }) => latenciesMs)).sort();
    const due = seeds.reduce((sum, { sent, cancelled }) => sum + sent - cancelled, 0);
    return latencyCurve(policies[index]!.policy, looks[index]!.colour, sorted, due);
  });
  const frame = latencyFrame(curves, slosOf(file));
  const figures: Figure[] = [];
  for (const [index, curve] of curves.entries()) {
    const { latencyMs, violationRate } = policies[index]!;
    const ms = (value: number | null): string =>
      value === null ? '–' : `${Math.round(value).toLocaleString('en')} ms`;
    figures.push({
      title: curve.policy,
      swatch: curve.colour,
      numbers: `p50 ${ms(latencyMs.p50)} · p99 ${ms(latencyMs.p99)} · ${percentOfAll(1 - violationRate, 2)} % on time`,
      svg: await renderChart(latencyChart(curve, curves, frame)),
    });
  }
  return figures;
}

function joined(parts: readonly Float64Array[]): Float64Array {
  const whole = new Float64Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** Each once, ascending; both ends of a range. */
function slosOf({ scenario }: ScenarioFile): number[] {
  return [...new Set(scenario.payloads.flatMap(({ sloMs }) => sloMs))].sort((a, b) => a - b);
}

// ---- words -----------------------------------------------------------------------------------------------------------

function requestsSentence({ sent, infeasibleOnArrival }: PolicySummary): string {
  const requests = `${sent.toLocaleString('en')} requests a policy`;
  return infeasibleOnArrival === 0
    ? `${requests}, none of them infeasible on arrival.`
    : `${requests}, ${infeasibleOnArrival.toLocaleString('en')} of them infeasible on arrival: not even the largest allocation ` +
        'could have answered those in time.';
}

function seedsText({ seed, seeds }: SimulationSummary): string {
  return seeds === 1 ? String(seed) : `${seed} to ${seed + seeds - 1}`;
}

function seedsSentence(summary: SimulationSummary): string {
  return summary.seeds === 1
    ? `Seed ${summary.seed}.`
    : `Seeds ${seedsText(summary)}: counts and core-seconds are added up, quantiles pooled.`;
}
