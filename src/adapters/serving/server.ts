import { setMaxListeners } from 'node:events';
import { availableParallelism } from 'node:os';
import type { Logger } from 'pino';
import type { CpuCounters, Scaler } from '../../controlplane/scaler.js';
import type { Event } from '../../domain/event.js';
import { isExposed } from '../doors/exposure.js';
import { openDoor, type DoorSettings } from '../doors/open-door.js';
import { Arrivals } from '../oip/arrivals.js';
import { Intake } from '../oip/intake.js';
import type { Compat } from '../oip/status.js';
import { EventLoopWatch } from '../event-loop-watch.js';
import { SystemClock } from '../system-clock.js';
import { EventLog } from '../telemetry/event-log.js';
import { LiveFeed, type FeedFollower } from '../telemetry/live-feed.js';
import { Telemetry } from '../telemetry/metrics.js';
import { RecordWriter } from '../telemetry/record-writer.js';
import type { TlsFiles } from '../tls/certificate-files.js';
import { oneLine } from '../workers/load-failure.js';
import { SERVER_VERSION } from './version.js';
import { Turns } from './background-profiling.js';
import { warnOfClamping } from './clamping.js';
import { groupNameOf } from './group-name.js';
import { allEnded, inParallel } from './in-parallel.js';
import { Inference } from './inference-service.js';
import { receiptLimits, shareMemory, type StatedLimits, type SharedMemory } from './edge-limits.js';
import { assertReadable, findModels, type ModelSource } from './model-repository.js';
import { assertFloors, Nodes, shareOf } from './nodes.js';
import { Parts } from './parts.js';
import type { Ports } from './ports.js';
import { policyOf, type PolicyChoice } from './policy-choice.js';
import { ServerPressure } from './pressure.js';
import { replicationOf } from './replicas.js';
import { RouterCpu } from './router-cpu.js';
import { describeRun } from './run-model.js';
import { ServedModel } from './served-model.js';
import { Spares, type SpareMode } from './spares.js';
import type { ServedModelOptions } from './served-model-options.js';

/*
 * A whole server: its models, the three ports, telemetry, and an end that loses nothing.
 */

type ModelOptions = Pick<
  ServedModelOptions,
  | 'defaultSloMs'
  | 'scaler'
  | 'instances'
  | 'instancesPerProcess'
  | 'maxMillicores'
  | 'minMillicores'
  | 'idleReleaseMs'
  | 'quotaPeriodUs'
  | 'workerUser'
  | 'workerMemoryBytes'
  | 'threadCounts'
  | 'maxBatchSize'
  | 'maxBatchBytes'
  | 'isMaxBatchStated'
  | 'shapes'
  | 'samplePaths'
  | 'batching'
  | 'isRefining'
  | 'runLimits'
  | 'targetMissRate'
>;

export interface ServerOptions extends ModelOptions {
  readonly path: string;
  readonly host: string;
  /** 0 for any free port; so for the others. */
  readonly port: number;
  readonly grpcPort: number;
  readonly metricsPort: number;
  readonly doors: DoorSettings;
  readonly serverName: string;
  readonly groupName: string;
  readonly policy: PolicyChoice;
  /** Of all three ports; null: in clear. */
  readonly tls: TlsFiles | null;
  readonly limits: StatedLimits;
  /** Bytes null: by the memory there is. */
  readonly queueLimits: { readonly maxRequests: number; readonly maxBytes: number | null };
  readonly drainMs: number;
  /** By model, of the cores that models share: what it may have in a backlog before others get more. */
  readonly floorFractions: Readonly<Record<string, number>>;
  readonly spareMode: SpareMode;
  /** One model that cannot be loaded ends the start. */
  readonly isStrict: boolean;
  readonly compat: Compat;
  /** Where every event goes once all models are up; null for nowhere. */
  readonly eventLogPath: string | null;
  readonly logger: Logger;
  /** What start-up is at; each message replaces the one before. */
  readonly onProgress: (message: string) => void;
  /** Gives up starting, with its reason; to be aborted only before `startServer` has resolved. */
  readonly interruption: AbortSignal;
}

/** A model that is not served, and why. */
export interface ModelFailure {
  readonly source: ModelSource;
  readonly reason: string;
}

