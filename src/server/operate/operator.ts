import type { Logger } from 'pino';
import type { ApiClient } from '../../kubernetes/api-client.js';
import { watchResource, type Watch, type WatchTimes } from '../../kubernetes/watch.js';
import {
  readRival,
  readWorkload,
  RIVAL_KINDS,
  type Rival,
  type Workload,
  type WorkloadKind,
} from './cluster-objects.js';
import { DemandReader } from './demand-reader.js';
import { EventRecorder } from './event-recorder.js';
import { LeaderLease } from './leader-lease.js';
import { RIGHTS, type OperateSettings } from './settings.js';
import {
  nameOf,
  WorkloadOperator,
  type Hindrance,
  type WorkloadPorts,
  type WorkloadStatus,
} from './workload-operator.js';

/*
 * `sponge operate`: all workloads that it is for, once a second each, while it holds the lease; while another holds it, it watches, asks and decides
 * all the same and writes nothing, so that it knows everything when it takes over.
 */

const EVERY_MS = 1000;
const MOST_WORKLOADS = 64;
const LOG_AGAIN_MS = 10_000;

export interface OperatorOptions {
  readonly client: ApiClient;
  readonly settings: OperateSettings;
  readonly logger: Logger;
  readonly nowMs: () => number;
  readonly watchTimes?: WatchTimes | undefined;
}

export interface OperatorStatus {
  readonly identity: string;
  readonly leader: string | null;
  readonly isLeader: boolean;
  readonly isDryRun: boolean;
  readonly workloads: readonly WorkloadStatus[];
}

export class Operator {
  readonly #options: OperatorOptions;
  readonly #lease: LeaderLease | null;
  readonly #events: EventRecorder;
  readonly #reader: DemandReader;
  readonly #watches: Watch[] = [];
  readonly #operators = new Map<string, WorkloadOperator>();
  /** By kind; absent where it is not known, and then nothing is written. */
  readonly #rivals = new Map<Rival['kind'], readonly Rival[]>();
  readonly #rivalTroubles = new Map<Rival['kind'], string>();
  #timer: NodeJS.Timeout | undefined;
  #turning: Promise<void> = Promise.resolve();
  #isStopped = false;
  #hasWorkloads = false;
  readonly #told = new Set<string>();
  readonly #loggedAtMs = new Map<string, number>();

