import { availableParallelism } from 'node:os';
import { isExposed } from './doors/exposure.js';
import { openDoor } from './doors/open-door.js';
import { Arrivals } from './edge/arrivals.js';
import { Intake } from './edge/intake.js';
import { EventLoopWatch } from './event-loop-watch.js';
import { SystemClock } from './system-clock.js';
import { EventLog } from './telemetry/event-log.js';
import { LiveFeed, type FeedFollower } from './telemetry/live-feed.js';
import { Telemetry } from './telemetry/metrics.js';
import type { Tracing } from './tracing/tracing.js';
import type { PodReport } from './telemetry/pod-metrics.js';
import { RecordWriter } from './telemetry/record-writer.js';
import { oneLine } from './workers/load-failure.js';
import { SERVER_VERSION } from './version.js';
import { Turns } from './served/background-profiling.js';
import { warnOfClamping } from './served/clamping.js';
import { allEnded, inParallel } from './in-parallel.js';
import { Inference } from './served/inference-service.js';
import { receiptLimits, shareBeside, shareMemory, type SharedMemory } from './edge-limits.js';
import { describeSkipped, EXPECTED, readRepository, type ModelSource } from './models/model-repository.js';
import { ModelControl, type ControlMode, type Served } from './models/model-control.js';
import { modelsOf } from './pipelines/pipeline-source.js';
import { PipelineSet } from './pipelines/pipeline-set.js';
import type { ServedPipeline } from './pipelines/served-pipeline.js';
import { ModelSet } from './models/model-set.js';
import { assertFloors, Nodes } from './nodes.js';
import { Parts } from './served/parts.js';
import type { Ports } from './ports.js';
import type { ChosenPolicy } from '../scheduler/policies/chosen-policy.js';
import { ServerPressure } from './pressure.js';
import { RouterCpu } from './router-cpu.js';
import type { ServedModel } from './served/served-model.js';
import type { ServerOptions } from './server-options.js';
import { Spares } from './served/spares.js';

/*
 * A whole server: its models, the three ports, telemetry, and an end that loses nothing.
 */

/** A model that is not served, and why. */
export interface ModelFailure {
  readonly source: ModelSource;
  readonly reason: string;
}

export interface Server {
  readonly models: readonly ServedModel[];
  readonly pipelines: readonly ServedPipeline[];
  /** Whether models come and go, and how. */
  readonly controlMode: ControlMode;
  readonly failures: readonly ModelFailure[];
  readonly policy: ChosenPolicy;
  /** All three ports speak TLS. */
  readonly isSecure: boolean;
  readonly restUrl: string;
  readonly grpcAddress: string;
  readonly metricsUrl: string;
  readonly dashboardUrl: string;
  /** Whether other machines reach it, and need nothing to show. */
  readonly isOpen: boolean;
  /** What requests may hold, and of how much. */
  readonly memory: SharedMemory;
  /** Why a better scaler than the one in use was not possible. */
  readonly passedOver: readonly string[];
  /** Tells of everything that happens from now on. */
  follow(follower: FeedFollower): void;
  /** Refuses new work, lets what is held finish within the drain time, then ends everything. */
  close(): Promise<void>;
}

/** Loading is the disk's work and one core's each; profiles are made one at a time in any case. */
const LOADED_SIDE_BY_SIDE = Math.max(2, Math.min(4, availableParallelism()));

/** @throws Error, in one line with its remedy, when any part cannot start; nothing is left behind then */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { modelName, control, policy } = options;
  if (control.mode !== 'none' && policy.scaling.kind !== 'instances') {
    throw new Error(
      `--model-control ${control.mode}: models that come and go share the cores, which --policy ${policy.name} cannot; use --policy sponge`,
    );
  }
  const { sources: all, skipped } = await readRepository(placeOf(options), modelName);
  const sources = beginningWith(all, options);
  for (const each of skipped) options.logger.warn(describeSkipped(each));
  const parts = new Parts();
  if (options.fetched !== null) parts.add(options.fetched, (part) => part.close());
  try {
    return await start(sources, options, parts);
  } catch (error) {
    await parts.close().catch((failure: unknown) => options.logger.warn(oneLine(failure)));
    options.interruption.throwIfAborted();
    throw error;
  }
}

