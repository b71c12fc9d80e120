import type { ServedModel } from '../adapters/serving/served-model.js';
import type { Server } from '../adapters/serving/server.js';

/** What a person sees when the server is ready: what is served, where, on how much CPU, and how it is planned. */
export function banner(server: Server, startMs: number): string {
  const [first] = server.models;
  const lines = [
    `Sponge is ready after ${(startMs / 1000).toFixed(1)} s`,
    '',
    ...server.models.flatMap(describeModel),
    ...server.failures.flatMap(describeFailure),
    '',
    `  REST      ${server.restUrl}/v2`,
    `  gRPC      ${server.grpcAddress}`,
    `  metrics   ${server.metricsUrl}`,
    `  dashboard ${server.dashboardUrl}`,
    '',
    `  CPU       ${first!.scaling.description}; ${describeShare(first!)}`,
    ...server.passedOver.map((line) => `            not ${line}`),
    `  planning  ${describePolicy(server)}`,
  ];
  return lines.join('\n');
}

function describeModel(model: ServedModel): string[] {
  const { source, profile, defaultSloMs } = model;
  const batching = model.isBatchable
    ? `batches of up to ${model.pool.maxBatchSize}; ${model.batching.reason}`
    : `served one at a time: ${model.batching.reason}`;
  const measured =
    profile === null
      ? 'no profile yet: the first request tells what it takes, and is followed by one (or give --shape or --sample)'
      : `${profile.quality} profile of ${profile.measuredAt.slice(0, 16).replace('T', ' ')}${refining(model)}`;
  return [
    `  ${source.name} version ${source.version}, ${model.state}`,
    `            ${batching}`,
    `            ${measured}`,
    `            requests that state no budget get ${defaultSloMs.toFixed(0)} ms`,
  ];
}

function describeFailure({ source, reason }: Server['failures'][number]): string[] {
  return [`  ${source.name} version ${source.version}, NOT SERVED`, `            ${reason}`];
}

function refining({ profile, isRefining }: ServedModel): string {
  if (profile?.quality !== 'quick') return '';
  return `, planned with a wider margin${isRefining ? ' and refined in the background' : ''}`;
}

function describeShare({ limits, replication, instanceCount }: ServedModel): string {
  if (replication === null && instanceCount > 1) {
    const most = inCores(limits.maxMillicores);
    return `${instanceCount} warm instances a model, ${most} cores for all of them, each resized by itself`;
  }
  if (replication === null) {
    return `${inCores(limits.minMillicores)} to ${inCores(limits.maxMillicores)} cores a model`;
  }
  const { maxInstances, unitMillicores } = replication;
  return `1 to ${maxInstances} replicas of ${inCores(unitMillicores)} cores a model, each in a group of its own`;
}

const PLAIN = 'first come, first served; deadlines are not known, so nothing is refused or given up for one';

function describePolicy({ policy, models }: Server): string {
  switch (policy.name) {
    case 'static': {
      const plan = `static: ${inCores(policy.cpuMillicores)} cores, batches of up to ${policy.batchSize}`;
      return policy.order === 'edf' ? plan : `${plan}, ${PLAIN}`;
    }
    case 'fa2': {
      const unit = inCores(models[0]!.limits.maxMillicores);
      return `fa2, once a second: as few replicas of ${unit} cores as keep up within the default budget, ${PLAIN}`;
    }
    case 'paper':
    case 'sponge': {
      const when = policy.name === 'paper' ? 'once a second' : 'whenever something happens';
      const what =
        policy.prefer === 'cpu'
          ? 'least CPU: answers come close to their deadlines (--prefer latency for early ones)'
          : 'low latency: keeps headroom, for more CPU';
      return `${policy.name}, ${when}; ${what}`;
    }
  }
}

function inCores(millicores: number): string {
  return String(millicores / 1000);
}
