import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseEventLog, type RecordedRun } from '../../src/scheduler/domain/event-log.js';
import { quantile } from '../../src/scheduler/perf-model/quantile.js';
import { findTarget } from '../../src/load/find-target.js';
import { load, type LoadProgress, type LoadResult } from '../../src/load/load.js';
import { summariseLoad, type LoadSummary } from '../../src/load/load-summary.js';
import type { Protocol } from '../../src/load/target.js';
import type { ScenarioFile } from '../../src/simulator/comparison/simulate.js';
import type { LiveCase, LiveRun, RunMeasures } from './live-results.js';
import { runSeries, type BatchPoint } from './run-series.js';
import { startServerProcess, type ServerProcess } from './server-process.js';

/* One policy served for real, under one load: a server of its own, judged by the clients and by the kernel's counters. */

export interface LiveRunOptions {
  readonly file: ScenarioFile;
  readonly seed: number;
  readonly liveCase: LiveCase;
  readonly isIdleReleased: boolean;
  readonly repetition: number;
  readonly modelPath: string;
  readonly modelName: string;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly protocol: Protocol;
  readonly sloMs: number;
  /** Allocations that batches may run on: those that are simulated. */
  readonly minMillicores: number;
  readonly maxMillicores: number;
  /** Folder of the report, and where in it the event log goes. */
  readonly folder: string;
  readonly eventLog: string;
  readonly onProgress: (progress: LoadProgress) => void;
  readonly signal: AbortSignal;
}

/** Until what a start leaves behind (the first plan, the release of idle CPU) is over: it belongs to no run. */
const SETTLE_MS = 500;
/** A replica that comes and goes between two looks is in no counter of the router's. */
const LOOK_EVERY_MS = 1000;

export async function liveRun(options: LiveRunOptions): Promise<LiveRun> {
  const { liveCase, isIdleReleased, repetition, eventLog, signal } = options;
  const server = await startServerProcess(serveArguments(options), signal);
  let measured: Measured;
  try {
    measured = await measure(server, options);
  } finally {
    await server.stop();
  }
  const { result, counters, otherCores } = measured;
  const log = parseEventLog(readFileSync(join(options.folder, eventLog), 'utf8'));
  const summary = summariseLoad(result);
  const durationSec = counters.seconds;
  const series = runSeries(log.header.models[0]!, log.records, {
    startAtMs: startOnLogClock(log, result.startUnixMs),
    durationMs: durationSec * 1000,
  });
  return {
    case: liveCase.name,
    isIdleReleased,
    repetition,
    measures: {
      ...clientMeasures(summary),
      durationSec,
      coreSeconds: counters.coreSeconds,
      usedCoreSeconds: counters.usedCoreSeconds,
      ...batchMeasures(series.batches),
      resizes: series.resizes,
    },
    routerCpuSeconds: counters.routerCpuSeconds,
    throttledSeconds: counters.throttledSeconds,
    otherCores,
    load: summary,
    startMs: server.startMs,
    coldStartsMs: coldStartsOf(log),
    eventLog,
    series,
  };
}

function serveArguments(options: LiveRunOptions): string[] {
  const { liveCase, isIdleReleased, modelPath, sloMs, minMillicores, maxMillicores, folder, eventLog, shapes } =
    options;
  return [
    modelPath,
    ...liveCase.serveFlags,
    ...(isIdleReleased ? [] : ['--no-idle-release']),
    ...['--slo', String(sloMs), '--no-refine'],
    ...['--min-cores', String(minMillicores / 1000), '--max-cores', String(maxMillicores / 1000)],
    ...Object.entries(shapes).flatMap(([input, sizes]) => ['--shape', `${input}=${sizes.join(',')}`]),
    ...['--group', `live-${process.pid}`, '--log-level', 'error', '--event-log', join(folder, eventLog)],
  ];
}

// ---- measuring -------------------------------------------------------------------------------------------------------

interface Counters {
  readonly seconds: number;
  readonly coreSeconds: number;
  readonly usedCoreSeconds: number;
  readonly routerCpuSeconds: number;
  readonly throttledSeconds: number;
}

interface Measured {
  readonly result: LoadResult;
  readonly counters: Counters;
  readonly otherCores: number;
}