async function start(all: readonly ModelSource[], options: ServerOptions, parts: Parts): Promise<Server> {
  const sources = all.filter(({ pipeline }) => pipeline === undefined);
  const pipelines = all.filter(({ pipeline }) => pipeline !== undefined);
  const { logger, host, compat, tls } = options;
  const clock = new SystemClock();
  const nowMs = (): number => clock.nowMs();
  // Where the start itself stands still, as on a fraction of a core, there is nobody to be told yet.
  const standstills: { tell: ModelSet['tellStandstill'] } = { tell: () => undefined };
  const loop = parts.add(
    new EventLoopWatch(new SystemClock({ keepsProcessAlive: false }), (standstillMs) =>
      standstills.tell({ kind: 'router-standstill', atMs: nowMs(), standstillMs }),
    ),
    (part) => part.close(),
  );
  const arrivals = new Arrivals(nowMs, loop);
  const memory = await shareMemory(sources, options.ioThreads);
  const { room, shares } = memory;
  const { limits, receiveBudget } = receiptLimits(options.limits, shares);
  // Once there are threads that read for this one, all that calls go through.
  let ioThreads: Ports['ioThreads'] = null;
  const loopDelayMs = (): number => ioThreads?.longestLoopDelayMs ?? loop.meanDelayMs;
  const pressure = new ServerPressure({ nowMs, loopDelayMs, memory: room });
  assertFloors(sources, options.floorFractions);
  const isFixed = options.control.mode === 'none';
  const areTogether = options.policy.scaling.kind === 'instances' && (sources.length > 1 || !isFixed);
  const nodes = new Nodes(clock, areTogether);
  const budgetMillicores = (): number | null => nodes.budgetMillicores;
  const routerCpu = new RouterCpu();
  const telemetry = parts.add(
    new Telemetry({
      clock,
      readRouterCpuSeconds: () => routerCpu.usedSeconds(),
      budgetMillicores,
      pod: (): PodReport | null => set.models[0]?.scaling.pod ?? null,
      pressure: () => pressure.now().fraction,
      readLoopDelays: () => loop.delays.sinceLast(),
      readIoThreadDelays: () => ioThreads?.readLoopDelays() ?? [],
    }),
    (part) => part.close(),
  );
  const intake = new Intake({
    maxCalls: limits.maxConcurrentCalls,
    clientFraction: limits.clientFraction ?? 1,
    compat,
    pressure: () => pressure.now(),
    onRefused: (protocol, cause) => telemetry.countEdgeRefusal(protocol, cause),
  });
  const tracing = await openTracing(options, clock, telemetry, parts);
  const eventLog = parts.add(new EventLog({ logger, clock }), (part) => part.close());
  const writer = await openRecordWriter(options, parts);
  const startedAt = new Date().toISOString();
  const feed = new LiveFeed({ clock, title: options.serverName, startedAt, budgetMillicores });
  const service = new Inference({
    serverName: options.serverName,
    serverVersion: SERVER_VERSION,
    clock,
    telemetry,
    isReadyWithout: !isFixed,
    readUnixMs: () => Date.now(),
    tracing,
  });

  for (const source of all) service.listings.expect(source);
  const turns = new Turns();
  const spares = parts.add(new Spares({ mode: options.spareMode, nowMs, memory: room }), (part) => part.close());

  const door = parts.add(await openDoor(host, options.doors, (line) => logger.warn(line)), (part) => part.close());

  const portParts = parts.add(new Parts(), (part) => part.close());
  // Before the ports, which wait for who still reads.
  parts.add(service.reports, (part) => part.close());
  const abandoned = new AbortController();
  const interruption = AbortSignal.any([options.interruption, abandoned.signal]);
  const open = async (): Promise<Ports> => {
    const { openPorts } = await import('./ports.js');
    const edge = { service, limits, receiveBudget, arrivals, intake, door, telemetry, feed };
    const { jsonHeapBytes } = shares;
    const ports = await openPorts(
      { ...options, ...edge, jsonHeapBytes, loopDelayMs: () => loop.meanDelayMs },
      portParts,
    );
    ({ ioThreads } = ports);
    return ports;
  };

  const set = parts.add(
    new ModelSet({
      ...{ server: options, nodes, areTogether, service, telemetry, eventLog, feed, tracing, routerCpu },
      ...{ clock, nowMs, turns, spares, unreadSinceMs: () => loop.unreadSinceMs() },
    }),
    (part) => part.close(),
  );
  const pipelineSet = parts.add(
    new PipelineSet({
      ...{ server: options, clock, service, telemetry, eventLog, feed, tracing },
      maxBytes: shares.queueBytes,
    }),
    (part) => part.close(),
  );
  standstills.tell = (event) => set.tellStandstill(event);
  const isPipeline = (served: Served | null): served is ServedPipeline =>
    served !== null && served.source.pipeline !== undefined;
  const control = parts.add(
    new ModelControl({
      ...{ ...options.control, listings: service.listings, logger },
      refresh: async () => options.fetched?.refresh(set.models.map(({ source }) => source.modelPath)),
      read: (sent) => readRepository(placeOf(options), options.modelName, sent),
      add: async (source, old, signal) => {
        const { pipeline } = source;
        if (pipeline !== undefined) return pipelineSet.add(source, pipeline, isPipeline(old) ? old : null);
        const replaced = isPipeline(old) ? null : old;
        return set.add(source, await shareBeside(set.models, source, memory), replaced, signal);
      },
      remove: (served) => (isPipeline(served) ? pipelineSet.remove(served) : set.remove(served)),
    }),
    (part) => part.close(),
  );
  service.repository = control;
  const failures: ModelFailure[] = [];
  // Workers load while ports are opened. A busy one should not cost a profile: the first turn is theirs.
  const opening = turns.takeAhead(open).catch((error: unknown) => {
    abandoned.abort(error);
    throw error;
  });
  const loading = inParallel(sources, LOADED_SIDE_BY_SIDE, async (source) => {
    try {
      await control.begin(source, () => set.add(source, { ...shares, modelCount: sources.length }, null, interruption));
    } catch (error) {
      interruption.throwIfAborted();
      const reason = oneLine(error);
      failures.push({ source, reason });
      service.listings.fail(source, reason);
    }
  });
  await allEnded([opening, loading]);
  // Once their models are there.
  for (const source of pipelines) {
    try {
      await control.begin(source, () => pipelineSet.add(source, source.pipeline!, null));
    } catch (error) {
      interruption.throwIfAborted();
      const reason = oneLine(error);
      failures.push({ source, reason });
      service.listings.fail(source, reason);
    }
  }
  const { rest, grpc, metrics } = await opening;
  service.reports.setGrpcPort(grpc.address.port);
  assertServable(all, failures, options);
  for (const { source, reason } of failures) logger.error({ model: source.name }, `not served: ${reason}`);
  service.started();
  const models = [...set.models].sort((a, b) => sources.indexOf(a.source) - sources.indexOf(b.source));
  warnOfClamping(models, options);
  for (const served of models) served.beginRefining();
  if (writer !== null) feed.follow(followerOf(writer));
  control.watch();

  const metricsBase = `${tls === null ? 'http' : 'https'}://${urlHost(host)}:${metrics.port}`;
  return {
    models,
    pipelines: service.listings.pipelines,
    controlMode: options.control.mode,
    failures,
    policy: options.policy,
    isSecure: tls !== null,
    restUrl: rest.url,
    grpcAddress: `${grpc.address.host}:${grpc.address.port}`,
    metricsUrl: `${metricsBase}/metrics`,
    dashboardUrl: `${metricsBase}/`,
    isOpen: isExposed({
      isPrivate: door.isPrivate,
      isEncrypted: tls !== null,
      asksForTokens: door.tokens !== null,
    }),
    memory,
    passedOver: models[0]?.scaling.passedOver ?? [],
    follow: (follower) => feed.follow(follower),
    close: async () => {
      service.drain();
      await control.close();
      rest.drain();
      set.endBackground();
      await pipelineSet.drain();
      await set.drain();
      await parts.close();
    },
  };
}

