import type { ApiClient } from '../../kubernetes/api-client.js';
import { explainRefusal } from '../../kubernetes/refusals.js';
import { watchResource, type Watch, type WatchTimes } from '../../kubernetes/watch.js';
import { WorkloadSizer, type Decision, type StepKind } from '../../operate/workload-sizer.js';
import type { PodDemandReport } from '../../scheduler/domain/demand-report.js';
import { ROUTER_MILLICORES } from '../scalers/cpu-ceiling.js';
import { leastLimit, resizePatch } from '../scalers/kubernetes/own-pod.js';
import { readClusterPod, type ClusterPod, type Workload } from './cluster-objects.js';
import type { DemandReader } from './demand-reader.js';
import { RIGHTS, STEP_MILLICORES, type OperateSettings } from './settings.js';
import { WorkloadView } from './workload-view.js';

/*
 * One workload: its pods are watched and asked, it is decided, and what was decided is written: `scale` and `pods/resize`, nothing else. Each
 * write carries the resource version that the decision was made by, so that of two writers one is refused, whatever either of them believes.
 */

export interface WorkloadPorts {
  readonly client: ApiClient;
  readonly reader: DemandReader;
  readonly settings: OperateSettings;
  readonly nowMs: () => number;
  /** We may write, now. */
  readonly mayWrite: () => boolean;
  readonly onNews: (workload: Workload, type: 'Normal' | 'Warning', reason: string, message: string) => void;
  readonly onTrouble: (line: string) => void;
  /** Shorter only in tests. */
  readonly watchTimes?: WatchTimes | undefined;
}

/** Who decides instead of us, or why it cannot be told; null: nobody. */
export type Hindrance = string | null;

export interface WorkloadStatus {
  readonly workload: string;
  readonly replicas: number;
  readonly pods: number;
  readonly warm: number;
  readonly leftAlone: Hindrance;
  /** What was decided last, in sentences. */
  readonly decision: readonly { readonly kind: StepKind | 'left-alone'; readonly reason: string }[];
  readonly neededMillicores: number | null;
  readonly best: Decision['best'];
  readonly arrivalRatePerSec: number;
  readonly coldStartMs: number;
  readonly boost: number;
  /** Writes that the API server took, and that it refused. */
  readonly writes: { readonly scale: number; readonly resize: number; readonly refused: number };
  readonly trouble: string | null;
}

const MOST_PODS = 512;
/** Seconds: pods that start are silent for a while. */
const BLIND_TURNS = 60;
const REASONS: Readonly<Record<Exclude<StepKind, 'hold'>, readonly ['Normal' | 'Warning', string]>> = {
  grow: ['Normal', 'Grown'],
  add: ['Normal', 'PodsAdded'],
  shrink: ['Normal', 'Shrunk'],
  prepare: ['Normal', 'PodPrepared'],
  remove: ['Normal', 'PodRemoved'],
  short: ['Warning', 'NotEnough'],
  blind: ['Warning', 'NothingHeard'],
  bounds: ['Normal', 'Bounded'],
};

export class WorkloadOperator {
  workload: Workload;
  readonly #ports: WorkloadPorts;
  readonly #view = new WorkloadView();
  readonly #watch: Watch;
  readonly #sizer: WorkloadSizer;
  readonly #maxMillicores: number;
  readonly #writes = { scale: 0, resize: 0, refused: 0 };
  readonly #blocked = new Map<string, string>();
  #pods: readonly ClusterPod[] | null = null;
  #lastAtMs: number | null = null;
  #decision: Decision | null = null;
  #hindrance: Hindrance = null;
  #trouble: string | null = null;
  #blindTurns = 0;

