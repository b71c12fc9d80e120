import type { ApiAnswer, ApiClient } from '../../kubernetes/api-client.js';
import { explainRefusal } from '../../kubernetes/refusals.js';

/*
 * One of several controllers writes: whoever holds the Lease. It is renewed well before it runs out, and counts as ours only for four fifths of
 * its time from the moment at which the renewal was sent, by a clock that does not jump: whoever was stopped for a while finds it over before the
 * next write. Another one takes it when it has seen it unchanged, by its own clock, for all of its time. Every write of it carries the
 * resource version that was read, so of two that try one is refused.
 */

export interface LeaderLeaseOptions {
  readonly client: ApiClient;
  readonly namespace: string;
  readonly name: string;
  /** Of this process; another one of the same pod is another. */
  readonly identity: string;
  readonly seconds: number;
  /** Monotonic, ms. */
  readonly nowMs: () => number;
  readonly onLine: (line: string) => void;
  readonly rights: string;
}

interface LeaseBody {
  readonly metadata: { readonly name: string; readonly resourceVersion?: string };
  readonly spec?: {
    readonly holderIdentity?: string | null;
    readonly leaseDurationSeconds?: number | null;
    readonly renewTime?: string | null;
    readonly leaseTransitions?: number | null;
  };
}

const RENEWALS = 5;
const OURS_FRACTION = 0.8;
const MOST_SECONDS = 3600;

export class LeaderLease {
  readonly #options: LeaderLeaseOptions;
  readonly #path: string;
  #oursUntilMs = -Infinity;
  #seen = '';
  #seenAtMs = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;
  #told = '';
  #current: LeaseBody | null = null;

  constructor(options: LeaderLeaseOptions) {
    this.#options = options;
    this.#path = `/apis/coordination.k8s.io/v1/namespaces/${options.namespace}/leases`;
  }

  /** We may write, now. */
  get isOurs(): boolean {
    return !this.#isStopped && this.#options.nowMs() < this.#oursUntilMs;
  }

  get holder(): string | null {
    return this.isOurs ? this.#options.identity : (this.#current?.spec?.holderIdentity ?? null);
  }

  start(): void {
    void this.#turn();
  }

  /** Nothing is written any more from here on, and another may take it at once. */
  async stop(): Promise<void> {
    const wasOurs = this.isOurs;
    this.#isStopped = true;
    clearTimeout(this.#timer);
    if (!wasOurs || this.#current === null) return;
    const { leaseTransitions } = this.#current.spec ?? {};
    await this.#put(this.#current, {
      holderIdentity: '',
      leaseDurationSeconds: 1,
      leaseTransitions: leaseTransitions ?? 0,
    });
  }

  async #turn(): Promise<void> {
    const { seconds } = this.#options;
    await this.#try().catch((error: unknown) => this.#tell(`lease ${this.#options.name}: ${(error as Error).message}`));
    if (this.#isStopped) return;
    // Those that wait for it do not all try at the same moment.
    const pauseMs = (1000 * seconds) / RENEWALS;
    this.#timer = setTimeout(() => void this.#turn(), pauseMs * (0.9 + 0.2 * Math.random())).unref();
  }

  async #try(): Promise<void> {
    const { client, name, identity, nowMs, seconds, rights } = this.#options;
    const sentAtMs = nowMs();
    const call = { timeoutMs: Math.min(10_000, Math.ceil((1000 * seconds) / 3)), tries: 1 };
    const got = await client.call({ method: 'GET', path: `${this.#path}/${name}`, ...call });
    if (got.kind === 'refused' && got.status === 404) {
      const body = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name }, spec: this.#spec({}) };
      const created = await client.call({ method: 'POST', path: this.#path, body, ...call });
      this.#hear(created, 'create leases', sentAtMs);
      return;
    }
    if (got.kind !== 'ok') {
      this.#tell(explainRefusal(got, 'get leases', `read lease ${name}`, rights));
      return;
    }
    const lease = got.body as LeaseBody;
    this.#current = lease;
    const { holderIdentity, renewTime, leaseDurationSeconds } = lease.spec ?? {};
    const seen = `${holderIdentity} ${renewTime} ${lease.metadata.resourceVersion}`;
    if (seen !== this.#seen) {
      this.#seen = seen;
      this.#seenAtMs = nowMs();
    }
    const isFree = holderIdentity === undefined || holderIdentity === null || holderIdentity === '';
    const lastsMs = 1000 * Math.min(MOST_SECONDS, leaseDurationSeconds ?? seconds);
    if (!isFree && holderIdentity !== identity && nowMs() - this.#seenAtMs < lastsMs) {
      this.#oursUntilMs = -Infinity;
      this.#tell(`${holderIdentity} holds lease ${name}: this one watches`);
      return;
    }
    const isTaken = holderIdentity !== identity;
    const answer = await this.#put(lease, this.#spec(lease.spec ?? {}, isTaken));
    this.#hear(answer, 'update leases', sentAtMs);
  }

  #put({ metadata }: LeaseBody, spec: object): Promise<ApiAnswer> {
    const { client, name } = this.#options;
    const body = {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: {
        name,
        ...(metadata.resourceVersion === undefined ? {} : { resourceVersion: metadata.resourceVersion }),
      },
      spec,
    };
    return client.call({ method: 'PUT', path: `${this.#path}/${name}`, body, tries: 1, timeoutMs: 3000 });
  }

  #spec({ leaseTransitions }: NonNullable<LeaseBody['spec']>, isTaken = true): object {
    const now = `${new Date().toISOString().slice(0, -1)}000Z`;
    return {
      holderIdentity: this.#options.identity,
      leaseDurationSeconds: Math.max(1, Math.ceil(this.#options.seconds)),
      renewTime: now,
      ...(isTaken ? { acquireTime: now } : {}),
      leaseTransitions: (leaseTransitions ?? 0) + (isTaken ? 1 : 0),
    };
  }

  #hear(answer: ApiAnswer, verb: string, sentAtMs: number): void {
    const { name, seconds, rights } = this.#options;
    if (answer.kind === 'ok') {
      this.#current = answer.body as LeaseBody;
      this.#oursUntilMs = sentAtMs + OURS_FRACTION * 1000 * seconds;
      this.#tell(`holds lease ${name}: this one writes`);
    } else if (answer.kind === 'refused' && answer.status === 409) this.#oursUntilMs = -Infinity;
    else this.#tell(explainRefusal(answer, verb, `hold lease ${name}`, rights));
  }

  #tell(line: string): void {
    if (line !== this.#told && !this.#isStopped) this.#options.onLine(line);
    this.#told = line;
  }
}