/** On this machine, at the moment. */
function placeOf({ path, fetched }: ServerOptions): string {
  return fetched?.path ?? path;
}

/** What is to be served when the server is ready. @throws Error of one line, with the remedy, where that is nothing or unknown */
function beginningWith(all: readonly ModelSource[], { path, control }: ServerOptions): readonly ModelSource[] {
  if (control.mode === 'none' && all.length === 0) throw new Error(`${path} holds no models: ${EXPECTED}`);
  if (control.mode !== 'explicit' || control.loadModels.includes('*')) return all;
  const unknown = control.loadModels.find((name) => all.every((source) => source.name !== name));
  if (unknown !== undefined) throw new Error(`--load-model ${unknown}: there is no such model in ${path}`);
  const asked = all.filter(({ name }) => control.loadModels.includes(name));
  const needed = new Set(asked.flatMap(({ pipeline }) => (pipeline === undefined ? [] : modelsOf(pipeline))));
  return all.filter((source) => asked.includes(source) || needed.has(source.name));
}

/** @throws Error naming every model that could not be loaded, each with its reason, where the others are not to be served */
function assertServable(
  sources: readonly ModelSource[],
  failures: readonly ModelFailure[],
  { isStrict, control }: ServerOptions,
): void {
  const mayComeLater = control.mode !== 'none';
  if (failures.length === 0 || (!isStrict && (mayComeLater || failures.length < sources.length))) return;
  const [first] = failures;
  if (sources.length === 1) throw new Error(first!.reason);
  const listed = failures.map(({ source, reason }) => `${source.name}: ${reason}`).join('; ');
  const remedy = isStrict ? ' (without --strict the others would be served)' : '';
  throw new Error(`${failures.length} of ${sources.length} models cannot be served${remedy}: ${listed}`);
}

