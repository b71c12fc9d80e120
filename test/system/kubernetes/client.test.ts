import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ApiClient } from '../../../src/kubernetes/api-client.js';
import { findClusterAccess } from '../../../src/kubernetes/cluster-access.js';
import { watchEndpoints, type EndpointAddress } from '../../../src/kubernetes/endpoint-slices.js';
import { explainRefusal } from '../../../src/kubernetes/refusals.js';
import { watchResource, type KubernetesObject, type Watch } from '../../../src/kubernetes/watch.js';
import { ApiServerStub, NAMESPACE, PODS } from './stub/api-server.js';

const folder = mkdtempSync(join(tmpdir(), 'sponge-kube-client-'));
afterAll(() => rmSync(folder, { recursive: true }));

let stub: ApiServerStub;
let client: ApiClient;
const watches: Watch[] = [];

async function clientAs(token: string): Promise<ApiClient> {
  const path = join(folder, 'config');
  writeFileSync(path, stub.kubeconfig(token));
  return new ApiClient(await findClusterAccess({ KUBECONFIG: path }), 'sponge-test/1');
}

beforeEach(async () => {
  stub = await ApiServerStub.start();
  stub.rights.set('all', new Set(['*']));
  client = await clientAs('all');
});

afterEach(async () => {
  for (const watch of watches.splice(0)) watch.stop();
  client.close();
  await stub.stop();
});

const LEASES = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
const object = (name: string, value = 0) => ({
  metadata: { name, namespace: NAMESPACE },
  spec: { value },
});

