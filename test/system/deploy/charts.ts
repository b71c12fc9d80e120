import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { REPOSITORY } from './expressions.js';

/* The chart as people may set it: rendered by Helm, read as YAML, and held against the schemas of the kinds that are in it. */

const CHART = join(REPOSITORY, 'deploy/helm/sponge');
const KSERVE = ['cluster-serving-runtime.yaml', 'inference-service.yaml'].map((name) =>
  join(REPOSITORY, 'deploy/kserve', name),
);
/** The oldest that the chart takes, the one with stable pods/resize, and the newest whose schemas there are. */
const KUBERNETES = ['1.30', '1.35', '1.37'];

const execute = promisify(execFile);

/** Names are those of files. */
const CASES: Readonly<Record<string, readonly string[]>> = {
  defaults: [],
  closed: [
    'models.volume.persistentVolumeClaim.claimName=models,models.name=ocr,models.control=poll,sloMs=250',
    'tls.secretName=certificate,tls.clientCa=true,auth.secretName=tokens,networkPolicy.enabled=true,replicas=3',
    'flags.max-batch=8,flags.strict=true,flags.refine=false,prefer=latency,priorityClassName=high',
    'metrics.serviceMonitor.enabled=true,metrics.serviceMonitor.labels.release=prometheus,nodeSelector.disk=fast',
  ],
  hpa: ['autoscaling.kind=hpa,tls.secretName=certificate'],
  keda: ['autoscaling.kind=keda,image.digest=sha256:' + '0123456789abcdef'.repeat(4)],
  resizing: ['resize.enabled=true,networkPolicy.enabled=true,serviceAccount.name=mine'],
  operated: ['operate.enabled=true,operate.maxReplicas=4,operate.maxCores=3,networkPolicy.enabled=true'],
  everything: [
    'resize.enabled=true,resources.limits.cpu=1500m,route.enabled=true,route.endpointSlices=true,route.args[0]=--x,operate.enabled=true,networkPolicy.enabled=true',
    'metrics.serviceMonitor.enabled=true',
  ],
};

/** What must not be rendered, and the words of the refusal. */
const REFUSED: readonly (readonly [settings: string, kubernetes: string, words: string])[] = [
  ['replica=2', '1.35', "additional properties 'replica' not allowed"],
  ['models.control=auto', '1.35', 'models/control'],
  ['operate.enabled=true,autoscaling.kind=hpa', '1.35', 'both decide the number of replicas'],
  ['operate.enabled=true,tls.secretName=x', '1.35', 'asks the pods over plain HTTP'],
  ['tls.clientCa=true', '1.35', 'tls.clientCa needs tls.secretName'],
  ['resize.enabled=true', '1.32', 'resize.enabled needs Kubernetes 1.33'],
  ['replicas=1', '1.29', 'incompatible with Kubernetes'],
];

export async function lint(helm: string): Promise<string> {
  await execute(helm, ['lint', '--strict', CHART]);
  return 'helm lint --strict';
}

export async function refusals(helm: string): Promise<string> {
  for (const [settings, kubernetes, words] of REFUSED) {
    const refused = await render(helm, [settings], kubernetes).then(
      () => 'rendered',
      (error: unknown) => (error as Error).message,
    );
    if (!refused.includes(words))
      throw new Error(`--set ${settings} on ${kubernetes}: expected "${words}": ${refused}`);
  }
  return `${REFUSED.length} contradictions and misspellings are refused in words`;
}

interface Rendered {
  readonly path: string;
  readonly kubernetes: string;
}

/** Every case for every Kubernetes that it is for, each in a file. */
export async function renderAll(helm: string, folder: string): Promise<readonly Rendered[]> {
  const rendered: Rendered[] = [];
  for (const [name, settings] of Object.entries(CASES)) {
    for (const kubernetes of KUBERNETES) {
      if (settings.some((text) => /(?:resize|operate)\.enabled/.test(text)) && kubernetes === '1.30') continue;
      const text = await render(
        helm,
        settings.map((each) => each.replace('', '')),
        kubernetes,
      );
      const path = join(folder, `${name}-${kubernetes}.yaml`);
      writeFileSync(path, text);
      rendered.push({ path, kubernetes });
    }
  }
  return rendered;
}

async function render(helm: string, settings: readonly string[], kubernetes: string): Promise<string> {
  const sets = settings.flatMap((text) => ['--set', text]);
  const args = ['template', 'edge', CHART, '--namespace', 'prod', '--kube-version', `v${kubernetes}.0`, ...sets];
  const { stdout } = await execute(helm, args, { maxBuffer: 2 ** 24 });
  return stdout;
}

interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
}

function documentsOf(path: string): readonly KubernetesObject[] {
  return parseAllDocuments(readFileSync(path, 'utf8'), { uniqueKeys: true }).flatMap((document) => {
    if (document.errors.length > 0) throw new Error(`${path}: ${document.errors[0]!.message}`);
    const value = document.toJS() as KubernetesObject | null;
    return value === null ? [] : [value];
  });
}

/** Kubernetes' own have no dot in their group, or end so. */
function isOfKubernetes({ apiVersion }: KubernetesObject): boolean {
  const [group] = apiVersion.split('/');
  return !group!.includes('.') || group!.endsWith('.k8s.io');
}

/** @param python that has kubernetes-validate */
export async function kubernetesSchemas(
  python: string,
  rendered: readonly Rendered[],
  folder: string,
): Promise<string> {
  let count = 0;
  for (const { path, kubernetes } of rendered) {
    const own = documentsOf(path).filter(isOfKubernetes);
    const names = own.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    if (new Set(names).size !== names.length) throw new Error(`${path}: one thing twice: ${names.sort().join(' ')}`);
    const files = own.map((document, index) => {
      const file = join(folder, `document-${index}.json`);
      writeFileSync(file, JSON.stringify(document));
      return file;
    });
    await execute(python, ['-m', 'kubernetes_validate', '--strict', '-k', kubernetes, ...files]).catch(
      (error: unknown) => {
        const { stdout, stderr } = error as { readonly stdout?: string; readonly stderr?: string };
        throw new Error(`${path}: ${stdout ?? ''}${stderr ?? ''}`.slice(0, 2000), { cause: error });
      },
    );
    count += own.length;
  }
  return `${count} objects in ${rendered.length} renderings are as Kubernetes ${KUBERNETES.join(', ')} has them`;
}

/** KEDA's and KServe's kinds. */
export async function definedKinds(
  python: string,
  definitions: readonly string[],
  rendered: readonly Rendered[],
): Promise<string> {
  const script = join(import.meta.dirname, 'definition_check.py');
  const documents = [...rendered.map(({ path }) => path), ...KSERVE];
  const { stderr } = await execute(python, [script, ...definitions, '--', ...documents]).catch((error: unknown) => {
    throw new Error((error as { readonly stdout?: string }).stdout ?? (error as Error).message, { cause: error });
  });
  return `${stderr.trim()} objects of KEDA and KServe`;
}