  constructor(options: OperatorOptions) {
    this.#options = options;
    const { client, settings, nowMs, logger } = options;
    const { identity, namespace, lease } = settings;
    this.#reader = new DemandReader(settings.token);
    this.#lease = settings.isDryRun
      ? null
      : new LeaderLease({
          ...{ client, namespace, identity, nowMs },
          ...lease,
          onLine: (line) => logger.info(line),
          rights: RIGHTS,
        });
    const onTrouble = (line: string): void => this.#tell(line);
    this.#events = new EventRecorder({
      client,
      component: 'sponge-operate',
      instance: identity,
      nowMs,
      onTrouble,
      rights: RIGHTS,
    });
  }

  get status(): OperatorStatus {
    const { settings } = this.#options;
    return {
      identity: settings.identity,
      leader: this.#lease?.holder ?? null,
      isLeader: this.#lease?.isOurs === true,
      isDryRun: settings.isDryRun,
      workloads: [...this.#operators.values()].map(({ status }) => status),
    };
  }

  /** It has seen what it is for. */
  get isReady(): boolean {
    return this.#hasWorkloads;
  }

  start(): void {
    this.#lease?.start();
    this.#watchWorkloads();
    this.#watchRivals();
    const turn = (): void => {
      const startedAtMs = this.#options.nowMs();
      this.#turning = this.#turn()
        .catch((error: unknown) => this.#tell(`a turn failed: ${(error as Error).message}`))
        .then(() => {
          const tookMs = this.#options.nowMs() - startedAtMs;
          if (!this.#isStopped) this.#timer = setTimeout(turn, Math.max(50, EVERY_MS - tookMs));
        });
    };
    turn();
  }

  /** Writes that are under way end first; then the lease is given up. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    for (const watch of this.#watches) watch.stop();
    for (const operator of this.#operators.values()) operator.stop();
    await this.#turning;
    await this.#lease?.stop();
    this.#reader.close();
  }

  async #turn(): Promise<void> {
    await Promise.all(
      [...this.#operators.values()].map((operator) => operator.turn(this.#hindranceOf(operator.workload))),
    );
  }

  // ---- what it is for --------------------------------------------------------------------------------------------------

  #watchWorkloads(): void {
    const { settings } = this.#options;
    const { workloads, selector } = settings;
    if (selector !== null) {
      for (const kind of ['Deployment', 'StatefulSet'] as const) this.#watchKind(kind, { labelSelector: selector });
    }
    for (const { kind, name } of workloads) this.#watchKind(kind, { fieldSelector: `metadata.name=${name}` });
  }

  #watchKind(kind: WorkloadKind, by: { readonly labelSelector?: string; readonly fieldSelector?: string }): void {
    const { client, settings, watchTimes } = this.#options;
    const resource = kind === 'Deployment' ? 'deployments' : 'statefulsets';
    let mine = new Set<string>();
    this.#watches.push(
      watchResource<Workload>(client, {
        resource: {
          name: resource,
          path: `/apis/apps/v1/namespaces/${settings.namespace}/${resource}`,
          read: readWorkload(kind, settings.container),
          ...by,
        },
        maxObjects: MOST_WORKLOADS,
        onTrouble: (message) => this.#tell(message),
        onState: (found) => {
          this.#hasWorkloads = true;
          const now = new Set(found.map(nameOf));
          for (const name of mine) if (!now.has(name)) this.#drop(name);
          mine = now;
          for (const workload of found) this.#take(workload);
        },
        ...(watchTimes === undefined ? {} : { times: watchTimes }),
      }),
    );
  }

  #drop(name: string): void {
    this.#operators.get(name)?.stop();
    this.#operators.delete(name);
    this.#options.logger.info(`${name} is gone`);
  }

  #take(workload: Workload): void {
    const name = nameOf(workload);
    const known = this.#operators.get(name);
    if (known !== undefined && known.workload.podSelector === workload.podSelector) {
      known.workload = workload;
      return;
    }
    known?.stop();
    try {
      this.#operators.set(name, new WorkloadOperator(workload, this.#ports()));
      this.#options.logger.info(`${name} is operated: its pods are ${workload.podSelector}`);
    } catch (error) {
      this.#tell((error as Error).message);
    }
  }

  #ports(): WorkloadPorts {
    const { client, settings, nowMs, watchTimes, logger } = this.#options;
    return {
      ...{ client, settings, nowMs, watchTimes },
      reader: this.#reader,
      mayWrite: () => !this.#isStopped && this.#lease?.isOurs === true,
      onTrouble: (line) => this.#tell(line),
      onNews: (workload, type, reason, message) => {
        const line = `${nameOf(workload)} ${reason}: ${message}`;
        const isLogged = this.#isTimeToLog(`${nameOf(workload)} ${reason}`);
        if (!isLogged) this.#options.logger.debug(line);
        else if (type === 'Warning') logger.warn(line);
        else logger.info(line);
        if (this.#lease?.isOurs !== true) return;
        const { kind, metadata } = workload;
        const { namespace } = settings;
        const target = { apiVersion: 'apps/v1', kind, name: metadata.name, namespace, uid: metadata.uid ?? null };
        this.#events.record(target, type, reason, message);
      },
    };
  }

  // ---- who else decides ------------------------------------------------------------------------------------------------

  #watchRivals(): void {
    const { client, settings, watchTimes } = this.#options;
    for (const { kind, group, resource } of RIVAL_KINDS) {
      this.#watches.push(
        watchResource<Rival>(client, {
          resource: {
            name: resource,
            path: `/apis/${group}/namespaces/${settings.namespace}/${resource}`,
            read: readRival(kind),
          },
          onState: (rivals) => {
            this.#rivals.set(kind, rivals);
            this.#rivalTroubles.delete(kind);
          },
          onTrouble: (message) => {
            // Where nobody has installed its kind, there is none.
            if (message.includes('(404 ')) this.#rivals.set(kind, []);
            else {
              this.#rivalTroubles.set(kind, message);
              this.#tell(message);
            }
          },
          ...(watchTimes === undefined ? {} : { times: watchTimes }),
        }),
      );
    }
  }

  #hindranceOf({ kind, metadata }: Workload): Hindrance {
    for (const { kind: rivalKind, resource } of RIVAL_KINDS) {
      const rivals = this.#rivals.get(rivalKind);
      if (rivals === undefined) {
        return `it is not known whether one of ${resource} decides about it: ${this.#rivalTroubles.get(rivalKind) ?? 'they were not listed yet'}`;
      }
      const rival = rivals.find(({ target, isOff }) => !isOff && target.kind === kind && target.name === metadata.name);
      if (rival !== undefined) {
        return `${rivalKind} ${rival.metadata.name} decides about it: it is left alone until that is gone${rivalKind === 'VerticalPodAutoscaler' ? ', or its update mode is Off' : ''}`;
      }
    }
    return null;
  }

  /** What is decided again each second, as it cannot be written or is not to be, is a line in ten seconds. */
  #isTimeToLog(what: string): boolean {
    const nowMs = this.#options.nowMs();
    if (nowMs - (this.#loggedAtMs.get(what) ?? -Infinity) < LOG_AGAIN_MS) return false;
    if (this.#loggedAtMs.size >= 1000) this.#loggedAtMs.clear();
    this.#loggedAtMs.set(what, nowMs);
    return true;
  }

  /** Each line once in a while. */
  #tell(line: string): void {
    if (this.#told.has(line)) return;
    if (this.#told.size >= 200) this.#told.clear();
    this.#told.add(line);
    this.#options.logger.warn(line);
  }
}
