import { quantile } from '../scheduler/perf-model/quantile.js';
import { CLIENT_OUTCOMES, type ClientOutcome, type LoadColumns } from './load-ledger.js';
import type { GeneratorUse, LoadResult } from './load.js';

/* A load in a few numbers. Pure; the JSON of `sponge load` is this as it stands. */

export interface Quantiles {
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

export interface LoadSummary {
  readonly durationSec: number;
  readonly planned: number;
  readonly sent: number;
  readonly outcomes: Readonly<Record<ClientOutcome, number>>;
  /** Of those refused or lost, most frequent first. */
  readonly reasons: readonly { readonly outcome: ClientOutcome; readonly reason: string; readonly count: number }[];
  /** 1 − on time / (sent − cancelled); 0 where nothing was sent. */
  readonly violationRate: number;
  readonly offeredPerSec: number;
  /** Answered, on time or not. */
  readonly answeredPerSec: number;
  /** On time. */
  readonly goodputPerSec: number;
  /** Planned send → answer at the client, of all answered; null where there are none. */
  readonly latencyMs: Quantiles | null;
  /** Planned send → refusal. */
  readonly refusedAfterMs: Quantiles | null;
  /** Where the time of answered requests went, by what the server says; null for a server that does not. */
  readonly split: {
    readonly networkDelayMs: Quantiles;
    readonly queuedMs: Quantiles;
    readonly workerMs: Quantiles;
    readonly meanBatchSize: number;
    readonly meanCores: number;
  } | null;
  readonly generator: GeneratorUse & {
    /** Actual − planned send instant. */
    readonly sendLateMs: Quantiles | null;
    /** |actual − planned end of an upload| / its planned length. */
    readonly pacingErrorFraction: Quantiles | null;
  };
  readonly isInterrupted: boolean;
}

export function summariseLoad(result: LoadResult): LoadSummary {
  const { columns, durationMs, planned, generator } = result;
  const outcomes = countOutcomes(columns);
  const sent = columns.index.length;
  const answered = outcomes['on-time'] + outcomes.late;
  const due = sent - outcomes.cancelled;
  const perSec = (count: number): number => (count * 1000) / durationMs;
  const isAnswered = (at: number): boolean => ['on-time', 'late'].includes(outcomeAt(columns, at));
  return {
    durationSec: durationMs / 1000,
    planned,
    sent,
    outcomes,
    reasons: countReasons(columns),
    violationRate: due === 0 ? 0 : 1 - outcomes['on-time'] / due,
    offeredPerSec: perSec(result.isInterrupted ? sent : planned),
    answeredPerSec: perSec(answered),
    goodputPerSec: perSec(outcomes['on-time']),
    latencyMs: quantilesOf(columns.latencyMs.filter((_, at) => isAnswered(at))),
    refusedAfterMs: quantilesOf(columns.latencyMs.filter((_, at) => outcomeAt(columns, at) === 'refused')),
    split: splitOf(columns),
    generator: {
      ...generator,
      sendLateMs: quantilesOf(columns.sendLateMs),
      pacingErrorFraction: quantilesOf(
        columns.uploadLateMs.map((lateMs, at) => Math.abs(lateMs) / columns.uploadMs[at]!),
      ),
    },
    isInterrupted: result.isInterrupted,
  };
}

export function outcomeAt({ outcome }: LoadColumns, at: number): ClientOutcome {
  return CLIENT_OUTCOMES[outcome[at]!]!;
}

function countOutcomes(columns: LoadColumns): Record<ClientOutcome, number> {
  const counts: Record<ClientOutcome, number> = { 'on-time': 0, late: 0, refused: 0, lost: 0, cancelled: 0 };
  for (let at = 0; at < columns.outcome.length; at++) counts[outcomeAt(columns, at)] += 1;
  return counts;
}

function countReasons(columns: LoadColumns): LoadSummary['reasons'] {
  const counts = new Map<string, { outcome: ClientOutcome; reason: string; count: number }>();
  for (let at = 0; at < columns.outcome.length; at++) {
    const outcome = outcomeAt(columns, at);
    if (outcome !== 'refused' && outcome !== 'lost') continue;
    const reason = columns.reasons[columns.reason[at]!]!;
    const entry = counts.get(`${outcome} ${reason}`) ?? { outcome, reason, count: 0 };
    counts.set(`${outcome} ${reason}`, { ...entry, count: entry.count + 1 });
  }
  return [...counts.values()].sort((a, b) => b.count - a.count);
}

function splitOf({ networkDelayMs, queuedMs, workerMs, batchSize, cpuMillicores }: LoadColumns): LoadSummary['split'] {
  const [network, queued, worker] = [networkDelayMs, queuedMs, workerMs].map(quantilesOf);
  if (network == null || queued == null || worker == null) return null;
  return {
    networkDelayMs: network,
    queuedMs: queued,
    workerMs: worker,
    meanBatchSize: meanOf(batchSize),
    meanCores: meanOf(cpuMillicores) / 1000,
  };
}

function known(values: Float64Array): Float64Array {
  return values.filter((value) => !Number.isNaN(value));
}

function meanOf(values: Float64Array): number {
  const those = known(values);
  return those.reduce((sum, value) => sum + value, 0) / those.length;
}

/** Of what is known; null where nothing is. */
function quantilesOf(values: Float64Array): Quantiles | null {
  const sorted = known(values).sort();
  if (sorted.length === 0) return null;
  return {
    p50: quantile(sorted, 0.5),
    p95: quantile(sorted, 0.95),
    p99: quantile(sorted, 0.99),
    max: sorted.at(-1)!,
  };
}
