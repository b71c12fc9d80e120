import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { PodDemandReport } from '../../../src/scheduler/domain/demand-report.js';
import { NAMESPACE, PODS, type ApiServerStub } from './stub/api-server.js';
import type { StubContainer, StubPod } from './stub/resize-rules.js';

/*
 * A Deployment on the API server stub, and what a cluster does about it: pods that come and go with its replicas, each at an address of its own on the loopback
 * network. What runs in a pod is the test's: here something that only says what is asked of it.
 */

export const DEPLOYMENTS = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments`;
export const NAME = 'ocr';
const LABELS = { app: NAME };

export interface RunningPod {
  /** Takes requests from now on. */
  readonly ready: Promise<void>;
  /** After it was taken out of the endpoints. */
  stop(): Promise<void>;
}

export interface ClusterOptions {
  readonly container: StubContainer;
  readonly replicas: number;
  readonly run: (name: string, address: string) => RunningPod;
}

let clusters = 0;

export class OperatedCluster {
  readonly stub: ApiServerStub;
  readonly pods = new Map<string, { readonly address: string; readonly running: RunningPod }>();
  readonly #options: ClusterOptions;
  readonly #network = `127.${10 + (process.pid % 200)}.${10 + (clusters++ % 200)}`;
  #made = 0;
  #isStopped = false;
  readonly #ending: Promise<void>[] = [];

  constructor(stub: ApiServerStub, options: ClusterOptions) {
    this.stub = stub;
    this.#options = options;
    const template = { spec: { containers: [options.container] } };
    stub.objects.put(DEPLOYMENTS, {
      metadata: { name: NAME, namespace: NAMESPACE, labels: { part: 'models' }, uid: 'uid-of-ocr' },
      spec: { replicas: options.replicas, selector: { matchLabels: LABELS }, template },
    });
    stub.objects.watch(DEPLOYMENTS, stub.objects.version, () => this.#reconcile());
    this.#reconcile();
  }

  get replicas(): number {
    return (this.stub.objects.get(DEPLOYMENTS, NAME)!['spec'] as { replicas: number }).replicas;
  }

  /** Of those that take requests. */
  get addresses(): readonly string[] {
    return [...this.pods].filter(([name]) => this.#isReady(name)).map(([, { address }]) => address);
  }

  limitOf(name: string): number {
    const text = this.stub.pod(name).spec.containers[0]!.resources!.limits!['cpu']!;
    return text.endsWith('m') ? Number(text.slice(0, -1)) : 1000 * Number(text);
  }

  get limits(): readonly number[] {
    return [...this.pods.keys()].map((name) => this.limitOf(name));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const { running } of this.pods.values()) this.#ending.push(running.stop());
    await Promise.all(this.#ending);
  }

  #isReady(name: string): boolean {
    const { status, metadata } = this.stub.pod(name);
    const isReady = status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True');
    return isReady === true && metadata['deletionTimestamp'] === undefined;
  }

  #reconcile(): void {
    if (this.#isStopped) return;
    while (this.pods.size < this.replicas) this.#add();
    // The youngest first, as a ReplicaSet does.
    while (this.pods.size > this.replicas) this.#remove([...this.pods.keys()].at(-1)!);
  }

  #add(): void {
    const number = this.#made++;
    const name = `${NAME}-${number}`;
    const address = `${this.#network}.${2 + number}`;
    this.stub.addPod(name, [structuredClone(this.#options.container)], { labels: LABELS });
    this.#setStatus(name, { podIP: address, conditions: [{ type: 'Ready', status: 'False' }] });
    const running = this.#options.run(name, address);
    this.pods.set(name, { address, running });
    void running.ready.then(() => {
      if (this.pods.has(name)) this.#setStatus(name, { conditions: [{ type: 'Ready', status: 'True' }] });
    });
  }

  #remove(name: string): void {
    const { running } = this.pods.get(name)!;
    this.pods.delete(name);
    const pod = this.stub.pod(name);
    pod.metadata['deletionTimestamp'] = new Date().toISOString();
    this.stub.objects.put(PODS, pod);
    this.#ending.push(running.stop().then(() => this.stub.objects.remove(PODS, name)));
  }

  #setStatus(name: string, status: Partial<StubPod['status']> & { readonly podIP?: string }): void {
    const pod = this.stub.pod(name);
    this.stub.objects.put(PODS, { ...pod, status: { ...pod.status, ...status } });
  }
}

/** What all pods together are asked for, as it is told to whoever asks: at 100 millicores 10 requests/s. */
export class ToldDemand {
  /** Requests per second, over all that answer. */
  ratePerSec = 0;
  port = 0;
  resizesItself = false;
  coldStartMs = 0;
  readonly #pods = new Set<string>();
  readonly #arrived = new Map<string, number>();
  #atMs = performance.now();

  run = (name: string, address: string): RunningPod => {
    const server = createServer((_, response) => response.end(JSON.stringify(this.#report(name))));
    const ready = this.#listen(server, name, address);
    return {
      ready,
      stop: async () => {
        await ready;
        this.#advance();
        this.#pods.delete(name);
        server.close();
        server.closeAllConnections();
      },
    };
  };

  async #listen(server: Server, name: string, address: string): Promise<void> {
    server.listen(this.port, address);
    await once(server, 'listening');
    if (this.port === 0) this.port = (server.address() as AddressInfo).port;
    await new Promise((resolve) => setTimeout(resolve, this.coldStartMs));
    this.#advance();
    this.#pods.add(name);
    this.#arrived.set(name, 0);
  }

  #advance(): void {
    const nowMs = performance.now();
    const each = (this.ratePerSec * (nowMs - this.#atMs)) / 1000 / Math.max(1, this.#pods.size);
    this.#atMs = nowMs;
    for (const name of this.#pods) this.#arrived.set(name, this.#arrived.get(name)! + each);
  }

  #report(name: string): PodDemandReport {
    this.#advance();
    const arrived = Math.round(this.#arrived.get(name) ?? 0);
    const millicores = [100, 1000, 10_000];
    const model = {
      ...{ name: 'm', version: '1', arrived, ended: arrived, missed: 0, heldRequests: 0, instances: 1 },
      budgetsMs: [1000],
      // 10 ms on one core, whatever the batch: so 100/s of single ones.
      latency: { batchSizes: [1], millicores, plannedMs: [millicores.map((each) => 10_000 / each)] },
    };
    return {
      ...{ schemaVersion: 1, process: name, isDraining: false, resizesItself: this.resizesItself },
      models: [model],
    };
  }
}
