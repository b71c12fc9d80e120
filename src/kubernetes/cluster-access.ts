import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';

/*
 * Where the API server is and what this process shows it: in a pod the service account that Kubernetes mounts, elsewhere the current
 * context of a kubeconfig. Of a kubeconfig only what needs no other program is understood: tokens, token files and client certificates.
 */

/** What is shown with a call; read again when files rotate. */
export interface Credentials {
  readonly token: string | null;
  /** PEM; undefined: the CAs that Node trusts. */
  readonly ca: Buffer | undefined;
  readonly clientCertificate: { readonly cert: Buffer; readonly key: Buffer } | null;
}

export interface ClusterAccess {
  /** `https://host:port`, or with a path where the API server is behind one. */
  readonly server: URL;
  /** Of this pod, or of the context; null where nothing says. */
  readonly namespace: string | null;
  /** Where these come from, for messages. */
  readonly source: string;
  /** Does not check who answers: only where a kubeconfig says so. */
  readonly isServerTrustedBlindly: boolean;
  /** Reads the files there are. @throws Error, in one line */
  readCredentials(): Credentials;
}

const MOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';
const MOST_CONFIG_BYTES = 1024 * 1024;

/** @throws Error, in one line with its remedy, where there is no cluster to be found */
export async function findClusterAccess(env: NodeJS.ProcessEnv = process.env, mount = MOUNT): Promise<ClusterAccess> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port, KUBECONFIG: config } = env;
  if (config !== undefined && config !== '') return accessByKubeconfig(config.split(':')[0]!);
  if (host === undefined || host === '') {
    throw new Error(
      'there is no cluster here: KUBERNETES_SERVICE_HOST is not set, so this is no pod; run it in one, or set KUBECONFIG',
    );
  }
  return accessInPod(host, port ?? '443', mount);
}

function accessInPod(host: string, port: string, mount: string): ClusterAccess {
  const read = (name: string): Buffer => readNamed(join(mount, name), 'set automountServiceAccountToken: true');
  read('token');
  return {
    server: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
    namespace: read('namespace').toString().trim(),
    source: 'the service account of this pod',
    isServerTrustedBlindly: false,
    readCredentials: () => ({ token: read('token').toString().trim(), ca: read('ca.crt'), clientCertificate: null }),
  };
}

/** As far as it is understood here; kubectl's names. */
interface Kubeconfig {
  readonly 'current-context'?: string;
  readonly contexts?: readonly Named<'context', { cluster?: string; user?: string; namespace?: string }>[];
  readonly clusters?: readonly Named<'cluster', ConfiguredCluster>[];
  readonly users?: readonly Named<'user', ConfiguredUser>[];
}

type Named<Key extends string, Value> = { readonly name: string } & Readonly<Record<Key, Value>>;

interface ConfiguredCluster {
  readonly server?: string;
  readonly 'certificate-authority'?: string;
  readonly 'certificate-authority-data'?: string;
  readonly 'insecure-skip-tls-verify'?: boolean;
}

interface ConfiguredUser {
  readonly token?: string;
  readonly tokenFile?: string;
  readonly 'client-certificate'?: string;
  readonly 'client-certificate-data'?: string;
  readonly 'client-key'?: string;
  readonly 'client-key-data'?: string;
}

async function accessByKubeconfig(path: string): Promise<ClusterAccess> {
  const { parse } = await import('yaml');
  const text = readNamed(path, 'set KUBECONFIG to a file that can be read');
  if (text.length > MOST_CONFIG_BYTES) throw new Error(`KUBECONFIG ${path} is larger than 1 MiB`);
  let config: Kubeconfig;
  try {
    config = (parse(text.toString()) ?? {}) as Kubeconfig;
  } catch (error) {
    throw new Error(`KUBECONFIG ${path}: ${(error as Error).message.split('\n')[0]!}`, { cause: error });
  }
  const wrong = (what: string): Error => new Error(`KUBECONFIG ${path}: ${what}`);
  const current = config['current-context'];
  const context = config.contexts?.find(({ name }) => name === current)?.context;
  if (context === undefined)
    throw wrong(`there is no context "${current ?? ''}"; set one by kubectl config use-context`);
  const cluster = config.clusters?.find(({ name }) => name === context.cluster)?.cluster;
  const user = config.users?.find(({ name }) => name === context.user)?.user ?? {};
  if (cluster?.server === undefined || !URL.canParse(cluster.server)) throw wrong('its cluster has no server URL');
  const material = (data: string | undefined, file: string | undefined): Buffer | undefined => {
    if (data !== undefined) return Buffer.from(data, 'base64');
    if (file === undefined) return undefined;
    return readNamed(isAbsolute(file) ? file : join(dirname(path), file), `it is named in KUBECONFIG ${path}`);
  };
  return {
    server: new URL(cluster.server),
    namespace: context.namespace ?? null,
    source: `context ${current} of ${path}`,
    isServerTrustedBlindly: cluster['insecure-skip-tls-verify'] === true,
    readCredentials: () => {
      const cert = material(user['client-certificate-data'], user['client-certificate']);
      const key = material(user['client-key-data'], user['client-key']);
      return {
        token: (user.token ?? material(undefined, user.tokenFile)?.toString().trim()) || null,
        ca: material(cluster['certificate-authority-data'], cluster['certificate-authority']),
        clientCertificate: cert === undefined || key === undefined ? null : { cert, key },
      };
    },
  };
}

function readNamed(path: string, remedy: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Error(`${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'}): ${remedy}`, {
      cause: error,
    });
  }
}
