import { ApiClient } from '../../../src/kubernetes/api-client.js';
import { findClusterAccess } from '../../../src/kubernetes/cluster-access.js';
import type { TestBench } from '../server/harness.js';
import { PODS, type ApiServerStub } from './stub/api-server.js';

/** Somebody else who resizes pods, as a vertical pod autoscaler does. */
export interface OtherClient {
  resize(pod: string, limitMillicores: number): Promise<void>;
  close(): void;
}

export async function access(stub: ApiServerStub, bench: TestBench): Promise<OtherClient> {
  stub.rights.set('other', new Set(['patch pods/resize']));
  const path = bench.file('kubeconfig-other', stub.kubeconfig('other'));
  const client = new ApiClient(await findClusterAccess({ KUBECONFIG: path }), 'vpa');
  return {
    resize: async (pod, limitMillicores) => {
      const resources = { limits: { cpu: `${limitMillicores}m` } };
      const answer = await client.call({
        method: 'PATCH',
        path: `${PODS}/${pod}/resize?fieldManager=vpa-updater`,
        body: { spec: { containers: [{ name: 'sponge', resources }] } },
      });
      if (answer.kind !== 'ok') throw new Error(JSON.stringify(answer));
    },
    close: () => client.close(),
  };
}
