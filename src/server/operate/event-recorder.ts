import { randomBytes } from 'node:crypto';
import type { ApiClient } from '../../kubernetes/api-client.js';
import { explainRefusal } from '../../kubernetes/refusals.js';

/*
 * Events of Kubernetes about an object: of the same reason one for ten minutes, which is counted up, at most every ten seconds. What the API server does not take
 * is not kept: events are for people, who have the log too.
 */

export interface EventTarget {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string | null;
}

interface Series {
  readonly name: string;
  readonly firstAtMs: number;
  sentAtMs: number;
  count: number;
  message: string;
}

const SERIES_MS = 600_000;
const AGAIN_AFTER_MS = 10_000;
const MOST_SERIES = 1000;
const MOST_MESSAGE = 1000;

export class EventRecorder {
  readonly #client: ApiClient;
  readonly #component: string;
  readonly #instance: string;
  readonly #nowMs: () => number;
  readonly #onTrouble: (line: string) => void;
  readonly #rights: string;
  readonly #series = new Map<string, Series>();

  constructor(options: {
    readonly client: ApiClient;
    readonly component: string;
    readonly instance: string;
    readonly nowMs: () => number;
    readonly onTrouble: (line: string) => void;
    readonly rights: string;
  }) {
    this.#client = options.client;
    this.#component = options.component;
    this.#instance = options.instance;
    this.#nowMs = options.nowMs;
    this.#onTrouble = options.onTrouble;
    this.#rights = options.rights;
  }

  /** Not waited for. */
  record(target: EventTarget, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const nowMs = this.#nowMs();
    const key = `${target.namespace}/${target.kind}/${target.name}/${reason}`;
    const known = this.#series.get(key);
    const text = message.slice(0, MOST_MESSAGE);
    if (known !== undefined && nowMs - known.firstAtMs < SERIES_MS) {
      known.count += 1;
      known.message = text;
      if (nowMs - known.sentAtMs < AGAIN_AFTER_MS) return;
      known.sentAtMs = nowMs;
      const body = { count: known.count, lastTimestamp: new Date().toISOString(), message: text };
      void this.#send('PATCH', `${pathOf(target)}/${known.name}`, body, 'patch events');
      return;
    }
    if (this.#series.size >= MOST_SERIES) this.#series.delete(this.#series.keys().next().value!);
    const name = `${target.name}.${randomBytes(8).toString('hex')}`;
    this.#series.set(key, { name, firstAtMs: nowMs, sentAtMs: nowMs, count: 1, message: text });
    const now = new Date().toISOString();
    const { apiVersion, kind, namespace, uid } = target;
    const involvedObject = { apiVersion, kind, name: target.name, namespace, ...(uid === null ? {} : { uid }) };
    const body = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace },
      ...{ involvedObject, type, reason, message: text, count: 1, firstTimestamp: now, lastTimestamp: now },
      source: { component: this.#component },
      reportingComponent: this.#component,
      reportingInstance: this.#instance,
    };
    void this.#send('POST', pathOf(target), body, 'create events');
  }

  async #send(method: 'POST' | 'PATCH', path: string, body: object, verb: string): Promise<void> {
    const contentType = method === 'PATCH' ? { contentType: 'application/merge-patch+json' } : {};
    const answer = await this.#client.call({ method, path, body, ...contentType, tries: 1, timeoutMs: 3000 });
    if (answer.kind !== 'ok') this.#onTrouble(explainRefusal(answer, verb, 'record an event', this.#rights));
  }
}

function pathOf({ namespace }: EventTarget): string {
  return `/api/v1/namespaces/${namespace}/events`;
}
