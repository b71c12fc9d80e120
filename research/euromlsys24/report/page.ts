import { renderChart, type ChartSpec } from '../../../src/reports/chart.js';
import { renderPage, type Block, type Figure, type Section, type Table } from '../../../src/reports/page.js';
import type { RunOrigin } from '../../../src/reports/run-origin.js';
import { cellIn, resultsIn } from '../evaluation.js';
import { paperPercentOf, type EvaluationResult } from '../evaluation-run.js';
import { PAPER_POLICIES, PAPER_SETTING, type EvaluationSetting } from '../evaluation-jobs.js';
import type { ExperimentResults } from '../experiment.js';
import { BANDWIDTH_MB_PER_SEC, FA2_REPLAY, RECORDED, RECORDED_CORES } from '../published.js';
import { meanOf } from '../spread.js';
import {
  bandwidthChart,
  coresChart,
  fitChart,
  heldCoresChart,
  remainingSloChart,
  violationsChart,
  type PolicyBySecond,
} from './charts.js';
import { fixed, spreadText, type ReportFigure, type ReportTable } from './figure.js';
import { reportFigures } from './figures.js';
import { aboutRun, WORDS } from './head.js';
import { summaryTable } from './summary.js';

/* One page: the paper's figures redrawn, the published numbers beside ours, and why they differ. */

export async function experimentPage(results: ExperimentResults, origin: RunOrigin): Promise<string> {
  const figures = reportFigures(results);
  const { network } = results.plan;
  return renderPage({
    title: 'Sponge, EuroMLSys 2024, reproduced',
    intro: [aboutRun(results)],
    sections: [
      { heading: 'At a glance', blocks: [pageTable(summaryTable(results)), { kind: 'facts', facts: WORDS }] },
      section(figures.network, [await networkFigures(results)]),
      section(figures.fits, [await fitFigures(results)]),
      section(figures.released, []),
      section(figures.fa2, []),
      section(figures.replays, [await replayFigures(results)]),
      section(figures.evaluation, [await evaluationFigures(results)]),
      section(figures.claims, []),
    ],
    origin,
    notes: [['network', network.description]],
  });
}

function section({ title, tables, why }: ReportFigure, drawings: readonly Block[]): Section {
  return { heading: title, blocks: [...drawings, ...tables.map(pageTable), { kind: 'facts', facts: why }] };
}

function pageTable({ caption, columns, rows }: ReportTable): Table {
  return {
    kind: 'table',
    columns: columns.map((heading) => ({ heading })),
    rows: rows.map(([name, ...cells]) => ({ name: name!, cells })),
    notes: [['', caption]],
  };
}

// ---- drawings --------------------------------------------------------------------------------------------------------

/** Of the plot alone: its axis takes about 60 px beside it. */
const WIDE_PX = 470;
const THIRD_PX = 290;
const NARROW_PX = 270;

async function both(chart: (width: number) => ChartSpec): Promise<Figure['svg']> {
  return { wide: await renderChart(chart(WIDE_PX)), narrow: await renderChart(chart(NARROW_PX)) };
}

async function networkFigures({ remainingSlo, plan }: ExperimentResults): Promise<Block> {
  const shown = remainingSlo.filter(({ published }) => published.worstRemainingSec !== null);
  const megabytesPerSec = plan.network.bytesPerMs(plan.seeds[0]!, plan.durationSec).map((rate) => rate / 1000);
  const { mean, min, max } = BANDWIDTH_MB_PER_SEC;
  return {
    kind: 'figures',
    columns: 'halves',
    figures: [
      {
        title: 'Bandwidth over time',
        svg: await both((width) => bandwidthChart(megabytesPerSec, width)),
        caption:
          `Seed ${plan.seeds[0]!}. MB/s, published | ours: mean ${mean} | ${fixed(meanOf(megabytesPerSec), 2)}, ` +
          `least ${min} | ${fixed(Math.min(...megabytesPerSec), 2)}, most ${max} | ${fixed(Math.max(...megabytesPerSec), 2)}.`,
      },
      {
        title: 'Remaining SLO over time',
        svg: await both((width) => remainingSloChart(remainingSlo, width)),
        caption:
          `Seed ${plan.seeds[0]!}. Worst of ${plan.durationSec} s, published | ours over the seeds: ` +
          `${shown
            .map(({ published, worstRemainingSec }) => {
              const name = `${published.bytes / 1024} KiB`;
              return `${name}: ${published.worstRemainingSec!} | ${spreadText(worstRemainingSec, 2)} s`;
            })
            .join('; ')}.`,
      },
    ],
  };
}

/** P99 of the evaluation, YOLOv5n, the worked example. */
const DRAWN_FITS = [0, 2, 3] as const;

