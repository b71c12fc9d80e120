import { accessSync, constants, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { slow } from '../../../research/load-models/tiny-graphs.js';
import { findCgroupPlaces } from '../../../src/server/scalers/cgroup-paths.js';
import { scrape } from '../server/clients.js';
import { eventually, TestBench, type RunningServer } from '../server/harness.js';
import { slowStepsFor } from '../server/machine-speed.js';
import { access } from './other-client.js';
import { ApiServerStub, NAMESPACE } from './stub/api-server.js';
import type { StubContainer } from './stub/resize-rules.js';

/*
 * A real server in a pod that is none: the API server and the kubelet are stubs that keep the rules of `pods/resize`, the pod's cgroup is a real
 * one where this machine has cgroup v1 and we may make groups, and else a folder with its files.
 */

const POD = 'ocr-5d9c';
const RIGHTS = ['get pods', 'list pods', 'watch pods', 'patch pods/resize'];
const START_MILLICORES = 500;
/** On one core. */
const RUN_MS = 60;
const STEPS = await slowStepsFor(RUN_MS);
const MOST = 1000 * availableParallelism();

const cpuTree = findCgroupPlaces().v1.get('cpu')?.own;
const isReal = cpuTree !== undefined && isWritable(cpuTree);
if (!isReal) console.warn('SKIPPED real quotas of a pod: no cgroup v1 tree that groups can be made in');

function isWritable(dir: string): boolean {
  try {
    accessSync(dir, constants.W_OK);
    return process.getuid?.() === 0;
  } catch {
    return false;
  }
}

const bench = new TestBench();
const model = bench.model('slow', slow(STEPS));
let stub: ApiServerStub;
let cgroup: string;
let server: RunningServer;
let folders = 0;

const burstable: StubContainer = {
  name: 'sponge',
  resources: { requests: { cpu: '200m', memory: '64Mi' }, limits: { cpu: `${START_MILLICORES}m`, memory: '1Gi' } },
};
const guaranteed: StubContainer = {
  name: 'sponge',
  resources: {
    requests: { cpu: `${START_MILLICORES}m`, memory: '1Gi' },
    limits: { cpu: `${START_MILLICORES}m`, memory: '1Gi' },
  },
};

beforeEach(async () => {
  cgroup = bench.path(`cgroup-${folders++}`);
  mkdirSync(cgroup);
  stub = await ApiServerStub.start((_pod, _container, cpuMillicores) => {
    writeFileSync(join(cgroup, 'cpu.max'), `${cpuMillicores * 100} 100000\n`);
  });
  stub.rights.set('pod', new Set(RIGHTS));
  stub.kubelet.statusDelayMs = 200;
  stub.kubelet.capacityMillicores = 64_000;
});

afterEach(async () => {
  await server.stop();
  await stub.stop();
});
afterAll(() => bench.close());

async function serve(flags: readonly string[] = [], prefix: readonly string[] = [], dir = cgroup): Promise<void> {
  const config = bench.file(`kubeconfig-${folders}`, stub.kubeconfig('pod'));
  const own = ['--scaler', 'kubernetes', '--kubernetes-pod', `${NAMESPACE}/${POD}`, '--kubernetes-cgroup', dir];
  const all = [...own, '--no-refine', '--max-batch', '2', '--kubernetes-rate', '5', ...flags];
  server = bench.start(model, all, { KUBECONFIG: config }, prefix);
  await server.ready();
}

const body = JSON.stringify({
  inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1024], data: new Array<number>(1024).fill(1) }],
});

/** Requests that are due soon, one after the other, while something is not the case yet. @returns their statuses */
async function load(
  until: () => boolean | Promise<boolean>,
  what: string,
  everyMs = RUN_MS,
): Promise<readonly number[]> {
  // A connection that has rested may be closed by the server in the moment in which it is used again.
  const client = new Agent({ connections: 16, keepAliveTimeout: 1, keepAliveMaxTimeout: 1 });
  const statuses: Promise<number>[] = [];
  const send = async (): Promise<number> => {
    const response = await request(`${server.rest}/v2/models/slow/infer`, {
      method: 'POST',
      headers: { 'request-timeout-ms': String(20 * RUN_MS) },
      body,
      dispatcher: client,
    });
    await response.body.dump();
    return response.statusCode;
  };
  const timer = setInterval(() => statuses.push(send()), everyMs);
  try {
    await eventually(what, until);
  } finally {
    clearInterval(timer);
  }
  const answered = await Promise.all(statuses);
  await client.close();
  return answered;
}

