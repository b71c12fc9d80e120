import { Command, Option } from 'commander';
import type { Logger } from 'pino';
import { BATCHING_MODES } from '../server/served/batching-decision.js';
import { tellReady } from '../server/ready-message.js';
import { startServer, type Server } from '../server/server.js';
import type { ServerOptions } from '../server/server-options.js';
import { SPARE_MODES, type SpareMode } from '../server/served/spares.js';
import { oneLine } from '../server/workers/load-failure.js';
import { DEFAULT_TARGET_MISS_RATE } from '../scheduler/perf-model/latency-model.js';
import { banner } from './banner.js';
import { addControlFlags, controlOf, type ControlFlags } from './control-flags.js';
import { addDoorFlags, doorsOf, type DoorFlags } from './door-flags.js';
import { addKubernetesFlags, kubernetesOf, type KubernetesFlags } from './kubernetes-flags.js';
import {
  cores,
  floor,
  nonNegativeNumber,
  openFraction,
  share,
  port,
  positiveInteger,
  positiveNumber,
  shape,
  threadCounts,
  UserError,
  withConfiguration,
  collected,
} from './options.js';
import { instancesPerProcess, policyChoice, SERVED_POLICIES, type PolicyFlags } from './policy-flags.js';
import { addServeLogFlags, serveLogger, show, type LogFlags } from './serve-display.js';
import { addSourceFlags, fetchedFrom, type SourceFlags } from './source-flags.js';
import { progressLine } from './start-progress.js';
import { firstStopSignal } from './stop-signal.js';
import { tuneGarbageCollection } from './garbage-collection.js';
import { profileFolder } from './profile-folder.js';
import { addThreadFlags, type ThreadFlags } from './thread-flags.js';
import { tlsFiles, type TlsFlags } from './tls-flags.js';
import { addTraceFlags, tracingOf, type TraceFlags } from './trace-flags.js';

const MIB = 1024 * 1024;

/** Rows of a batch where nobody says otherwise. */
const DEFAULT_MAX_BATCH_SIZE = 16;

/** As commander parses them; see the flags below. */
interface ServeFlags
  extends
    ControlFlags,
    DoorFlags,
    KubernetesFlags,
    LogFlags,
    PolicyFlags,
    SourceFlags,
    ThreadFlags,
    TlsFlags,
    TraceFlags {
  readonly modelStore?: string;
  readonly host: string;
  readonly port: number;
  readonly httpPort?: number;
  readonly grpcPort: number;
  readonly metricsPort: number;
  readonly serverName: string;
  readonly slo?: number;
  readonly queueLimit: number;
  readonly queueMib?: number;
  readonly scaler: ServerOptions['scaler'];
  readonly maxCores?: number;
  readonly minCores: number;
  readonly idleRelease: boolean;
  readonly idleReleaseMs: number;
  readonly group: string;
  readonly quotaPeriodUs: number;
  readonly workerUser: string;
  readonly workerMemoryMib?: number;
  readonly spareWorkers: SpareMode;
  readonly threads?: readonly number[];
  readonly modelFloor?: Readonly<Record<string, number>>;
  /** Unstated unless given: then a request of more rows is refused. */
  readonly maxBatch?: number;
  readonly maxBatchMib: number;
  readonly shape?: NonNullable<ServerOptions['shapes']>;
  readonly sample?: readonly string[];
  readonly batching?: NonNullable<ServerOptions['batching']>;
  readonly strict: boolean;
  readonly refine: boolean;
  readonly profileDir?: string;
  readonly jsonLimitMib: number;
  readonly binaryLimitMib: number;
  readonly receiveMib?: number;
  readonly bodyTimeoutMs: number;
  readonly maxCalls: number;
  readonly clientShare: number;
  readonly hangTimeoutMs: number;
  readonly maxRunMs: number;
  readonly targetMissRate: number;
  readonly drainSeconds: number;
  readonly compat: ServerOptions['compat'];
}

