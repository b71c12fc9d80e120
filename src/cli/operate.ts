import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { Command, InvalidArgumentError, Option } from 'commander';
import { USUAL_RULES, type Balancing } from '../operate/observation.js';
import type { WorkloadKind } from '../server/operate/cluster-objects.js';
import type { OperateSettings } from '../server/operate/settings.js';
import { createLogger, type LogFormat, type LogLevel } from '../server/telemetry/logger.js';
import { addLogFlags } from './log-flags.js';
import { collected, port, positiveInteger, positiveNumber, UserError, withConfiguration } from './options.js';
import { millicoresOf } from './plan-text.js';
import { firstStopSignal } from './stop-signal.js';
import { tokenOption } from './token-flag.js';

/* The controller of replicas × cores on Kubernetes. docs/operate.md. */

interface OperateFlags {
  readonly workload?: readonly string[];
  readonly selector?: string;
  readonly namespace?: string;
  readonly container?: string;
  readonly minReplicas: number;
  readonly maxReplicas: number;
  readonly minCores: number;
  readonly maxCores?: number;
  readonly attainment: number;
  readonly balancing: Balancing;
  readonly requests: 'keep' | 'follow';
  readonly holdSeconds: number;
  readonly podPort: number;
  /** The token itself. */
  readonly podsTokenFile?: string;
  readonly dryRun?: true;
  readonly leaseName: string;
  readonly leaseSeconds: number;
  readonly host: string;
  readonly port: number;
  readonly logFormat: LogFormat;
  readonly logLevel: LogLevel;
}

const CORES = 1000;

function share(text: string): number {
  const value = Number(text);
  if (value > 0 && value < 1) return value;
  throw new InvalidArgumentError('Give a share above 0 and below 1, such as 0.99.');
}

export function operateCommand(): Command {
  const command = new Command('operate')
    .summary('decide how many pods a workload has, and how many cores each (Kubernetes)')
    .description(
      'Once a second: the replicas × cores that meet the attainment target at least cost. Grows pods in place at once, asks for more where that does ' +
        'not reach, and takes back only what others do already. Writes scale and pods/resize, and nothing else.',
    )
    .option('--workload <kind/name>', 'deployment/name or statefulset/name (repeatable)', collected)
    .option(
      '--selector <labels>',
      'all Deployments and StatefulSets with these labels, such as app.kubernetes.io/name=sponge',
    )
    .option('--namespace <name>', 'of the workloads and the lease (default: our own)')
    .option('--container <name>', "the server's, where pods have several")
    .option('--min-replicas <n>', 'of each workload, for availability', positiveInteger, USUAL_RULES.minReplicas)
    .option('--max-replicas <n>', 'of each workload', positiveInteger, USUAL_RULES.maxReplicas)
    .option('--min-cores <n>', "of a pod's models", positiveNumber, 0.25)
    .option(
      '--max-cores <n>',
      "of a pod's models (default: the template's CPU limit, less a quarter core for the router)",
      positiveNumber,
    )
    .option('--attainment <share>', 'of requests to be answered in time', share, USUAL_RULES.attainment)
    .addOption(
      new Option(
        '--balancing <how>',
        'even: by turns or chance, as a Service does; by-room: by sponge route, or least request',
      )
        .choices(['even', 'by-room'])
        .default(USUAL_RULES.balancing),
    )
    .addOption(
      new Option(
        '--requests <rule>',
        'follow: the CPU request moves with the limit, so that a full node says so; keep: only the limit moves',
      )
        .choices(['keep', 'follow'])
        .default('follow'),
    )
    .option(
      '--hold-seconds <n>',
      'a pod goes once it was not needed for so long',
      positiveNumber,
      USUAL_RULES.replicaHoldMs / 1000,
    )
    .option('--pod-port <number>', 'where pods speak REST', port, 8000)
    .addOption(tokenOption('--pods-token-file', 'file with the token to ask pods with, where they ask for one'))
    .option('--dry-run', 'decide and tell, and write nothing')
    .option('--lease-name <name>', 'of several controllers of a namespace, whoever holds it writes', 'sponge-operate')
    .option('--lease-seconds <n>', 'after so long without a renewal another takes over', positiveNumber, 10)
    .option('--host <address>', 'address of /status and /metrics; 0.0.0.0 for all', '127.0.0.1')
    .option('--port <number>', 'their port; 0: any', port, 9091)
    .addHelpText(
      'after',
      `
Examples:
  sponge operate --workload deployment/ocr-sponge --max-replicas 8 --dry-run
  sponge operate --selector app.kubernetes.io/name=sponge --min-replicas 2

In a pod it needs the rights of deploy/kubernetes/operate.yaml; elsewhere KUBECONFIG says where. docs/operate.md.`,
    )
    .action(operate);
  return withConfiguration(addLogFlags(command));
}

