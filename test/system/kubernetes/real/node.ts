import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { ApiClient } from '../../../../src/kubernetes/api-client.js';
import type { ClusterAccess } from '../../../../src/kubernetes/cluster-access.js';
import { archiveImage } from './image.js';
import { Processes } from './processes.js';

/*
 * A cluster of one node, of Kubernetes' own programs: etcd, API server, controller manager, scheduler, containerd and kubelet. It expects to be
 * alone in namespaces of its own for mounts, processes and the network (`run.ts` sees to that), so ports are fixed and all of it vanishes with them.
 *
 * The address of the service "kubernetes" is one of the bridge's, where the API server listens: no proxy is needed for pods to find it.
 */

/** Programs of Kubernetes in KUBE_BIN, and of the system. */
export const KUBERNETES_PROGRAMS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubelet'];
export const SYSTEM_PROGRAMS = ['containerd', 'ctr', 'runc', 'ip', 'unshare', 'busybox'];

const NODE_NAME = 'sponge-node';
const GATEWAY = '10.217.0.1';
const API_ADDRESS = '10.96.0.1';
const PAUSE_IMAGE = 'docker.io/library/sponge-pause:test';
/** Where Debian's containernetworking-plugins has them, and where others do. */
const CNI_FOLDERS = ['/usr/lib/cni', '/opt/cni/bin'];

export function cniFolder(): string | null {
  return CNI_FOLDERS.find((folder) => existsSync(join(folder, 'bridge'))) ?? null;
}

export interface RealNode {
  readonly api: ApiClient;
  readonly access: ClusterAccess;
  /** Of another user, by a token. */
  accessBy(token: string): ClusterAccess;
  /** The text of a file that says so. */
  kubeconfigOf(token: string): string;
  /** @param archive as `archiveImage` makes them */
  importImage(archive: string): void;
  /** @param path of one object   @throws Error with the API server's words */
  remove(path: string): Promise<void>;
  close(): Promise<void>;
}

/** @param programs folder of the Kubernetes programs   @param folder for all that it writes */
export async function startNode(programs: string, folder: string): Promise<RealNode> {
  const run = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: 'utf8' });
  const kube = (name: string): string => join(programs, name);
  const at = (name: string): string => join(folder, name);
  run('ip', 'link', 'set', 'lo', 'up');
  run('ip', 'link', 'add', 'sponge0', 'type', 'bridge');
  run('ip', 'address', 'add', `${GATEWAY}/24`, 'dev', 'sponge0');
  run('ip', 'address', 'add', `${API_ADDRESS}/32`, 'dev', 'sponge0');
  run('ip', 'link', 'set', 'sponge0', 'up');

  const processes = new Processes(folder);
  processes.start('etcd', kube('etcd'), [`--data-dir=${at('etcd')}`, '--unsafe-no-fsync', '--log-level=warn']);
  const token = randomBytes(16).toString('hex');
  writeFileSync(at('tokens.csv'), `${token},admin,admin,"system:masters"\n`);
  const keys = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  writeFileSync(at('accounts.key'), keys.privateKey);
  writeFileSync(at('accounts.pub'), keys.publicKey);
  processes.start('kube-apiserver', kube('kube-apiserver'), [
    '--etcd-servers=http://127.0.0.1:2379',
    `--bind-address=${API_ADDRESS}`,
    '--secure-port=443',
    `--advertise-address=${GATEWAY}`,
    `--cert-dir=${at('certificates')}`,
    '--service-cluster-ip-range=10.96.0.0/24',
    '--authorization-mode=RBAC',
    `--token-auth-file=${at('tokens.csv')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${at('accounts.pub')}`,
    `--service-account-signing-key-file=${at('accounts.key')}`,
    '--allow-privileged=true',
  ]);
  const certificate = join(at('certificates'), 'apiserver.crt');
  await processes.until('the API server has made its certificate', () => existsSync(certificate));
  const server = new URL(`https://${API_ADDRESS}`);
  const accessBy = (shown: string): ClusterAccess => ({
    server,
    namespace: 'default',
    source: 'the test',
    isServerTrustedBlindly: false,
    readCredentials: () => ({ token: shown, ca: readFileSync(certificate), clientCertificate: null }),
  });
  const access = accessBy(token);
  const api = new ApiClient(access, 'sponge-test');
  const answers = async (path: string): Promise<boolean> =>
    (await api.call({ method: 'GET', path, tries: 1 })).kind === 'ok';
  await processes.until('the API server answers', () => answers('/api/v1/namespaces/default'));

  const kubeconfig = at('kubeconfig.yaml');
  writeFileSync(kubeconfig, kubeconfigOf(server, certificate, token));
  const asController = [`--kubeconfig=${kubeconfig}`, '--leader-elect=false', '--secure-port=0'];
  processes.start('kube-controller-manager', kube('kube-controller-manager'), [
    ...asController,
    `--service-account-private-key-file=${at('accounts.key')}`,
    `--root-ca-file=${certificate}`,
  ]);
  processes.start('kube-scheduler', kube('kube-scheduler'), asController);

  const socket = at('containerd.sock');
  writeFileSync(at('containerd.toml'), containerdConfig(folder, socket));
  processes.start('containerd', 'containerd', ['--config', at('containerd.toml')]);
  const ctr = (...args: string[]): string => run('ctr', '--address', socket, '--namespace', 'k8s.io', ...args);
  await processes.until('containerd answers', () => {
    try {
      ctr('version');
      return true;
    } catch {
      return false;
    }
  });
  const importImage = (archive: string): void => void ctr('images', 'import', '--snapshotter', 'native', archive);
  importImage(pauseImage(folder));

  writeFileSync(at('kubelet.yaml'), stringify(kubeletConfig(socket)));
  processes.start('kubelet', kube('kubelet'), [
    `--config=${at('kubelet.yaml')}`,
    `--kubeconfig=${kubeconfig}`,
    `--root-dir=${at('kubelet')}`,
    `--hostname-override=${NODE_NAME}`,
    `--node-ip=${GATEWAY}`,
  ]);
  await processes.until('the node is ready', async () => {
    const answer = await api.call({ method: 'GET', path: `/api/v1/nodes/${NODE_NAME}`, tries: 1 });
    const node = (answer.kind === 'ok' ? answer.body : {}) as {
      status?: { conditions?: readonly { type: string; status: string }[] };
    };
    return node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false;
  });
  await processes.until('the namespace has its service account', () =>
    answers('/api/v1/namespaces/default/serviceaccounts/default'),
  );
  return {
    api,
    access,
    accessBy,
    kubeconfigOf: (shown) => kubeconfigOf(server, certificate, shown),
    importImage,
    // Sponge itself deletes nothing, so its client cannot.
    remove: (path) => remove(new URL(path, server), token, readFileSync(certificate)),
    close: async () => {
      api.close();
      await processes.end();
    },
  };
}