export function serveCommand(): Command {
  const command = new Command('serve')
    .description('serve a .onnx file or a model repository (<name>/<version>/model.onnx) over REST and gRPC')
    .argument(
      '[path]',
      'a .onnx file or a folder of models; or https://…/model.onnx, hf://org/name[@rev]/file.onnx, s3://bucket/prefix',
    )
    .addOption(new Option('--model-store <path>', 'the same, as KServe passes it').hideHelp())
    .option('--host <address>', 'address to listen on; 0.0.0.0 for all', '127.0.0.1')
    .option('--port <port>', 'REST', port, 8000)
    .addOption(new Option('--http-port <port>', 'the same, as KServe passes it').argParser(port).hideHelp())
    .option('--grpc-port <port>', 'gRPC', port, 8001)
    .option('--metrics-port <port>', 'metrics', port, 8002)
    .option('--server-name <name>', 'name that /v2 answers', 'sponge')
    .optionsGroup('TLS, of all three ports; files are read again when they change:')
    .option('--tls-cert <file>', "the server's certificate and those that lead to its CA, PEM")
    .option('--tls-key <file>', 'its private key, PEM without a passphrase')
    .option('--tls-client-ca <file>', 'CAs, PEM: clients must have a certificate of one of them')
    .optionsGroup('Deadlines:')
    .option(
      '--slo <ms>',
      'budget of requests that state none (default: max(1000, 10 × one request on one core))',
      positiveNumber,
    )
    .option('--queue-limit <n>', 'requests held at a time, per model', positiveInteger, 10_000)
    .option(
      '--queue-mib <n>',
      'input MiB held at a time, per model (default: 1024, or what memory allows)',
      positiveNumber,
    )
    .optionsGroup('CPU:')
    .addOption(
      new Option('--scaler <kind>', 'how the worker is resized')
        .choices(['auto', 'cgroup-v2', 'cgroup-v1', 'affinity', 'kubernetes', 'none'])
        .default('auto'),
    )
    .option(
      '--max-cores <n>',
      'largest allocation, shared by all models (default: what the machine allows, less 0.25)',
      cores,
    )
    .addOption(
      new Option('--min-cores <n>', 'smallest allocation that batches run on').argParser(cores).default(200, '0.2'),
    )
    .option('--idle-release-ms <ms>', 'give CPU back this long after the last work', nonNegativeNumber, 100)
    .option('--no-idle-release', 'keep the planned CPU while idle')
    .option('--group <name>', 'name of the CPU groups; one server at a time', 'default')
    .option('--quota-period-us <us>', 'CFS quota period', positiveInteger, 10_000)
    .addOption(
      new Option(
        '--spare-workers <when>',
        'whether a second process of a model stands ready to take over when its worker is lost; after-crash: for ten minutes ' +
          'after a loss, as memory allows',
      )
        .choices(SPARE_MODES)
        .default('after-crash'),
    )
    .option('--worker-user <name>', 'what workers run as, where this server is root', 'nobody')
    .option(
      '--worker-memory-mib <n>',
      'memory that a worker process may have of its own; about twice what it holds when loaded is needed (default: no limit)',
      positiveNumber,
    )
    .option('--threads <list>', 'ONNX Runtime thread counts to keep sessions for, e.g. 1,2,4', threadCounts)
    .optionsGroup('Planning:')
    .addOption(
      new Option(
        '--policy <name>',
        'sponge: plan whenever something happens; paper: once a second; static: --cpu, --batch; ' +
          'fa2-published: replicas of --unit-cores instead of resizing, first come first served',
      )
        .choices(SERVED_POLICIES)
        .default('sponge'),
    )
    .addOption(
      new Option('--prefer <what>', 'cpu: least CPU, answers come close to their deadlines; latency: keep headroom')
        .choices(['cpu', 'latency'])
        .default('cpu'),
    )
    .option(
      '--target-miss-rate <fraction>',
      'share of batches that may miss deadlines although started early enough by the plan',
      openFraction,
      DEFAULT_TARGET_MISS_RATE,
    )
    .option(
      '--instances <n>',
      'warm instances of each model, each resized by itself; auto: one for each core, up to 4, as memory allows, ' +
        'where --policy is sponge and there are CPU groups',
      (text) => (text === 'auto' ? text : positiveInteger(text)),
      'auto',
    )
    .option(
      '--model-floor <name=fraction>',
      'share of the cores that a model may have in a backlog before others get more (repeatable; default: equal shares of ' +
        'half of them)',
      floor,
    )
    .option(
      '--instances-per-process <n>',
      'all: they are threads of one process that share the weights; 1: a process each, so that a crash ends one of them',
      (text) => (text === 'all' ? text : positiveInteger(text)),
      'all',
    )
    .option('--cpu <cores>', 'allocation of --policy static', cores)
    .option('--batch <n>', 'batch size of --policy static', positiveInteger)
    .addOption(
      new Option(
        '--order <rule>',
        'of --policy static; edf: by deadline (default); fifo: as a server that knows no deadlines, refusing nothing for one',
      ).choices(['edf', 'fifo']),
    )
    .option(
      '--unit-cores <cores>',
      'allocation of each replica of --policy fa2-published (default: 1, or all there is if less)',
      cores,
    )
    .option(
      '--max-batch <n>',
      'most rows in a batch; a request of more is refused (default: 16, and larger ones run alone)',
      positiveInteger,
    )
    .option('--max-batch-mib <n>', 'most input MiB in a batch', positiveNumber, 64)
    .option('--shape <input=sizes>', 'shape of one request to profile with, e.g. x=1,3,48,320 (repeatable)', shape)
    .option('--sample <file>', 'a request (JSON) to profile, try and warm up with (repeatable)', collected)
    .addOption(
      new Option('--batching <mode>', 'whether requests share batches, whatever the graph says').choices(
        BATCHING_MODES,
      ),
    )
    .option('--strict', 'end the start when one model cannot be loaded', false)
    .option('--profile-dir <folder>', 'where profiles are kept (default: beside their models)')
    .option('--no-refine', 'keep a quick profile instead of refining it in the background')
    .optionsGroup('Limits:')
    .option('--json-limit-mib <n>', 'largest JSON body', positiveNumber, 16)
    .option('--binary-limit-mib <n>', 'largest binary body or gRPC message', positiveNumber, 64)
    .option(
      '--receive-mib <n>',
      'MiB of bodies on their way in, over all calls (default: 512, or what memory allows)',
      positiveNumber,
    )
    .option('--body-timeout-ms <ms>', 'a body must be complete this long after its first byte', positiveNumber, 30_000)
    .option('--max-calls <n>', 'calls in progress', positiveInteger, 10_000)
    .option(
      '--client-share <fraction>',
      'of calls, connections and bytes on their way in, what one client address may have',
      share,
      0.75,
    )
    .option(
      '--hang-timeout-ms <ms>',
      'a run that uses no CPU for this long is given up, and its worker replaced',
      positiveNumber,
      5000,
    )
    .option('--max-run-ms <ms>', 'a run that takes longer is ended, and its request told', positiveNumber, 60_000)
    .option('--drain-seconds <s>', 'time for calls in progress after SIGTERM', nonNegativeNumber, 30)
    .addOption(
      new Option('--compat <server>', 'status codes of another server').choices(['none', 'triton']).default('none'),
    )
    .addHelpText(
      'after',
      `
Examples:
  sponge serve model.onnx
  sponge serve models/ --host 0.0.0.0 --slo 250
  sponge serve s3://bucket/models --model-control poll
  sponge serve ocr.onnx --shape x=1,3,48,320 --prefer latency
  SPONGE_GRPC_PORT=9001 sponge serve model.onnx --config sponge.yaml

Every flag can be set in the environment (--grpc-port is SPONGE_GRPC_PORT) and in a YAML file (grpc-port: 9001).`,
    )
    .action(serve);
  addTraceFlags(addServeLogFlags(command));
  return withConfiguration(addSourceFlags(addKubernetesFlags(addDoorFlags(addControlFlags(addThreadFlags(command))))));
}

