import { percentText } from '../scheduler/domain/percent.js';
import { FittedCurve } from '../scheduler/perf-model/fit.js';
import type { Profile, ProfileCell } from '../scheduler/perf-model/profile.js';
import { PAGE_STYLE } from './profile-picture-style.js';
import { summaryOf, type ProfileSummary } from '../server/profiler/profile-summary.js';
import { escaped, linearAxis, logAxis, logTicks, pathThrough, px, readable, type Axis } from './svg-axis.js';
import { roundTicks } from './ticks.js';

/*
 * A profile as one self-contained page: latency against cores, one panel a batch size, all on the same axes so that they
 * can be compared; throughput against batch size; and every number in a table. It shows what was measured beside what is
 * made of it, so that a reader can judge the model that plans. One panel for all batch sizes was rejected: where batching
 * pays, the whiskers of one size lie on the points of the next. Drawn on `svg-axis.ts` rather than on `chart.ts` as reports are: that takes
 * vega, 18 MB that whoever wants reports installs, and `sponge profile` has its picture without it.
 */

export interface PictureFacts {
  /** What to type to take this profile again; empty where nobody here took it. */
  readonly command: string;
}

/** Of a panel's plot, px. */
interface Frame {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}
const LATENCY: Frame = { width: 372, height: 264, left: 54, right: 14, top: 14, bottom: 40 };
/** With room for the names of its lines. */
const THROUGHPUT: Frame = { ...LATENCY, right: 64 };

/** Between the outermost measured points and the frame. */
const AXIS_PADDING = 1.12;
/** Points along a curve: its bends are smooth at this many. */
const CURVE_POINTS = 48;
/** Lines that can be told apart in the throughput panel. */
const MOST_LINES = 6;
const LEAST_LABEL_PX = 26;
const LINE_HEIGHT_PX = 14;

