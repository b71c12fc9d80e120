import { percentText } from '../scheduler/domain/percent.js';
import type { LoadColumns } from '../load/load-ledger.js';
import type { LoadResult } from '../load/load.js';
import { outcomeAt, type LoadSummary, type Quantiles } from '../load/load-summary.js';
import type { LoadTarget } from '../load/target.js';
import type { ScenarioFile } from '../simulator/comparison/simulate.js';
import { renderChart } from './chart.js';
import { latencyChart, latencyCurve, latencyFrame } from './latency-chart.js';
import { renderPage, type Facts, type Figure } from './page.js';
import type { RunOrigin } from './run-origin.js';
import { scenarioYaml } from './scenario-text.js';
import { mostShownPerSec, timeChart, type TimeFrame } from './time-chart.js';
import { durationText } from './time-bins.js';

/* The page that `sponge load --report` writes: one load on one server, as its clients saw it. */

export interface LoadReportOptions {
  readonly file: ScenarioFile;
  readonly target: LoadTarget;
  readonly result: LoadResult;
  readonly summary: LoadSummary;
  readonly origin: RunOrigin;
}

export async function loadReport({ file, target, result, summary, origin }: LoadReportOptions): Promise<string> {
  const { scenario, name } = file;
  const { columns } = result;
  return renderPage({
    title: `Load ${name}: ${scenario.title}`,
    intro: [
      scenario.about.trim(),
      `${summary.sent.toLocaleString('en')} requests in ${durationText(summary.durationSec)} to ${target.model} over ${target.protocol}, ` +
        'each judged by its client: answered within its SLO from the planned instant of sending, or not.',
    ],
    sections: [
      {
        heading: 'Outcomes and times',
        blocks: [
          { kind: 'facts', facts: outcomeFacts(summary) },
          latencyTable(summary),
          { kind: 'figures', columns: 'halves', figures: await figures(file, columns, summary) },
        ],
      },
      {
        heading: 'The generator',
        text: ['A load is honest only while its generator keeps its own times.'],
        blocks: [{ kind: 'facts', facts: generatorFacts(summary) }],
      },
      {
        heading: 'The scenario',
        blocks: [{ kind: 'details', summary: 'Every setting, as YAML', text: scenarioYaml(scenario) }],
      },
    ],
    origin,
  });
}

function outcomeFacts({ outcomes, sent, reasons, violationRate, goodputPerSec, offeredPerSec }: LoadSummary): Facts {
  const because = (of: 'refused' | 'lost'): string => {
    const texts = reasons.filter(({ outcome }) => outcome === of).map(({ reason, count }) => `${count} ${reason}`);
    return texts.length === 0 ? '' : ` (${texts.join(', ')})`;
  };
  return [
    ['on time', `${outcomes['on-time']} of ${sent - outcomes.cancelled}; violations ${percentText(violationRate, 2)}`],
    ['late', String(outcomes.late)],
    ['refused', `${outcomes.refused}${because('refused')}`],
    ['lost', `${outcomes.lost}${because('lost')}`],
    ...(outcomes.cancelled === 0 ? [] : [['left', String(outcomes.cancelled)] as const]),
    ['goodput', `${goodputPerSec.toFixed(1)} on time a second, of ${offeredPerSec.toFixed(1)} offered`],
  ];
}

function latencyTable({ latencyMs, refusedAfterMs, split }: LoadSummary) {
  const rows: [string, Quantiles | null][] = [
    ['send to answer', latencyMs],
    ['send to refusal', refusedAfterMs],
    ['network, as the server saw it', split?.networkDelayMs ?? null],
    ['queue', split?.queuedMs ?? null],
    ['batch in the worker', split?.workerMs ?? null],
  ];
  return {
    kind: 'table',
    columns: [{ heading: 'ms' }, { heading: 'p50' }, { heading: 'p95' }, { heading: 'p99' }, { heading: 'max' }],
    rows: rows.flatMap(([name, each]) =>
      each === null ? [] : [{ name, cells: [each.p50, each.p95, each.p99, each.max].map((ms) => ms.toFixed(1)) }],
    ),
    notes: [['network, queue, worker', 'what the server says of each answered request; absent where it does not']],
  } as const;
}

async function figures(file: ScenarioFile, columns: LoadColumns, { outcomes, sent }: LoadSummary): Promise<Figure[]> {
  const isAnswered = (_: number, at: number): boolean => ['on-time', 'late'].includes(outcomeAt(columns, at));
  const curve = latencyCurve(
    'the server',
    'ours',
    columns.latencyMs.filter(isAnswered).sort(),
    sent - outcomes.cancelled,
  );
  const slosMs = [...new Set(file.scenario.payloads.flatMap(({ sloMs }) => sloMs))].sort((a, b) => a - b);
  const [sentBySecond, missedBySecond] = perSecond(columns, file.scenario.durationSec);
  const counts = new Map<number, number>();
  for (const count of sentBySecond) counts.set(count, (counts.get(count) ?? 0) + 1);
  const seconds = sentBySecond.length;
  const frame: TimeFrame = {
    seconds,
    most: Math.max(1, ...sentBySecond),
    mostViolationsPerSec: mostShownPerSec(missedBySecond, seconds),
  };
  return [
    {
      title: 'Latency',
      caption: 'How many were answered within how long, of all whose clients stayed. The dashed line is the SLO.',
      svg: await renderChart(latencyChart(curve, [curve], latencyFrame([curve], slosMs))),
    },
    {
      title: 'Requests over time',
      caption: 'By the second of sending; below, those that were not answered on time.',
      svg: await renderChart(
        timeChart(
          {
            description: `Requests sent and missed per second, over ${durationText(seconds)}`,
            colour: 'ours',
            title: 'requests sent per s',
            values: sentBySecond,
            held: [...counts].sort(([a], [b]) => a - b),
            violations: missedBySecond,
          },
          frame,
        ),
      ),
    },
  ];
}

function perSecond(columns: LoadColumns, durationSec: number): readonly [sent: number[], missed: number[]] {
  const zeros = (): number[] => new Array<number>(Math.max(1, Math.ceil(durationSec))).fill(0);
  const [sent, missed] = [zeros(), zeros()];
  columns.sentAtMs.forEach((atMs, at) => {
    const second = Math.min(sent.length - 1, Math.floor(atMs / 1000));
    sent[second]! += 1;
    if (!['on-time', 'cancelled'].includes(outcomeAt(columns, at))) missed[second]! += 1;
  });
  return [sent, missed];
}

function generatorFacts({ generator }: LoadSummary): Facts {
  const { cores, busiestFraction, threads, sendLateMs, pacingErrorFraction } = generator;
  return [
    [
      'CPU',
      `${cores.toFixed(2)} cores on ${threads} thread${threads === 1 ? '' : 's'}, the busiest ${percentText(busiestFraction, 0)} of the time`,
    ],
    ...(sendLateMs === null
      ? []
      : [['sent late by', `${sendLateMs.p50.toFixed(2)} ms (p50), ${sendLateMs.p99.toFixed(2)} ms (p99)`] as const]),
    ...(pacingErrorFraction === null
      ? []
      : [
          [
            'upload times off by',
            `${percentText(pacingErrorFraction.p50, 2)} (p50), ${percentText(pacingErrorFraction.p99, 2)} (p99)`,
          ] as const,
        ]),
  ];
}