/** To end workers and groups, once the drain is over. */
const ENDING_MS = 10_000;

async function serve(path: string | undefined, flags: ServeFlags): Promise<void> {
  const startedAtMs = performance.now();
  const progress = progressLine();
  const stopSignal = firstStopSignal();
  const interruption = new AbortController();
  let isStarting = true;
  void stopSignal.then((signal) => {
    if (isStarting) interruption.abort(new UserError(`${signal}: stopped before it was ready`));
  });
  const onProgress = (message: string): void => progress.show(message);
  const display = flags.watch === true ? (await import('./watch.js')).createDisplay('Ctrl-C stops the server') : null;
  // A reader that has seen enough, `| head` for example, is no reason to stop serving.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  const options = serverOptions(path, flags, serveLogger(flags, display), onProgress, interruption.signal);
  const server = await fetchAndStart(options, flags).finally(() => {
    isStarting = false;
    progress.clear();
  });
  tuneGarbageCollection();
  console.log(banner(server, performance.now() - startedAtMs));
  tellReady(server);
  if (display !== null) show(server, display);
  const signal = await stopSignal;
  display?.end();
  console.log(`${signal}: draining`);
  // Whatever else goes on: who stops it is told when it will be over.
  setTimeout(() => {
    console.error('sponge: not everything could be ended in time');
    process.exit(1);
  }, options.drainMs + ENDING_MS).unref();
  try {
    await server.close();
  } catch (error) {
    // Something that could not be ended may keep the process alive.
    console.error(`sponge: ${oneLine(error)}`);
    process.exit(1);
  }
  console.log('stopped');
  process.exit(0);
}

