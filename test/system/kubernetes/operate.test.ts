import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ApiClient } from '../../../src/kubernetes/api-client.js';
import { findClusterAccess } from '../../../src/kubernetes/cluster-access.js';
import { USUAL_RULES } from '../../../src/operate/observation.js';
import { Operator } from '../../../src/server/operate/operator.js';
import type { OperateSettings } from '../../../src/server/operate/settings.js';
import { DEPLOYMENTS, NAME, OperatedCluster, ToldDemand } from './operated-cluster.js';
import { ApiServerStub, NAMESPACE, PODS } from './stub/api-server.js';
import type { StubContainer } from './stub/resize-rules.js';

/* The controller against an API server of our own; what pods say is the test's. */

const RIGHTS = [
  ...['get', 'list', 'watch'].map((verb) => `${verb} deployments`),
  ...['get', 'patch'].map((verb) => `${verb} deployments/scale`),
  ...['get', 'list', 'watch'].map((verb) => `${verb} pods`),
  'patch pods/resize',
  ...['create', 'patch'].map((verb) => `${verb} events`),
  ...['horizontalpodautoscalers', 'verticalpodautoscalers', 'scaledobjects'].flatMap((kind) => [
    `list ${kind}`,
    `watch ${kind}`,
  ]),
  ...['create', 'get', 'update'].map((verb) => `${verb} leases`),
];
const LEASES = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
const EVENTS = `/api/v1/namespaces/${NAMESPACE}/events`;
const HPAS = `/apis/autoscaling/v2/namespaces/${NAMESPACE}/horizontalpodautoscalers`;

/** At the template's 2.25 cores models have 2: 200 requests/s of the told model, 140 before pods are asked for. */
const CONTAINER: StubContainer = {
  name: 'sponge',
  resources: { requests: { cpu: '500m', memory: '64Mi' }, limits: { cpu: '2250m', memory: '1Gi' } },
};
const START_LIMIT = 2250;

const folder = mkdtempSync(join(tmpdir(), 'sponge-operate-'));
let stub: ApiServerStub;
let demand: ToldDemand;
let cluster: OperatedCluster;
let operators: Operator[] = [];
let clients: ApiClient[] = [];
let lines: string[] = [];

beforeEach(async () => {
  stub = await ApiServerStub.start();
  stub.rights.set('operate', new Set(RIGHTS));
  stub.kubelet.statusDelayMs = 60;
  stub.kubelet.capacityMillicores = 64_000;
  demand = new ToldDemand();
  lines = [];
});

afterEach(async () => {
  await Promise.all(operators.map((each) => each.stop()));
  for (const client of clients) client.close();
  operators = [];
  clients = [];
  await cluster.stop();
  await stub.stop();
});
afterAll(() => rmSync(folder, { recursive: true }));

async function deploy(replicas = 1): Promise<void> {
  cluster = new OperatedCluster(stub, { container: CONTAINER, replicas, run: demand.run });
  await expect.poll(() => cluster.addresses.length).toBe(replicas);
}

async function operate(settings: Partial<OperateSettings> = {}, token = 'operate'): Promise<Operator> {
  const config = join(folder, `config-${token}`);
  writeFileSync(config, stub.kubeconfig(token));
  const client = new ApiClient(await findClusterAccess({ KUBECONFIG: config }), 'sponge-operate');
  clients.push(client);
  const stream = { write: (line: string) => void lines.push((JSON.parse(line) as { msg: string }).msg) };
  const operator = new Operator({
    client,
    logger: pino({}, stream),
    nowMs: () => performance.now(),
    watchTimes: { firstPauseMs: 20, longestPauseMs: 100, watchSeconds: 60 },
    settings: {
      namespace: NAMESPACE,
      workloads: [{ kind: 'Deployment', name: NAME }],
      selector: null,
      container: null,
      podPort: demand.port,
      token: null,
      requests: 'follow',
      maxMillicores: null,
      minMillicores: 250,
      rules: {
        ...USUAL_RULES,
        maxReplicas: 4,
        coreHoldMs: 1500,
        replicaHoldMs: 4000,
        settleMs: 1000,
        coldStartMs: 1000,
      },
      isDryRun: false,
      lease: { name: 'sponge-operate', seconds: 2 },
      identity: `${token}-${operators.length}`,
      ...settings,
    },
  });
  operators.push(operator);
  operator.start();
  return operator;
}

/** Verb and path, of what was written. */
function written(): readonly string[] {
  return stub.calls.filter((call) => !call.startsWith('GET ')).map((call) => call.split('?')[0]!);
}

const toWorkload = (): readonly string[] => written().filter((call) => /\/(scale|resize)$/.test(call));
const events = (): readonly { reason: string; message: string; count: number; type: string }[] =>
  stub.objects.list(EVENTS) as unknown as { reason: string; message: string; count: number; type: string }[];
const reasons = (): readonly string[] => events().map(({ reason }) => reason);
const patient = { timeout: 60_000 };