async function fitFigures({ fits }: ExperimentResults): Promise<Block> {
  const figures: Figure[] = [];
  for (const index of DRAWN_FITS) {
    const fit = fits[index]!;
    const { published, r2, meanErrorPercent } = fit;
    figures.push({
      title: published.title,
      svg: await both((width) => fitChart(fit, Math.min(width, THIRD_PX))),
      caption:
        `Points: measured; lines: fitted. R² and MAPE, published | ours: ${published.r2} | ${fixed(r2, 3)}, ` +
        `${published.meanErrorPercent} | ${fixed(meanErrorPercent, 1)} %.`,
    });
  }
  return { kind: 'figures', columns: 'thirds', figures };
}

async function replayFigures({ replays }: ExperimentResults): Promise<Block> {
  const { bySeed, meanCores, published } = replays.released[0]!;
  const { fa2 } = replays;
  return {
    kind: 'figures',
    columns: 'halves',
    figures: [
      {
        title: 'Cores held by the released rule, YOLOv5s',
        svg: await both((width) =>
          heldCoresChart(
            [
              { series: 'published figure', byCores: RECORDED_CORES.sponge },
              { series: 'our replay, all seeds', byCores: pooled(bySeed.map(({ secByCores }) => secByCores)) },
            ],
            ['slate', 'amber'],
            width,
          ),
        ),
        caption:
          `Mean: ${RECORDED.sponge.meanCores} in the figure, ${published.meanCores} by replay of the log | ours ` +
          `${spreadText(meanCores, 2)}.`,
      },
      {
        title: 'Instances chosen by FA2, YOLOv5s',
        svg: await both((width) =>
          heldCoresChart(
            [
              { series: 'published figure', byCores: RECORDED_CORES.fa2 },
              { series: 'our replay, all seeds', byCores: pooled(fa2.bySeed.map(({ secByChosen }) => secByChosen)) },
            ],
            ['slate', 'green'],
            width,
          ),
        ),
        caption:
          `Mean: ${RECORDED.fa2.meanCores} in the figure, ${FA2_REPLAY.meanInstances} by replay of the log | ours ` +
          `${spreadText(fa2.meanInstances, 2)}.`,
      },
    ],
  };
}

function pooled(histograms: readonly Readonly<Record<number, number>>[]): Readonly<Record<number, number>> {
  const sum: Record<number, number> = {};
  for (const histogram of histograms) {
    for (const [key, count] of Object.entries(histogram)) sum[Number(key)] = (sum[Number(key)] ?? 0) + count;
  }
  return sum;
}

const DRAWN: EvaluationSetting = { service: 'fit', ...PAPER_SETTING };
const POLICY_COLOURS = { released: 'amber', fa2: 'green', 'static-8': 'slate', 'static-16': 'purple' } as const;

async function evaluationFigures(results: ExperimentResults): Promise<Block> {
  const { evaluation, plan } = results;
  const seed = typicalSeed(results);
  const policies = PAPER_POLICIES.map(({ key, title }): PolicyBySecond => {
    const run = resultsIn(evaluation, key, DRAWN).find(({ job }) => job.seed === seed)!;
    const { dividedBy } = cellIn(evaluation, key, DRAWN);
    return {
      title,
      colour: POLICY_COLOURS[key as keyof typeof POLICY_COLOURS],
      paperPercentBySecond: run.paperBySecond.limit3s.map((each) => (100 * each) / dividedBy),
      coresBySecond: run.coresBySecond,
    };
  });
  const beside = (what: 'violationPercent' | 'meanCores'): string =>
    PAPER_POLICIES.map(({ key, title, recorded }) => {
      const { paperPercent, meanCores } = cellIn(evaluation, key, DRAWN);
      return `${title}: ${recorded![what]} | ${fixed((what === 'meanCores' ? meanCores : paperPercent).mean, 2)}`;
    }).join('; ');
  const which = `Seed ${seed} of ${plan.seeds.join(', ')}, the median of Sponge; fit.`;
  return {
    kind: 'figures',
    columns: 'halves',
    figures: [
      {
        title: "Violations over time, by the paper's measure",
        svg: await both((width) => violationsChart(policies, width)),
        caption: `${which} Means in %, published | ours over the seeds: ${beside('violationPercent')}.`,
      },
      {
        title: 'Cores over time',
        svg: await both((width) => coresChart(policies, width)),
        caption: `${which} Means, published | ours over the seeds: ${beside('meanCores')}.`,
      },
    ],
  };
}

/** The seed in which Sponge violates as much as in the middle one of all. */
function typicalSeed({ evaluation }: ExperimentResults): number {
  const { dividedBy } = cellIn(evaluation, 'released', DRAWN);
  const percent = (run: EvaluationResult): number => paperPercentOf(run, 'limit3s', dividedBy);
  const ranked = [...resultsIn(evaluation, 'released', DRAWN)].sort(
    (a, b) => percent(a) - percent(b) || a.job.seed - b.job.seed,
  );
  return ranked[Math.floor((ranked.length - 1) / 2)]!.job.seed;
}
