import { setTimeout as delay } from 'node:timers/promises';
import type { ApiAnswer, ApiClient } from './api-client.js';
import { explainRefusal } from './refusals.js';

/*
 * What there is of a kind, kept up to date: list, then watch from the list's resource version on, with bookmarks, so that a watch that
 * ends (each does after some minutes) goes on where it was. 410 Gone, as a status or as an event, means that the version is too old:
 * everything is listed anew. Whatever else goes wrong is tried again, with growing pauses, for ever.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
 */

/** What every object has. */
export interface KubernetesObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string | undefined;
    readonly resourceVersion?: string | undefined;
  };
}

export interface WatchedResource<T extends KubernetesObject> {
  /** Of the collection: `/api/v1/namespaces/a/pods`. */
  readonly path: string;
  /** As RBAC names it, for messages: `pods`. */
  readonly name: string;
  readonly fieldSelector?: string;
  readonly labelSelector?: string;
  /** An object of the API, or null for what cannot be understood, which is left out. */
  readonly read: (json: unknown) => T | null;
}

export interface WatchOptions<T extends KubernetesObject> {
  readonly resource: WatchedResource<T>;
  /** All there are, whenever they were listed or one has changed. */
  readonly onState: (objects: readonly T[]) => void;
  /** In one line; told once until it works again. */
  readonly onTrouble: (message: string) => void;
  /** It works again. */
  readonly onRecovered?: () => void;
  /** More are left out, with a trouble. */
  readonly maxObjects?: number;
  /** Of pauses and of how long a watch may last; shorter only in tests. */
  readonly times?: WatchTimes;
}

export interface WatchTimes {
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
  /** The API server ends a watch after so long, up to half as long again: not all at once. */
  readonly watchSeconds: number;
}

/** Client-go's reflector asks for 5 to 10 minutes; some load balancers end what is silent for 5. */
const TIMES: WatchTimes = { firstPauseMs: 200, longestPauseMs: 30_000, watchSeconds: 200 };
/** A bookmark comes about once a minute; a connection that is silent so much longer than its watch is dead. */
const SILENCE_MS = 30_000;
const PAGE = 500;
const MOST_OBJECTS = 10_000;

export interface Watch {
  stop(): void;
}

export function watchResource<T extends KubernetesObject>(client: ApiClient, options: WatchOptions<T>): Watch {
  const ended = new AbortController();
  void new Watching(client, options, ended.signal).run();
  return { stop: () => ended.abort() };
}

/** From now on everything has to be listed again. */
class TooOld extends Error {}

class Watching<T extends KubernetesObject> {
  readonly #client: ApiClient;
  readonly #options: WatchOptions<T>;
  readonly #signal: AbortSignal;
  readonly #times: WatchTimes;
  readonly #objects = new Map<string, T>();
  #version: string | null = null;
  #failures = 0;
  #isTroubled = false;

  constructor(client: ApiClient, options: WatchOptions<T>, signal: AbortSignal) {
    this.#client = client;
    this.#options = options;
    this.#signal = signal;
    this.#times = options.times ?? TIMES;
  }