  constructor(workload: Workload, ports: WorkloadPorts) {
    this.workload = workload;
    this.#ports = ports;
    const { settings, client } = ports;
    const template = workload.templateMillicores;
    const most = settings.maxMillicores ?? (template === null ? null : template - ROUTER_MILLICORES);
    if (most === null)
      throw new Error(`${nameOf(workload)}: its template has no CPU limit, and there is no --max-cores`);
    this.#maxMillicores = Math.max(settings.minMillicores, most);
    const { minMillicores } = settings;
    const limits = { minMillicores, maxMillicores: this.#maxMillicores, stepMillicores: STEP_MILLICORES };
    this.#sizer = new WorkloadSizer({ ...settings.rules, limits });
    this.#watch = watchResource<ClusterPod>(client, {
      resource: {
        name: 'pods',
        path: `/api/v1/namespaces/${settings.namespace}/pods`,
        labelSelector: workload.podSelector,
        read: readClusterPod(settings.container),
      },
      maxObjects: MOST_PODS,
      onState: (pods) => (this.#pods = pods),
      onTrouble: (message) => {
        this.#trouble = message;
        ports.onTrouble(`${nameOf(workload)}: ${message}`);
      },
      onRecovered: () => (this.#trouble = null),
      ...(ports.watchTimes === undefined ? {} : { times: ports.watchTimes }),
    });
  }

  get status(): WorkloadStatus {
    const pods = this.#livePods();
    const decision = this.#decision;
    return {
      workload: nameOf(this.workload),
      replicas: this.workload.replicas,
      pods: pods.length,
      warm: pods.filter(({ isReady, isLeaving }) => isReady && !isLeaving).length,
      leftAlone: this.#hindrance,
      decision: this.#hindrance === null ? (decision?.steps ?? []) : [{ kind: 'left-alone', reason: this.#hindrance }],
      neededMillicores: decision?.neededMillicores ?? null,
      best: decision?.best ?? null,
      arrivalRatePerSec: decision?.arrivalRatePerSec ?? 0,
      coldStartMs: decision?.coldStartMs ?? this.#ports.settings.rules.coldStartMs,
      boost: decision?.boost ?? 1,
      writes: { ...this.#writes },
      trouble: this.#trouble,
    };
  }

  stop(): void {
    this.#watch.stop();
  }

  /** Once a second. @param hindrance who decides instead of us */
  async turn(hindrance: Hindrance): Promise<void> {
    const { settings, reader, nowMs, onNews } = this.#ports;
    const pods = this.#livePods();
    if (this.#pods === null) return;
    const answers = new Map<string, PodDemandReport | null>();
    await Promise.all(
      pods.map(async ({ metadata, address, isReady }) => {
        const isAsked = address !== null && isReady;
        answers.set(metadata.name, isAsked ? await reader.read(address, settings.podPort) : null);
      }),
    );
    const atMs = nowMs();
    const spanMs = Math.max(1, atMs - (this.#lastAtMs ?? atMs - 1000));
    this.#lastAtMs = atMs;
    const seen = this.#view.see(pods, answers, this.#maxMillicores);
    const { workload } = this;
    const decision = this.#sizer.decide(atMs, { spanMs, replicasWished: workload.replicas, ...seen });
    this.#decision = decision;
    this.#noteBlocked(pods);
    if (hindrance !== this.#hindrance) {
      if (hindrance !== null) onNews(workload, 'Warning', 'LeftAlone', hindrance);
      else onNews(workload, 'Normal', 'TakenUp', 'nobody else decides about it any more');
    }
    this.#hindrance = hindrance;
    // A workload that somebody scaled to none is to have none.
    if (hindrance !== null || workload.replicas === 0) return;
    await this.#carryOut(workload, pods, decision);
  }

  #livePods(): readonly ClusterPod[] {
    return (this.#pods ?? []).filter(({ isOver }) => !isOver);
  }

  async #carryOut(workload: Workload, pods: readonly ClusterPod[], decision: Decision): Promise<void> {
    const { mayWrite, settings, onNews } = this.#ports;
    if (!mayWrite() && !settings.isDryRun) return;
    this.#blindTurns = decision.steps.some(({ kind }) => kind === 'blind') ? this.#blindTurns + 1 : 0;
    for (const { kind, reason } of decision.steps) {
      if (kind === 'hold' || (kind === 'blind' && this.#blindTurns < BLIND_TURNS)) continue;
      const [type, word] = REASONS[kind];
      onNews(workload, type, word, settings.isDryRun ? `would be, without --dry-run: ${reason}` : reason);
    }
    if (settings.isDryRun) return;
    const byName = new Map(pods.map((pod) => [pod.metadata.name, pod]));
    await Promise.all([
      ...decision.resizes.map(({ pod, cpuMillicores }) => this.#resize(byName.get(pod)!, cpuMillicores)),
      decision.replicas === workload.replicas ? undefined : this.#scale(workload, decision.replicas),
    ]);
  }

  async #resize(pod: ClusterPod, cpuMillicores: number): Promise<void> {
    const { client, settings, mayWrite } = this.#ports;
    const { cpu, metadata } = pod;
    const isFollowing = settings.requests === 'follow';
    const limit = Math.max(leastLimit(cpu, isFollowing), cpuMillicores + ROUTER_MILLICORES);
    if (limit === cpu.limitMillicores || cpu.qosClass === 'BestEffort' || !mayWrite()) return;
    const body = { ...resizePatch(cpu, limit, isFollowing), metadata: { resourceVersion: metadata.resourceVersion } };
    const path = `/api/v1/namespaces/${settings.namespace}/pods/${metadata.name}/resize?fieldManager=sponge-operate`;
    const answer = await client.call({ method: 'PATCH', path, body, tries: 1, timeoutMs: 5000 });
    if (answer.kind === 'ok') {
      this.#writes.resize += 1;
      // Known before the watch tells it, so that the next second decides by it.
      const resized = readClusterPod(settings.container)(answer.body);
      if (resized !== null) this.#pods = (this.#pods ?? []).map((each) => (each === pod ? resized : each));
      return;
    }
    // Somebody wrote it since it was read, the kubelet as a rule: the next second decides by what there is then.
    if (answer.kind === 'refused' && answer.status === 409) return;
    this.#refuse(explainRefusal(answer, 'patch pods/resize', `resize pod ${metadata.name}`, RIGHTS));
  }

  async #scale(workload: Workload, replicas: number): Promise<void> {
    const { client, settings, mayWrite } = this.#ports;
    const resource = workload.kind === 'Deployment' ? 'deployments' : 'statefulsets';
    const path = `/apis/apps/v1/namespaces/${settings.namespace}/${resource}/${workload.metadata.name}/scale`;
    const what = `scale ${nameOf(workload)} to ${replicas}`;
    const read = await client.call({ method: 'GET', path, tries: 1, timeoutMs: 5000 });
    if (read.kind !== 'ok') {
      this.#refuse(explainRefusal(read, `get ${resource}/scale`, what, RIGHTS));
      return;
    }
    const { metadata, spec } = read.body as { metadata?: { resourceVersion?: string }; spec?: { replicas?: number } };
    // Somebody has scaled it since it was decided, or it may be another's turn.
    if ((spec?.replicas ?? 0) !== workload.replicas || !mayWrite()) return;
    const body = { metadata: { resourceVersion: metadata?.resourceVersion }, spec: { replicas } };
    const contentType = 'application/merge-patch+json';
    const answer = await client.call({ method: 'PATCH', path, body, contentType, tries: 1, timeoutMs: 5000 });
    if (answer.kind === 'ok') {
      this.#writes.scale += 1;
      this.workload = { ...workload, replicas };
    } else if (answer.kind !== 'refused' || answer.status !== 409) {
      this.#refuse(explainRefusal(answer, `patch ${resource}/scale`, what, RIGHTS));
    }
  }

  #refuse(line: string): void {
    this.#writes.refused += 1;
    this.#ports.onTrouble(line);
    this.#ports.onNews(this.workload, 'Warning', 'Refused', line);
  }

  /** What a node says of a resize is told once. */
  #noteBlocked(pods: readonly ClusterPod[]): void {
    const there = new Set(pods.map(({ metadata }) => metadata.name));
    for (const name of this.#blocked.keys()) if (!there.has(name)) this.#blocked.delete(name);
    for (const { metadata, cpu } of pods) {
      const reason = cpu.pending?.reason ?? '';
      if (reason !== '' && this.#blocked.get(metadata.name) !== reason && this.#ports.mayWrite()) {
        this.#ports.onNews(
          this.workload,
          'Warning',
          `Resize${reason}`,
          `pod ${metadata.name}: ${cpu.pending!.message}`,
        );
      }
      if (reason === '') this.#blocked.delete(metadata.name);
      else this.#blocked.set(metadata.name, reason);
    }
  }
}

export function nameOf({ kind, metadata }: Workload): string {
  return `${kind.toLowerCase()}/${metadata.name}`;
}
