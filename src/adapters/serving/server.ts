import { createHash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { Logger } from 'pino';
import type { CpuCounters, Scaler } from '../../controlplane/scaler.js';
import type { Event } from '../../domain/event.js';
import type { RunModel } from '../../domain/event-record.js';
import { startGrpcServer, type GrpcServer } from '../oip/grpc/server.js';
import { startRestServer, type RestServer } from '../oip/rest/server.js';
import { ReceiveBudget } from '../oip/receive-budget.js';
import type { EdgeLimits } from '../oip/service.js';
import type { Compat } from '../oip/status.js';
import { measureCpuCeiling } from '../scalers/cpu-ceiling.js';
import { ROUTER_MILLICORES } from '../scalers/scaler-handle.js';
import { SystemClock } from '../system-clock.js';
import { EventLog } from '../telemetry/event-log.js';
import { LiveFeed, type FeedFollower } from '../telemetry/live-feed.js';
import { startMetricsServer, type MetricsServer } from '../telemetry/metrics-server.js';
import { Telemetry } from '../telemetry/metrics.js';
import { readPageFiles } from '../telemetry/page-files.js';
import { RecordWriter } from '../telemetry/record-writer.js';
import { oneLine } from '../workers/load-failure.js';
import { SERVER_VERSION } from './version.js';
import { Turns } from './background-profiling.js';
import { Inference } from './inference-service.js';
import { assertReadable, findModels, type ModelSource } from './model-repository.js';
import { Parts } from './parts.js';
import { policyOf, type PolicyChoice } from './policy-choice.js';
import { replicationOf } from './replicas.js';
import { RouterCpu } from './router-cpu.js';
import { ServedModel, type ServedModelOptions } from './served-model.js';

/*
 * A whole server: its models, the three ports, telemetry, and an end that loses nothing.
 */

type ModelOptions = Pick<
  ServedModelOptions,
  | 'defaultSloMs'
  | 'queueLimits'
  | 'scaler'
  | 'instances'
  | 'maxMillicores'
  | 'minMillicores'
  | 'idleReleaseMs'
  | 'quotaPeriodUs'
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
  readonly serverName: string;
  readonly groupName: string;
  readonly policy: PolicyChoice;
  readonly limits: EdgeLimits;
  readonly drainMs: number;
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
  readonly restUrl: string;
  readonly grpcAddress: string;
  readonly metricsUrl: string;
  readonly dashboardUrl: string;
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
  const { logger, host, limits, compat } = options;
  const clock = new SystemClock();
  const nowMs = (): number => clock.nowMs();
  const receiveBudget = new ReceiveBudget(limits.maxBytesInReceipt);
  const routerCpu = new RouterCpu();
  const telemetry = parts.add(new Telemetry({ clock, readRouterCpuSeconds: () => routerCpu.usedSeconds() }), (part) =>
    part.close(),
  );
  const eventLog = parts.add(new EventLog({ logger, clock }), (part) => part.close());
  const writer = await openRecordWriter(options, parts);
  const startedAt = new Date().toISOString();
  const feed = new LiveFeed({ clock, title: options.serverName, startedAt });
  const service = new Inference({
    serverName: options.serverName,
    serverVersion: SERVER_VERSION,
    clock,
    telemetry,
    readUnixMs: () => Date.now(),
  });

  for (const source of sources) service.expect(source);
  const turns = new Turns();

  // Ports first: a busy one should not cost a profile.
  const metrics = parts.add(
    await startMetricsServer({
      host,
      port: options.metricsPort,
      render: () => telemetry.render(),
      contentType: telemetry.contentType,
      page: await readPageFiles(),
      feed,
    }),
    (part: MetricsServer) => part.close(),
  );
  // Before the port it is heard at: subscribers are given the last records too.
  parts.add(feed, (part) => part.close());
  const rest = parts.add(
    await startRestServer({ service, host, port: options.port, limits, receiveBudget, nowMs, compat, logger }),
    (part: RestServer) => part.close(),
  );
  const grpc = parts.add(
    await startGrpcServer({ service, host, port: options.grpcPort, limits, receiveBudget, nowMs, compat, logger }),
    (part: GrpcServer) => part.close(1000),
  );

  const models: ServedModel[] = [];
  const failures: ModelFailure[] = [];
  const serve = async (source: ModelSource): Promise<void> => {
    options.interruption.throwIfAborted();
    await assertReadable(source);
    options.onProgress(`loading ${source.name}`);
    const { name: model, version } = source;
    const observers: ((event: Event) => void)[] = [];
    let queueDepth = (): number => 0;
    let readCounters = (): CpuCounters | null => null;
    const replicas = options.policy.name === 'fa2' ? options.policy : null;
    const served = parts.add(
      await ServedModel.start(source, {
        ...options,
        clock,
        nowMs,
        groupName: groupNameOf(options.groupName, model),
        modelCount: sources.length,
        maxMillicores: shareOf(options.maxMillicores, sources.length),
        policyFor: (served) => policyOf(options.policy, served),
        replicas,
        quickBudgetMs: QUICK_BUDGET_MS,
        fullBudgetMs: FULL_BUDGET_MS,
        turns,
        // Loading and profiling are on the ledger too.
        onScaling: ({ scaler }, instances) => {
          readCounters = () => scaler.readCounters();
          const unit = replicas === null ? null : replicationOf(replicas.unitMillicores, scaler.limits);
          observers.push(
            telemetry.attachModel({
              model,
              version,
              millicores: initialMillicores(scaler, instances),
              startingMillicores: unit?.unitMillicores ?? 0,
              readCounters: () => readCounters(),
              queueDepth: () => queueDepth(),
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
    queueDepth = () => served.system.status().queueDepth;
    observers.push(feed.addModel(describeRun(served, options.policy)));
    readCounters = () => served.readCounters();
    routerCpu.add(() => served.pids);
    service.add(served);
    models.push(served);
  };
  await inParallel(sources, LOADED_SIDE_BY_SIDE, async (source) => {
    try {
      await serve(source);
    } catch (error) {
      options.interruption.throwIfAborted();
      const reason = oneLine(error);
      failures.push({ source, reason });
      service.fail(source, reason);
    }
  });
  assertServable(sources, failures, options);
  for (const { source, reason } of failures) logger.error({ model: source.name }, `not served: ${reason}`);
  models.sort((a, b) => sources.indexOf(a.source) - sources.indexOf(b.source));
  warnOfClamping(models, options);
  for (const served of models) served.beginRefining();
  if (writer !== null) feed.follow(followerOf(writer));

  return {
    models,
    failures,
    policy: options.policy,
    restUrl: rest.url,
    grpcAddress: `${grpc.address.host}:${grpc.address.port}`,
    metricsUrl: `http://${urlHost(host)}:${metrics.port}/metrics`,
    dashboardUrl: `http://${urlHost(host)}:${metrics.port}/`,
    passedOver: models[0]?.scaling.passedOver ?? [],
    follow: (follower) => feed.follow(follower),
    close: async () => {
      service.drain();
      await drained(models, options.drainMs);
      await parts.close();
    },
  };
}

/** While it is loaded: the first instance has all there is, the others are still to come. */
function initialMillicores({ limits, idleMillicores }: Scaler, instances: number): readonly number[] {
  return Array.from({ length: instances }, (_, index) => (index === 0 ? limits.maxMillicores : idleMillicores));
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

/** At most so many at a time, begun in order. Rejects with the first rejection, when none runs any more. */
async function inParallel<Item>(
  items: readonly Item[],
  most: number,
  task: (item: Item) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  const lanes = Array.from({ length: most }, async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await task(item);
  });
  const ends = await Promise.allSettled(lanes);
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
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

function describeRun({ source, limits, pool, system, instanceCount }: ServedModel, policy: PolicyChoice): RunModel {
  const { name, version } = source;
  const cpuMillicores = system.status().grantedMillicores;
  const { maxBatchSize } = pool;
  const { allocations } = system.status();
  return {
    name,
    version,
    policy: policy.name,
    limits,
    cpuMillicores,
    instances: instanceCount,
    ...(allocations.length === 1 ? {} : { allocations }),
    maxBatchSize,
  };
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

/** Models share the machine evenly, less the router's part; null leaves the machine's own limit. */
export function shareOf(maxMillicores: number | null, modelCount: number): number | null {
  if (modelCount === 1) return maxMillicores;
  const available = measureCpuCeiling().millicores - ROUTER_MILLICORES;
  const total = Math.min(maxMillicores ?? available, available);
  return Math.max(100, Math.floor(total / modelCount / 100) * 100);
}

/**
 * CPU groups have plainer names than models may have; what was changed or cut is told apart by a hash. So is what looks like
 * another model's replica: the group of one has its model's name and `-r<number>`, for which four of the 64 characters that
 * a name may have are left.
 */
export function groupNameOf(prefix: string, model: string): string {
  const plain = `${prefix}-${model}`;
  if (/^[\w.-]{1,60}$/.test(plain) && !/-r\d+$/.test(plain)) return plain;
  const hash = createHash('sha256').update(model).digest('hex').slice(0, 8);
  return `${prefix}-${model.replaceAll(/[^\w.-]/g, '_').slice(0, 24)}-${hash}`;
}

/** What was asked for and cannot be is said once, not silently changed. */
function warnOfClamping(
  models: readonly ServedModel[],
  { logger, minMillicores, maxMillicores, policy }: ServerOptions,
): void {
  for (const { source, limits, pool, scaling } of models) {
    const mostMillicores = scaling.scaler.limits.maxMillicores;
    const warn = (line: string): void => logger.warn({ model: source.name, version: source.version }, line);
    const most = `${mostMillicores / 1000} cores, the most there is for this model`;
    if (maxMillicores !== null && maxMillicores > mostMillicores && models.length === 1) {
      warn(`--max-cores ${maxMillicores / 1000}: using ${most}`);
    }
    if (minMillicores > mostMillicores) warn(`--min-cores ${minMillicores / 1000}: using ${most}`);
    if (policy.name === 'fa2' && policy.unitMillicores !== null && policy.unitMillicores !== limits.maxMillicores) {
      warn(`--unit-cores ${policy.unitMillicores / 1000}: using ${limits.maxMillicores / 1000}, which can be granted`);
    }
    if (policy.name !== 'static') continue;
    if (policy.cpuMillicores > mostMillicores) warn(`--cpu ${policy.cpuMillicores / 1000}: using ${most}`);
    if (policy.batchSize > pool.maxBatchSize) warn(`--batch ${policy.batchSize}: using ${pool.maxBatchSize}`);
  }
}

/** IPv6 addresses need brackets in a URL. */
function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
