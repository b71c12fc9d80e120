import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiClient } from '../../../../src/kubernetes/api-client.js';
import { quantile, timeResize, type ResizeTimes } from './latencies.js';
import { eventually, isReady, must, podOf, PODS, resize, type Pod } from './objects.js';
import { idlePod, LEAST_MILLICORES, START_MILLICORES, type Deployed, type Site } from './site.js';

/* A pod that resizes itself, on a real node, step by step. Each says in a line what it saw, or throws. */

const RESIZES = 50;
/** The kubelet looks at its containers once a second, and acts upon a pod again only when it has looked since. */
const RESTED_MS = 2500;

export class Walk {
  readonly #site: Site;
  readonly #api: ApiClient;
  #pod: Pod | null = null;

  constructor(site: Site) {
    this.#site = site;
    this.#api = site.api;
  }

  async serves(): Promise<string> {
    await this.#site.apply(['rbac.yaml', 'own-pod-only.yaml']);
    await this.#site.deploy(resizesItself('Burstable'));
    const begunMs = performance.now();
    this.#pod = await this.#site.readyPod();
    const tookSec = ((performance.now() - begunMs) / 1000).toFixed(0);
    return `${this.#pod.metadata.name} is ready after ${tookSec} s, its model profiled by resizes of the pod`;
  }

