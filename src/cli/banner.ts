import type { ServedModel } from '../server/served/served-model.js';
import { printable } from '../server/doors/printable.js';
import type { Server } from '../server/server.js';

const OPEN = '            open to every machine that reaches it: --auth-token-file asks for tokens';

/** What a person sees when the server is ready: what is served, where, on how much CPU, and how it is planned. */
export function banner(server: Server, startMs: number): string {
  const [first] = server.models;
  const lines = [
    `Sponge is ready after ${(startMs / 1000).toFixed(1)} s`,
    '',
    ...(first === undefined ? ['  no model yet'] : server.models.flatMap(describeModel)),
    ...server.pipelines.flatMap(describePipeline),
    ...server.failures.flatMap(describeFailure),
    '',
    ...describeControl(server),
    `  REST      ${server.restUrl}/v2`,
    `  gRPC      ${server.grpcAddress}${server.isSecure ? ', TLS' : ''}`,
    `  metrics   ${server.metricsUrl}`,
    `  dashboard ${server.dashboardUrl}`,
    ...(server.isOpen ? [OPEN] : []),
    '',
    ...(first === undefined ? [] : [`  CPU       ${first.scaling.description}; ${describeShare(first)}`]),
    ...server.passedOver.map((line) => `            not ${line}`),
    ...describeMemory(server),
    `  planning  ${describePolicy(server)}`,
  ];
  return lines.map(printable).join('\n');
}

function describeControl({ controlMode }: Server): string[] {
  switch (controlMode) {
    case 'none':
      return [];
    case 'poll':
      return ['  models    come and go with the files in the repository'];
    case 'explicit':
      return ['  models    are loaded and unloaded by clients: /v2/repository'];
  }
}

function describeModel(model: ServedModel): string[] {
  const { source, profile, defaultSloMs } = model;
  const measured =
    profile === null
      ? 'no profile yet: the first request tells what it takes, and is followed by one (or give --shape or --sample)'
      : `${profile.quality} profile of ${profile.measuredAt.slice(0, 16).replace('T', ' ')}${refining(model)}`;
  return [
    `  ${source.name} version ${source.version}, ${model.state}`,
    `            ${describeBatching(model)}`,
    `            ${measured}`,
    `            requests that state no budget get ${defaultSloMs.toFixed(0)} ms`,
  ];
}

function describePipeline({
  source,
  state,
  stepNames,
  mostAccuracy,
  defaultSloMs,
}: Server['pipelines'][number]): string[] {
  return [
    `  ${source.name} version ${source.version}, ${state}`,
    `            ${mostAccuracy === null ? `a pipeline: ${stepNames.join(' → ')}` : `variants: ${stepNames.join(', ')}`}`,
    `            requests that state no budget get ${defaultSloMs.toFixed(0)} ms`,
  ];
}

function describeBatching({ isBatchable, pool, batching }: ServedModel): string {
  if (isBatchable) return `batches of up to ${pool.maxBatchSize}; ${batching.reason}`;
  const isLimited = batching.isBatchable && pool.maxBatchSize === 1;
  return `served one at a time: ${isLimited ? 'the limit is one row (--max-batch or max_batch_size)' : batching.reason}`;
}

function describeFailure({ source, reason }: Server['failures'][number]): string[] {
  return [`  ${source.name} version ${source.version}, NOT SERVED`, `            ${reason}`];
}

function refining({ profile, isRefining }: ServedModel): string {
  if (profile?.quality !== 'quick') return '';
  return `, planned with a wider margin${isRefining ? ' and refined in the background' : ''}`;
}

function describeShare({ limits, replication, instanceCount, sharesCores, pids }: ServedModel): string {
  const most = inCores(limits.maxMillicores);
  const where = pids.length > 1 ? 'a process each' : 'in one process';
  const instances =
    instanceCount === 1 ? 'one warm instance a model' : `${instanceCount} warm instances a model, ${where}`;
  if (sharesCores) return `${most} cores for all models, each core for whoever needs it; ${instances}`;
  if (replication === null && instanceCount > 1) {
    return `${instances}, ${most} cores for all of them, each resized by itself`;
  }
  if (replication === null) return `${inCores(limits.minMillicores)} to ${most} cores a model`;
  const { maxInstances, unitMillicores } = replication;
  return `1 to ${maxInstances} replicas of ${inCores(unitMillicores)} cores a model, each in a group of its own`;
}

/** Only where it decides anything. */
function describeMemory({ memory: { room, shares }, models }: Server): string[] {
  if (!shares.isTight) return [];
  const of = room.limitedBy === 'cgroup' ? 'that this container may use' : 'of this machine';
  const each = models.length === 1 ? '' : ' for each model';
  return [
    `  memory    ${inMib(room.limitBytes)} MiB ${of}: by default ${inMib(shares.receiptBytes)} for bodies on their way in, ` +
      `${inMib(shares.queueBytes)} queued and ${inMib(shares.stagedBytes)} in workers${each}`,
  ];
}

function inMib(bytes: number): string {
  return (bytes / 1024 ** 2).toFixed(0);
}

const PLAIN = 'first come, first served; deadlines are not known, so nothing is refused or given up for one';

function describePolicy({ policy: { name, scaling, declaration, knobs, parameters }, models }: Server): string {
  const { numbers, prefer } = parameters;
  const dispatch = knobs.expiry === 'on' ? '' : `, ${PLAIN}`;
  switch (scaling.kind) {
    case 'fixed':
      return `${name}: ${numbers['cores']} cores, batches of up to ${numbers['batch']}${dispatch}`;
    case 'replicas': {
      const unit = inCores(models[0]!.limits.maxMillicores);
      return `${name}, once a second: as few replicas of ${unit} cores as keep up within the default budget${dispatch}`;
    }
    case 'in-place':
    case 'instances': {
      const when = declaration.isEventDriven ? 'whenever something happens' : 'once a second';
      const what =
        prefer === 'cpu'
          ? 'least CPU: answers come close to their deadlines (--prefer latency for early ones)'
          : 'low latency: keeps headroom, for more CPU';
      return `${name}, ${when}; ${what}`;
    }
  }
}

function inCores(millicores: number): string {
  return String(millicores / 1000);
}
