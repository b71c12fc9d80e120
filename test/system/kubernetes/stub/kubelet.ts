import { setTimeout as delay } from 'node:timers/promises';
import { millicoresOf } from '../../../../src/kubernetes/quantity.js';
import type { Objects } from './objects.js';
import type { StubPod } from './resize-rules.js';

/*
 * What a kubelet does with a resize: it is allocated, put off (the node has no room now) or impossible (it never will have); the quota of the
 * container changes some tens of milliseconds later, and the status says so when the kubelet next looks, up to a second after that.
 */

export interface KubeletOptions {
  readonly objects: Objects;
  /** Of the pods. */
  readonly collection: string;
  /** Writes the quota of a container's cgroup, millicores. */
  readonly writeQuota: (pod: string, container: string, cpuMillicores: number) => void;
}

type Condition = NonNullable<StubPod['status']['conditions']>[number];

export class StubKubelet {
  /** Allocatable CPU of the node. */
  capacityMillicores = 8000;
  /** What other pods request of it. */
  otherMillicores = 0;
  /** PATCH → quota; measured on a real kubelet: 26 to 95 ms. */
  quotaDelayMs = 30;
  /** PATCH → status; measured 158 to 1017 ms. */
  statusDelayMs = 1000;
  /** With it a Guaranteed pod can never be resized. */
  hasStaticCpuManager = false;
  readonly #options: KubeletOptions;
  readonly #ended = new AbortController();
  /** By pod and container: what was allocated last. */
  readonly #allocated = new Map<string, { request: number; limit: number }>();

  constructor(options: KubeletOptions) {
    this.#options = options;
  }

  /** A pod is started: its quotas are what its spec says. */
  admit(pod: StubPod): void {
    for (const container of pod.spec.containers) {
      const now = sizesOf(container.resources);
      this.#allocated.set(`${pod.metadata.name}/${container.name}`, now);
      this.#options.writeQuota(pod.metadata.name, container.name, now.limit);
    }
    this.#report(pod.metadata.name, []);
  }

  /** The spec has changed, or the node has. */
  look(podName: string): void {
    void this.#resize(podName).catch(() => undefined);
  }

  stop(): void {
    this.#ended.abort();
  }

  async #resize(podName: string): Promise<void> {
    const pod = this.#pod(podName);
    if (pod === null) return;
    const refusal = this.#refusalOf(pod);
    if (refusal !== null) {
      await this.#wait(this.statusDelayMs);
      // A newer spec has been looked at meanwhile, by itself.
      if (this.#pod(podName)?.metadata.generation === pod.metadata.generation) this.#report(podName, [refusal]);
      return;
    }
    for (const { name, resources } of pod.spec.containers) {
      this.#allocated.set(`${podName}/${name}`, sizesOf(resources));
    }
    await this.#wait(this.quotaDelayMs);
    const isNewest = this.#pod(podName)?.metadata.generation === pod.metadata.generation;
    if (!isNewest) return;
    for (const { name, resources } of pod.spec.containers) {
      this.#options.writeQuota(podName, name, sizesOf(resources).limit);
    }
    await this.#wait(Math.max(0, this.statusDelayMs - this.quotaDelayMs));
    if (this.#pod(podName)?.metadata.generation === pod.metadata.generation) this.#report(podName, []);
  }

  /** Only what is requested takes room: a limit alone is never put off. */
  #refusalOf(pod: StubPod): Condition | null {
    let requested = 0;
    let isMore = false;
    let isChanged = false;
    for (const { name, resources } of pod.spec.containers) {
      const now = sizesOf(resources);
      const before = this.#allocated.get(`${pod.metadata.name}/${name}`) ?? now;
      requested += now.request;
      isMore ||= now.request > before.request;
      isChanged ||= now.limit !== before.limit || now.request !== before.request;
    }
    if (this.hasStaticCpuManager && pod.status.qosClass === 'Guaranteed' && isChanged) {
      return pending('Infeasible', 'Resize is infeasible for Guaranteed Pods alongside CPU Manager static policy');
    }
    if (!isMore) return null;
    if (requested > this.capacityMillicores) {
      const message = `Node didn't have enough capacity: cpu, requested: ${requested}, capacity: ${this.capacityMillicores}`;
      return pending('Infeasible', message);
    }
    if (requested + this.otherMillicores > this.capacityMillicores) {
      return pending('Deferred', `Node didn't have enough resource: cpu, requested: ${requested}`);
    }
    return null;
  }

  #report(podName: string, conditions: Condition[]): void {
    const pod = this.#pod(podName);
    if (pod === null) return;
    const kept = (pod.status.conditions ?? []).filter(({ type }) => !type.startsWith('PodResize'));
    const containerStatuses = pod.spec.containers.map(({ name, resources }) => {
      const allocated = this.#allocated.get(`${podName}/${name}`)!;
      return {
        name,
        allocatedResources: { ...resources?.requests, cpu: `${allocated.request}m` },
        resources: {
          requests: { ...resources?.requests, cpu: `${allocated.request}m` },
          limits: { ...resources?.limits, cpu: `${allocated.limit}m` },
        },
      };
    });
    this.#options.objects.put(this.#options.collection, {
      ...pod,
      status: {
        ...pod.status,
        ...(pod.metadata.generation === undefined ? {} : { observedGeneration: pod.metadata.generation }),
        conditions: [...kept, ...conditions],
        containerStatuses,
      },
    });
  }

  #pod(name: string): StubPod | null {
    return (this.#options.objects.get(this.#options.collection, name) as StubPod | undefined) ?? null;
  }

  async #wait(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#ended.signal });
  }
}

function pending(reason: 'Deferred' | 'Infeasible', message: string): Condition {
  return { type: 'PodResizePending', status: 'True', reason, message };
}

function sizesOf(resources: StubPod['spec']['containers'][number]['resources']): { request: number; limit: number } {
  const limit = millicoresOf(resources?.limits?.['cpu']) ?? 0;
  return { limit, request: millicoresOf(resources?.requests?.['cpu']) ?? limit };
}