/** Null where nobody asks for spans: nothing of it is loaded then. Closed after what feeds it. */
async function openTracing(
  { tracing: settings, serverName, logger }: ServerOptions,
  clock: SystemClock,
  telemetry: Telemetry,
  parts: Parts,
): Promise<Tracing | null> {
  if (settings === null) return null;
  const { Tracing } = await import('./tracing/tracing.js');
  const tracing = new Tracing({
    ...{ settings, clock, serviceName: serverName, serviceVersion: SERVER_VERSION },
    readUnixMs: () => Date.now(),
    onSpans: (counts) => telemetry.countSpans(counts),
    onTrouble: (line) => logger.warn(line),
  });
  return parts.add(tracing, (part) => part.close());
}

/** Null where none is asked for. Closed after what feeds it. */
async function openRecordWriter(
  { eventLogPath: path, logger }: ServerOptions,
  parts: Parts,
): Promise<RecordWriter | null> {
  if (path === null) return null;
  const writer = await RecordWriter.open({ path, onTrouble: (line) => logger.warn(line) });
  return parts.add(writer, (part) => part.close());
}

/** The log has one header, so it begins when every model is there. */
function followerOf(writer: RecordWriter): FeedFollower {
  return { onRun: (header) => writer.begin(header), onChunk: ({ lines }) => writer.write(lines) };
}

/** IPv6 addresses need brackets in a URL. */
function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