  async run(): Promise<void> {
    while (!this.#isStopped()) {
      try {
        if (this.#version === null) await this.#list();
        await this.#watch();
      } catch (error) {
        if (this.#isStopped()) return;
        if (error instanceof TooOld) this.#version = null;
        else this.#tell((error as Error).message);
        await this.#pause();
      }
    }
  }

  /** Page by page; the version is that of the first. */
  async #list(): Promise<void> {
    const { resource, maxObjects = MOST_OBJECTS } = this.#options;
    const found = new Map<string, T>();
    let version: string | undefined;
    let next: string | undefined;
    do {
      const query = { limit: String(PAGE), ...(next === undefined ? {} : { continue: next }) };
      const answer = await this.#client.call({ method: 'GET', path: this.#path(query), tries: 1 }, this.#signal);
      if (answer.kind !== 'ok') throw this.#failure(answer, 'list');
      const { items = [], metadata = {} } = answer.body as ObjectList;
      for (const item of items) {
        const object = resource.read(item);
        if (object !== null && found.size < maxObjects) found.set(keyOf(object), object);
      }
      version ??= metadata.resourceVersion;
      next = metadata.continue === '' ? undefined : metadata.continue;
    } while (next !== undefined && found.size < maxObjects);
    if (version === undefined) throw new Error(`a list of ${resource.name} without a resource version`);
    if (next !== undefined) this.#tell(`more than ${maxObjects} ${resource.name}: the others are left out`);
    this.#objects.clear();
    for (const [key, object] of found) this.#objects.set(key, object);
    this.#version = version;
    this.#works();
    this.#publish();
  }

  async #watch(): Promise<void> {
    const seconds = Math.round(this.#times.watchSeconds * (1 + Math.random() / 2));
    const silent = new AbortController();
    const query = {
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: this.#version!,
      timeoutSeconds: String(Math.max(1, seconds)),
    };
    const timer = setTimeout(() => silent.abort(), seconds * 1000 + SILENCE_MS).unref();
    try {
      const signal = AbortSignal.any([this.#signal, silent.signal]);
      const stream = await this.#client.stream(this.#path(query), signal);
      if (!('lines' in stream)) throw this.#failure(stream, 'watch');
      this.#works();
      for await (const line of stream.lines) {
        if (line.trim() !== '') this.#take(JSON.parse(line) as WatchEvent);
      }
    } finally {
      clearTimeout(timer);
    }
    // Where every watch ends at once, something is wrong that nobody says.
    if (!this.#signal.aborted) await delay(this.#times.firstPauseMs, undefined, { signal: this.#signal, ref: false });
  }

  #take({ type, object }: WatchEvent): void {
    if (type === 'ERROR') {
      const { code, message } = object as { code?: number; message?: string };
      if (code === 410) throw new TooOld();
      throw new Error(`watch of ${this.#options.resource.name}: ${message ?? 'ended with an error'}`);
    }
    const { resourceVersion } = (object as Partial<KubernetesObject>).metadata ?? {};
    if (resourceVersion !== undefined) this.#version = resourceVersion;
    if (type === 'BOOKMARK') return;
    const read = this.#options.resource.read(object);
    if (read === null) return;
    const { maxObjects = MOST_OBJECTS } = this.#options;
    if (type === 'DELETED') this.#objects.delete(keyOf(read));
    else if (this.#objects.has(keyOf(read)) || this.#objects.size < maxObjects) this.#objects.set(keyOf(read), read);
    this.#publish();
  }

  #failure(answer: ApiAnswer, verb: 'list' | 'watch'): Error {
    if (answer.kind === 'refused' && answer.status === 410) return new TooOld();
    const { name } = this.#options.resource;
    return new Error(answer.kind === 'ok' ? '' : explainRefusal(answer, `${verb} ${name}`, `${verb} ${name}`));
  }

  #path(query: Readonly<Record<string, string>>): string {
    const { path, fieldSelector, labelSelector } = this.#options.resource;
    const all = new URLSearchParams(query);
    if (fieldSelector !== undefined) all.set('fieldSelector', fieldSelector);
    if (labelSelector !== undefined) all.set('labelSelector', labelSelector);
    return `${path}?${all.toString()}`;
  }

  #isStopped(): boolean {
    return this.#signal.aborted;
  }

  #publish(): void {
    this.#options.onState([...this.#objects.values()]);
  }

  #tell(message: string): void {
    if (!this.#isTroubled) this.#options.onTrouble(message);
    this.#isTroubled = true;
  }

  #works(): void {
    this.#failures = 0;
    if (this.#isTroubled) this.#options.onRecovered?.();
    this.#isTroubled = false;
  }

  async #pause(): Promise<void> {
    const { firstPauseMs, longestPauseMs } = this.#times;
    const longest = Math.min(longestPauseMs, firstPauseMs * 2 ** this.#failures++);
    const pauseMs = longest * (0.5 + Math.random() / 2);
    await delay(pauseMs, undefined, { signal: this.#signal, ref: false }).catch(() => undefined);
  }
}

interface ObjectList {
  readonly items?: readonly unknown[];
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
}

interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: unknown;
}

function keyOf({ metadata }: KubernetesObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}
