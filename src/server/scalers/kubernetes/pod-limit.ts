import type { Envelope, EnvelopePort } from '../../../scheduler/controlplane/envelope/envelope.js';
import type { ApiAnswer, ApiClient } from '../../../kubernetes/api-client.js';
import { explainRefusal } from '../../../kubernetes/refusals.js';
import { watchResource, type Watch } from '../../../kubernetes/watch.js';
import type { OwnQuota } from './own-quota.js';
import { cpuOf, readPod, resizePatch, type OwnPod, type PodCpu } from './own-pod.js';

/*
 * Carries out an envelope's resizes on our own pod: PATCH `pods/resize`, then look at the quota until it has changed. What the pod's status
 * says is only waited for where nothing changes: that a resize is deferred or infeasible. A watch of the pod tells that, and what others do.
 */

export interface PodName {
  readonly namespace: string;
  readonly name: string;
}

export interface PodLimitOptions {
  readonly client: ApiClient;
  readonly pod: PodName;
  /** Null: the only one, or the one that is called as ours are. */
  readonly container: string | null;
  readonly quota: OwnQuota;
  /** Of a pod that is not Guaranteed: its request moves with its limit. */
  readonly isRequestFollowing: boolean;
  readonly stepMillicores: number;
  /** What no limit at all counts as. */
  readonly unlimitedMillicores: number;
  /** In one line; said once until it changes. */
  readonly onLog: (line: string) => void;
}

/** Our name among those who change a pod. */
const FIELD_MANAGER = 'sponge';

/** After a PATCH: a kubelet takes 26 to 95 ms. A look takes 10 µs. */
const LOOK_EVERY_MS = 5;
const EAGER_FOR_MS = 300;
const LOOK_AGAIN_MS = 50;
/** While nothing was asked for: somebody else may resize too. */
const IDLE_LOOK_MS = 500;
/** Of one resize: by then another one is wanted. */
const PATCH_TIMEOUT_MS = 5000;
/** Requests are left out of resizes for so long where the node had no room for them. */
const WITHOUT_REQUESTS_MS = 60_000;

export class PodLimit implements EnvelopePort {
  /** Set once it is made. */
  envelope!: Envelope;
  readonly #options: PodLimitOptions;
  readonly #ended = new AbortController();
  #watch: Watch | null = null;
  #isStarted = false;
  #cpu: PodCpu | null = null;
  #firstPod: ((cpu: PodCpu | Error) => void) | null = null;
  /** Wished for and not sent yet. */
  #next: number | null = null;
  #isSending = false;
  /** By our last PATCH. */
  #sentMillicores: number | null = null;
  #sentGeneration = 0;
  #sentAtMs = -Infinity;
  #isAwaited = false;
  #withoutRequestsUntilMs = -Infinity;
  #lookTimer: NodeJS.Timeout | null = null;
  #warned = new Set<string>();
  #toldError: string | null = null;

  constructor(options: PodLimitOptions) {
    this.#options = options;
  }

  /** In force now, by the kernel. */
  readLimit(): number {
    return this.#options.quota.readMillicores() ?? this.#options.unlimitedMillicores;
  }

  /**
   * Begins to watch the pod. Resolves with what it says, or with null where the API server does not answer within the time: it is asked for
   * ever, and tells later.
   * @throws Error, in one line with its remedy: no right to look, no such pod, no container of ours
   */
  async begin(withinMs: number): Promise<PodCpu | null> {
    const { client, pod } = this.#options;
    const path = `/api/v1/namespaces/${pod.namespace}/pods`;
    const seen = new Promise<PodCpu | Error>((resolve) => (this.#firstPod = resolve));
    const first = await client.call(
      { method: 'GET', path: `${path}/${pod.name}`, timeoutMs: withinMs, tries: 2 },
      this.#ended.signal,
    );
    if (first.kind === 'refused' && first.status < 500 && first.status !== 429) {
      throw new Error(explainRefusal(first, 'get pods', `look at our own pod ${pod.namespace}/${pod.name}`));
    }
    if (first.kind === 'ok') this.#take(readPod(first.body));
    else this.#log(explainRefusal(first, 'get pods', `look at our own pod ${pod.name}`));
    this.#watch = watchResource<OwnPod>(client, {
      resource: { name: 'pods', path, fieldSelector: `metadata.name=${pod.name}`, read: readPod },
      maxObjects: 1,
      onState: ([own]) => this.#take(own ?? null),
      onTrouble: (message) => this.#log(message),
    });
    if (first.kind !== 'ok') return null;
    const cpu = await seen;
    if (cpu instanceof Error) throw cpu;
    return cpu;
  }

