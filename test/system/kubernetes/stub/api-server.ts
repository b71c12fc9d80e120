import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Objects, type ObjectEvent, type StoredObject } from './objects.js';
import { resized, qosClassOf, type StubPod } from './resize-rules.js';
import { StubKubelet, type KubeletOptions } from './kubelet.js';

/*
 * A Kubernetes API server of our own for tests: objects of any kind with list, watch, bookmarks and 410, conflicts by resource version,
 * RBAC by token, `scale`, and `pods/resize` by the rules of the real one. Loopback, plain HTTP.
 */

export const NAMESPACE = 'models';
export const PODS = `/api/v1/namespaces/${NAMESPACE}/pods`;

/** What a token may do: `patch pods/resize`; `*` for everything. */
export type Rights = ReadonlySet<string>;

interface Place {
  readonly collection: string;
  readonly resource: string;
  readonly name: string | null;
  readonly subresource: string | null;
}

/** The answer that an error is to be. */
class StatusError extends Error {
  readonly code: number;
  readonly reason: string;

  constructor(code: number, reason: string, message: string) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

export class ApiServerStub {
  readonly objects = new Objects();
  readonly kubelet: StubKubelet;
  /** By token. */
  readonly rights = new Map<string, Rights>();
  /** As `PATCH /api/…`, in order. */
  readonly calls: string[] = [];
  /** Bodies of accepted resizes, with when they came, ms. */
  readonly resizes: { readonly atMs: number; readonly body: unknown }[] = [];
  bookmarkEveryMs = 60_000;
  /** A watch may last no longer than so, whatever it asks for. */
  longestWatchMs = Infinity;
  /** From 1.36 on a resize beyond the node's capacity is refused at once. */
  refusesInfeasible = false;
  readonly #server: Server;
  readonly #failures: { status: number; retryAfter?: string; only?: RegExp }[] = [];
  readonly #watches = new Set<ServerResponse>();
  #isDown = false;

  private constructor(writeQuota: KubeletOptions['writeQuota']) {
    this.kubelet = new StubKubelet({ objects: this.objects, collection: PODS, writeQuota });
    this.#server = createServer((request, response) => void this.#handle(request, response));
  }