/** Nobody was lost: answered, or refused in time. */
function expectNothingLost(statuses: readonly number[]): void {
  expect(statuses.filter((status) => ![200, 429, 504].includes(status))).toEqual([]);
  expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(0);
}

const limitOf = (): string => stub.pod(POD).spec.containers[0]!.resources!.limits!['cpu']!;
const limit = async (of: string): Promise<number> => (await scrape(server)).sum('sponge_pod_limit_millicores', { of });

describe('a pod whose limit is all there is', () => {
  it('grows under load and shrinks after it, in place, and the request stays', async () => {
    stub.addPod(POD, [burstable]);
    await serve(['--kubernetes-inner', 'none']);
    expect(server.banner).toContain(
      `limit of pod ${NAMESPACE}/${POD} (Burstable), up to ${MOST} millicores, no quotas inside it`,
    );
    await eventually('the least limit', async () => (await limit('in-force')) < START_MILLICORES + 100);
    const worker = server.worker();
    const idle = await limit('in-force');
    const statuses = await load(async () => (await limit('in-force')) > idle + 300, 'a larger limit', RUN_MS / 2);
    expectNothingLost(statuses);
    await eventually('the least limit again', async () => (await limit('in-force')) === idle);
    expect(server.worker()).toBe(worker);
    expect(stub.pod(POD).spec.containers[0]!.resources!.requests!['cpu']).toBe('200m');
    const metrics = await scrape(server);
    expect(metrics.sum('sponge_pod_resizes_total', { result: 'in-force' })).toBeGreaterThan(1);
    expect(metrics.sum('sponge_pod_resize_seconds_count')).toBeGreaterThan(1);
    expect(metrics.sum('sponge_outcomes_total', { outcome: 'failed' })).toBe(0);
    // Never faster than it is told to, but for what it may save up: ten.
    const [first, last] = [stub.resizes[0]!, stub.resizes.at(-1)!];
    expect(stub.resizes.length).toBeLessThanOrEqual(11 + (5 * (last.atMs - first.atMs)) / 1000);
  });

  it('goes on without the API server, and resizes again when it is back', async () => {
    stub.addPod(POD, [burstable]);
    await serve(['--kubernetes-inner', 'none']);
    await eventually('the least limit', async () => (await limit('in-force')) < START_MILLICORES + 100);
    const idle = await limit('in-force');
    stub.setDown(true);
    const lost = await load(() => server.log.includes('(unreachable)'), 'a word about it', RUN_MS / 2);
    expectNothingLost(lost);
    expect(await limit('in-force')).toBe(idle);
    expect((await scrape(server)).sum('sponge_pod_resize_blocked', { reason: 'unreachable' })).toBe(1);
    stub.setDown(false);
    const back = await load(async () => (await limit('in-force')) > idle + 300, 'a larger limit', RUN_MS / 2);
    expectNothingLost(back);
    expect(server.log).toContain("the pod's limit can be changed again");
  });
});

describe('a start without an API server', () => {
  it('serves with the limit that the pod has, and resizes it once there is one', async () => {
    stub.addPod(POD, [burstable]);
    stub.setDown(true);
    await serve(['--kubernetes-inner', 'none']);
    expect(server.banner).toContain('(not seen yet)');
    const untilMs = performance.now() + 1000;
    expectNothingLost(await load(() => performance.now() > untilMs, 'a second'));
    expect(await limit('in-force')).toBe(START_MILLICORES);
    stub.setDown(false);
    const grown = await load(
      async () => (await limit('in-force')) > START_MILLICORES + 300,
      'a larger limit',
      RUN_MS / 2,
    );
    expectNothingLost(grown);
  });
});