describe('a workload that is operated', () => {
  it('grows in place, has pods asked for beyond that, shrinks once they are warm, and one goes when it is not needed', async () => {
    demand.ratePerSec = 20;
    await deploy();
    const operator = await operate();
    // 20/s of 10 core-ms: a little more than a fifth of a core, and the router's quarter. From 2 cores by half a step.
    await expect.poll(() => cluster.limits[0], patient).toBeLessThan(1000);
    expect(cluster.replicas).toBe(1);

    demand.ratePerSec = 100;
    await expect.poll(() => cluster.limits[0], patient).toBeGreaterThan(1200);
    // The request moves with it, so that the node knows.
    const { resources } = stub.pod('ocr-0').spec.containers[0]!;
    expect(resources!.requests!['cpu']).toBe(resources!.limits!['cpu']);

    demand.ratePerSec = 320;
    await expect.poll(() => cluster.replicas, patient).toBeGreaterThanOrEqual(2);
    await expect.poll(() => cluster.addresses.length, patient).toBe(cluster.replicas);
    const most = cluster.replicas;

    demand.ratePerSec = 10;
    await expect.poll(() => cluster.replicas, patient).toBe(1);
    expect(most).toBeLessThanOrEqual(4);
    expect(reasons()).toEqual(expect.arrayContaining(['Grown', 'PodsAdded', 'Shrunk', 'PodRemoved']));
    for (const { message } of events()) expect(message).toMatch(/^[^\n]{10,300}$/);
    // Nothing else was ever written.
    const allowed = new RegExp(
      `^(PATCH ${PODS}/[^/]+/resize|PATCH ${DEPLOYMENTS}/${NAME}/scale|(POST|PATCH) ${EVENTS}.*|(POST|PUT) ${LEASES}.*)$`,
    );
    expect(written().filter((call) => !allowed.test(call))).toEqual([]);
    expect(operator.status.workloads[0]).toMatchObject({
      workload: `deployment/${NAME}`,
      leftAlone: null,
      trouble: null,
    });
  });

  it('has pods asked for when the node defers a resize', async () => {
    demand.ratePerSec = 20;
    await deploy();
    await operate();
    await expect.poll(() => cluster.limits[0], patient).toBeLessThan(1000);
    stub.kubelet.otherMillicores = stub.kubelet.capacityMillicores - 1000;
    demand.ratePerSec = 110;
    await expect.poll(() => cluster.replicas, patient).toBe(2);
    expect(reasons()).toEqual(expect.arrayContaining(['ResizeDeferred', 'PodsAdded']));
    expect(events().find(({ reason }) => reason === 'PodsAdded')!.message).toContain('a node has no more cores');
  });

  it('that resizes its own pods has only their number decided', async () => {
    demand.ratePerSec = 600;
    demand.resizesItself = true;
    await deploy();
    await operate();
    await expect.poll(() => cluster.replicas, patient).toBeGreaterThanOrEqual(3);
    expect(toWorkload().filter((call) => call.endsWith('/resize'))).toEqual([]);
  });
});

describe('whoever else decides', () => {
  const hpa = {
    metadata: { name: 'ocr-hpa', namespace: NAMESPACE },
    spec: { scaleTargetRef: { kind: 'Deployment', name: NAME } },
  };
  const vpas = `/apis/autoscaling.k8s.io/v1/namespaces/${NAMESPACE}/verticalpodautoscalers`;
  const vpa = (updateMode: string) => ({
    metadata: { name: 'ocr-vpa', namespace: NAMESPACE },
    spec: { targetRef: { kind: 'Deployment', name: NAME }, updatePolicy: { updateMode } },
  });
  const scaled = {
    metadata: { name: 'ocr-keda', namespace: NAMESPACE },
    spec: { scaleTargetRef: { name: NAME } },
  };

  it.each([
    ['HorizontalPodAutoscaler ocr-hpa', HPAS, hpa],
    ['VerticalPodAutoscaler ocr-vpa', vpas, vpa('Auto')],
    ['ScaledObject ocr-keda', `/apis/keda.sh/v1alpha1/namespaces/${NAMESPACE}/scaledobjects`, scaled],
  ])('%s has it to itself, until it is gone', async (who, collection, object) => {
    demand.ratePerSec = 20;
    stub.objects.put(collection, structuredClone(object));
    await deploy();
    const operator = await operate();
    await expect.poll(reasons, patient).toContain('LeftAlone');
    expect(operator.status.workloads[0]!.leftAlone).toContain(who);
    expect(operator.status.workloads[0]!.decision[0]!.kind).toBe('left-alone');
    expect(cluster.limits).toEqual([START_LIMIT]);
    expect(toWorkload()).toEqual([]);
    stub.objects.remove(collection, object.metadata.name);
    await expect.poll(() => cluster.limits[0], patient).toBeLessThan(START_LIMIT);
  });

  it('a VPA that only recommends decides nothing; what may not be listed is taken to decide', async () => {
    demand.ratePerSec = 20;
    stub.objects.put(vpas, vpa('Off'));
    await deploy();
    await operate();
    await expect.poll(() => cluster.limits[0], patient).toBeLessThan(START_LIMIT);
    await operators.pop()!.stop();
    const before = toWorkload().length;
    stub.rights.set('blind', new Set(RIGHTS.filter((right) => !right.includes('scaledobjects'))));
    const operator = await operate({}, 'blind');
    demand.ratePerSec = 180;
    await expect
      .poll(() => operator.status.workloads[0]?.leftAlone ?? '', patient)
      .toContain('no right to list scaledobjects (403)');
    await expect.poll(() => operator.status.isLeader, patient).toBe(true);
    expect(toWorkload()).toHaveLength(before);
  });
});