  static async start(writeQuota: KubeletOptions['writeQuota'] = () => undefined): Promise<ApiServerStub> {
    const stub = new ApiServerStub(writeQuota);
    stub.#server.listen(0, '127.0.0.1');
    await once(stub.#server, 'listening');
    return stub;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** A kubeconfig's text for a token. */
  kubeconfig(token: string): string {
    return JSON.stringify({
      'current-context': 'stub',
      contexts: [{ name: 'stub', context: { cluster: 'stub', user: 'stub', namespace: NAMESPACE } }],
      clusters: [{ name: 'stub', cluster: { server: this.url } }],
      users: [{ name: 'stub', user: { token } }],
    });
  }

  /** A running pod whose QoS class follows from its resources. */
  addPod(
    name: string,
    containers: StubPod['spec']['containers'],
    metadata: Partial<StoredObject['metadata']> = {},
  ): void {
    const spec = { containers, nodeName: 'node' };
    const pod: StubPod = {
      metadata: { ...metadata, name, namespace: NAMESPACE, generation: 1 },
      spec,
      status: { phase: 'Running', qosClass: qosClassOf({ spec }), conditions: [{ type: 'Ready', status: 'True' }] },
    };
    this.objects.put(PODS, pod);
    this.kubelet.admit(pod);
  }

  pod(name: string): StubPod {
    return this.objects.get(PODS, name) as StubPod;
  }

  /** The next calls are answered so. */
  fail(times: number, status: number, retryAfter?: string): void {
    for (let i = 0; i < times; i++) this.#failures.push({ status, ...(retryAfter !== undefined && { retryAfter }) });
  }

  /** The next calls like this, as in `calls`, are answered so. */
  failOn(only: RegExp, times: number, status: number): void {
    for (let i = 0; i < times; i++) this.#failures.push({ status, only });
  }

  /** Connections are cut, and nobody answers, until it is up again. */
  setDown(isDown: boolean): void {
    this.#isDown = isDown;
    if (isDown) this.#server.closeAllConnections();
  }

  endWatches(): void {
    for (const response of this.#watches) response.end();
  }

  async stop(): Promise<void> {
    this.kubelet.stop();
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close').catch(() => undefined);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#isDown) {
      request.destroy();
      return;
    }
    this.calls.push(`${request.method} ${request.url}`);
    try {
      const call = this.calls.at(-1)!;
      const place = this.#failures.findIndex(({ only }) => only === undefined || only.test(call));
      const [failure] = place === -1 ? [] : this.#failures.splice(place, 1);
      if (failure !== undefined) {
        if (failure.retryAfter !== undefined) response.setHeader('retry-after', failure.retryAfter);
        throw new StatusError(failure.status, 'Injected', 'a failure of the test');
      }
      const url = new URL(request.url!, this.url);
      const asked = placeOf(url.pathname);
      const isWatch = url.searchParams.get('watch') === 'true';
      this.#authorize(request, asked, isWatch);
      if (isWatch) this.#watch(response, asked, url.searchParams);
      else answer(response, 200, await this.#answerTo(request, asked, url.searchParams));
    } catch (error) {
      const { code = 500, reason = 'InternalError', message } = error as Partial<StatusError> & Error;
      answer(response, code, { kind: 'Status', status: 'Failure', code, reason, message });
    }
  }

  #authorize({ headers, method }: IncomingMessage, { resource, subresource, name }: Place, isWatch: boolean): void {
    const rights = this.rights.get(headers.authorization?.replace('Bearer ', '') ?? '');
    if (rights === undefined) throw new StatusError(401, 'Unauthorized', 'Unauthorized');
    const verb = isWatch ? 'watch' : method === 'GET' ? (name === null ? 'list' : 'get') : verbOf(method!);
    const right = `${verb} ${subresource === null ? resource : `${resource}/${subresource}`}`;
    if (rights.has('*') || rights.has(right)) return;
    throw new StatusError(
      403,
      'Forbidden',
      `${resource} is forbidden: cannot ${right} in the namespace "${NAMESPACE}"`,
    );
  }

  async #answerTo(request: IncomingMessage, place: Place, query: URLSearchParams): Promise<unknown> {
    const { collection, name, subresource } = place;
    if (request.method === 'GET' && name === null) return this.#list(collection, query);
    const body = request.method === 'GET' ? null : (JSON.parse(await textOf(request)) as Partial<StoredObject>);
    if (request.method === 'POST') return this.#create(collection, body as StoredObject);
    const object = this.objects.get(collection, name!);
    if (object === undefined) throw new StatusError(404, 'NotFound', `${place.resource} "${name}" not found`);
    if (request.method === 'GET') return subresource === 'scale' ? scaleOf(object) : object;
    if (
      body?.metadata?.resourceVersion !== undefined &&
      body.metadata.resourceVersion !== object.metadata.resourceVersion
    ) {
      throw new StatusError(
        409,
        'Conflict',
        `the object has been modified; please apply your changes to the latest version`,
      );
    }
    const manager = query.get('fieldManager') ?? request.headers['user-agent']?.split('/')[0] ?? 'unknown';
    if (subresource === 'resize') {
      const isDryRun = query.get('dryRun') === 'All';
      return this.#resize(object as StubPod, body, { manager, type: request.headers['content-type'], isDryRun });
    }
    if (subresource === 'scale') return this.#scale(collection, object, body as StoredObject);
    const merged = request.method === 'PUT' ? (body as StoredObject) : merge(object, body);
    return this.objects.put(collection, {
      ...merged,
      metadata: { ...object.metadata, ...merged.metadata },
    });
  }

  #create(collection: string, body: StoredObject): StoredObject {
    if (this.objects.get(collection, body.metadata.name) !== undefined) {
      throw new StatusError(409, 'AlreadyExists', `"${body.metadata.name}" already exists`);
    }
    return this.objects.put(collection, body);
  }

  #resize(
    pod: StubPod,
    body: unknown,
    { manager, type, isDryRun }: { manager: string; type: string | undefined; isDryRun: boolean },
  ): StubPod {
    if (type !== 'application/strategic-merge-patch+json') {
      throw new StatusError(415, 'UnsupportedMediaType', `this stub resizes by strategic merge patch, not by ${type}`);
    }
    const result = resized(pod, body);
    if ('invalid' in result) throw new StatusError(422, 'Invalid', result.invalid);
    const isChanged = JSON.stringify(result.pod.spec) !== JSON.stringify(pod.spec);
    if (isChanged && this.refusesInfeasible && requestedOf(result.pod) > this.kubelet.capacityMillicores) {
      throw new StatusError(422, 'Invalid', "Pod is invalid: the node didn't have enough capacity: cpu");
    }
    if (isDryRun) return result.pod;
    this.resizes.push({ atMs: performance.now(), body });
    if (!isChanged) return pod;
    const { metadata } = result.pod;
    metadata.generation = (metadata.generation ?? 0) + 1;
    metadata.managedFields = [
      ...(metadata.managedFields ?? []).filter((each) => each.manager !== manager),
      { manager, operation: 'Update', subresource: 'resize', time: new Date().toISOString() },
    ];
    const stored = this.objects.put(PODS, result.pod) as StubPod;
    this.kubelet.look(pod.metadata.name);
    return stored;
  }