/** From the instant at which clients begin until the last request has ended, by the server's own counters. */
async function measure(server: ServerProcess, options: LiveRunOptions): Promise<Measured> {
  const { file, seed, liveCase, protocol, modelName, shapes, onProgress, signal } = options;
  const url = protocol === 'grpc' ? server.grpcUrl : server.restUrl;
  // A server that is not to know deadlines is not told any: over gRPC, it would end calls by them whatever its policy.
  const deadline = liveCase.isDeadlineAware ? 'header' : 'none';
  const target = await findTarget({ url, protocol, model: modelName, version: '', shapes, deadline });
  await sleep(SETTLE_MS);
  const start = new StartReading(server);
  const looking = setInterval(() => void server.metrics().catch(() => undefined), LOOK_EVERY_MS);
  const onBegin = (startUnixMs: number): void => start.readAt(startUnixMs);
  const loading = load({ file, seed, target, threads: 1, onProgress, onBegin, signal });
  const result = await Promise.race([loading, server.died]).finally(() => clearInterval(looking));
  signal.throwIfAborted();
  const before = await start.reading;
  const [seconds, busySeconds] = [(Date.now() - before.atUnixMs) / 1000, machineBusySeconds() - before.busySeconds];
  const after = await server.metrics();
  const grown = (name: string): number => after(name) - before.metrics(name);
  const counters = {
    seconds,
    coreSeconds: grown('sponge_allocated_cpu_seconds_total'),
    usedCoreSeconds: grown('sponge_cpu_seconds_total'),
    routerCpuSeconds: grown('sponge_router_cpu_seconds_total'),
    throttledSeconds: grown('sponge_cpu_throttled_seconds_total'),
  };
  const oursSeconds = counters.usedCoreSeconds + counters.routerCpuSeconds;
  return { result, counters, otherCores: Math.max(0, (busySeconds - oursSeconds) / seconds) };
}

interface Reading {
  readonly atUnixMs: number;
  readonly metrics: (name: string) => number;
  readonly busySeconds: number;
}

/** The counters at the instant at which clients begin, which only the load knows. */
class StartReading {
  readonly reading: Promise<Reading>;
  #readAt: (unixMs: number) => void = () => undefined;

  constructor(server: ServerProcess) {
    const begun = new Promise<number>((resolve) => (this.#readAt = resolve));
    this.reading = begun.then(async (unixMs) => {
      await sleep(unixMs - Date.now());
      return { atUnixMs: Date.now(), busySeconds: machineBusySeconds(), metrics: await server.metrics() };
    });
    // Whoever needs it hears of it.
    this.reading.catch(() => undefined);
  }

  readAt(unixMs: number): void {
    this.#readAt(unixMs);
  }
}

function machineBusySeconds(): number {
  const busyMs = cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);
  return busyMs / 1000;
}

/** The log's clock began at a wall time that its header tells. */
function startOnLogClock({ header }: RecordedRun, startUnixMs: number): number {
  return header.startedAtMs + startUnixMs - Date.parse(header.startedAt!);
}

/** Each instance that was added: in order, first asked for, first there; of what is taken back, the last goes first. */
function coldStartsOf({ records }: RecordedRun): readonly number[] {
  const askedAtMs: number[] = [];
  const tookMs: number[] = [];
  let ready = 1;
  for (const record of records) {
    if (record.kind === 'instances-requested') {
      const added = record.toInstances - record.fromInstances;
      for (let count = 0; count < added; count++) askedAtMs.push(record.atMs);
      for (let count = 0; count > added; count--) askedAtMs.pop();
    } else if (record.kind === 'instances-changed') {
      for (; ready < record.instances && askedAtMs.length > 0; ready++) tookMs.push(record.atMs - askedAtMs.shift()!);
      ready = record.instances;
    }
  }
  return tookMs;
}

// ---- in common words -------------------------------------------------------------------------------------------------

type ClientMeasures = Pick<
  RunMeasures,
  | 'sent'
  | 'onTime'
  | 'late'
  | 'refused'
  | 'expired'
  | 'failed'
  | 'cancelled'
  | 'violationRate'
  | 'goodputPerSec'
  | 'latencyP50Ms'
  | 'latencyP99Ms'
>;

/** Reasons of a server that said no beforehand; what else it refused it failed at, but for what expired. */
const SAID_NO: readonly string[] = [
  'budget_spent_in_network',
  'infeasible_at_max_cores',
  'queue_overload',
  'queue_full',
];

function clientMeasures({
  sent,
  outcomes,
  reasons,
  violationRate,
  goodputPerSec,
  latencyMs,
}: LoadSummary): ClientMeasures {
  const refusedFor = (isCounted: (reason: string) => boolean): number =>
    reasons.reduce((sum, each) => sum + (each.outcome === 'refused' && isCounted(each.reason) ? each.count : 0), 0);
  const refused = refusedFor((reason) => SAID_NO.includes(reason));
  const expired = refusedFor((reason) => reason === 'expired');
  return {
    sent,
    onTime: outcomes['on-time'],
    late: outcomes.late,
    refused,
    expired,
    failed: outcomes.lost + outcomes.refused - refused - expired,
    cancelled: outcomes.cancelled,
    violationRate,
    goodputPerSec,
    latencyP50Ms: latencyMs?.p50 ?? null,
    latencyP99Ms: latencyMs?.p99 ?? null,
  };
}

export function batchMeasures(
  batches: readonly BatchPoint[],
): Pick<RunMeasures, 'meanBatchSize' | 'actualToPredictedP50'> {
  const requests = batches.reduce((sum, { size }) => sum + size, 0);
  const ratios = batches.flatMap(({ actualToPredicted }) => (actualToPredicted === null ? [] : [actualToPredicted]));
  return {
    meanBatchSize: batches.length === 0 ? 0 : requests / batches.length,
    actualToPredictedP50: ratios.length === 0 ? null : quantile(Float64Array.from(ratios).sort(), 0.5),
  };
}