  async resizesUnderLoad(): Promise<string> {
    const before = await this.#servingPod();
    const processes = this.#read(before, 'cgroup.procs');
    const client = this.#site.client(() => this.#pod!);
    await eventually('the least limit', async () => ((await this.#limit()) <= LEAST_MILLICORES + 200 ? true : null));
    const idle = await this.#limit();
    client.setRate(25);
    const grown = await eventually('a larger limit', async () => {
      const limit = await this.#limit();
      return limit >= idle + 300 ? limit : null;
    });
    await delay(10_000);
    client.setRate(0);
    await eventually('a smaller limit again', async () => ((await this.#limit()) <= idle ? true : null));
    await client.end();
    const after = await podOf(this.#api, before.metadata.name);
    const [was] = before.status.containerStatuses!;
    const [is] = after.status.containerStatuses!;
    if (is!.containerID !== was!.containerID || is!.restartCount !== was!.restartCount)
      throw new Error(`the container was restarted: ${JSON.stringify(is)}`);
    if (this.#read(before, 'cgroup.procs') !== processes) throw new Error('its processes are others');
    if (client.failures.length > 0) throw new Error(`${client.failures.length} failed: ${client.failures[0]}`);
    const answered = client.statuses.filter((status) => status === 200).length;
    const scraped = await this.#site.scrape(this.#pod!);
    const count = scraped.sum('sponge_pod_resize_seconds_count');
    const meanMs = (1000 * scraped.sum('sponge_pod_resize_seconds_sum')) / count;
    return `${idle} → ${grown} → ${idle} millicores in the same processes; ${answered} of ${client.statuses.length} answered, none failed; ${count} resizes, ${meanMs.toFixed(0)} ms each by its own clock`;
  }

  /** Without load of ours, so that what is measured is the node's. */
  async latencies(): Promise<string> {
    await this.#site.create(idlePod('measured', { cpu: '100m', memory: '16Mi' }, { cpu: '200m', memory: '64Mi' }));
    const pod = await eventually('the measured pod', async () => {
      const found = await podOf(this.#api, 'measured');
      return isReady(found) ? found : null;
    });
    const file = this.#file(pod, 'cpu.cfs_quota_us');
    let isLarge = false;
    const times = async (count: number, pauseMs: () => number): Promise<ResizeTimes[]> => {
      const all: ResizeTimes[] = [];
      for (let i = 0; i < count; i++) {
        await delay(pauseMs());
        isLarge = !isLarge;
        all.push(await timeResize(this.#api, 'measured', 'idle', file, isLarge ? 900 : 200));
      }
      return all;
    };
    // Whole seconds would always meet the kubelet at the same moment of its own.
    const rested = await times(RESIZES, () => RESTED_MS + 1000 * Math.random());
    const soon = await times(RESIZES, () => 200 * Math.random());
    await this.#site.remove('Pod', 'measured');
    return [
      `${RESIZES} times 200m ↔ 900m each, ms from the PATCH on`,
      '| | | p50 | p90 | p99 | most |',
      '|---|---|--:|--:|--:|--:|',
      ...rowsOf('a pod that was left alone for two seconds', rested),
      ...rowsOf('at once after the status told of the one before', soon),
    ].join('\n');
  }

  async hasTheLeastRights(): Promise<string> {
    const own = (await this.#servingPod()).metadata.name;
    await this.#site.create(idlePod('bystander', { cpu: '50m', memory: '16Mi' }, { cpu: '100m', memory: '32Mi' }));
    const uid = (await podOf(this.#api, own)).metadata.uid;
    const asked = await must(
      this.#api.call({
        method: 'POST',
        path: '/api/v1/namespaces/default/serviceaccounts/sponge/token',
        body: {
          apiVersion: 'authentication.k8s.io/v1',
          kind: 'TokenRequest',
          spec: {
            expirationSeconds: 600,
            boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: own, uid },
          },
        },
      }),
    );
    const { token } = (asked as { status: { token: string } }).status;
    const api = new ApiClient(this.#site.node.accessBy(token), 'sponge-test');
    try {
      const forbidden: [string, Promise<{ kind: string; status?: number }>][] = [
        ['resize another pod', resize(api, 'bystander', 'idle', { limits: { cpu: '90m' } })],
        ['read secrets', api.call({ method: 'GET', path: '/api/v1/namespaces/default/secrets', tries: 1 })],
        [
          'pods of other namespaces',
          api.call({ method: 'GET', path: '/api/v1/namespaces/kube-system/pods', tries: 1 }),
        ],
        [
          'patch a pod',
          api.call({ method: 'PATCH', path: `${PODS}/${own}`, body: { metadata: { labels: { a: 'b' } } }, tries: 1 }),
        ],
      ];
      for (const [what, answer] of forbidden) {
        const said = await answer;
        if (said.kind !== 'refused' || ![403, 422].includes(said.status!))
          throw new Error(`${what} is not refused: ${JSON.stringify(said)}`);
      }
      await must(resize(api, own, 'sponge', { limits: { cpu: '500m' } }));
      return `its own pod it may resize; ${forbidden.map(([what]) => what).join(', ')}: refused`;
    } finally {
      api.close();
      await this.#site.remove('Pod', 'bystander');
    }
  }

  /** Of a Guaranteed pod the request moves with the limit, so the node's room counts. */
  async meetsLimitsOfTheNode(): Promise<string> {
    await this.#site.undeploy();
    const node = (await must(this.#api.call({ method: 'GET', path: '/api/v1/nodes' }))) as {
      items: readonly { status: { allocatable: { cpu: string } } }[];
    };
    const cores = Number(node.items[0]!.status.allocatable.cpu);
    const hogMillicores = 1000 * cores - START_MILLICORES - 300;
    await this.#site.create(
      idlePod('hog', { cpu: `${hogMillicores}m`, memory: '16Mi' }, { cpu: String(cores), memory: '64Mi' }),
    );
    await this.#site.deploy(resizesItself('Guaranteed'));
    this.#pod = await this.#site.readyPod();
    const client = this.#site.client(() => this.#pod!);
    client.setRate(40);
    const deferred = await this.#site.condition(this.#pod.metadata.name, 'PodResizePending', 'Deferred');
    const blocked = async (): Promise<boolean> =>
      (await this.#site.scrape(this.#pod!)).has('sponge_pod_resize_blocked', { reason: 'deferred' });
    await eventually('the server has noticed', async () => ((await blocked()) ? true : null));
    const answered = (): number => client.statuses.filter((status) => status === 200).length;
    const before = answered();
    await eventually('answers all the same', () => Promise.resolve(answered() > before + 5 ? true : null));
    const held = await this.#limit();
    await this.#site.remove('Pod', 'hog');
    const granted = await eventually('what was deferred, once there is room', async () => {
      const limit = await this.#limit();
      return limit > START_MILLICORES + 300 && !(await blocked()) ? limit : null;
    });
    client.setRate(0);
    await client.end();
    if (client.failures.length > 0) throw new Error(`${client.failures.length} failed: ${client.failures[0]}`);
    const infeasible = await this.#directlyInfeasible(cores);
    return `Deferred (“${deferred}”): the server said so and served on with ${held} millicores, and had ${granted} when there was room; Infeasible (“${infeasible}”)`;
  }

  async #directlyInfeasible(cores: number): Promise<string> {
    await this.#site.create(idlePod('large', { cpu: '50m', memory: '16Mi' }, { cpu: '100m', memory: '32Mi' }));
    await eventually('a pod', async () => (isReady(await podOf(this.#api, 'large')) ? true : null));
    const tooMuch = String(cores + 1);
    await must(resize(this.#api, 'large', 'idle', { requests: { cpu: tooMuch }, limits: { cpu: tooMuch } }));
    const message = await this.#site.condition('large', 'PodResizePending', 'Infeasible');
    await this.#site.remove('Pod', 'large');
    return message;
  }

  async #servingPod(): Promise<Pod> {
    return podOf(this.#api, this.#pod!.metadata.name);
  }

  #limit(): Promise<number> {
    return this.#site.limitOf(this.#pod!);
  }

  #read(pod: Pod, file: string): string {
    return readFileSync(this.#file(pod, file), 'utf8');
  }

  /** Of the container's group, cgroup v1. */
  #file({ metadata, status }: Pod, file: string): string {
    const id = status.containerStatuses![0]!.containerID!.replace('containerd://', '');
    return join('/sys/fs/cgroup/cpu/kubepods/burstable', `pod${metadata.uid}`, id, file);
  }
}

function resizesItself(qosClass: Deployed['qosClass']): Deployed {
  return { qosClass, flags: ['--max-cores=2', '--kubernetes-rate=5'] };
}

function rowsOf(when: string, times: readonly ResizeTimes[]): string[] {
  const row = (what: string, of: (each: ResizeTimes) => number): string => {
    const values = times.map(of);
    const at = [0.5, 0.9, 0.99, 1].map((fraction) => quantile(values, fraction).toFixed(0));
    return `| ${when} | ${what} | ${at.join(' | ')} |`;
  };
  return [
    row('the API server has answered', ({ answeredMs }) => answeredMs),
    row('the kernel has the quota', ({ quotaMs }) => quotaMs),
    row('the status says so', ({ statusMs }) => statusMs),
  ];
}