function remove(url: URL, token: string, ca: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` };
    const sent = request(url, { method: 'DELETE', headers, ca }, (response) => {
      response.resume();
      const status = response.statusCode ?? 0;
      if (status < 300) resolve();
      else reject(new Error(`DELETE ${url.pathname}: ${status}`));
    });
    sent.on('error', reject);
    sent.end();
  });
}

/** For programs that are given a file. */
function kubeconfigOf(server: URL, certificate: string, token: string): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: server.origin, 'certificate-authority': certificate } }],
    users: [{ name: 'test', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test', namespace: 'default' } }],
    'current-context': 'test',
  });
}

/** What holds a pod's namespaces: it sleeps. */
function pauseImage(folder: string): string {
  const root = join(folder, 'pause');
  mkdirSync(root);
  execFileSync('cp', [
    execFileSync('sh', ['-c', 'command -v busybox'], { encoding: 'utf8' }).trim(),
    `${root}/busybox`,
  ]);
  return archiveImage(root, folder, { name: PAUSE_IMAGE, entrypoint: ['/busybox', 'sleep', '2147483647'] });
}

/** The native snapshotter needs no file system within another; runc may not lower its OOM score without CAP_SYS_RESOURCE. */
function containerdConfig(folder: string, socket: string): string {
  const network = join(folder, 'network');
  mkdirSync(network);
  const plugin = {
    type: 'bridge',
    bridge: 'sponge0',
    isGateway: true,
    isDefaultGateway: true,
    hairpinMode: true,
    ipam: {
      type: 'host-local',
      dataDir: join(folder, 'addresses'),
      ranges: [[{ subnet: '10.217.0.0/24', rangeStart: '10.217.0.10', gateway: GATEWAY }]],
    },
  };
  const list = { cniVersion: '0.4.0', name: 'sponge', plugins: [plugin] };
  writeFileSync(join(network, '10-sponge.conflist'), JSON.stringify(list));
  return `version = 2
root = "${folder}/containerd"
state = "${folder}/containerd-state"
[grpc]
  address = "${socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${cniFolder()}"
    conf_dir = "${network}"
`;
}

function kubeletConfig(socket: string): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    containerRuntimeEndpoint: `unix://${socket}`,
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    address: GATEWAY,
    cgroupDriver: 'cgroupfs',
    failCgroupV1: false,
    failSwapOn: false,
    enforceNodeAllocatable: [],
    localStorageCapacityIsolation: false,
    // Of a machine that does other things too.
    evictionHard: { 'memory.available': '1%', 'nodefs.available': '1%', 'imagefs.available': '1%' },
    imageMinimumGCAge: '24h',
    resolvConf: '',
  };
}