/** The page, as HTML. */
export function profilePicture(profile: Profile, { command }: PictureFacts): string {
  const summary = summaryOf(profile);
  const title = `${profile.name}: latency by batch size and cores`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
<header>
<h1>${escaped(title)}</h1>
<p>${escaped(describeOrigin(profile))}</p>
${command === '' ? '' : `<p><code>${escaped(command)}</code></p>`}
${modelFacts(summary, profile)}
${legend(summary)}
</header>
<main class="panels">
${summary.batchSizes.map((batchSize) => latencyPanel(profile, summary, batchSize)).join('\n')}
${throughputPanel(profile, summary)}
</main>
${numbers(profile)}
</body>
</html>
`;
}

/** Model, machine, date, quality: where the numbers come from, in one line. */
function describeOrigin({ fingerprint, quality, measuredAt, cells }: Profile): string {
  const size = `${cells.length} cells, ${cells.reduce((sum, cell) => sum + cell.samplesMs.length, 0)} runs`;
  if (fingerprint === null) return `${quality} profile, ${cells.length} cells`;
  const { cpuModel, cpuCount, scaler, quotaPeriodUs, threadCounts, onnxRuntimeVersion, shapeClassKey } = fingerprint;
  return [
    `${quality} profile of ${measuredAt.slice(0, 16).replace('T', ' ')} UTC`,
    size,
    `${cpuModel} × ${cpuCount}`,
    scaler.startsWith('cgroup') ? `${scaler}, periods of ${quotaPeriodUs / 1000} ms` : scaler,
    `threads ${threadCounts.join(', ')}`,
    `ONNX Runtime ${onnxRuntimeVersion}`,
    shapeClassKey,
  ].join(' · ');
}

function modelFacts({ base, p99Factor }: ProfileSummary, { quality }: Profile): string {
  const { gamma, epsilon, delta, eta } = base.coefficients;
  const number = (value: number): string => Number(value.toPrecision(3)).toString();
  const facts: [string, string][] = [
    ['fit', `l(b, c) = ${number(gamma)}·b/c + ${number(epsilon)}/c + ${number(delta)}·b + ${number(eta)} ms`],
    [
      'held-out error',
      base.heldOut === null
        ? 'too few cells'
        : `fit ${percentText(base.heldOut.fit, 1)}, table ${percentText(base.heldOut.table, 1)}`,
    ],
    ['plans with', `the ${base.kind}`],
    [
      'planned / typical',
      `${p99Factor.toFixed(2)}${quality === 'quick' ? ', with the margin of a quick profile' : ''}`,
    ],
  ];
  return `<dl>${facts.map(([name, value]) => `<div><dt>${name}</dt><dd>${escaped(value)}</dd></div>`).join('')}</dl>`;
}

function legend({ base }: ProfileSummary): string {
  const sample = (mark: string, text: string): string =>
    `<span><svg width="30" height="18" aria-hidden="true">${mark}</svg>${text}</span>`;
  const line = (kind: string): string => `<path class="${kind}" d="M2 9L28 9"/>`;
  const whisker = '<path class="whisker" d="M15 3L15 13M11 3L19 3"/><circle class="point" cx="15" cy="13" r="3.5"/>';
  return `<p class="legend">${[
    sample(whisker, 'measured p50, up to p99'),
    sample(line('typical'), base.kind === 'fit' ? 'fit' : 'table, in use'),
    base.kind === 'table' ? sample(line('unused'), 'fit, not in use') : '',
    sample(line('planned'), 'planned with (p99)'),
    sample(line('other'), 'the other batch sizes'),
  ].join('')}</p>`;
}

function latencyPanel({ cells }: Profile, summary: ProfileSummary, batchSize: number): string {
  const { model, base, batchSizes, allocationsMillicores } = summary;
  const [least, most] = [allocationsMillicores[0]!, allocationsMillicores.at(-1)!];
  const lowMs = Math.min(model.predictedLatencyMs(batchSizes[0]!, most), ...cells.map(({ p50Ms }) => p50Ms));
  const highMs = Math.max(model.plannedLatencyMs(batchSizes.at(-1)!, least), ...cells.map(({ p99Ms }) => p99Ms));
  const x = logAxis(least, most, AXIS_PADDING, LATENCY.left, LATENCY.width - LATENCY.right);
  const y = logAxis(lowMs, highMs, AXIS_PADDING, LATENCY.height - LATENCY.bottom, LATENCY.top);

  const curve = (kind: string, latencyMs: (cpuMillicores: number) => number): string => {
    const points = geometricSteps(least, most).map((c) => [x(c), y(latencyMs(c))] as const);
    return `<path class="${kind}" d="${pathThrough(points)}"/>`;
  };
  const fit = new FittedCurve(base.coefficients);
  const drawing = [
    ...axes(LATENCY, x, y, readable(allocationsMillicores, x, LEAST_LABEL_PX), logTicks(lowMs, highMs), coresText),
    axisNames(LATENCY, 'cores', 'ms'),
    ...batchSizes
      .filter((other) => other !== batchSize)
      .map((other) => curve('other', (c) => model.predictedLatencyMs(other, c))),
    ...(base.kind === 'table' ? [curve('unused', (c) => fit.latencyMs(batchSize, c))] : []),
    curve('planned', (c) => model.plannedLatencyMs(batchSize, c)),
    curve('typical', (c) => model.predictedLatencyMs(batchSize, c)),
    ...cells
      .filter((cell) => cell.batchSize === batchSize)
      .map((cell) => measuredPoint(cell, x(cell.cpuMillicores), y(cell.p50Ms), y(cell.p99Ms))),
  ];
  return figure(LATENCY, `batch size ${batchSize}`, drawing);
}

function throughputPanel({ cells }: Profile, { model, batchSizes, allocationsMillicores }: ProfileSummary): string {
  const [smallest, largest] = [batchSizes[0]!, batchSizes.at(-1)!];
  const shown = spread(allocationsMillicores, MOST_LINES);
  const curvePerSec = (b: number, c: number): number => (1000 * b) / model.predictedLatencyMs(b, c);
  const measuredPerSec = ({ batchSize, p50Ms }: ProfileCell): number => (1000 * batchSize) / p50Ms;
  const shownCells = cells.filter(({ cpuMillicores }) => shown.includes(cpuMillicores));
  const highPerSec = Math.max(...shown.map((c) => curvePerSec(largest, c)), ...shownCells.map(measuredPerSec));
  const ticks = roundTicks(0, highPerSec, 5);
  const x = logAxis(smallest, largest, AXIS_PADDING, THROUGHPUT.left, THROUGHPUT.width - THROUGHPUT.right);
  const y = linearAxis(ticks.at(-1)!, THROUGHPUT.height - THROUGHPUT.bottom, THROUGHPUT.top);
  // A batch has a whole number of requests, and the table is made for those only.
  const sizes = [...new Set(geometricSteps(smallest, largest).map(Math.round))];
  const labelsAt = apart(shown.map((c) => y(curvePerSec(largest, c))));

  const drawing = shown.flatMap((c, i) => {
    const line = pathThrough(sizes.map((b) => [x(b), y(curvePerSec(b, c))] as const));
    const labelX = THROUGHPUT.width - THROUGHPUT.right + 8;
    const shade = `line-${shown.length === 1 ? MOST_LINES - 1 : Math.round((i * (MOST_LINES - 1)) / (shown.length - 1))}`;
    return [
      `<g class="${shade}"><path class="throughput" d="${line}"/>`,
      ...cells
        .filter((cell) => cell.cpuMillicores === c)
        .map((cell) => {
          const text = `${cell.batchSize} on ${coresText(c)} cores: ${measuredPerSec(cell).toFixed(1)}/s`;
          return `<circle cx="${px(x(cell.batchSize))}" cy="${px(y(measuredPerSec(cell)))}" r="3.5"><title>${text}</title></circle>`;
        }),
      `<text x="${labelX}" y="${px(labelsAt[i]! + 4)}">${coresText(c)} ${c === 1000 ? 'core' : 'cores'}</text></g>`,
    ];
  });
  return figure(THROUGHPUT, 'throughput b / l(b, c)', [
    ...axes(THROUGHPUT, x, y, readable(batchSizes, x, LEAST_LABEL_PX), ticks, String),
    axisNames(THROUGHPUT, 'batch size', 'requests/s'),
    ...drawing,
  ]);
}

function measuredPoint(cell: ProfileCell, x: number, medianY: number, tailY: number): string {
  const { p50Ms, p95Ms, p99Ms, samplesMs, threadCount } = cell;
  const quantiles = `p50 ${p50Ms.toFixed(1)}, p95 ${p95Ms.toFixed(1)}, p99 ${p99Ms.toFixed(1)} ms`;
  const title = `${coresText(cell.cpuMillicores)} cores, ${threadCount} threads: ${quantiles}; ${samplesMs.length} runs`;
  return (
    `<g><path class="whisker" d="M${px(x)} ${px(medianY)}L${px(x)} ${px(tailY)}M${px(x - 4)} ${px(tailY)}L${px(x + 4)} ${px(tailY)}"/>` +
    `<circle class="point" cx="${px(x)}" cy="${px(medianY)}" r="3.5"><title>${title}</title></circle></g>`
  );
}

/** Frame, grid and labels; every label carries the value it stands for. */
function axes(
  frame: Frame,
  x: Axis,
  y: Axis,
  xTicks: readonly number[],
  yTicks: readonly number[],
  xText: (value: number) => string,
): string[] {
  const right = frame.width - frame.right;
  const base = frame.height - frame.bottom;
  return [
    ...yTicks.map(
      (value) =>
        `<path class="grid" d="M${frame.left} ${px(y(value))}L${right} ${px(y(value))}"/>` +
        `<text class="y-label" x="${frame.left - 6}" y="${px(y(value) + 4)}">${value}</text>`,
    ),
    ...xTicks.map(
      (value) =>
        `<path class="grid" d="M${px(x(value))} ${frame.top}L${px(x(value))} ${base}"/>` +
        `<text class="x-label" x="${px(x(value))}" y="${base + 16}">${xText(value)}</text>`,
    ),
    `<path class="frame" d="M${frame.left} ${frame.top}L${frame.left} ${base}L${right} ${base}"/>`,
  ];
}

function axisNames(frame: Frame, xName: string, yName: string): string {
  const middle = (frame.left + frame.width - frame.right) / 2;
  const halfway = (frame.top + frame.height - frame.bottom) / 2;
  return (
    `<text class="x-label name" x="${middle}" y="${frame.height - 6}">${xName}</text>` +
    `<text class="x-label name" transform="translate(12 ${halfway}) rotate(-90)">${yName}</text>`
  );
}

function figure(frame: Frame, caption: string, drawing: readonly string[]): string {
  const { width, height } = frame;
  return (
    `<figure><figcaption>${caption}</figcaption>` +
    `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${caption}">${drawing.join('\n')}</svg></figure>`
  );
}

