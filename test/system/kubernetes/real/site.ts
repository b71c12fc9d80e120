import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { ApiClient } from '../../../../src/kubernetes/api-client.js';
import { http, Scrape } from '../../server/clients.js';
import { REPOSITORY_ROOT } from '../../server/harness.js';
import { Client } from './client.js';
import type { RealNode } from './node.js';
import { eventually, isReady, must, podOf, PODS, podsOf, type Pod } from './objects.js';

/* What all that is tried on a real node needs: objects of deploy/ and of the tests made and removed, pods found, asked and sent to. */

export const SPONGE_IMAGE = 'docker.io/library/sponge:test';
export const OCR = 'ocr';
const SLO_MS = 20_000;
export const START_MILLICORES = 600;
export const LEAST_MILLICORES = 200;
export const SERVERS = 'app=sponge';

interface KubernetesObject {
  readonly kind: string;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** Files of deploy/ are applied as they are. */
const COLLECTIONS: Readonly<Record<string, string>> = {
  ServiceAccount: '/api/v1/namespaces/default/serviceaccounts',
  Role: '/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles',
  RoleBinding: '/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings',
  Deployment: '/apis/apps/v1/namespaces/default/deployments',
  Service: '/api/v1/namespaces/default/services',
  Pod: PODS,
  ValidatingAdmissionPolicy: '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies',
  ValidatingAdmissionPolicyBinding: '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings',
};

/** How a server is deployed. */
export interface Deployed {
  readonly qosClass: 'Burstable' | 'Guaranteed';
  readonly flags: readonly string[];
}

export class Site {
  readonly node: RealNode;
  readonly api: ApiClient;
  readonly #modelFolder: string;

  /** @param modelFolder a repository with the OCR model, that any user may write to: profiles are kept there */
  constructor(node: RealNode, modelFolder: string) {
    this.node = node;
    this.api = node.api;
    this.#modelFolder = modelFolder;
  }

  /** Of deploy/kubernetes, as they are. @param kinds others are left out; all where none is named */
  async apply(files: readonly string[], kinds: readonly string[] = []): Promise<void> {
    for (const object of deployed(...files)) {
      if (kinds.length === 0 || kinds.includes(object.kind)) await this.create(object);
    }
  }

  async create(object: KubernetesObject): Promise<void> {
    await must(this.api.call({ method: 'POST', path: COLLECTIONS[object.kind]!, body: object }));
  }

  async remove(kind: string, name: string): Promise<void> {
    const path = `${COLLECTIONS[kind]!}/${name}`;
    await this.node.remove(path);
    await eventually(`${name} is gone`, async () => {
      const answer = await this.api.call({ method: 'GET', path, tries: 1 });
      return answer.kind === 'refused' && answer.status === 404 ? true : null;
    });
  }

  /** As deploy/kubernetes/deployment.yaml has it, with this image and model. */
  async deploy({ qosClass, flags }: Deployed): Promise<void> {
    const [deployment] = deployed('deployment.yaml') as unknown as [
      {
        spec: { template: { spec: Record<string, unknown> & { containers: [Record<string, unknown>] } } };
      } & KubernetesObject,
    ];
    const { spec } = deployment.spec.template;
    spec['volumes'] = [{ name: 'models', hostPath: { path: this.#modelFolder, type: 'Directory' } }];
    spec['terminationGracePeriodSeconds'] = 20;
    const [container] = spec.containers;
    container['image'] = SPONGE_IMAGE;
    container['imagePullPolicy'] = 'Never';
    container['args'] = [
      ...['serve', '/mnt/models', '--host=0.0.0.0', '--scaler=kubernetes', '--kubernetes-inner=none', '--no-refine'],
      ...flags,
    ];
    const limits = { cpu: `${START_MILLICORES}m`, memory: '2Gi' };
    container['resources'] =
      qosClass === 'Guaranteed'
        ? { requests: limits, limits }
        : { requests: { cpu: `${LEAST_MILLICORES}m`, memory: '512Mi' }, limits };
    await this.create(deployment);
  }

  async undeploy(): Promise<void> {
    await this.remove('Deployment', 'sponge');
    await eventually('the pods are gone', async () => ((await podsOf(this.api, SERVERS)).length === 0 ? true : null));
  }

  async readyPod(): Promise<Pod> {
    return eventually('a ready pod', async () => (await podsOf(this.api, SERVERS)).find(isReady) ?? null);
  }

  async condition(name: string, type: string, reason: string): Promise<string> {
    return eventually(`${name}: ${reason}`, async () => {
      const { status } = await podOf(this.api, name);
      const found = status.conditions?.find((each) => each.type === type && each.reason === reason);
      return found === undefined ? null : (found.message ?? '');
    });
  }

  /** One picture after another. @param podOf asked for each */
  client(podOf: () => Pod): Client {
    const data = new Float32Array(3 * 48 * 320).fill(0.5);
    const url = (): string => `http://${podOf().status.podIP}:8000/v2/models/${OCR}/infer`;
    return new Client(url, { name: 'x', shape: [1, 3, 48, 320], data }, SLO_MS);
  }

  async scrape({ status: { podIP } }: Pod): Promise<Scrape> {
    const { status, bytes } = await http(`http://${podIP}:8002/metrics`);
    if (status !== 200) throw new Error(`metrics: ${status}`);
    return new Scrape(bytes.toString());
  }

  /** In force, millicores. */
  async limitOf(pod: Pod): Promise<number> {
    return (await this.scrape(pod)).sum('sponge_pod_limit_millicores', { of: 'in-force' });
  }
}

function deployed(...files: readonly string[]): KubernetesObject[] {
  return files.flatMap((file) =>
    parseAllDocuments(readFileSync(join(REPOSITORY_ROOT, 'deploy/kubernetes', file), 'utf8')).map(
      (document) => document.toJS() as KubernetesObject,
    ),
  );
}

/** One that does nothing. */
export function idlePod(name: string, requests: object, limits: object): KubernetesObject {
  return {
    kind: 'Pod',
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'idle',
          image: 'docker.io/library/sponge-pause:test',
          imagePullPolicy: 'Never',
          resources: { requests, limits },
        },
      ],
    },
  } as KubernetesObject;
}
