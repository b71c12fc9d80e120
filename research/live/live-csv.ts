import type { OutcomeName } from '../../src/scheduler/domain/outcome.js';
import { csvText, type CsvValue } from '../../src/reports/csv-text.js';
import type { LiveResults, LiveRun, SimulatedRun } from './live-results.js';
import { seriesBins, type SeriesBin } from './series-bins.js';

/*
 * The live experiment for whoever wants to draw it himself: a line a run, a line a second, a line a batch. Live and simulated
 * runs have the same columns; what only one of them has is empty for the other. Pure.
 */

type Run = LiveRun | SimulatedRun;
type Column<Of> = readonly [name: string, of: (what: Of) => CsvValue];

/** Say which run a line is of, in every file. */
const RUN_COLUMNS: readonly Column<Run>[] = [
  ['policy', (run) => run.case],
  ['idle_cpu', (run) => (run.isIdleReleased ? 'released' : 'kept')],
  ['source', (run) => (isLive(run) ? 'live' : 'simulated')],
  ['repetition', (run) => (isLive(run) ? run.repetition : null)],
];

const MEASURE_COLUMNS: readonly Column<Run>[] = [
  ['duration_sec', ({ measures }) => measures.durationSec],
  ['sent', ({ measures }) => measures.sent],
  ['on_time', ({ measures }) => measures.onTime],
  ['late', ({ measures }) => measures.late],
  ['refused', ({ measures }) => measures.refused],
  ['expired', ({ measures }) => measures.expired],
  ['failed', ({ measures }) => measures.failed],
  ['violation_fraction', ({ measures }) => measures.violationRate],
  ['goodput_per_sec', ({ measures }) => measures.goodputPerSec],
  ['charged_core_seconds', ({ measures }) => measures.coreSeconds],
  ['used_core_seconds', ({ measures }) => measures.usedCoreSeconds],
  ['mean_charged_cores', ({ measures }) => measures.coreSeconds / measures.durationSec],
  ['latency_p50_ms', ({ measures }) => measures.latencyP50Ms],
  ['latency_p99_ms', ({ measures }) => measures.latencyP99Ms],
  ['mean_batch_size', ({ measures }) => measures.meanBatchSize],
  ['resizes', ({ measures }) => measures.resizes],
  ['actual_to_predicted_p50', ({ measures }) => measures.actualToPredictedP50],
];

const LIVE_COLUMNS: readonly Column<LiveRun>[] = [
  ['router_cpu_sec', ({ routerCpuSeconds }) => routerCpuSeconds],
  ['throttled_sec', ({ throttledSeconds }) => throttledSeconds],
  ['other_cores', ({ otherCores }) => otherCores],
  ['start_ms', ({ startMs }) => startMs],
  ['cold_starts', ({ coldStartsMs }) => coldStartsMs.length],
  ['cold_start_mean_ms', ({ coldStartsMs }) => meanOf(coldStartsMs)],
  ['generator_cores', ({ load }) => load.generator.cores],
  ['generator_busiest_fraction', ({ load }) => load.generator.busiestFraction],
  ['sent_late_p99_ms', ({ load }) => load.generator.sendLateMs?.p99 ?? null],
  ['pacing_error_p99_fraction', ({ load }) => load.generator.pacingErrorFraction?.p99 ?? null],
  ['event_log', ({ eventLog }) => eventLog],
];

const OUTCOMES: readonly OutcomeName[] = [
  'completed_on_time',
  'completed_late',
  'rejected_infeasible',
  'rejected_overload',
  'expired',
  'cancelled',
  'failed',
];

const SECOND_COLUMNS: readonly Column<SeriesBin>[] = [
  ['from_sec', ({ fromSec }) => fromSec],
  ['granted_cores_mean', ({ grantedCores }) => grantedCores.mean],
  ['granted_cores_least', ({ grantedCores }) => grantedCores.least],
  ['granted_cores_most', ({ grantedCores }) => grantedCores.most],
  ['queue_depth_most', ({ queueDepth }) => queueDepth],
  ['instances_at_end', ({ instances }) => instances],
  ['received', ({ received }) => received],
  ...OUTCOMES.map((name): Column<SeriesBin> => [name, ({ outcomes }) => outcomes[name] ?? 0]),
  ['batches', ({ batches }) => batches],
  ['batch_size_mean', ({ batchSize }) => batchSize?.mean ?? null],
];

const BATCH_COLUMNS: readonly Column<Run['series']['batches'][number]>[] = [
  ['started_at_ms', ({ atMs }) => atMs],
  ['batch_size', ({ size }) => size],
  ['cpu_millicores', ({ cpuMillicores }) => cpuMillicores],
  ['predicted_ms', ({ predictedMs }) => predictedMs],
  ['planned_p99_ms', ({ plannedMs }) => plannedMs],
  ['actual_ms', ({ actualMs }) => actualMs],
];

/** File name → text. */
export function liveCsv({ live, simulated }: LiveResults): ReadonlyMap<string, string> {
  const runs: readonly Run[] = [...live, ...simulated];
  return new Map([
    [
      'runs.csv',
      csvText(
        namesOf(RUN_COLUMNS, MEASURE_COLUMNS, LIVE_COLUMNS),
        runs.map((run) => [
          ...valuesOf(RUN_COLUMNS, run),
          ...valuesOf(MEASURE_COLUMNS, run),
          ...(isLive(run) ? valuesOf(LIVE_COLUMNS, run) : LIVE_COLUMNS.map(() => null)),
        ]),
      ),
    ],
    [
      'over-time.csv',
      csvText(
        namesOf(RUN_COLUMNS, SECOND_COLUMNS),
        runs.flatMap((run) => linesOf(run, SECOND_COLUMNS, seriesBins(run.series, 1))),
      ),
    ],
    [
      'batches.csv',
      csvText(
        namesOf(RUN_COLUMNS, BATCH_COLUMNS),
        runs.flatMap((run) => linesOf(run, BATCH_COLUMNS, run.series.batches)),
      ),
    ],
  ]);
}

function isLive(run: Run): run is LiveRun {
  return 'repetition' in run;
}

function linesOf<Of>(run: Run, columns: readonly Column<Of>[], parts: readonly Of[]): CsvValue[][] {
  const start = valuesOf(RUN_COLUMNS, run);
  return parts.map((part) => [...start, ...valuesOf(columns, part)]);
}

function valuesOf<Of>(columns: readonly Column<Of>[], what: Of): CsvValue[] {
  return columns.map(([, of]) => of(what));
}

function namesOf(...groups: readonly (readonly (readonly [name: string, ...unknown[]])[])[]): string[] {
  return groups.flat().map(([name]) => name);
}

function meanOf(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;
}