async function fetchAndStart(options: ServerOptions, flags: ServeFlags): Promise<Server> {
  const { path, logger, onProgress, interruption } = options;
  const onNotice = (line: string): void => logger.warn(line);
  const fetched = await fetchedFrom(path, flags, { onProgress, onNotice, interruption });
  return startServer({ ...options, path: fetched?.title ?? path, fetched });
}

/** Null where nobody states it. */
function bytesOf(mib: number | undefined): number | null {
  return mib === undefined ? null : mib * MIB;
}

function serverOptions(
  path: string | undefined,
  flags: ServeFlags,
  logger: Logger,
  onProgress: (message: string) => void,
  interruption: AbortSignal,
): ServerOptions {
  const modelPath = path ?? flags.modelStore;
  if (modelPath === undefined) throw new UserError('no model given: sponge serve <model.onnx | folder of models>');
  return {
    path: modelPath,
    fetched: null,
    host: flags.host,
    port: flags.httpPort ?? flags.port,
    grpcPort: flags.grpcPort,
    metricsPort: flags.metricsPort,
    ioThreads: flags.ioThreads,
    doors: doorsOf(flags),
    serverName: flags.serverName,
    defaultSloMs: flags.slo ?? null,
    queueLimits: { maxRequests: flags.queueLimit, maxBytes: bytesOf(flags.queueMib) },
    ...{ scaler: flags.scaler, kubernetes: kubernetesOf(flags) },
    maxMillicores: flags.maxCores ?? null,
    minMillicores: flags.minCores,
    idleReleaseMs: flags.idleRelease ? flags.idleReleaseMs : null,
    groupName: flags.group,
    quotaPeriodUs: flags.quotaPeriodUs,
    workerUser: flags.workerUser,
    workerMemoryBytes: bytesOf(flags.workerMemoryMib),
    spareMode: flags.spareWorkers,
    threadCounts: flags.threads ?? null,
    policy: policyChoice(flags),
    instances: flags.instances,
    floorFractions: flags.modelFloor ?? {},
    instancesPerProcess: instancesPerProcess(flags),
    maxBatchSize: flags.maxBatch ?? DEFAULT_MAX_BATCH_SIZE,
    isMaxBatchStated: flags.maxBatch !== undefined,
    maxBatchBytes: flags.maxBatchMib * MIB,
    shapes: flags.shape ?? null,
    samplePaths: flags.sample ?? null,
    batching: flags.batching ?? null,
    control: controlOf(flags),
    modelName: flags.modelName ?? null,
    isStrict: flags.strict,
    ...{ isRefining: flags.refine, profileFolder: profileFolder(flags.profileDir) },
    tls: tlsFiles(flags),
    limits: {
      maxJsonBytes: flags.jsonLimitMib * MIB,
      maxBinaryBytes: flags.binaryLimitMib * MIB,
      maxBytesInReceipt: bytesOf(flags.receiveMib),
      clientFraction: flags.clientShare,
      bodyTimeoutMs: flags.bodyTimeoutMs,
      maxConcurrentCalls: flags.maxCalls,
    },
    runLimits: { standstillMs: flags.hangTimeoutMs, maxRunMs: flags.maxRunMs },
    targetMissRate: flags.targetMissRate,
    drainMs: flags.drainSeconds * 1000,
    compat: flags.compat,
    ...{ eventLogPath: flags.eventLog ?? null, tracing: tracingOf(flags) },
    logger,
    onProgress,
    interruption,
  };
}