  #scale(collection: string, object: StoredObject, body: StoredObject): unknown {
    const { replicas } = (body['spec'] ?? {}) as { replicas?: number };
    if (!Number.isInteger(replicas) || replicas! < 0)
      throw new StatusError(422, 'Invalid', 'spec.replicas: Invalid value');
    return scaleOf(this.objects.put(collection, { ...object, spec: { ...(object['spec'] as object), replicas } }));
  }

  #list(collection: string, query: URLSearchParams): unknown {
    const all = this.objects.list(collection).filter((object) => isSelected(object, query));
    const limit = Number(query.get('limit') ?? 0) || all.length;
    const [from, version] = (query.get('continue') ?? `0 ${this.objects.version}`).split(' ').map(Number) as [
      number,
      number,
    ];
    if (version < this.objects.oldestVersion) throw new StatusError(410, 'Expired', 'the continue token is too old');
    const next = from + limit < all.length ? `${from + limit} ${version}` : '';
    return { items: all.slice(from, from + limit), metadata: { resourceVersion: String(version), continue: next } };
  }

  #watch(response: ServerResponse, { collection }: Place, query: URLSearchParams): void {
    const after = Number(query.get('resourceVersion') ?? 0);
    response.writeHead(200, { 'content-type': 'application/json' });
    const write = (event: unknown): boolean => response.write(`${JSON.stringify(event)}\n`);
    if (after < this.objects.oldestVersion) {
      write({
        type: 'ERROR',
        object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' },
      });
      response.end();
      return;
    }
    const stop = this.objects.watch(collection, after, ({ type, object, version }: ObjectEvent) => {
      const told = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } };
      if (isSelected(object, query)) write({ type, object: told });
    });
    response.flushHeaders();
    const bookmarks = setInterval(() => {
      if (query.get('allowWatchBookmarks') !== 'true') return;
      write({ type: 'BOOKMARK', object: { metadata: { resourceVersion: String(this.objects.version) } } });
    }, this.bookmarkEveryMs);
    const seconds = Number(query.get('timeoutSeconds') ?? 300);
    const end = setTimeout(() => response.end(), Math.min(seconds * 1000, this.longestWatchMs));
    this.#watches.add(response);
    response.on('close', () => {
      clearInterval(bookmarks);
      clearTimeout(end);
      stop();
      this.#watches.delete(response);
    });
  }
}

function requestedOf(pod: StubPod): number {
  return pod.spec.containers.reduce((sum, { resources }) => {
    const text = resources?.requests?.['cpu'] ?? resources?.limits?.['cpu'] ?? '0';
    return sum + (text.endsWith('m') ? Number(text.slice(0, -1)) : Number(text) * 1000);
  }, 0);
}

/** `/apis/<group>/<version>/namespaces/<ns>/<resource>/<name>/<subresource>`, or `/api/v1/…`. */
function placeOf(path: string): Place {
  const match = /^(\/(?:api|apis\/[^/]+)\/[^/]+\/namespaces\/[^/]+\/([^/]+))(?:\/([^/]+)(?:\/([^/]+))?)?$/.exec(path);
  if (match === null) throw new StatusError(404, 'NotFound', 'the server could not find the requested resource');
  const [, collection, resource, name = null, subresource = null] = match;
  return { collection: collection!, resource: resource!, name, subresource };
}

function verbOf(method: string): string {
  return method === 'POST' ? 'create' : method === 'PUT' ? 'update' : method.toLowerCase();
}

function isSelected({ metadata }: StoredObject, query: URLSearchParams): boolean {
  const field = /^metadata\.name=(.+)$/.exec(query.get('fieldSelector') ?? '')?.[1];
  const labels = (query.get('labelSelector') ?? '').split(',').filter(Boolean);
  const hasLabels = labels.every((label) => {
    const [key, value] = label.split('=');
    return metadata.labels?.[key!] === value;
  });
  return hasLabels && (field === undefined || field === metadata.name);
}

function scaleOf({ metadata, spec }: StoredObject): unknown {
  const { name, namespace, resourceVersion } = metadata;
  const replicas = (spec as { replicas?: number }).replicas ?? 1;
  return { kind: 'Scale', metadata: { name, namespace, resourceVersion }, spec: { replicas }, status: { replicas } };
}

/** A merge patch (RFC 7386). */
function merge<T>(target: T, patch: unknown): T {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch as T;
  const merged = new Map(Object.entries(target as Record<string, unknown>));
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, merge(merged.get(key) ?? {}, value));
  }
  return Object.fromEntries(merged) as T;
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

function answer(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