function numbers({ cells }: Profile): string {
  const rows = cells
    .toSorted((a, b) => a.batchSize - b.batchSize || a.cpuMillicores - b.cpuMillicores)
    .map(({ batchSize, cpuMillicores, threadCount, samplesMs, p50Ms, p95Ms, p99Ms }) =>
      [
        batchSize,
        coresText(cpuMillicores),
        threadCount,
        samplesMs.length,
        ...[p50Ms, p95Ms, p99Ms].map((ms) => ms.toFixed(2)),
      ]
        .map((value) => `<td>${value}</td>`)
        .join(''),
    );
  const head = ['batch size', 'cores', 'threads', 'runs', 'p50 ms', 'p95 ms', 'p99 ms'];
  return `<details><summary>All numbers</summary><table>
<tr>${head.map((name) => `<th>${name}</th>`).join('')}</tr>
${rows.map((row) => `<tr>${row}</tr>`).join('\n')}
</table></details>`;
}

function coresText(cpuMillicores: number): string {
  return String(cpuMillicores / 1000);
}

/** `CURVE_POINTS` values from `from` to `to`, each the same factor above the one before. */
function geometricSteps(from: number, to: number): number[] {
  return Array.from({ length: CURVE_POINTS }, (_, i) => from * (to / from) ** (i / (CURVE_POINTS - 1)));
}

/** At most `count` of the values, evenly picked, first and last among them. */
function spread(values: readonly number[], count: number): number[] {
  if (values.length <= count) return [...values];
  return Array.from({ length: count }, (_, i) => values[Math.round((i * (values.length - 1)) / (count - 1))]!);
}

/** Moves labels up, from the lowest on the page, until none covers another. @param descending places, px, lowest on the page first */
function apart(descending: readonly number[]): number[] {
  let previous = Infinity;
  return descending.map((y) => (previous = Math.min(y, previous - LINE_HEIGHT_PX)));
}