describe('two controllers', () => {
  it('have one that writes; given up, the lease is taken at once', async () => {
    demand.ratePerSec = 20;
    await deploy();
    const first = await operate();
    await expect.poll(() => first.status.isLeader, patient).toBe(true);
    const second = await operate();
    await expect.poll(() => second.status.leader, patient).toBe('operate-0');
    await expect.poll(() => cluster.limits[0], patient).toBeLessThan(START_LIMIT);
    expect(second.status.workloads[0]!.writes).toEqual({ scale: 0, resize: 0, refused: 0 });
    await operators.shift()!.stop();
    await expect.poll(() => second.status.isLeader, patient).toBe(true);
    demand.ratePerSec = 120;
    await expect.poll(() => second.status.workloads[0]!.writes.resize, patient).toBeGreaterThan(0);
    const lease = stub.objects.get(LEASES, 'sponge-operate')!['spec'] as { leaseTransitions: number };
    expect(lease.leaseTransitions).toBeGreaterThanOrEqual(1);
  });

  it('have none that writes while a third party writes the lease as its own', async () => {
    demand.ratePerSec = 20;
    await deploy();
    const operator = await operate();
    await expect.poll(() => operator.status.isLeader, patient).toBe(true);
    const renew = setInterval(() => {
      const lease = stub.objects.get(LEASES, 'sponge-operate')!;
      stub.objects.put(LEASES, {
        ...lease,
        spec: { holderIdentity: 'another', leaseDurationSeconds: 2, renewTime: new Date().toISOString() },
      });
    }, 100);
    try {
      await expect.poll(() => operator.status.isLeader, patient).toBe(false);
      const before = toWorkload().length;
      demand.ratePerSec = 180;
      await expect.poll(() => operator.status.workloads[0]!.neededMillicores ?? 0, patient).toBeGreaterThan(1500);
      expect(toWorkload()).toHaveLength(before);
    } finally {
      clearInterval(renew);
    }
  });
});

describe('trouble with the API server', () => {
  it('a conflict is decided anew, a right that is missing is named, and nothing is changed meanwhile', async () => {
    demand.ratePerSec = 20;
    await deploy();
    stub.failOn(/^PATCH .*\/resize/, 2, 409);
    await operate();
    await expect.poll(() => cluster.limits[0], patient).toBeLessThan(START_LIMIT);
    expect(lines.filter((line) => line.includes('(409)'))).toEqual([]);
    stub.rights.set('operate', new Set(RIGHTS.filter((right) => right !== 'patch pods/resize')));
    const held = cluster.limits[0];
    demand.ratePerSec = 120;
    await expect.poll(reasons, patient).toContain('Refused');
    expect(events().find(({ reason }) => reason === 'Refused')!.message).toContain(
      'no right to patch pods/resize (403)',
    );
    expect(cluster.limits[0]).toBe(held);
    // Said again and again is one event.
    await expect.poll(() => operators[0]!.status.workloads[0]!.writes.refused, patient).toBeGreaterThan(3);
    expect(reasons().filter((reason) => reason === 'Refused')).toHaveLength(1);
  });

  it('away for a while, everything stays as it is; back, it goes on', async () => {
    demand.ratePerSec = 20;
    await deploy();
    const operator = await operate();
    await expect.poll(() => cluster.limits[0], patient).toBeLessThan(1000);
    const held = cluster.limits[0];
    stub.setDown(true);
    demand.ratePerSec = 120;
    await expect.poll(() => operator.status.isLeader, patient).toBe(false);
    expect(cluster.limits[0]).toBe(held);
    stub.setDown(false);
    await expect.poll(() => cluster.limits[0], patient).toBeGreaterThan(1200);
    stub.endWatches();
    demand.ratePerSec = 320;
    await expect.poll(() => cluster.replicas, patient).toBeGreaterThanOrEqual(2);
    await expect.poll(() => operator.status.workloads[0]!.warm, patient).toBe(cluster.replicas);
  });
});

describe('a dry run', () => {
  it('says what it would do, and writes nothing at all', async () => {
    demand.ratePerSec = 320;
    await deploy();
    const operator = await operate({ isDryRun: true });
    await expect.poll(() => lines.join('\n'), patient).toContain('PodsAdded: would be, without --dry-run: ');
    expect(operator.status).toMatchObject({ isDryRun: true, isLeader: false });
    expect(written()).toEqual([]);
  });
});
