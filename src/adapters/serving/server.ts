import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import { pricedPlanner } from '../../controlplane/priced-planner.js';
import { paperPlanner, type Preference } from '../../controlplane/program-planner.js';
import { staticPlanner } from '../../controlplane/baselines/static.js';
import { edfPolicy } from '../../dataplane/policy.js';
import type { AllocationLimits } from '../../domain/plan.js';
import type { Event } from '../../domain/event.js';
import type { Policy } from '../../system.js';
import { startGrpcServer, type GrpcServer } from '../oip/grpc/server.js';
import { startRestServer, type RestServer } from '../oip/rest/server.js';
import { ReceiveBudget } from '../oip/receive-budget.js';
import type { EdgeLimits } from '../oip/service.js';
import type { Compat } from '../oip/status.js';
import { measureCpuCeiling } from '../scalers/cpu-ceiling.js';
import { ROUTER_MILLICORES } from '../scalers/scaler-handle.js';
import { SystemClock } from '../system-clock.js';
import { EventLog } from '../telemetry/event-log.js';
import { startMetricsServer, type MetricsServer } from '../telemetry/metrics-server.js';
import { Telemetry } from '../telemetry/metrics.js';
import { SERVER_VERSION } from './version.js';
import { Turns } from './background-profiling.js';
import { Inference } from './inference-service.js';
import { findModels, type ModelSource } from './model-repository.js';
import { RouterCpu } from './router-cpu.js';
import { assertReadable, ServedModel, type ServedModelOptions } from './served-model.js';

/*
 * A whole server: its models, the three ports, telemetry, and an end that loses nothing.
 */

export type PolicyChoice =
  | { readonly name: 'sponge' | 'paper'; readonly prefer: Preference }
  | { readonly name: 'static'; readonly cpuMillicores: number; readonly batchSize: number };

type ModelOptions = Pick<
  ServedModelOptions,
  | 'defaultSloMs'
  | 'queueLimits'
  | 'scaler'
  | 'maxMillicores'
  | 'minMillicores'
  | 'idleReleaseMs'
  | 'quotaPeriodUs'
  | 'threadCounts'
  | 'maxBatchSize'
  | 'maxBatchBytes'
  | 'shapes'
  | 'isRefining'
  | 'hangTimeoutMs'
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
  readonly compat: Compat;
  readonly logger: Logger;
  /** What start-up is at; each message replaces the one before. */
  readonly onProgress: (message: string) => void;
  /** Gives up starting, with its reason; to be aborted only before `startServer` has resolved. */
  readonly interruption: AbortSignal;
}

export interface Server {
  readonly models: readonly ServedModel[];
  readonly policy: PolicyChoice;
  readonly restUrl: string;
  readonly grpcAddress: string;
  readonly metricsUrl: string;
  /** Why a better scaler than the one in use was not possible. */
  readonly passedOver: readonly string[];
  /** Refuses new work, lets what is held finish within the drain time, then ends everything. */
  close(): Promise<void>;
}

/** Before anything is measured, ready within 15 s: the budget of the quick profile, less loading. */
const QUICK_BUDGET_MS = 5000;
const FULL_BUDGET_MS = 120_000;

/** @throws Error, in one line with its remedy, when any part cannot start; nothing is left behind then */
export async function startServer(options: ServerOptions): Promise<Server> {
  const sources = await findModels(options.path);
  await Promise.all(sources.map(assertReadable));
  const parts = new Parts();
  try {
    return await start(sources, options, parts);
  } catch (error) {
    await parts.close();
    options.interruption.throwIfAborted();
    throw error;
  }
}

/** What has been started, ended in the reverse order. */
class Parts {
  readonly #closers: (() => Promise<void> | void)[] = [];

  add<T>(part: T, close: (part: T) => Promise<void> | void): T {
    this.#closers.push(() => close(part));
    return part;
  }