async function operate(flags: OperateFlags): Promise<void> {
  const workloads = (flags.workload ?? []).map(parseWorkload);
  if (workloads.length === 0 && flags.selector === undefined) {
    throw new UserError('nothing to operate: name it with --workload deployment/<name>, or give a --selector');
  }
  if (flags.minReplicas > flags.maxReplicas) {
    throw new UserError(`--min-replicas ${flags.minReplicas} is above --max-replicas ${flags.maxReplicas}`);
  }
  if (flags.maxCores !== undefined && flags.minCores > flags.maxCores) {
    throw new UserError(`--min-cores ${flags.minCores} is above --max-cores ${flags.maxCores}`);
  }
  const { ApiClient } = await import('../kubernetes/api-client.js');
  const { findClusterAccess } = await import('../kubernetes/cluster-access.js');
  const { Operator } = await import('../server/operate/operator.js');
  const { startStatusServer } = await import('../server/operate/status-server.js');
  const access = await findClusterAccess();
  const namespace = flags.namespace ?? access.namespace;
  if (namespace === null) throw new UserError(`${access.source} names no namespace: give --namespace`);
  const logger = createLogger({ format: flags.logFormat, level: flags.logLevel });
  const client = new ApiClient(access, 'sponge-operate');
  const operator = new Operator({
    client,
    logger,
    nowMs: () => performance.now(),
    settings: settingsOf(flags, workloads, namespace),
  });
  const server = await startStatusServer(operator, flags);
  operator.start();
  const host = flags.host.includes(':') ? `[${flags.host}]` : flags.host;
  const what = [
    ...(flags.workload ?? []),
    ...(flags.selector === undefined ? [] : [`all with ${flags.selector}`]),
  ].join(', ');
  console.log(
    [
      `Sponge operates ${what} in ${namespace}${flags.dryRun === true ? ', dry run: nothing is written' : ''}`,
      `  status    http://${host}:${server.port}/status`,
      `  metrics   http://${host}:${server.port}/metrics`,
    ].join('\n'),
  );
  process.send?.({ kind: 'operating', port: server.port }, undefined, {}, () => undefined);
  await firstStopSignal();
  await operator.stop();
  await server.close();
  client.close();
}

function settingsOf(flags: OperateFlags, workloads: OperateSettings['workloads'], namespace: string): OperateSettings {
  const { minReplicas, maxReplicas, attainment, balancing } = flags;
  const replicaHoldMs = 1000 * flags.holdSeconds;
  return {
    ...{ namespace, workloads },
    selector: flags.selector ?? null,
    container: flags.container ?? null,
    podPort: flags.podPort,
    token: flags.podsTokenFile ?? null,
    requests: flags.requests,
    maxMillicores: flags.maxCores === undefined ? null : millicoresOf(flags.maxCores),
    minMillicores: Math.round(CORES * flags.minCores),
    rules: { ...USUAL_RULES, minReplicas, maxReplicas, attainment, balancing, replicaHoldMs },
    isDryRun: flags.dryRun === true,
    lease: { name: flags.leaseName, seconds: flags.leaseSeconds },
    identity: `${process.env['POD_NAME'] ?? hostname()}_${randomBytes(4).toString('hex')}`,
  };
}

function parseWorkload(text: string): { readonly kind: WorkloadKind; readonly name: string } {
  const match = /^(deployment|statefulset)s?\/([a-z0-9.-]{1,253})$/i.exec(text);
  if (match === null) throw new UserError(`--workload ${text}: expected deployment/<name> or statefulset/<name>`);
  return { kind: match[1]!.toLowerCase() === 'deployment' ? 'Deployment' : 'StatefulSet', name: match[2]! };
}
