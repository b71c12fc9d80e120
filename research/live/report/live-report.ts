import type { LiveResults } from '../live-results.js';
import { idleText, settingsOf } from '../live-tables.js';
import { standing, whatWentWorse } from '../what-went-worse.js';
import { renderChart } from '../../../src/reports/chart.js';
import { latencyRangeChart } from './latency-range-chart.js';
import { networkFigures, overTimeFigures, predictionFigures } from './live-figures.js';
import { agreementTable, coresText, headlineTable, profileTable } from './live-report-tables.js';
import { renderPage, type Block, type Facts } from '../../../src/reports/page.js';
import { policyLooks } from '../../../src/reports/policy-look.js';
import { repetitionsChart, type LookedSetting } from './repetitions-chart.js';
import { scenarioFacts, scenarioYaml } from '../../../src/reports/scenario-text.js';
import { binLengthSec, durationText } from '../../../src/reports/time-bins.js';

/* The page that `npm run research -- live` writes: policies served for real, beside each other and beside their simulation. */

/** One HTML file that needs nothing else. */
export async function liveReport(results: LiveResults): Promise<string> {
  const { scenario, cases, repetitions, origin, reference } = results;
  const looks = policyLooks(cases.map(({ simulatedPolicy }) => simulatedPolicy));
  const settings = settingsOf(results).map((setting): LookedSetting => {
    const look = looks[cases.indexOf(setting.liveCase)]!;
    return { setting, look: { ...look, label: setting.liveCase.name } };
  });
  const worse = whatWentWorse(results);
  return renderPage({
    title: `Served for real: ${results.model.name}`,
    intro: [
      scenario.about.trim(),
      `${cases.length} policies under the same requests, ${times(repetitions)}, in turn; idle CPU ${idleSettings(results)}; each also simulated ` +
        'on the profile measured just before. On time is judged by the client: answer − send ≤ SLO.',
    ],
    sections: [
      {
        heading: 'Cost and violations',
        text: [
          ...standing(results),
          ...(reference.infeasible === 0
            ? []
            : [
                `${reference.infeasible.toLocaleString('en')} of the requests could not be answered in time by anyone, by the profile; missed all the same here.`,
              ]),
        ],
        blocks: [headlineTable(settings), await overview(settings, results)],
      },
      {
        heading: 'What went worse',
        text: [
          'All of it is of one load. Less and more are said only where the ranges over the repetitions do not overlap (of violations: nor the 95 % intervals of all ' +
            'repetitions together). Where idle CPU released and kept show the same, the numbers are those of released.',
        ],
        blocks: [{ kind: 'list', items: worse.length === 0 ? ['Nothing that was measured.'] : worse }],
      },
      {
        heading: 'The network',
        text: [
          'Uploads are paced at the bandwidth of their client, so requests arrive late and out of order; what the network took is gone from their budgets.',
        ],
        blocks: [{ kind: 'figures', columns: 'thirds', figures: await networkFigures(results) }],
      },
      {
        heading: 'Over time',
        text: [overTimeText(results)],
        blocks: [{ kind: 'figures', columns: 'thirds', figures: await overTimeFigures(settings) }],
      },
      {
        heading: 'Predicted and actual',
        text: [
          `A dot a batch, all repetitions, idle CPU ${firstIdle(results)}. On the diagonal, a batch took what was predicted; grey, what was planned with (p99): a coloured dot above the grey took longer than was allowed for.`,
        ],
        blocks: [{ kind: 'figures', columns: 'thirds', figures: await predictionFigures(settings) }],
      },
      {
        heading: 'Live and simulated',
        text: [
          'How far the simulation is from the median of the live runs: in percent of it, for violations in points. An error within the range of the repetitions (○) is none that these runs can show. ' +
            'The simulator knows the profile and the policies’ own code, but neither the router’s work nor whatever else the machine did.',
        ],
        blocks: [agreementTable(settings, results)],
      },
      {
        heading: 'Scenario, model and machine',
        blocks: scenarioBlocks(results),
      },
    ],
    origin,
  });
}