  async close(): Promise<void> {
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) await close();
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
    }),
    (part: MetricsServer) => part.close(),
  );
  const rest = parts.add(
    await startRestServer({ service, host, port: options.port, limits, receiveBudget, nowMs, compat, logger }),
    (part: RestServer) => part.close(),
  );
  const grpc = parts.add(
    await startGrpcServer({ service, host, port: options.grpcPort, limits, receiveBudget, nowMs, compat, logger }),
    (part: GrpcServer) => part.close(1000),
  );

  const models: ServedModel[] = [];
  for (const source of sources) {
    options.interruption.throwIfAborted();
    options.onProgress(`loading ${source.name}`);
    const { name: model, version } = source;
    const observers: ((event: Event) => void)[] = [];
    let queueDepth = (): number => 0;
    const served = parts.add(
      await ServedModel.start(source, {
        ...options,
        clock,
        nowMs,
        groupName: groupNameOf(options.groupName, model),
        maxMillicores: shareOf(options.maxMillicores, sources.length),
        policyFor: (allocation) => policyOf(options.policy, allocation),
        quickBudgetMs: QUICK_BUDGET_MS,
        fullBudgetMs: FULL_BUDGET_MS,
        turns,
        // Loading and profiling are on the ledger too.
        onScaling: ({ scaler }) => {
          observers.push(
            telemetry.attachModel({
              model,
              version,
              cpuMillicores: scaler.limits.maxMillicores,
              readCounters: () => scaler.readCounters(),
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
      }),
      (part: ServedModel) => part.close(),
    );
    queueDepth = () => served.system.status().queueDepth;
    routerCpu.add(served.pool);
    service.add(served);
    models.push(served);
  }
  warnOfClamping(models, options);
  for (const served of models) served.beginRefining();

  return {
    models,
    policy: options.policy,
    restUrl: rest.url,
    grpcAddress: `${grpc.address.host}:${grpc.address.port}`,
    metricsUrl: `http://${urlHost(host)}:${metrics.port}/metrics`,
    passedOver: models[0]?.scaling.passedOver ?? [],
    close: async () => {
      service.drain();
      await drained(models, options.drainMs);
      await parts.close();
    },
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

/** CPU groups have plainer names than models may have; what was changed or cut is told apart by a hash. */
export function groupNameOf(prefix: string, model: string): string {
  const plain = `${prefix}-${model}`;
  if (/^[\w.-]{1,64}$/.test(plain)) return plain;
  const hash = createHash('sha256').update(model).digest('hex').slice(0, 8);
  return `${prefix}-${model.replaceAll(/[^\w.-]/g, '_').slice(0, 24)}-${hash}`;
}

/** What was asked for and cannot be is said once, not silently changed. */
function warnOfClamping(
  models: readonly ServedModel[],
  { logger, minMillicores, maxMillicores, policy }: ServerOptions,
): void {
  for (const { source, limits, pool } of models) {
    const warn = (line: string): void => logger.warn({ model: source.name, version: source.version }, line);
    const most = `${limits.maxMillicores / 1000} cores, the most there is for this model`;
    if (maxMillicores !== null && maxMillicores > limits.maxMillicores && models.length === 1) {
      warn(`--max-cores ${maxMillicores / 1000}: using ${most}`);
    }
    if (minMillicores > limits.maxMillicores) warn(`--min-cores ${minMillicores / 1000}: using ${most}`);
    if (policy.name !== 'static') continue;
    if (policy.cpuMillicores > limits.maxMillicores) warn(`--cpu ${policy.cpuMillicores / 1000}: using ${most}`);
    if (policy.batchSize > pool.maxBatchSize) warn(`--batch ${policy.batchSize}: using ${pool.maxBatchSize}`);
  }
}

function policyOf(choice: PolicyChoice, limits: AllocationLimits): Policy {
  switch (choice.name) {
    case 'static': {
      const cpuMillicores = Math.min(limits.maxMillicores, Math.max(limits.minMillicores, choice.cpuMillicores));
      const planner = staticPlanner(cpuMillicores, choice.batchSize);
      return { name: 'static', dispatch: edfPolicy, planner, isAllocationFixed: true };
    }
    case 'paper':
      return { name: 'paper', dispatch: edfPolicy, planner: paperPlanner(choice.prefer), isAllocationFixed: false };
    case 'sponge':
      return {
        name: 'sponge',
        dispatch: edfPolicy,
        planner: pricedPlanner({ prefer: choice.prefer }),
        isAllocationFixed: false,
      };
  }
}

/** IPv6 addresses need brackets in a URL. */
function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
