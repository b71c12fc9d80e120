import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { REPOSITORY_ROOT } from '../../server/harness.js';
import { eventually, isReady, must, podsOf, type Pod } from './objects.js';
import { SERVERS, START_MILLICORES, type Site } from './site.js';

/*
 * `sponge operate` on a real node, with the rights of deploy/kubernetes/operate.yaml and no others: a load that one pod cannot carry, then one that it can.
 */

const OPERATOR = join(REPOSITORY_ROOT, 'bin/sponge.js');
const ACCOUNT = 'sponge-operate';
const HOLD_SECONDS = 20;
const MAX_CORES = 0.6;

interface Status {
  readonly workloads: readonly {
    readonly replicas: number;
    readonly decision: readonly { readonly reason: string }[];
  }[];
}

export async function addsAPodAndTakesItAway(site: Site, folder: string): Promise<string> {
  await site.undeploy();
  await site.apply(['operate.yaml'], ['ServiceAccount', 'Role', 'RoleBinding']);
  await site.deploy({ qosClass: 'Burstable', flags: ['--max-cores=2', '--kubernetes-resizer=others'] });
  const first = await site.readyPod();
  const pods = new ReadyPods(site, first);
  const client = site.client(() => pods.next());
  const kubeconfig = join(folder, 'operate.yaml');
  writeFileSync(kubeconfig, site.node.kubeconfigOf(await tokenOf(site)));
  const flags = [
    ...[
      '--workload',
      'deployment/sponge',
      '--max-replicas',
      '2',
      '--max-cores',
      String(MAX_CORES),
      '--requests',
      'keep',
    ],
    ...['--hold-seconds', String(HOLD_SECONDS), '--port', '0'],
  ];
  const operator = spawn(process.execPath, [OPERATOR, 'operate', ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, KUBECONFIG: kubeconfig },
  });
  let output = '';
  for (const stream of [operator.stdout, operator.stderr]) stream.on('data', (bytes) => (output += String(bytes)));
  try {
    const url = await eventually('the controller is there', () =>
      Promise.resolve(/status\s+(\S+)/.exec(output)?.[1] ?? null),
    );
    const status = async (): Promise<Status> => (await (await fetch(url)).json()) as Status;
    client.setRate(2);
    await pods.until('less than it began with', async ([pod]) => (await site.limitOf(pod!)) < START_MILLICORES);
    const least = await site.limitOf(first);
    client.setRate(40);
    await pods.until('more in place', async ([pod]) => (await site.limitOf(pod!)) > least);
    await pods.until('a second pod that is ready', (ready) => ready.length === 2);
    const reason = output.split('\n').find((line) => line.includes('PodsAdded'));
    await delay(5000);
    client.setRate(2);
    await pods.until('one pod again', (ready) => ready.length === 1);
    client.setRate(0);
    await client.end();
    if (client.failures.length > 0) throw new Error(`${client.failures.length} failed: ${client.failures[0]}`);
    const answered = client.statuses.filter((each) => each === 200).length;
    const events = await must(site.api.call({ method: 'GET', path: '/api/v1/namespaces/default/events' }));
    const said = (events as { items: readonly { reason: string; source?: { component?: string } }[] }).items;
    const own = new Set(said.filter(({ source }) => source?.component === 'sponge-operate').map((each) => each.reason));
    if (!own.has('PodsAdded') || !own.has('PodRemoved')) throw new Error(`events: ${[...own].join(', ')}`);
    const { workloads } = await status();
    return `grown in place, then ${reason?.replace(/^.*PodsAdded: /, '“') ?? ''}”, then one again (“${workloads[0]!.decision[0]!.reason}”); ${answered} of ${client.statuses.length} answered, none failed; events ${[...own].join(', ')}`;
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${output.split('\n').slice(-12).join('\n')}`, { cause: error });
  } finally {
    await client.end();
    operator.kill('SIGTERM');
    if (operator.exitCode === null) await once(operator, 'exit');
  }
}

async function tokenOf(site: Site): Promise<string> {
  const path = `/api/v1/namespaces/default/serviceaccounts/${ACCOUNT}/token`;
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3600 } };
  const asked = await must(site.api.call({ method: 'POST', path, body }));
  return (asked as { status: { token: string } }).status.token;
}

/** As a Service knows them, asked four times a second; by turns. */
class ReadyPods {
  readonly #site: Site;
  #pods: readonly Pod[];
  #turn = 0;

  constructor(site: Site, first: Pod) {
    this.#site = site;
    this.#pods = [first];
  }

  next(): Pod {
    return this.#pods[this.#turn++ % this.#pods.length]!;
  }

  async until(what: string, isSo: (ready: readonly Pod[]) => boolean | Promise<boolean>): Promise<void> {
    await eventually(what, async () => {
      const ready = (await podsOf(this.#site.api, SERVERS)).filter(
        (pod) => isReady(pod) && !pod.metadata.deletionTimestamp,
      );
      if (ready.length > 0) this.#pods = ready;
      return (await isSo(this.#pods)) ? true : null;
    });
  }
}
