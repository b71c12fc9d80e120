import { setMaxListeners } from 'node:events';
import type { CpuCounters, Scaler } from '../../scheduler/controlplane/scaler.js';
import type { Event } from '../../scheduler/domain/event.js';
import type { Attached } from '../telemetry/attached.js';
import type { LiveFeed } from '../telemetry/live-feed.js';
import type { EventLog } from '../telemetry/event-log.js';
import type { Telemetry } from '../telemetry/metrics.js';
import type { Tracing } from '../tracing/tracing.js';
import { oneLine } from '../workers/load-failure.js';
import { ignoredNotice } from './as-configured.js';
import { groupNameOf } from './group-name.js';
import type { Inference } from '../served/inference-service.js';
import { assertReadable, type ModelSource } from './model-repository.js';
import { shareOf, type Nodes } from '../nodes.js';
import { Parts } from '../served/parts.js';
import { replicationOf } from '../served/replicas.js';
import type { RouterCpu } from '../router-cpu.js';
import { describeRun } from '../served/run-model.js';
import { ServedModel } from '../served/served-model.js';
import type { ServerOptions } from '../server-options.js';
import type { ServedModelOptions } from '../served/served-model-options.js';

/*
 * The models of a server, which come and go while it serves. With a model comes all that is its own (its process, CPU groups and cores,
 * its place in the metrics, the log and the feed), and goes with it.
 *
 * One takes another's place without a call that fails: it is loaded and measured beside it, on cores that nobody needs, and only
 * then gets its calls; the other answers those that it has, and ends. One that cannot be loaded changes nothing.
 */

/** What all models of a server share, or are given alike. */
type Shared = Pick<ServedModelOptions, 'clock' | 'nowMs' | 'unreadSinceMs' | 'turns' | 'spares'>;

export interface ModelSetOptions extends Shared {
  readonly server: ServerOptions;
  readonly nodes: Nodes;
  /** All on the same cores, rather than a fixed share for each. */
  readonly areTogether: boolean;
  readonly service: Inference;
  readonly telemetry: Telemetry;
  readonly eventLog: EventLog;
  readonly feed: LiveFeed;
  /** Null: nobody asks for spans. */
  readonly tracing: Tracing | null;
  readonly routerCpu: RouterCpu;
}

/** What is found out for each model before it is loaded. */
export interface ModelShare {
  /** Served beside it, itself included. */
  readonly modelCount: number;
  readonly queueBytes: number;
  readonly stagedBytes: number;
}

interface Member {
  readonly served: ServedModel;
  /** Ends it, and all that is its own. Once. */
  readonly close: () => Promise<void>;
}

/** Before anything is measured, ready within 15 s: the budget of the quick profile, less loading. */
const QUICK_BUDGET_MS = 5000;
const FULL_BUDGET_MS = 120_000;

export class ModelSet {
  readonly #options: ModelSetOptions;
  readonly #members = new Set<Member>();
  /** Names of CPU groups that are taken, by what is loaded or served. */
  readonly #groupNames = new Set<string>();
  readonly #tellStandstill = new Set<(event: Event) => void>();
  readonly #retiring = new Set<Promise<void>>();
  #isClosing = false;

  constructor(options: ModelSetOptions) {
    this.#options = options;
  }

  /** That take calls. */
  get models(): readonly ServedModel[] {
    return this.#options.service.listings.served;
  }