describe('a call', () => {
  it('is tried again where the API server is busy or fails, after the time it asks for', async () => {
    stub.objects.put(LEASES, object('a'));
    stub.fail(1, 429, '0.05');
    stub.fail(1, 500);
    const answer = await client.call({ method: 'GET', path: `${LEASES}/a` });
    expect(answer).toMatchObject({ kind: 'ok', body: { metadata: { name: 'a' } } });
    expect(stub.calls).toHaveLength(3);
  });

  it('does not wait for what is asked of it when that is long', async () => {
    stub.fail(1, 429, '600');
    const answer = await client.call({ method: 'GET', path: `${LEASES}/a` });
    expect(answer).toMatchObject({ kind: 'refused', status: 429, retryAfterMs: 600_000 });
  });

  it.each([
    [401, 'nobody', 'does not know who we are'],
    [403, 'poor', 'no right to get leases (403); apply deploy/kubernetes/rbac.yaml'],
    [404, 'all', '1.33 or later'],
  ])('that is refused with %i says what to do', async (status, token, remedy) => {
    stub.rights.set('poor', new Set());
    const other = await clientAs(token);
    const answer = await other.call({ method: 'GET', path: `${LEASES}/gone`, tries: 1 });
    other.close();
    expect(answer).toMatchObject({ kind: 'refused', status });
    if (answer.kind === 'ok') throw new Error('unexpected');
    const line = explainRefusal(answer, 'get leases', 'read the lease');
    expect(line).toContain(remedy);
    expect(line).not.toContain('\n');
  });

  it('loses against a newer version of the object, and says so', async () => {
    const { metadata } = stub.objects.put(LEASES, object('a'));
    stub.objects.put(LEASES, object('a', 1));
    const body = { ...object('a', 2), metadata: { name: 'a', resourceVersion: metadata.resourceVersion } };
    const answer = await client.call({ method: 'PUT', path: `${LEASES}/a`, body, tries: 1 });
    expect(answer).toMatchObject({ kind: 'refused', status: 409, reason: 'Conflict' });
  });

  it('to nobody is answered all the same', async () => {
    stub.setDown(true);
    const answer = await client.call({ method: 'GET', path: LEASES, tries: 2 });
    expect(answer.kind).toBe('unreachable');
    stub.setDown(false);
    expect((await client.call({ method: 'GET', path: LEASES })).kind).toBe('ok');
  });

  it('ends with its time where nobody answers, and with too large an answer', async () => {
    const large = Buffer.alloc(1024 * 1024, 32);
    const server = createServer((request, response) => {
      if (request.url === '/silent') return;
      const write = (): void => {
        while (!response.destroyed && response.write(large));
        response.once('drain', write);
      };
      write();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const path = join(folder, 'other');
    writeFileSync(path, stub.kubeconfig('all').replace(stub.url, url));
    const other = new ApiClient(await findClusterAccess({ KUBECONFIG: path }), 'sponge-test/1');
    const silent = await other.call({ method: 'GET', path: '/silent', timeoutMs: 50, tries: 1 });
    expect(silent).toMatchObject({
      kind: 'unreachable',
      message: expect.stringContaining('no answer within 0.05 s') as string,
    });
    const endless = await other.call({ method: 'GET', path: '/endless', tries: 1 });
    expect(endless).toMatchObject({
      kind: 'unreachable',
      message: expect.stringContaining('more than 16 MiB') as string,
    });
    other.close();
    server.closeAllConnections();
    server.close();
  });

  it('shows a rotated token at once where the old one is refused', async () => {
    const mount = join(folder, 'mount');
    const { mkdirSync } = await import('node:fs');
    mkdirSync(mount);
    for (const [name, text] of Object.entries({ token: 'old\n', namespace: 'models', 'ca.crt': '' })) {
      writeFileSync(join(mount, name), text);
    }
    const { port } = new URL(stub.url);
    const inPod = await findClusterAccess(
      { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: port },
      mount,
    );
    expect([inPod.server.href, inPod.namespace]).toEqual([`https://127.0.0.1:${port}/`, 'models']);
    const plain = new ApiClient({ ...inPod, server: new URL(stub.url) }, 'sponge-test/1');
    stub.rights.set('old', new Set(['*']));
    expect((await plain.call({ method: 'GET', path: LEASES })).kind).toBe('ok');
    stub.rights.delete('old');
    stub.rights.set('new', new Set(['*']));
    writeFileSync(join(mount, 'token'), 'new\n');
    expect((await plain.call({ method: 'GET', path: LEASES })).kind).toBe('ok');
    plain.close();
  });
});

describe('where there is no cluster', () => {
  it.each([
    [{}, 'KUBERNETES_SERVICE_HOST is not set, so this is no pod'],
    [{ KUBERNETES_SERVICE_HOST: '10.0.0.1' }, 'set automountServiceAccountToken: true'],
    [{ KUBECONFIG: '/nowhere/config' }, 'set KUBECONFIG to a file that can be read'],
  ])('%j says why', async (env, message) => {
    await expect(findClusterAccess(env, join(folder, 'no-mount'))).rejects.toThrow(message);
  });

  it.each([
    ['a: [', 'KUBECONFIG'],
    ['current-context: b', 'there is no context "b"'],
    ['{"current-context":"a","contexts":[{"name":"a","context":{"cluster":"c"}}]}', 'no server URL'],
  ])('a kubeconfig of %s says what is wrong', async (text, message) => {
    const path = join(folder, 'broken');
    writeFileSync(path, text);
    await expect(findClusterAccess({ KUBECONFIG: path })).rejects.toThrow(message);
  });
});

describe('a watch', () => {
  const states: string[][] = [];
  const troubles: string[] = [];
  let recoveries = 0;

  function watchLeases(maxObjects?: number): void {
    states.length = troubles.length = recoveries = 0;
    watches.push(
      watchResource(client, {
        resource: {
          name: 'leases',
          path: LEASES,
          read: (json) => {
            const { metadata, spec } = json as ReturnType<typeof object>;
            return { metadata, spec } satisfies KubernetesObject & { spec: object };
          },
        },
        onState: (objects) => states.push(objects.map(({ metadata, spec }) => `${metadata.name}${spec.value}`).sort()),
        onTrouble: (message) => troubles.push(message),
        onRecovered: () => recoveries++,
        times: { firstPauseMs: 5, longestPauseMs: 40, watchSeconds: 300 },
        ...(maxObjects === undefined ? {} : { maxObjects }),
      }),
    );
  }

  const latest = (): string[] | undefined => states.at(-1);
  const lists = (): number => stub.calls.filter((call) => call.includes('limit=')).length;
  const begun = (): number => stub.calls.filter((call) => call.includes('watch=true')).length;

  it('tells what there is, page by page, and what changes', async () => {
    for (let i = 0; i < 1201; i++) stub.objects.put(LEASES, object(`n${i}-`));
    watchLeases();
    await expect.poll(() => latest()?.length).toBe(1201);
    expect(lists()).toBe(3);
    stub.objects.put(LEASES, object('n7-', 8));
    stub.objects.remove(LEASES, 'n8-');
    await expect.poll(() => latest()?.length).toBe(1200);
    expect(latest()).toContain('n7-8');
    expect(latest()).not.toContain('n8-0');
  });

  it('goes on where it was when the API server ends it, without a new list', async () => {
    stub.bookmarkEveryMs = 5;
    stub.objects.put(LEASES, object('a'));
    watchLeases();
    await expect.poll(begun).toBe(1);
    // Of other kinds: only bookmarks tell that time has passed.
    for (let i = 0; i < 50; i++) stub.objects.put(PODS, object('p', i));
    const version = stub.objects.version;
    await expect
      .poll(async () => {
        stub.endWatches();
        await new Promise((resolve) => setTimeout(resolve, 20));
        return stub.calls.at(-1);
      })
      .toContain(`resourceVersion=${version}`);
    stub.objects.put(LEASES, object('a', 1));
    await expect.poll(latest).toEqual(['a1']);
    expect(lists()).toBe(1);
    expect(troubles).toEqual([]);
  });

  it('lists anew when its version is too old: 410', async () => {
    stub.objects.put(LEASES, object('a'));
    watchLeases();
    await expect.poll(begun).toBe(1);
    stub.setDown(true);
    stub.objects.put(LEASES, object('b', 2));
    stub.objects.compact();
    stub.setDown(false);
    await expect.poll(latest).toEqual(['a0', 'b2']);
    expect(lists()).toBe(2);
  });

  it('comes back after the API server was away, and tells of it once', async () => {
    watchLeases();
    await expect.poll(begun).toBe(1);
    stub.setDown(true);
    await expect.poll(() => troubles.length).toBe(1);
    stub.objects.put(LEASES, object('a', 3));
    await new Promise((resolve) => setTimeout(resolve, 100));
    stub.setDown(false);
    await expect.poll(latest).toEqual(['a3']);
    expect([troubles.length, recoveries]).toEqual([1, 1]);
  });

  it('holds no more than it may', async () => {
    for (const name of ['a', 'b', 'c']) stub.objects.put(LEASES, object(name));
    watchLeases(2);
    await expect.poll(latest).toHaveLength(2);
    stub.objects.put(LEASES, object('d'));
    stub.objects.put(LEASES, object('a', 1));
    await expect.poll(latest).toEqual(['a1', 'b0']);
  });

  it('without the right to it says so', async () => {
    stub.rights.set('all', new Set(['list leases']));
    watchLeases();
    await expect.poll(() => troubles).toEqual([expect.stringContaining('no right to watch leases (403)')]);
  });
});

describe('the endpoints of a service', () => {
  it('follow its slices', async () => {
    const SLICES = `/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices`;
    const slice = (
      name: string,
      service: string,
      hosts: readonly string[],
    ): Parameters<typeof stub.objects.put>[1] => ({
      metadata: { name, namespace: NAMESPACE, labels: { 'kubernetes.io/service-name': service } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8000 }],
      endpoints: hosts.map((host) => ({ addresses: [host], conditions: { ready: true } })),
    });
    stub.objects.put(SLICES, slice('ocr-1', 'ocr', ['10.0.0.1']));
    stub.objects.put(SLICES, slice('other-1', 'other', ['10.9.9.9']));
    const seen: string[][] = [];
    const hosts = (addresses: readonly EndpointAddress[]): string[] => addresses.map(({ host }) => host);
    watches.push(
      watchEndpoints(client, {
        namespace: NAMESPACE,
        service: 'ocr',
        portName: 'http',
        onAddresses: (addresses) => seen.push(hosts(addresses)),
        onTrouble: () => undefined,
      }),
    );
    await expect.poll(() => seen).toEqual([['10.0.0.1']]);
    stub.objects.put(SLICES, slice('ocr-2', 'ocr', ['10.0.0.2']));
    await expect.poll(() => seen.at(-1)).toEqual(['10.0.0.1', '10.0.0.2']);
    // The same addresses in another slice are no news.
    stub.objects.put(SLICES, slice('ocr-3', 'ocr', ['10.0.0.2']));
    stub.objects.remove(SLICES, 'ocr-1');
    await expect.poll(() => seen.at(-1)).toEqual(['10.0.0.2']);
    expect(seen).toHaveLength(3);
  });
});
