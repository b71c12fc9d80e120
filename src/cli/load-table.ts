import { percentText } from '../scheduler/domain/percent.js';
import type { LoadProgress } from '../load/load.js';
import type { LoadSummary, Quantiles } from '../load/load-summary.js';
import type { LoadTarget } from '../load/target.js';
import type { ScenarioFile } from '../simulator/comparison/simulate.js';

/* What `sponge load` prints. */

/** While it runs, one line. */
export function progressText({ sent, outcomes, elapsedMs }: LoadProgress): string {
  const { late, refused, lost } = outcomes;
  const ended = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
  const rate = elapsedMs === 0 ? 0 : (1000 * sent) / elapsedMs;
  const misses = late + refused + lost;
  return `${sent} sent (${rate.toFixed(1)}/s), ${sent - ended} open, ${misses} missed (${late} late, ${refused} refused, ${lost} lost)`;
}

/** Above this share the generator's own lateness shows in the latencies. */
const BUSY_FRACTION = 0.8;
const LATE_SEND_MS = 5;

export function loadTable({ scenario, name }: ScenarioFile, target: LoadTarget, summary: LoadSummary): string {
  const { outcomes, sent, planned, reasons, generator } = summary;
  const due = sent - outcomes.cancelled;
  const share = (count: number): string => (due === 0 ? '' : percentText(count / due, 2));
  const rows: [string, string, string?][] = [
    ['on time', String(outcomes['on-time']), share(outcomes['on-time'])],
    ['late', String(outcomes.late), share(outcomes.late)],
    ['refused', String(outcomes.refused), share(outcomes.refused)],
    ...reasonRows(reasons, 'refused'),
    ['lost', String(outcomes.lost), share(outcomes.lost)],
    ...reasonRows(reasons, 'lost'),
    ...(outcomes.cancelled === 0 ? [] : [['left', String(outcomes.cancelled)] as [string, string]]),
  ];
  return [
    `${name}: ${scenario.title}`,
    `${summary.isInterrupted ? `interrupted: ${sent} of ${planned}` : planned} requests in ${Number(summary.durationSec.toFixed(1))} s to ${target.model} over ${target.protocol}`,
    '',
    ...rows.map(([label, count, rest = '']) =>
      `  ${label.padEnd(28)}${count.padStart(8)}  ${rest.padStart(8)}`.trimEnd(),
    ),
    '',
    `  ${'offered'.padEnd(28)}${perSec(summary.offeredPerSec)}`,
    `  ${'answered'.padEnd(28)}${perSec(summary.answeredPerSec)}`,
    `  ${'goodput (on time)'.padEnd(28)}${perSec(summary.goodputPerSec)}`,
    '',
    `  ${'ms'.padEnd(28)}${['p50', 'p95', 'p99', 'max'].map((head) => head.padStart(8)).join('')}`,
    quantileRow('send to answer', summary.latencyMs),
    ...(summary.refusedAfterMs === null ? [] : [quantileRow('send to refusal', summary.refusedAfterMs)]),
    ...splitRows(summary.split),
    '',
    `  violations   ${percentText(summary.violationRate, 2)} of ${due}: not answered within their SLO, counted from the planned instant of sending`,
    `  generator    ${generator.cores.toFixed(2)} cores, busiest thread ${percentText(generator.busiestFraction, 0)}; ${accuracyText(generator)}`,
    ...warnings(summary).map((line) => `  WARNING      ${line}`),
    '',
  ].join('\n');
}

function reasonRows(reasons: LoadSummary['reasons'], of: 'refused' | 'lost'): [string, string][] {
  return reasons
    .filter(({ outcome }) => outcome === of)
    .map(({ reason, count }): [string, string] => [`  ${reason}`.slice(0, 28), String(count)]);
}

function splitRows(split: LoadSummary['split']): string[] {
  if (split === null) return ['  (the server does not say how it spent the time)'];
  return [
    quantileRow('  network, server’s view', split.networkDelayMs),
    quantileRow('  queue', split.queuedMs),
    quantileRow('  batch in the worker', split.workerMs),
    '',
    `  ${'batch size, mean'.padEnd(28)}${split.meanBatchSize.toFixed(2).padStart(8)}`,
    `  ${'cores of a batch, mean'.padEnd(28)}${split.meanCores.toFixed(2).padStart(8)}`,
  ];
}

function quantileRow(label: string, quantiles: Quantiles | null): string {
  const { p50, p95, p99, max } = quantiles ?? { p50: NaN, p95: NaN, p99: NaN, max: NaN };
  const cells = [p50, p95, p99, max].map((value) => (Number.isNaN(value) ? '–' : value.toFixed(1)).padStart(8));
  return `  ${label.padEnd(28)}${cells.join('')}`;
}

function perSec(rate: number): string {
  return `${rate.toFixed(1).padStart(8)} requests/s`;
}

function accuracyText({ sendLateMs, pacingErrorFraction }: LoadSummary['generator']): string {
  const sends = sendLateMs === null ? '' : `sends ${sendLateMs.p99.toFixed(1)} ms late at p99`;
  if (pacingErrorFraction === null) return sends;
  return `${sends}, upload times off by ${percentText(pacingErrorFraction.p50, 1)} (p50), ${percentText(pacingErrorFraction.p99, 1)} (p99)`;
}

/** It could not have sent more in time. */
export function isGeneratorBusy({ generator }: LoadSummary): boolean {
  return generator.busiestFraction > BUSY_FRACTION;
}

function warnings(summary: LoadSummary): string[] {
  const effect = 'so the latencies are partly its own';
  if (isGeneratorBusy(summary)) {
    return [`the generator was too busy to keep its times, ${effect}; give it more --threads`];
  }
  if ((summary.generator.sendLateMs?.p99 ?? 0) > LATE_SEND_MS) {
    return [
      `the generator was kept waiting for CPU, ${effect}; give it a machine of its own, or the server less of this one`,
    ];
  }
  return [];
}
