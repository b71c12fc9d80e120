import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ApiServerStub, NAMESPACE, PODS } from './stub/api-server.js';
import { qosClassOf, type StubContainer } from './stub/resize-rules.js';

/* The API server and kubelet that the other tests rely on: whether they keep the rules of the real ones. */

/** As far as it is looked at. */
interface Answer {
  readonly message: string;
  readonly reason: string;
  readonly spec: { readonly replicas: number; readonly containers: readonly StubContainer[] };
}

let stub: ApiServerStub;
const quotas: [string, number][] = [];

beforeEach(async () => {
  quotas.length = 0;
  stub = await ApiServerStub.start((_pod, container, cpuMillicores) => void quotas.push([container, cpuMillicores]));
  stub.rights.set('all', new Set(['*']));
  stub.kubelet.quotaDelayMs = 5;
  stub.kubelet.statusDelayMs = 20;
});
afterEach(() => stub.stop());

const sized = (requests: Record<string, string>, limits: Record<string, string>, name = 'sponge'): StubContainer => ({
  name,
  resources: { requests, limits },
});
const BURSTABLE = sized({ cpu: '500m', memory: '1Gi' }, { cpu: '1', memory: '2Gi' });
const GUARANTEED = sized({ cpu: '1', memory: '1Gi' }, { cpu: '1', memory: '1Gi' });

