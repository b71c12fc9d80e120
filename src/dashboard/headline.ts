import { quantileOf, rowsWithin, sortedValues, stepBins, type TimeRange } from './binning.js';
import { lowerBound } from './columns.js';
import { OUTCOMES, RESIZE, SOURCES, type ModelState } from './model-state.js';
import { reasonKindText } from '../scheduler/domain/plan-bound.js';

/* The numbers beside the charts: one model, over the range that is looked at. */

export interface Headline extends Latencies {
  /** Received per second. */
  readonly requestsPerSec: number;
  readonly received: number;
  /** By `OUTCOMES`, in the range in which they ended. */
  readonly outcomes: readonly number[];
  /** Of all that ended, the cancelled left out; null of none. */
  readonly onTimeFraction: number | null;
  readonly goodputPerSec: number;
  readonly meanMillicores: number | null;
  /** At the end of the range. */
  readonly queueDepth: number;
  /** The longest that the router itself stood still for, ms. */
  readonly standstillMs: number;
}

/** Received → answered, of completed requests; null of none. */
export interface Latencies {
  readonly latencyP50Ms: number | null;
  readonly latencyP99Ms: number | null;
}

/** @param range from where something is known: rates are per second of it */
export function headlineOf(model: ModelState, range: TimeRange): Headline {
  const seconds = Math.max(0.001, (range.toMs - range.fromMs) / 1000);
  const [firstReceived, endReceived] = rowsWithin(model.requests, range);
  const received = endReceived - firstReceived;

  const outcomes = outcomesOf(model, range);
  const [onTime] = outcomes as [number];
  const counted = outcomes.reduce((sum, count) => sum + count, 0) - outcomes[OUTCOMES.indexOf('cancelled')]!;

  return {
    requestsPerSec: received / seconds,
    received,
    outcomes,
    onTimeFraction: counted === 0 ? null : onTime / counted,
    goodputPerSec: onTime / seconds,
    meanMillicores:
      model.pipeline === null ? meanGranted(model, range) : model.pipeline.summary(range.fromMs, range.toMs).millicores,
    queueDepth: valueAt(model.queue.column('atMs'), model.queue.column('depth'), range.toMs) ?? 0,
    standstillMs: longestStandstill(model, range),
    ...latenciesOf(model, range),
  };
}

function longestStandstill({ standstills }: ModelState, range: TimeRange): number {
  const [from, to] = rowsWithin(standstills, range);
  return standstills
    .column('forMs')
    .slice(from, to)
    .reduce((most, each) => Math.max(most, each), 0);
}

/** Requests that ended within the range, by `OUTCOMES`. */
export function outcomesOf({ finished }: ModelState, range: TimeRange): number[] {
  const [from, to] = rowsWithin(finished, range);
  return countCodes(finished.column('outcome'), from, to, OUTCOMES.length);
}

export function latenciesOf({ finished }: ModelState, range: TimeRange): Latencies {
  const [from, to] = rowsWithin(finished, range);
  const latencies = sortedValues(finished.column('latencyMs'), from, to);
  return { latencyP50Ms: quantileOf(latencies, 0.5), latencyP99Ms: quantileOf(latencies, 0.99) };
}

/** What completed requests had left of their time, the median; null of none. */
export function slackOf({ finished }: ModelState, range: TimeRange): number | null {
  const [from, to] = rowsWithin(finished, range);
  return quantileOf(sortedValues(finished.column('leftMs'), from, to), 0.5);
}

/** Of all instances together; null of nothing known. */
export function meanGranted({ steps }: ModelState, { fromMs, toMs }: TimeRange): number | null {
  const whole = { startMs: fromMs, binMs: Math.max(0.001, toMs - fromMs), count: 1 };
  return stepBins(steps.column('atMs'), steps.column('granted'), whole, toMs).mean[0] ?? null;
}

/** Of a value that holds from its row until the next one; null before the first. */
function valueAt(atMs: Float64Array, values: Float64Array, instantMs: number): number | null {
  const after = lowerBound(atMs, instantMs);
  const row = atMs[after] === instantMs ? after : after - 1;
  return values[row] ?? null;
}

function countCodes(codes: Float64Array, from: number, to: number, kinds: number): number[] {
  const counts = new Array<number>(kinds).fill(0);
  for (let row = from; row < to; row++) counts[codes[row]!]! += 1;
  return counts;
}

// ---- prediction ------------------------------------------------------------------------------------------------------

export interface PredictionNote {
  readonly batches: number;
  readonly meanSize: number;
  /** Actual over predicted: its median. */
  readonly ratioP50: number | null;
  /** Share of batches that took no longer than planned; about 99 % is meant to. */
  readonly withinPlannedFraction: number | null;
}