describe('a pod with a reservation', () => {
  it('whose node has no room now says so, goes on with what it has, and grows when there is room', async () => {
    stub.addPod(POD, [guaranteed]);
    stub.kubelet.capacityMillicores = 4000;
    stub.kubelet.otherMillicores = 4000 - START_MILLICORES;
    await serve();
    expect(server.banner).toContain('limit and request of pod');
    await eventually('the line', () => server.log.includes('(deferred)'));
    const untilMs = performance.now() + 1500;
    expectNothingLost(await load(() => performance.now() > untilMs, 'a while'));
    expect(await limit('reachable')).toBe(START_MILLICORES - 250);
    expect(await limit('in-force')).toBe(START_MILLICORES);
    expect((await scrape(server)).sum('sponge_pod_resize_blocked', { reason: 'deferred' })).toBe(1);
    // Somebody else's pod has ended: the kubelet tries again by itself.
    stub.kubelet.otherMillicores = 0;
    stub.kubelet.look(POD);
    const grown = await load(
      async () => (await limit('in-force')) > START_MILLICORES + 300,
      'a larger limit',
      RUN_MS / 2,
    );
    expectNothingLost(grown);
    const after = await scrape(server);
    expect(() => after.sum('sponge_pod_resize_blocked')).toThrow('no series');
  });

  it('that can never be resized is not asked again', async () => {
    stub.addPod(POD, [guaranteed]);
    stub.kubelet.hasStaticCpuManager = true;
    await serve();
    await eventually('the line', () => server.log.includes('(infeasible)'));
    // By halves, and back.
    await eventually('the wish taken back', () => limitOf() === `${START_MILLICORES}m`);
    const asked = stub.resizes.length;
    const untilMs = performance.now() + 3000;
    expectNothingLost(await load(() => performance.now() > untilMs, 'three seconds', RUN_MS / 2));
    expect(stub.resizes.length).toBe(asked);
    expect(limitOf()).toBe(`${START_MILLICORES}m`);
    expect(await limit('in-force')).toBe(START_MILLICORES);
  });

  it('that others resize too is left to them after the third time', async () => {
    stub.addPod(POD, [burstable], {
      annotations: { vpaUpdates: 'Pod resources updated by slow-vpa: container 0: cpu request' },
    });
    await serve(['--kubernetes-inner', 'none']);
    expect(server.log).toContain('a vertical pod autoscaler sets this pod');
    const other = await access(stub, bench);
    for (let round = 0; round < 8 && !server.log.includes('(contested)'); round++) {
      await other.resize(POD, 700 + 10 * round);
      await delay(300);
    }
    await eventually('the line', () => server.log.includes('(contested)'));
    expect(server.log).toContain('vpa-updater resized our pod');
    const asked = stub.resizes.length;
    const untilMs = performance.now() + 1500;
    expectNothingLost(await load(() => performance.now() > untilMs, 'a while', RUN_MS / 2));
    expect(stub.resizes.length).toBe(asked);
    other.close();
  });
});

describe('a start', () => {
  it('without the right to resize says which', async () => {
    stub.addPod(POD, [burstable]);
    stub.rights.set('pod', new Set(RIGHTS.slice(0, 3)));
    await expect(serve()).rejects.toThrow('no right to patch pods/resize (403); apply deploy/kubernetes/rbac.yaml');
  });

  it('in a pod that may not be resized says why', async () => {
    stub.addPod(POD, [{ name: 'sponge' }]);
    await expect(serve()).rejects.toThrow('is BestEffort, and a resize may not change that');
  });

  it('in one of several containers asks which is ours', async () => {
    stub.addPod(POD, [
      { ...burstable, name: 'a' },
      { ...burstable, name: 'b' },
    ]);
    await expect(serve()).rejects.toThrow('say which is ours with --kubernetes-container');
  });
});

describe.runIf(isReal)('a pod with a real quota', () => {
  it.each(['none', 'auto'])('is given what it needs, with inner %s', async (inner) => {
    const dir = join(cpuTree!, `sponge-test-pod-${process.pid}-${inner}`);
    mkdirSync(dir);
    try {
      const real = await ApiServerStub.start((_pod, _container, cpuMillicores) => {
        writeFileSync(join(dir, 'cpu.cfs_quota_us'), String(cpuMillicores * 100));
      });
      await stub.stop();
      stub = real;
      stub.rights.set('pod', new Set(RIGHTS));
      stub.addPod(POD, [burstable]);
      const enter = ['sh', '-c', `echo $$ > ${join(dir, 'cgroup.procs')} && exec "$@"`, 'sh'];
      await serve(['--kubernetes-inner', inner], enter, dir);
      expect(server.banner).toContain(inner === 'none' ? 'no quotas inside it' : 'inside it cgroup v1 group');
      const sinceMs = performance.now();
      const statuses = await load(
        async () => performance.now() > sinceMs + 2000 && (await limit('in-force')) >= Math.min(1000, MOST),
        'a whole core',
        RUN_MS / 2,
      );
      expectNothingLost(statuses);
      const metrics = await scrape(server);
      expect(metrics.sum('sponge_outcomes_total', { outcome: 'failed' })).toBe(0);
      expect(metrics.sum('sponge_resizes_total', { result: 'refused' })).toBe(0);
    } finally {
      await server.stop();
      await eventually('an empty group', () => {
        try {
          rmdirSync(dir);
          return true;
        } catch {
          return false;
        }
      });
    }
  });
});