async function call(
  method: string,
  path: string,
  body?: unknown,
  type?: string,
): Promise<{ status: number; json: Answer }> {
  const response = await fetch(stub.url + path, {
    method,
    headers: { authorization: 'Bearer all', 'content-type': type ?? 'application/strategic-merge-patch+json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, json: (await response.json()) as Answer };
}

const resize = (resources: object, name = 'sponge', query = '') =>
  call('PATCH', `${PODS}/p/resize${query}`, { spec: { containers: [{ name, resources }] } });

const condition = (): string | undefined =>
  stub.pod('p').status.conditions?.find(({ type }) => type === 'PodResizePending')?.reason;

describe('QoS classes', () => {
  it.each([
    [[GUARANTEED], 'Guaranteed'],
    [[GUARANTEED, { name: 'b' }], 'Burstable'],
    [[BURSTABLE], 'Burstable'],
    [[{ name: 'a' }], 'BestEffort'],
    [[{ name: 'a', resources: { limits: { cpu: '1', memory: '1Gi' } } }], 'Guaranteed'],
    [[sized({ cpu: '1000m', memory: '1024Mi' }, { cpu: '1', memory: '1Gi' })], 'Guaranteed'],
  ])('of %j is %s', (containers, qosClass) => {
    expect(qosClassOf({ spec: { containers } })).toBe(qosClass);
  });
});

describe('pods/resize', () => {
  it.each([
    [BURSTABLE, { limits: { cpu: '400m' } }, 'must be less than or equal to cpu limit of 400m'],
    [GUARANTEED, { limits: { cpu: '2' } }, 'Pod QOS Class may not change'],
    [BURSTABLE, { requests: { cpu: '1', memory: '2Gi' } }, 'Pod QOS Class may not change'],
    [BURSTABLE, { limits: { cpu: null } }, 'limits cannot be removed'],
    [BURSTABLE, { limits: { 'nvidia.com/gpu': '1' } }, 'only cpu and memory'],
    [BURSTABLE, { limits: { memory: '1Gi' } }, 'memory limits cannot be decreased'],
    [BURSTABLE, { limits: { cpu: 'lots' } }, 'is no quantity'],
  ])('of %j by %j is refused', async (container, change, message) => {
    stub.addPod('p', [container]);
    const { status, json } = await resize(change);
    expect([status, json.message]).toEqual([422, expect.stringContaining(message) as string]);
    expect(stub.pod('p').metadata.generation).toBe(1);
  });

  it('of another container, by another kind of patch, or of the pod itself, is refused', async () => {
    stub.addPod('p', [BURSTABLE]);
    expect((await resize({ limits: { cpu: '2' } }, 'other')).status).toBe(422);
    expect((await call('PATCH', `${PODS}/p/resize`, {}, 'application/merge-patch+json')).status).toBe(415);
    expect((await call('PATCH', `${PODS}/gone/resize`, {})).status).toBe(404);
    expect((await call('PATCH', `${PODS}/p/resize`, { spec: { nodeName: 'b' } })).status).toBe(422);
  });

  it('changes the quota first and the status later, with a new generation and who did it', async () => {
    stub.kubelet.statusDelayMs = 300;
    stub.addPod('p', [BURSTABLE]);
    await resize({ limits: { cpu: '1500m' } }, 'sponge', '?fieldManager=me');
    await expect
      .poll(() => quotas)
      .toEqual([
        ['sponge', 1000],
        ['sponge', 1500],
      ]);
    const { metadata, status } = stub.pod('p');
    expect([metadata.generation, status.observedGeneration]).toEqual([2, 1]);
    expect(metadata.managedFields).toMatchObject([{ manager: 'me', subresource: 'resize' }]);
    expect(status.containerStatuses?.[0]?.resources?.limits?.['cpu']).toBe('1000m');
    await expect.poll(() => stub.pod('p').status.observedGeneration).toBe(2);
    expect(stub.pod('p').status.containerStatuses?.[0]?.resources?.limits?.['cpu']).toBe('1500m');
  });

  it('that is only tried changes nothing', async () => {
    stub.addPod('p', [BURSTABLE]);
    const { status, json } = await resize({ limits: { cpu: '2' } }, 'sponge', '?dryRun=All');
    expect([status, json.spec.containers[0]?.resources?.limits?.['cpu']]).toEqual([200, '2']);
    expect([stub.pod('p').metadata.generation, stub.resizes.length]).toEqual([1, 0]);
  });

  it('beyond what the node has free is deferred, and done when there is room', async () => {
    stub.addPod('p', [GUARANTEED]);
    stub.kubelet.capacityMillicores = 4000;
    stub.kubelet.otherMillicores = 3000;
    await resize({ requests: { cpu: '2' }, limits: { cpu: '2' } });
    await expect.poll(condition).toBe('Deferred');
    expect(quotas).toEqual([['sponge', 1000]]);
    expect(stub.pod('p').status.containerStatuses?.[0]?.allocatedResources?.['cpu']).toBe('1000m');
    stub.kubelet.otherMillicores = 0;
    stub.kubelet.look('p');
    await expect.poll(condition).toBeUndefined();
    expect(quotas.at(-1)).toEqual(['sponge', 2000]);
  });

  it('beyond what the node has at all is infeasible; from 1.36 on it is refused at once', async () => {
    stub.addPod('p', [GUARANTEED]);
    stub.kubelet.capacityMillicores = 4000;
    const tooMuch = { requests: { cpu: '5' }, limits: { cpu: '5' } };
    await resize(tooMuch);
    await expect.poll(condition).toBe('Infeasible');
    expect(quotas).toEqual([['sponge', 1000]]);
    stub.refusesInfeasible = true;
    expect((await resize({ requests: { cpu: '6' }, limits: { cpu: '6' } })).status).toBe(422);
  });

  it('of a Guaranteed pod beside a static CPU manager is infeasible, whichever way', async () => {
    stub.addPod('p', [GUARANTEED]);
    stub.kubelet.hasStaticCpuManager = true;
    await resize({ requests: { cpu: '500m' }, limits: { cpu: '500m' } });
    await expect.poll(condition).toBe('Infeasible');
  });

  it('of a limit alone is never put off', async () => {
    stub.addPod('p', [BURSTABLE]);
    stub.kubelet.capacityMillicores = 600;
    stub.kubelet.otherMillicores = 600;
    await resize({ limits: { cpu: '8' } });
    await expect.poll(() => quotas.at(-1)).toEqual(['sponge', 8000]);
  });

  it('that a newer one supersedes never comes into force', async () => {
    stub.kubelet.quotaDelayMs = 50;
    stub.addPod('p', [BURSTABLE]);
    await resize({ limits: { cpu: '2' } });
    await resize({ limits: { cpu: '3' } });
    await expect.poll(() => quotas.at(-1)).toEqual(['sponge', 3000]);
    await delay(60);
    expect(quotas).toEqual([
      ['sponge', 1000],
      ['sponge', 3000],
    ]);
  });
});

describe('other resources', () => {
  it('have a scale that is read and written', async () => {
    const collection = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments`;
    stub.objects.put(collection, { metadata: { name: 'd' }, spec: { replicas: 2 } });
    expect((await call('GET', `${collection}/d/scale`)).json.spec.replicas).toBe(2);
    await call('PUT', `${collection}/d/scale`, { metadata: { name: 'd' }, spec: { replicas: 5 } });
    expect(stub.objects.get(collection, 'd')?.['spec']).toEqual({ replicas: 5 });
    expect((await call('PUT', `${collection}/d/scale`, { metadata: {}, spec: { replicas: -1 } })).status).toBe(422);
  });

  it('are made once', async () => {
    const collection = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
    expect((await call('POST', collection, { metadata: { name: 'l' } })).status).toBe(200);
    expect((await call('POST', collection, { metadata: { name: 'l' } })).json.reason).toBe('AlreadyExists');
  });
});
