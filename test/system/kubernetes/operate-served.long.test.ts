import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { slow } from '../../../research/load-models/tiny-graphs.js';
import type { OperatorStatus } from '../../../src/server/operate/operator.js';
import { eventually, TestBench, type RunningServer } from '../server/harness.js';
import { slowStepsFor } from '../server/machine-speed.js';
import { DEPLOYMENTS, NAME, OperatedCluster, type RunningPod } from './operated-cluster.js';
import { ApiServerStub, NAMESPACE } from './stub/api-server.js';
import type { StubContainer } from './stub/resize-rules.js';

/*
 * `sponge operate` as a user starts it, twice, over real servers as pods: load comes and goes, and the one that writes is killed in between. A
 * pod's quota is a file that its server reads; nothing stops it at that quota, so what is judged is who decides what, not how fast it is.
 */

const BIN = join(import.meta.dirname, '../../../bin/sponge.js');
/** On one core. */
const RUN_MS = 60;
const BUDGET_MS = 3000;
/** Decisions follow what servers could do of late, which on a machine that others want too is minutes. */
const PATIENCE_MS = 180_000;
/** With 0.5 cores a pod does about 7 of these a second. */
const MOST_CORES = 0.5;
const CONTAINER: StubContainer = {
  name: 'sponge',
  resources: { requests: { cpu: '200m', memory: '64Mi' }, limits: { cpu: '500m', memory: '1Gi' } },
};
const BODY = JSON.stringify({
  inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 1024], data: new Array<number>(1024).fill(1) }],
});

const bench = new TestBench();
let stub: ApiServerStub;
let cluster: OperatedCluster;
let port: number;
let model: string;
const operators: { readonly child: ChildProcess; readonly url: string }[] = [];

beforeAll(async () => {
  model = bench.model('slow', slow(await slowStepsFor(RUN_MS)));
  stub = await ApiServerStub.start((pod, _container, cpuMillicores) => {
    mkdirSync(bench.path(pod), { recursive: true });
    writeFileSync(join(bench.path(pod), 'cpu.max'), `${cpuMillicores * 100} 100000\n`);
  });
  stub.rights.set('operate', new Set(['*']));
  stub.kubelet.statusDelayMs = 100;
  stub.kubelet.capacityMillicores = 64_000;
  port = await freePort();
  cluster = new OperatedCluster(stub, { container: CONTAINER, replicas: 1, run });
});

afterAll(async () => {
  for (const { child } of operators) child.kill('SIGKILL');
  await cluster.stop();
  await stub.stop();
  await bench.close();
});

/** One that is free at one of our addresses is at the others. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: found } = server.address() as AddressInfo;
  server.close();
  return found;
}

function run(name: string, address: string): RunningPod {
  const own = ['--scaler', 'kubernetes', '--kubernetes-resizer', 'others', '--kubernetes-inner', 'none'];
  const where = ['--kubernetes-cgroup', bench.path(name), '--host', address, '--port', String(port)];
  const flags = [...own, ...where, '--max-batch', '2', '--no-refine', '--group', `${bench.group}-${name}`];
  const server: RunningServer = bench.start(model, [...flags, '--max-cores', String(MOST_CORES)]);
  return {
    ready: server.ready().then(() => undefined),
    stop: async () => {
      // Others learn that it goes before it does.
      await delay(500);
      await server.stop();
    },
  };
}

async function operate(): Promise<void> {
  const config = bench.file(`kubeconfig-${operators.length}`, stub.kubeconfig('operate'));
  const flags = ['--workload', `deployment/${NAME}`, '--pod-port', String(port), '--max-replicas', '3', '--port', '0'];
  const own = [
    '--min-cores',
    '0.2',
    '--max-cores',
    String(MOST_CORES),
    '--hold-seconds',
    '8',
    '--lease-seconds',
    '3',
    '--log-level',
    'error',
  ];
  const child = spawn(process.execPath, [BIN, 'operate', ...flags, ...own], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    env: { ...process.env, KUBECONFIG: config },
  });
  const [message] = (await once(child, 'message')) as [{ port: number }];
  operators.push({ child, url: `http://127.0.0.1:${message.port}` });
}

async function statusOf(index: number): Promise<OperatorStatus> {
  const { body } = await request(`${operators[index]!.url}/status`);
  return (await body.json()) as OperatorStatus;
}

/** Requests to one pod after the other, for as long as it is not so. @returns their statuses */
async function load(
  everyMs: number,
  what: string,
  until: () => boolean | Promise<boolean>,
): Promise<readonly number[]> {
  const client = new Agent({ keepAliveTimeout: 1, keepAliveMaxTimeout: 1 });
  const statuses: Promise<number>[] = [];
  let turn = 0;
  const send = async (address: string): Promise<number> => {
    const response = await request(`http://${address}:${port}/v2/models/slow/infer`, {
      method: 'POST',
      headers: { 'request-timeout-ms': String(BUDGET_MS) },
      body: BODY,
      dispatcher: client,
    });
    await response.body.dump();
    return response.statusCode;
  };
  const timer = setInterval(() => {
    const { addresses } = cluster;
    if (addresses.length > 0) statuses.push(send(addresses[turn++ % addresses.length]!));
  }, everyMs);
  try {
    await eventually(what, until, PATIENCE_MS);
  } finally {
    clearInterval(timer);
  }
  const answered = await Promise.all(statuses);
  await client.close();
  return answered;
}

/** Answered, or refused for time. */
function expectNothingLost(statuses: readonly number[]): void {
  expect(statuses.filter((status) => ![200, 429, 504].includes(status))).toEqual([]);
  expect(statuses.filter((status) => status === 200).length).toBeGreaterThan(0);
}

describe('real servers as pods', () => {
  it('come with the load and go after it, whoever of two controllers lives, and no request is lost', async () => {
    await eventually('the first pod', () => cluster.addresses.length === 1);
    await operate();
    await eventually('a leader', async () => (await statusOf(0)).isLeader);
    await operate();
    const grown = await load(100, 'more pods', () => cluster.replicas > 1 && cluster.addresses.length > 1);
    expectNothingLost(grown);
    expect(stub.resizes.length).toBeGreaterThan(0);
    const { leaseTransitions } = lease();

    operators[0]!.child.kill('SIGKILL');
    const taken = await load(150, 'another leader', async () => (await statusOf(1)).isLeader);
    expectNothingLost(taken);
    expect(lease().leaseTransitions).toBe(leaseTransitions + 1);

    const before = cluster.replicas;
    const shrunk = await load(1000, 'a pod to go', () => cluster.replicas < before);
    expectNothingLost(shrunk);
    expect((await statusOf(1)).workloads[0]!.writes.scale).toBeGreaterThan(0);

    // Given up at the end, so that nobody waits for it.
    operators[1]!.child.kill('SIGTERM');
    await once(operators[1]!.child, 'exit');
    expect(lease().holderIdentity).toBe('');
    expect(stub.objects.get(DEPLOYMENTS, NAME)).toBeDefined();
  });
});

function lease(): { readonly holderIdentity: string; readonly leaseTransitions: number } {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${NAMESPACE}/leases`;
  return stub.objects.get(path, 'sponge-operate')!['spec'] as { holderIdentity: string; leaseTransitions: number };
}