  /** Whether we may resize it: asks for what it has, without doing it. @throws Error, in one line with its remedy */
  async tryRights(cpu: PodCpu): Promise<void> {
    const limit = cpu.limitMillicores ?? this.readLimit();
    const answer = await this.#patch(cpu, limit, '&dryRun=All');
    if (answer.kind !== 'refused' || answer.status >= 500 || answer.status === 429 || answer.status === 409) return;
    throw new Error(explainRefusal(answer, 'patch pods/resize', `resize our own pod ${this.#options.pod.name}`));
  }

  /** The envelope is there: from now on it is told. */
  start(envelope: Envelope): void {
    this.#isStarted = true;
    this.envelope = envelope;
    this.#look();
  }

  resize(limitMillicores: number): void {
    this.#next = limitMillicores;
    if (!this.#isSending) void this.#send();
  }

  stop(): void {
    this.#ended.abort();
    this.#watch?.stop();
    if (this.#lookTimer !== null) clearTimeout(this.#lookTimer);
  }

  // ---- asking ------------------------------------------------------------------------------------------------------

  /** One at a time, always the newest. */
  async #send(): Promise<void> {
    this.#isSending = true;
    // Never from inside `resize`.
    await Promise.resolve();
    while (this.#next !== null && !this.#isEnded()) {
      const limitMillicores = this.#next;
      this.#next = null;
      if (this.#cpu === null) {
        this.envelope.noteFailed('unreachable', 'nothing is known of our own pod yet', null);
        continue;
      }
      this.#sentAtMs = performance.now();
      const answer = await this.#patch(this.#cpu, limitMillicores, '');
      if (this.#isEnded()) return;
      this.#hear(limitMillicores, answer);
    }
    this.#isSending = false;
  }

  #patch(cpu: PodCpu, limitMillicores: number, query: string): Promise<ApiAnswer> {
    const { client, pod, isRequestFollowing } = this.#options;
    const follows = isRequestFollowing && performance.now() >= this.#withoutRequestsUntilMs;
    return client.call(
      {
        method: 'PATCH',
        path: `/api/v1/namespaces/${pod.namespace}/pods/${pod.name}/resize?fieldManager=${FIELD_MANAGER}${query}`,
        body: this.#patchBody(cpu, limitMillicores, follows),
        timeoutMs: PATCH_TIMEOUT_MS,
        tries: 2,
      },
      this.#ended.signal,
    );
  }

  #patchBody(cpu: PodCpu, limitMillicores: number, follows: boolean): object {
    if (!this.#options.isRequestFollowing || follows || cpu.qosClass === 'Guaranteed') {
      return resizePatch(cpu, limitMillicores, follows);
    }
    // The request goes back to what the node has set aside, so that the limit alone is never put off.
    const patch = resizePatch(cpu, limitMillicores, false) as { spec: { containers: { resources: object }[] } };
    const request = Math.min(cpu.allocatedMillicores ?? limitMillicores, limitMillicores);
    const [container] = patch.spec.containers;
    container!.resources = { ...container!.resources, requests: { cpu: `${request}m` } };
    return patch;
  }