/** Which settings were run. */
function idleSettings({ live }: LiveResults): string {
  const settings = [true, false].filter((isIdleReleased) => live.some((run) => run.isIdleReleased === isIdleReleased));
  return settings.map(idleText).join(' and ');
}

/** Of the figures that show one setting. */
function firstIdle({ live }: LiveResults): string {
  return idleText(live.some(({ isIdleReleased }) => isIdleReleased));
}

function times(count: number): string {
  return count === 1 ? 'once' : count === 2 ? 'twice' : `${count} times`;
}

// ---- cost and violations ---------------------------------------------------------------------------------------------

const WIDE = { width: 560, height: 380 } as const;
const NARROW = { width: 360, height: 380 } as const;

async function overview(settings: readonly LookedSetting[], { scenario, reference }: LiveResults): Promise<Block> {
  const referenceCoreSeconds = reference.servableCoreSeconds;
  const slosMs = [...new Set(scenario.payloads.flatMap(({ sloMs }) => sloMs))].sort((a, b) => a - b);
  type Size = typeof WIDE | typeof NARROW;
  const cost = (size: Size): Promise<string> =>
    renderChart(repetitionsChart(settings, { ...size, referenceCoreSeconds }));
  const latency = (size: Size): Promise<string> => renderChart(latencyRangeChart(settings, { ...size, slosMs }));
  return {
    kind: 'figures',
    columns: 'halves',
    figures: [
      {
        title: 'Violations against cost, every repetition',
        svg: { wide: await cost(WIDE), narrow: await cost(NARROW) },
        caption:
          'Down and left is better; the vertical axis is logarithmic. Filled: idle CPU released; hollow: kept; + simulated. ' +
          'Reference: the least at which one instance could serve all that can be served in time, knowing the future.',
      },
      {
        title: 'Latency, p50 to p99',
        svg: { wide: await latency(WIDE), narrow: await latency(NARROW) },
        caption: 'Medians of the repetitions, of all that were answered, on time or late.',
      },
    ],
  };
}

function overTimeText(results: LiveResults): string {
  const { live } = results;
  const longestSec = Math.max(1, ...live.map(({ series }) => series.outcomesBySecond.length));
  return (
    `First repetition, idle CPU ${firstIdle(results)}. In colour: live, the pale band from the least to the most within ` +
    `${durationText(binLengthSec(longestSec))}; dashed: simulated, hidden where both agree. All policies have the same axes. ` +
    'Violations are the server’s here (its deadline is earlier by what the reply is to take), when it was done with the request, with a tick wherever there was at least one.'
  );
}

// ---- scenario --------------------------------------------------------------------------------------------------------

function scenarioBlocks(results: LiveResults): Block[] {
  const { cpu, model, protocol, cases, live } = results;
  // The profile's path says nothing to a reader; the model's name does.
  const scenario = { ...results.scenario, profile: model.name };
  const limits = {
    minMillicores: Math.round(1000 * cpu.minCores),
    maxMillicores: Math.round(1000 * cpu.maxCores),
    stepMillicores: Math.round(1000 * scenario.cpu.stepCores),
  };
  const shown = new Set(['load', 'requests', 'network', 'CPU']);
  const facts: Facts = [
    ...scenarioFacts(scenario, limits).filter(([name]) => shown.has(name)),
    ['resizing', `${cpu.scaler}; a replica has ${coresText(cpu.unitCores)}`],
    ['protocol', protocol],
    ['model', `\`${model.name}\`, ${model.description}`],
    ...cases.map(
      ({ name, title, serveFlags, simulatedPolicy }) =>
        [name, `${title}: \`sponge serve ${serveFlags.join(' ')}\`, simulated as \`${simulatedPolicy}\``] as const,
    ),
  ];
  const logs = live.map(({ eventLog }) => eventLog).join('\n');
  return [
    { kind: 'facts', facts },
    profileTable(model.profile),
    { kind: 'details', summary: 'Every setting, as YAML', text: scenarioYaml(scenario) },
    { kind: 'details', summary: 'Event logs of all live runs, beside this page; the dashboard opens them', text: logs },
  ];
}