  /** Of the router: every model's watchers are told. */
  tellStandstill(event: Event): void {
    for (const tell of this.#tellStandstill) tell(event);
  }

  /**
   * Loads a model, and serves it from then on: in the place of the one whose place it is to take, or beside all there are.
   * @param old goes on until then, and answers what it has after that; null where there is none
   * @param interruption gives up loading
   * @throws Error, in one line, when it cannot be served; nothing of it is left then, and the old one goes on
   */
  async add(
    source: ModelSource,
    share: ModelShare,
    old: ServedModel | null,
    interruption: AbortSignal,
  ): Promise<ServedModel> {
    const { service, server } = this.#options;
    service.listings.expect(source);
    interruption.throwIfAborted();
    await assertReadable(source);
    server.onProgress(`loading ${source.name}`);
    const floorFraction = server.floorFractions[source.name] ?? source.settings.floorFraction ?? undefined;
    // The place that it is to take has its floor already.
    const member = await this.#load(source, share, old === null ? floorFraction : 0, interruption);
    this.#members.add(member);
    service.listings.add(member.served);
    if (old !== null) {
      // Calls of the two have the same claim to cores: those that the old one still has are soon answered.
      old.system.setFloor(0);
      member.served.system.setFloor(floorFraction);
      void this.remove(old);
    }
    return member.served;
  }

  /** Takes no more calls for it; resolves when those that it has are answered, or the time for that is over, and nothing of it is left. */
  remove(served: ServedModel): Promise<void> {
    const member = [...this.#members].find((each) => each.served === served);
    if (member === undefined) return Promise.resolve();
    this.#members.delete(member);
    this.#options.service.listings.end(served);
    const retired = this.#retire(member).finally(() => this.#retiring.delete(retired));
    this.#retiring.add(retired);
    return retired;
  }

  /** What is done in the background stops: what there is of cores and time is for requests. */
  endBackground(): void {
    for (const { served } of this.#members) served.endBackground();
  }

  /** Resolves when every model has answered all it held, or the time is up. */
  async drain(): Promise<void> {
    await Promise.all([...this.#members].map(({ served }) => this.#drained(served)));
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    const members = [...this.#members];
    this.#members.clear();
    await Promise.all([...members.map((member) => member.close()), ...this.#retiring]);
  }

  async #retire({ served, close }: Member): Promise<void> {
    const { service, server } = this.#options;
    served.endBackground();
    await this.#drained(served);
    const { name: model, version } = served.source;
    await close().catch((error: unknown) => server.logger.warn({ model, version }, oneLine(error)));
    service.listings.forgetEnded(served);
  }

  async #drained({ system }: ServedModel): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.server.drainMs);
    });
    await Promise.race([new Promise<void>((resolve) => system.drain(resolve)), timeout]);
    clearTimeout(timer);
  }

  async #load(
    source: ModelSource,
    share: ModelShare,
    floorFraction: number | undefined,
    interruption: AbortSignal,
  ): Promise<Member> {
    const { server, nodes, areTogether, service, telemetry, eventLog, feed, tracing, routerCpu, ...shared } =
      this.#options;
    const { logger, policy } = server;
    const { name: model, version } = source;
    const groupName = this.#takeGroupName(model);
    // In the order in which it ends: nobody is told of it any more before its groups are gone, which would be made again to be read.
    const own = new Parts();
    const observers = new Set<Attached['observe']>();
    const forget = ({ observe, detach }: Attached): void => {
      observers.delete(observe);
      this.#tellStandstill.delete(observe);
      detach();
    };
    let live: ServedModel | null = null;
    let readCounters = (): CpuCounters | null => null;
    const notice = ignoredNotice(source);
    if (notice !== null) logger.info({ model, version }, notice);
    source.folder?.hold();
    // Every part of the model listens to it.
    setMaxListeners(0, interruption);
    try {
      const served = await ServedModel.start(source, {
        ...server,
        ...shared,
        interruption,
        queueLimits: { ...server.queueLimits, maxBytes: server.queueLimits.maxBytes ?? share.queueBytes },
        // Each counts twice in the worker, whose own memory is at most half for that.
        maxStagedBytes: Math.min(share.stagedBytes, (server.workerMemoryBytes ?? Infinity) / 4),
        groupName,
        modelCount: share.modelCount,
        maxMillicores: areTogether ? server.maxMillicores : shareOf(server.maxMillicores, share.modelCount),
        nodes,
        floorFraction,
        quickBudgetMs: QUICK_BUDGET_MS,
        fullBudgetMs: FULL_BUDGET_MS,
        // Loading and profiling are on the ledger too.
        onScaling: ({ scaler }, instances, cpuMillicores) => {
          readCounters = () => scaler.readCounters();
          const unit = replicationOf(policy, scaler.limits);
          const meter = telemetry.attachModel({
            model,
            version,
            limitMillicores: scaler.limits.maxMillicores,
            millicores: initialMillicores(scaler, instances, cpuMillicores),
            isReady: (instance) => live?.isInstanceReady(instance) ?? false,
            isSpareReady: () => live?.spare.isReady ?? false,
            startingMillicores: unit?.unitMillicores ?? 0,
            readCounters: () => readCounters(),
            queueDepth: () => live?.system.status().queueDepth ?? 0,
          });
          const log = eventLog.attachModel({ model, version, clientIdOf: (sequence) => service.clientIdOf(sequence) });
          const traced = tracing === null ? [] : [tracing.attachModel({ model, version })];
          for (const each of [meter, log, ...traced]) observers.add(own.add(each, forget).observe);
        },
        onEvent: (event) => {
          for (const observe of observers) observe(event);
          if (event.kind !== 'batch-started') return;
          service.reports.began();
          service.partStarts.began(event.sequences);
        },
        onProgress: (message) => server.onProgress(`${model}: ${message}`),
        onNotice: (line) => logger.info({ model, version }, line),
        onLog: (line) => logger.warn({ model, version }, line),
        onAudit: (result) => telemetry.countAudit(model, version, result),
        onEnding: (pid) => routerCpu.settle(pid),
      });
      live = served;
      readCounters = () => served.readCounters();
      const feeding = feed.attachModel(describeRun(served, policy));
      observers.add(own.add(feeding, forget).observe);
      this.#tellStandstill.add(feeding.observe);
      own.add(
        routerCpu.add(() => [...served.pids, served.spare.pid]),
        (end) => end(),
      );
      const close = async (): Promise<void> => {
        served.endBackground();
        served.system.stop();
        // What is told of a server that ends stays as it is.
        if (!this.#isClosing) await own.close();
        await served.close();
        this.#groupNames.delete(groupName);
        await source.folder?.release();
      };
      return { served, close };
    } catch (error) {
      // Its groups are gone: reading would make them again.
      readCounters = () => null;
      await own.close();
      this.#groupNames.delete(groupName);
      await source.folder?.release();
      throw error;
    }
  }

  /** The first of a name has the plain one. */
  #takeGroupName(model: string): string {
    for (let generation = 1; ; generation++) {
      // No model's name has a slash.
      const groupName = groupNameOf(
        this.#options.server.groupName,
        generation === 1 ? model : `${model}/${generation}`,
      );
      if (this.#groupNames.has(groupName)) continue;
      this.#groupNames.add(groupName);
      return groupName;
    }
  }
}

/** While it is loaded: the first instance has what that is done on, the others are still to come. */
function initialMillicores({ idleMillicores }: Scaler, instances: number, cpuMillicores: number): readonly number[] {
  return Array.from({ length: instances }, (_, index) => (index === 0 ? cpuMillicores : idleMillicores));
}