export interface Server {
  readonly models: readonly ServedModel[];
  readonly failures: readonly ModelFailure[];
  readonly policy: PolicyChoice;
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

/** Before anything is measured, ready within 15 s: the budget of the quick profile, less loading. */
const QUICK_BUDGET_MS = 5000;
const FULL_BUDGET_MS = 120_000;

/** @throws Error, in one line with its remedy, when any part cannot start; nothing is left behind then */
export async function startServer(options: ServerOptions): Promise<Server> {
  const sources = await findModels(options.path);
  const parts = new Parts();
  try {
    return await start(sources, options, parts);
  } catch (error) {
    await parts.close().catch((failure: unknown) => options.logger.warn(oneLine(failure)));
    options.interruption.throwIfAborted();
    throw error;
  }
}

async function start(sources: readonly ModelSource[], options: ServerOptions, parts: Parts): Promise<Server> {
  const { logger, host, compat, tls } = options;
  const clock = new SystemClock();
  const nowMs = (): number => clock.nowMs();
  const watchers: ((event: Event) => void)[] = [];
  const loop = parts.add(
    new EventLoopWatch(new SystemClock({ keepsProcessAlive: false }), (standstillMs) => {
      for (const tell of watchers) tell({ kind: 'router-standstill', atMs: nowMs(), standstillMs });
    }),
    (part) => part.close(),
  );
  const arrivals = new Arrivals(nowMs, loop);
  const memory = await shareMemory(sources);
  const { room, shares } = memory;
  const { limits, receiveBudget } = receiptLimits(options.limits, shares);
  const pressure = new ServerPressure({ nowMs, loopDelayMs: () => loop.meanDelayMs, memory: room });
  assertFloors(sources, options.floorFractions);
  const areTogether = options.policy.name === 'sponge' && sources.length > 1;
  const nodes = new Nodes(clock, areTogether);
  const budgetMillicores = (): number | null => nodes.budgetMillicores;
  const routerCpu = new RouterCpu();
  const telemetry = parts.add(
    new Telemetry({
      clock,
      readRouterCpuSeconds: () => routerCpu.usedSeconds(),
      budgetMillicores,
      pressure: () => pressure.now().fraction,
      readLoopDelays: () => loop.delays.sinceLast(),
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
  const eventLog = parts.add(new EventLog({ logger, clock }), (part) => part.close());
  const writer = await openRecordWriter(options, parts);
  const startedAt = new Date().toISOString();
  const feed = new LiveFeed({ clock, title: options.serverName, startedAt, budgetMillicores });
  const service = new Inference({
    serverName: options.serverName,
    serverVersion: SERVER_VERSION,
    clock,
    telemetry,
    readUnixMs: () => Date.now(),
  });

  for (const source of sources) service.expect(source);
  const turns = new Turns();
  const spares = parts.add(new Spares({ mode: options.spareMode, nowMs, memory: room }), (part) => part.close());

  const door = parts.add(await openDoor(host, options.doors, (line) => logger.warn(line)), (part) => part.close());

  const portParts = parts.add(new Parts(), (part) => part.close());
  const abandoned = new AbortController();
  const interruption = AbortSignal.any([options.interruption, abandoned.signal]);
  // Every model listens to it.
  setMaxListeners(0, interruption);
  const open = async (): Promise<Ports> => {
    const { openPorts } = await import('./ports.js');
    const edge = { service, limits, receiveBudget, arrivals, intake, door, telemetry, feed };
    return openPorts({ ...options, ...edge, jsonHeapBytes: shares.jsonHeapBytes }, portParts);
  };

  const models: ServedModel[] = [];
  const failures: ModelFailure[] = [];
  const serve = async (source: ModelSource): Promise<void> => {
    interruption.throwIfAborted();
    await assertReadable(source);
    options.onProgress(`loading ${source.name}`);
    const { name: model, version } = source;
    const observers: ((event: Event) => void)[] = [];
    let live: ServedModel | null = null;
    let readCounters = (): CpuCounters | null => null;
    const replicas = options.policy.name === 'fa2' ? options.policy : null;
    const served = parts.add(
      await ServedModel.start(source, {
        ...options,
        interruption,
        clock,
        nowMs,
        queueLimits: { ...options.queueLimits, maxBytes: options.queueLimits.maxBytes ?? shares.queueBytes },
        // Each counts twice in the worker, whose own memory is at most half for that.
        maxStagedBytes: Math.min(shares.stagedBytes, (options.workerMemoryBytes ?? Infinity) / 4),
        unreadSinceMs: () => loop.unreadSinceMs(),
        groupName: groupNameOf(options.groupName, model),
        modelCount: sources.length,
        maxMillicores: areTogether ? options.maxMillicores : shareOf(options.maxMillicores, sources.length),
        nodes,
        floorFraction: options.floorFractions[model] ?? null,
        policyFor: (served) => policyOf(options.policy, served),
        replicas,
        quickBudgetMs: QUICK_BUDGET_MS,
        fullBudgetMs: FULL_BUDGET_MS,
        turns,
        spares,
        // Loading and profiling are on the ledger too.
        onScaling: ({ scaler }, instances, cpuMillicores) => {
          readCounters = () => scaler.readCounters();
          const unit = replicas === null ? null : replicationOf(replicas.unitMillicores, scaler.limits);
          observers.push(
            telemetry.attachModel({
              model,
              version,
              limitMillicores: scaler.limits.maxMillicores,
              millicores: initialMillicores(scaler, instances, cpuMillicores),
              isReady: (instance) => live?.isInstanceReady(instance) ?? false,
              isSpareReady: () => live?.spare.isReady ?? false,
              startingMillicores: unit?.unitMillicores ?? 0,
              readCounters: () => readCounters(),
              queueDepth: () => live?.system.status().queueDepth ?? 0,
            }),
            eventLog.attachModel({ model, version, clientIdOf: (sequence) => service.clientIdOf(sequence) }),
          );
        },
        onEvent: (event) => {
          for (const observe of observers) observe(event);
        },
        onProgress: (message) => options.onProgress(`${source.name}: ${message}`),
        onNotice: (line) => logger.info({ model, version }, line),
        onLog: (line) => logger.warn({ model, version }, line),
        onAudit: (result) => telemetry.countAudit(model, version, result),
        onEnding: (pid) => routerCpu.settle(pid),
      }),
      (part: ServedModel) => part.close(),
    );
    live = served;
    const tellFeed = feed.addModel(describeRun(served, options.policy));
    observers.push(tellFeed);
    watchers.push(tellFeed);
    readCounters = () => served.readCounters();
    routerCpu.add(() => [...served.pids, served.spare.pid]);
    service.add(served);
    models.push(served);
  };
  // Workers load while ports are opened. A busy one should not cost a profile: the first turn is theirs.
  const opening = turns.take(open).catch((error: unknown) => {
    abandoned.abort(error);
    throw error;
  });
  const loading = inParallel(sources, LOADED_SIDE_BY_SIDE, async (source) => {
    try {
      await serve(source);
    } catch (error) {
      interruption.throwIfAborted();
      const reason = oneLine(error);
      failures.push({ source, reason });
      service.fail(source, reason);
    }
  });
  await allEnded([opening, loading]);
  const { rest, grpc, metrics } = await opening;
  assertServable(sources, failures, options);
  for (const { source, reason } of failures) logger.error({ model: source.name }, `not served: ${reason}`);
  models.sort((a, b) => sources.indexOf(a.source) - sources.indexOf(b.source));
  warnOfClamping(models, options);
  for (const served of models) served.beginRefining();
  if (writer !== null) feed.follow(followerOf(writer));

  const metricsBase = `${tls === null ? 'http' : 'https'}://${urlHost(host)}:${metrics.port}`;
  return {
    models,
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
      rest.drain();
      for (const served of models) served.endBackground();
      await drained(models, options.drainMs);
      await parts.close();
    },
  };
}

/** While it is loaded: the first instance has what that is done on, the others are still to come. */
function initialMillicores({ idleMillicores }: Scaler, instances: number, cpuMillicores: number): readonly number[] {
  return Array.from({ length: instances }, (_, index) => (index === 0 ? cpuMillicores : idleMillicores));
}

/** @throws Error naming every model that could not be loaded, each with its reason, where the others are not to be served */
function assertServable(
  sources: readonly ModelSource[],
  failures: readonly ModelFailure[],
  { isStrict }: ServerOptions,
): void {
  if (failures.length === 0 || (!isStrict && failures.length < sources.length)) return;
  const [first] = failures;
  if (sources.length === 1) throw new Error(first!.reason);
  const listed = failures.map(({ source, reason }) => `${source.name}: ${reason}`).join('; ');
  const remedy = isStrict ? ' (without --strict the others would be served)' : '';
  throw new Error(`${failures.length} of ${sources.length} models cannot be served${remedy}: ${listed}`);
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

/** Resolves when every model has answered all it held, or the time is up. */
async function drained(models: readonly ServedModel[], drainMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, drainMs);
  });
  const all = Promise.all(models.map(({ system }) => new Promise<void>((resolve) => system.drain(resolve))));
  await Promise.race([all, timeout]);
  clearTimeout(timer);
}

/** IPv6 addresses need brackets in a URL. */
function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
