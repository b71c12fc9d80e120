import { Option, type Command } from 'commander';
import { DEFAULT_SETTINGS, type KubernetesSettings } from '../server/scalers/kubernetes/settings.js';
import { positiveNumber, UserError } from './options.js';

/** Of `--scaler kubernetes`, as commander parses them. */
export interface KubernetesFlags {
  readonly kubernetesPod?: string;
  readonly kubernetesContainer?: string;
  readonly kubernetesRequests: KubernetesSettings['requests'];
  readonly kubernetesInner: KubernetesSettings['inner'];
  readonly kubernetesCgroup?: string;
  readonly kubernetesRate: number;
  readonly kubernetesResizer: KubernetesSettings['resizer'];
}

export function addKubernetesFlags(command: Command): Command {
  return command
    .optionsGroup('Kubernetes, of --scaler kubernetes:')
    .option(
      '--kubernetes-pod <namespace/name>',
      'our own pod (default: POD_NAMESPACE and POD_NAME, or what the pod says)',
    )
    .option('--kubernetes-container <name>', 'our own container, where the pod has several')
    .addOption(
      new Option(
        '--kubernetes-requests <rule>',
        'keep: only the limit moves, which no node ever puts off; follow: the request moves with it (always so in a Guaranteed pod)',
      )
        .choices(['keep', 'follow'])
        .default(DEFAULT_SETTINGS.requests),
    )
    .addOption(
      new Option(
        '--kubernetes-inner <how>',
        "auto: quotas inside the pod's limit where its cgroup can be written to; none: the limit alone",
      )
        .choices(['auto', 'none'])
        .default(DEFAULT_SETTINGS.inner),
    )
    .addOption(
      new Option(
        '--kubernetes-resizer <who>',
        'self: we ask for the limit that we need; others: it is only followed, by whoever moves it (sponge operate), without rights or an API server',
      )
        .choices(['self', 'others'])
        .default(DEFAULT_SETTINGS.resizer),
    )
    .option('--kubernetes-cgroup <dir>', "the container's own cgroup (default: as /proc says)")
    .option(
      '--kubernetes-rate <n>',
      'resizes of the pod a second, on average; ten more after a pause',
      positiveNumber,
      DEFAULT_SETTINGS.resizesPerSecond,
    );
}

/** @throws UserError where the pod's name is none */
export function kubernetesOf(flags: KubernetesFlags): KubernetesSettings {
  const { kubernetesPod: pod = null } = flags;
  if (pod !== null && !/^[a-z0-9-]+\/[a-z0-9.-]+$/.test(pod)) {
    throw new UserError(`--kubernetes-pod ${pod}: expected <namespace>/<name>`);
  }
  return {
    pod,
    container: flags.kubernetesContainer ?? null,
    requests: flags.kubernetesRequests,
    inner: flags.kubernetesInner,
    cgroupDirectory: flags.kubernetesCgroup ?? null,
    resizesPerSecond: flags.kubernetesRate,
    resizer: flags.kubernetesResizer,
  };
}