export function predictionOf({ batches }: ModelState, range: TimeRange): PredictionNote {
  const [from, to] = rowsWithin(batches, range);
  const [sizes, expected] = [batches.column('size'), batches.column('expectedMs')];
  const [planned, latencies] = [batches.column('plannedMs'), batches.column('latencyMs')];
  const ratios = new Float64Array(to - from).fill(NaN);
  let members = 0;
  let measured = 0;
  let within = 0;
  for (let row = from; row < to; row++) {
    members += sizes[row]!;
    const latencyMs = latencies[row]!;
    // Either there is no latency or nothing was predicted that it could be compared with.
    if (!(latencyMs >= 0 && expected[row]! > 0)) continue;
    ratios[row - from] = latencyMs / expected[row]!;
    measured += 1;
    if (latencyMs <= planned[row]!) within += 1;
  }
  return {
    batches: to - from,
    meanSize: to === from ? 0 : members / (to - from),
    ratioP50: quantileOf(sortedValues(ratios, 0, ratios.length), 0.5),
    withinPlannedFraction: measured === 0 ? null : within / measured,
  };
}

// ---- resizes ---------------------------------------------------------------------------------------------------------

export interface ResizeNote {
  readonly written: number;
  readonly unchanged: number;
  readonly refused: number;
  readonly tookP50Ms: number | null;
  readonly tookP99Ms: number | null;
}

export function resizesOf(model: ModelState, range: TimeRange): ResizeNote {
  const [from, to] = rowsWithin(model.resizes, range);
  const [written, unchanged, refused] = countCodes(model.resizes.column('result'), from, to, 3) as [
    number,
    number,
    number,
  ];
  const sorted = writtenTook(model, from, to);
  return { written, unchanged, refused, tookP50Ms: quantileOf(sorted, 0.5), tookP99Ms: quantileOf(sorted, 0.99) };
}

/** How long the rows' resizes took, ascending; those that were written alone. A view: only until values are sorted again. */
export function writtenTook({ resizes }: ModelState, from: number, to: number): Float64Array {
  const [took, results] = [resizes.column('tookMs').slice(from, to), resizes.column('result')];
  for (let row = from; row < to; row++) if (results[row] !== RESIZE.written) took[row - from] = NaN;
  return sortedValues(took, 0, took.length);
}

// ---- network ---------------------------------------------------------------------------------------------------------

export interface SourceNote {
  readonly source: (typeof SOURCES)[number];
  readonly requests: number;
  /** Median delay that was charged. */
  readonly delayP50Ms: number | null;
}

export function sourcesOf({ requests }: ModelState, range: TimeRange): SourceNote[] {
  const [from, to] = rowsWithin(requests, range);
  const [codes, delays] = [requests.column('source'), requests.column('delayMs')];
  const counts = countCodes(codes, from, to, SOURCES.length);
  return SOURCES.map((source, code) => {
    const own = new Float64Array(counts[code]!);
    let filled = 0;
    for (let row = from; row < to; row++) if (codes[row] === code) own[filled++] = delays[row]!;
    return { source, requests: counts[code]!, delayP50Ms: quantileOf(sortedValues(own, 0, filled), 0.5) };
  });
}

// ---- reasons ---------------------------------------------------------------------------------------------------------

export interface ReasonShare {
  readonly reason: string;
  /** Of the time in which there was a plan, or of the batches that were started. */
  readonly fraction: number;
}

/** What bound the plan for how long, longest first. */
export function reasonShares({ steps, reasons }: ModelState, range: TimeRange): ReasonShare[] {
  const [atMs, codes] = [steps.column('atMs'), steps.column('reason')];
  const heldMs = reasons.map(() => 0);
  let row = Math.max(0, lowerBound(atMs, range.fromMs) - 1);
  for (; row < atMs.length && atMs[row]! < range.toMs; row++) {
    const untilMs = Math.min(range.toMs, atMs[row + 1] ?? range.toMs);
    heldMs[codes[row]!]! += Math.max(0, untilMs - Math.max(range.fromMs, atMs[row]!));
  }
  // Before the first plan there is no reason.
  heldMs[0] = 0;
  const totalMs = heldMs.reduce((sum, each) => sum + each, 0);
  return heldMs
    .map((each, code) => ({ reason: reasons[code]!, fraction: totalMs === 0 ? 0 : each / totalMs }))
    .filter(({ fraction }) => fraction > 0)
    .sort((a, b) => b.fraction - a.fraction);
}

/** What bound the plans by which batches were started, the most frequent first; where each instance is planned by itself. */
export function startShares({ starts }: ModelState, { fromMs, toMs }: TimeRange): ReasonShare[] {
  const counts = new Map<string, number>();
  let total = 0;
  for (let index = starts.length - 1; index >= 0 && starts[index]!.atMs >= fromMs; index--) {
    if (starts[index]!.atMs >= toMs) continue;
    const { plan } = starts[index]!;
    const reason = plan === null ? '' : reasonKindText(plan);
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
    total += 1;
  }
  return [...counts]
    .map(([reason, count]) => ({ reason, fraction: count / total }))
    .sort((a, b) => b.fraction - a.fraction);
}
