import { quantile } from '../../../src/scheduler/perf-model/quantile.js';
import type { LiveResults } from '../live-results.js';
import { liveSpread, measuredText, MEASURES, type Setting } from '../live-tables.js';
import type { ArrivalPoint } from '../run-series.js';
import { seriesBins } from '../series-bins.js';
import { renderChart } from '../../../src/reports/chart.js';
import { liveTimeChart, liveTimeFrame } from './live-time-chart.js';
import { bandwidthChart, networkDelayChart, remainingBudgetChart } from './network-chart.js';
import type { Figure } from '../../../src/reports/page.js';
import { measuredBatches, predictionChart, predictionFrame } from './prediction-chart.js';
import type { LookedSetting } from './repetitions-chart.js';
import { binLengthSec, durationText } from '../../../src/reports/time-bins.js';

/* The figures of the live report, drawn and captioned. */

// ---- network ---------------------------------------------------------------------------------------------------------

/** As the servers saw it in the first run and its simulation: the clients are the same in all of them. */
export async function networkFigures(results: LiveResults): Promise<Figure[]> {
  const { scenario, bandwidthKbPerSec, live, simulated } = results;
  const seconds = Math.ceil(scenario.durationSec);
  const arrivals = live[0]?.series.arrivals ?? [];
  const simulatedArrivals = simulated[0]?.series.arrivals ?? [];
  const delays = delaysOf(arrivals);
  const budgets = arrivals.map(({ atMs, sloMs, networkDelayMs }) => ({
    atSec: atMs / 1000,
    remainingMs: sloMs - networkDelayMs,
  }));
  const mostSloMs = Math.max(1, ...scenario.payloads.flatMap(({ sloMs }) => sloMs));
  return [
    ...(bandwidthKbPerSec.length === 0 ? [] : [await bandwidthFigure(results, seconds)]),
    {
      title: 'Network delays',
      numbers: `${msText(delays, 0.5)} (p50), ${msText(delays, 0.99)} (p99)`,
      caption: 'In blue, as the server saw them live; in the colour of the text, simulated.',
      svg: await renderChart(networkDelayChart(delays, delaysOf(simulatedArrivals))),
    },
    {
      title: 'Budgets left on arrival',
      numbers: `${shareText(budgets.filter(({ remainingMs }) => remainingMs < mostSloMs / 2).length, budgets.length)} have less than ${(mostSloMs / 2).toLocaleString('en')} ms left`,
      caption: 'A dot a request: SLO − network delay when its last byte was there.',
      svg: await renderChart(remainingBudgetChart(budgets, seconds, mostSloMs)),
    },
  ];
}

async function bandwidthFigure({ bandwidthKbPerSec, scenario }: LiveResults, seconds: number): Promise<Figure> {
  const { clients } = scenario.network;
  const shown = bandwidthKbPerSec.length;
  return {
    title: 'Bandwidth of the clients',
    numbers: shown === clients ? `${clients} client${clients === 1 ? '' : 's'}` : `${shown} of ${clients} clients`,
    caption: shown === 1 ? 'The one client.' : 'A pale line a client; in the colour of the text, their mean.',
    svg: await renderChart(bandwidthChart(bandwidthKbPerSec, seconds)),
  };
}

function delaysOf(arrivals: readonly ArrivalPoint[]): number[] {
  return arrivals.map(({ networkDelayMs }) => networkDelayMs).sort((a, b) => a - b);
}

function msText(ascending: readonly number[], q: number): string {
  return ascending.length === 0 ? '–' : `${Math.round(quantile(ascending, q)).toLocaleString('en')} ms`;
}

// ---- over time -------------------------------------------------------------------------------------------------------

/** The first repetition with idle CPU released, or kept where it never was. */
export async function overTimeFigures(settings: readonly LookedSetting[]): Promise<Figure[]> {
  const shown = firstSettings(settings);
  const longestSec = Math.max(1, ...shown.map(({ setting }) => setting.live[0]!.series.outcomesBySecond.length));
  const lengthSec = binLengthSec(longestSec);
  const panels = shown.map(({ setting, look }) => ({
    setting,
    look,
    live: seriesBins(setting.live[0]!.series, lengthSec),
    simulated: setting.simulated === null ? [] : seriesBins(setting.simulated.series, lengthSec),
  }));
  const frame = liveTimeFrame(panels);
  const figures: Figure[] = [];
  for (const { setting, look, live, simulated } of panels) {
    const description = `Cores, queue, violations and batch sizes of ${look.label} over ${durationText(longestSec)}, live and simulated`;
    figures.push({
      title: look.label,
      swatch: look.colour,
      numbers: runNumbers(setting),
      svg: await renderChart(liveTimeChart({ description, colour: look.colour, live, simulated }, frame)),
    });
  }
  return figures;
}

function runNumbers({ live }: Setting): string {
  const { violations, coreSeconds, resizes } = MEASURES;
  const [first] = live;
  return [
    `${violations.text(violations.of(first!))} % violations`,
    `${coreSeconds.text(coreSeconds.of(first!))} core-seconds`,
    `${resizes.text(resizes.of(first!))} resizes`,
  ].join(' · ');
}

/** Of each policy. */
function firstSettings(settings: readonly LookedSetting[]): LookedSetting[] {
  return settings.filter(
    ({ setting }, index) => settings.findIndex((each) => each.setting.liveCase === setting.liveCase) === index,
  );
}

// ---- predicted and actual --------------------------------------------------------------------------------------------

export async function predictionFigures(settings: readonly LookedSetting[]): Promise<Figure[]> {
  const panels = firstSettings(settings).map(({ setting, look }) => ({
    look,
    ratio: liveSpread(setting, MEASURES.actualToPredicted),
    batches: measuredBatches(setting.live.flatMap(({ series }) => series.batches)),
  }));
  const frame = predictionFrame(panels.flatMap(({ batches }) => batches));
  const figures: Figure[] = [];
  for (const { look, ratio, batches } of panels) {
    const beyond = batches.filter(({ actualMs, plannedMs }) => actualMs > plannedMs).length;
    figures.push({
      title: look.label,
      swatch: look.colour,
      numbers:
        `${batches.length.toLocaleString('en')} batches; actual over predicted ${ratio === null ? '–' : measuredText(ratio, MEASURES.actualToPredicted)}; ` +
        `${shareText(beyond, batches.length)} above planned`,
      svg: await renderChart(predictionChart(batches, look, frame)),
    });
  }
  return figures;
}

function shareText(count: number, of: number): string {
  return of === 0 ? '–' : `${MEASURES.violations.text(count / of)} %`;
}
