/*
 * What an API server holds: objects with resource versions, and the history that watches are told from. The history is short, so that a
 * watch that begins too early is told 410 Gone.
 */

export interface StoredObject {
  metadata: {
    name: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
    generation?: number;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    managedFields?: { manager: string; operation: string; subresource?: string; time?: string }[];
    [key: string]: unknown;
  };
  [key: string]: unknown;
}

export interface ObjectEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly collection: string;
  readonly object: StoredObject;
  readonly version: number;
}

export class Objects {
  readonly #objects = new Map<string, StoredObject>();
  readonly #watchers = new Set<(event: ObjectEvent) => void>();
  #history: ObjectEvent[] = [];
  #version = 100;
  /** Events that are kept for watches that begin in the past. */
  historyLimit = 1000;

  get version(): number {
    return this.#version;
  }

  /** The least version that a watch may begin at. */
  get oldestVersion(): number {
    return this.#history.length < this.historyLimit ? 0 : this.#history[0]!.version - 1;
  }

  /** @param collection `/api/v1/namespaces/a/pods` */
  get(collection: string, name: string): StoredObject | undefined {
    return structuredClone(this.#objects.get(`${collection}/${name}`));
  }

  list(collection: string): StoredObject[] {
    return [...this.#objects].flatMap(([path, object]) =>
      path.slice(0, path.lastIndexOf('/')) === collection ? [structuredClone(object)] : [],
    );
  }

  /** As it is from now on. Changes nothing where it is the same. */
  put(collection: string, object: StoredObject): StoredObject {
    const path = `${collection}/${object.metadata.name}`;
    const before = this.#objects.get(path);
    const isSame = before !== undefined && textOf(before) === textOf(object);
    if (isSame) return structuredClone(before);
    const version = ++this.#version;
    const stored = structuredClone(object);
    stored.metadata.resourceVersion = String(version);
    stored.metadata.uid ??= `uid-${version}`;
    this.#objects.set(path, stored);
    this.#tell({ type: before === undefined ? 'ADDED' : 'MODIFIED', collection, object: stored, version });
    return structuredClone(stored);
  }

  remove(collection: string, name: string): void {
    const object = this.#objects.get(`${collection}/${name}`);
    if (object === undefined) return;
    this.#objects.delete(`${collection}/${name}`);
    this.#tell({ type: 'DELETED', collection, object, version: ++this.#version });
  }

  /** Forgets what happened, as etcd's compaction does: watches from before now are too old. */
  compact(): void {
    this.historyLimit = 0;
    this.#history = [];
    this.historyLimit = 1;
    this.#history.push({
      type: 'MODIFIED',
      collection: '',
      object: { metadata: { name: '' } },
      version: ++this.#version,
    });
  }

  /** What happened after a version, and from now on. @returns how to stop */
  watch(collection: string, afterVersion: number, tell: (event: ObjectEvent) => void): () => void {
    const own = (event: ObjectEvent): void => {
      if (event.collection === collection) tell(event);
    };
    this.#history.filter(({ version }) => version > afterVersion).forEach(own);
    this.#watchers.add(own);
    return () => this.#watchers.delete(own);
  }

  #tell(event: ObjectEvent): void {
    this.#history.push(event);
    if (this.#history.length > this.historyLimit) this.#history = this.#history.slice(-this.historyLimit);
    for (const tell of this.#watchers) tell(event);
  }
}

function textOf(object: StoredObject): string {
  return JSON.stringify({ ...object, metadata: { ...object.metadata, resourceVersion: null, managedFields: null } });
}