  #hear(limitMillicores: number, answer: ApiAnswer): void {
    const { envelope } = this;
    const what = `resize our own pod to ${limitMillicores} millicores`;
    switch (answer.kind) {
      case 'unreachable':
        envelope.noteFailed('unreachable', explainRefusal(answer, '', what), null);
        return;
      case 'refused': {
        const message = explainRefusal(answer, 'patch pods/resize', what);
        // From Kubernetes 1.36 on what the node can never give is refused at once.
        if (answer.status === 422 && /capacity|Infeasible|allocatable/i.test(answer.message))
          envelope.noteInfeasible(message);
        else envelope.noteFailed(answer.status >= 500 ? 'unreachable' : 'refused', message, answer.retryAfterMs);
        return;
      }
      case 'ok': {
        this.#sentMillicores = limitMillicores;
        this.#sentGeneration = readPod(answer.body)?.metadata.generation ?? this.#sentGeneration;
        this.#isAwaited = true;
        envelope.noteAccepted();
        this.#look();
      }
    }
  }

  // ---- looking -----------------------------------------------------------------------------------------------------

  #look(): void {
    if (this.#lookTimer !== null) clearTimeout(this.#lookTimer);
    if (this.#isEnded()) return;
    try {
      const limitMillicores = this.readLimit();
      if (
        this.#sentMillicores !== null &&
        Math.abs(limitMillicores - this.#sentMillicores) < this.#options.stepMillicores
      ) {
        this.#isAwaited = false;
      }
      this.envelope.noteInForce(limitMillicores);
    } catch (error) {
      this.#log(`the container's own quota cannot be read: ${(error as Error).message}`);
    }
    const sinceMs = performance.now() - this.#sentAtMs;
    const pauseMs = !this.#isAwaited ? IDLE_LOOK_MS : sinceMs < EAGER_FOR_MS ? LOOK_EVERY_MS : LOOK_AGAIN_MS;
    this.#lookTimer = setTimeout(() => this.#look(), pauseMs).unref();
  }

  #take(pod: OwnPod | null): void {
    if (pod === null) return;
    let cpu: PodCpu;
    try {
      cpu = cpuOf(pod, this.#options.container);
    } catch (error) {
      this.#firstPod?.(error as Error);
      return;
    }
    const isFirst = this.#cpu === null;
    this.#cpu = cpu;
    this.#firstPod?.(cpu);
    this.#firstPod = null;
    if (cpu.autoscaler !== null) {
      this.#log(
        `a vertical pod autoscaler sets this pod's resources too (${cpu.autoscaler}): take the container out of it, or serve with --scaler auto`,
      );
    }
    // The envelope is made between the first look and those that follow.
    if (isFirst || !this.#isStarted) return;
    this.#noteOthers(cpu);
    this.#notePending(cpu);
  }

  /** A limit that is newer than our last PATCH, and not ours. */
  #noteOthers(cpu: PodCpu): void {
    const { limitMillicores, resizedBy } = cpu;
    if (this.#isSending || cpu.generation <= this.#sentGeneration || limitMillicores === null) return;
    this.#sentGeneration = cpu.generation;
    if (limitMillicores === this.#sentMillicores) return;
    this.#sentMillicores = limitMillicores;
    this.#isAwaited = true;
    const who = resizedBy === null || resizedBy === FIELD_MANAGER ? 'somebody else' : resizedBy;
    const line = `${who} resized our pod to ${limitMillicores} millicores`;
    this.#options.onLog(line);
    this.envelope.noteOthers(limitMillicores, `${line}, for the third time: it is left alone for five minutes`);
    this.#look();
  }

  #notePending({ pending, error, observedGeneration, qosClass }: PodCpu): void {
    if (error !== null && error !== this.#toldError) this.#options.onLog(`the node fails to resize our pod: ${error}`);
    this.#toldError = error;
    if (pending === null) {
      this.envelope.noteCleared();
      return;
    }
    // Of a PATCH before the last one.
    if (observedGeneration < this.#sentGeneration || this.#isSending) return;
    switch (pending.reason) {
      case 'Infeasible':
        this.envelope.noteInfeasible(`the node can never give so much: ${pending.message}`);
        return;
      case 'Deferred':
        if (this.#options.isRequestFollowing && qosClass !== 'Guaranteed' && this.#sentMillicores !== null) {
          this.#withoutRequestsUntilMs = performance.now() + WITHOUT_REQUESTS_MS;
          this.#options.onLog(
            `the node has no room for a larger request now: the limit is raised alone (${pending.message})`,
          );
          this.resize(this.#sentMillicores);
        } else this.envelope.noteDeferred(`the node has no room now, and tries again by itself: ${pending.message}`);
    }
  }

  #isEnded(): boolean {
    return this.#ended.signal.aborted;
  }

  /** Each line once. */
  #log(line: string): void {
    if (this.#warned.has(line)) return;
    if (this.#warned.size > 100) this.#warned = new Set();
    this.#warned.add(line);
    this.#options.onLog(line);
  }
}
