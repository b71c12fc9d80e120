import type { ServedModel } from '../adapters/serving/served-model.js';
import type { Server } from '../adapters/serving/server.js';

/** What a person sees when the server is ready: what is served, where, on how much CPU, and how it is planned. */
export function banner(server: Server, startMs: number): string {
  const [first] = server.models;
  const limits = first!.limits;
  const lines = [
    `Sponge is ready after ${(startMs / 1000).toFixed(1)} s`,
    '',
    ...server.models.flatMap(describeModel),
    '',
    `  REST      ${server.restUrl}/v2`,
    `  gRPC      ${server.grpcAddress}`,
    `  metrics   ${server.metricsUrl}`,
    '',
    `  CPU       ${first!.scaling.description}; ${inCores(limits.minMillicores)} to ${inCores(limits.maxMillicores)} cores a model`,
    ...server.passedOver.map((line) => `            not ${line}`),
    `  planning  ${describePolicy(server)}`,
  ];
  return lines.join('\n');
}

function describeModel(model: ServedModel): string[] {
  const { source, profile, defaultSloMs } = model;
  const batching = model.isBatchable
    ? `batches of up to ${model.pool.maxBatchSize}`
    : `served one at a time: ${model.notBatchableReason}`;
  const measured =
    profile === null
      ? 'no profile yet: the first request tells the shape, and is followed by one (or give --shape)'
      : `${profile.quality} profile of ${profile.measuredAt.slice(0, 16).replace('T', ' ')}${refining(model)}`;
  return [
    `  ${source.name} version ${source.version}, ${model.state}`,
    `            ${batching}`,
    `            ${measured}`,
    `            requests that state no budget get ${defaultSloMs.toFixed(0)} ms`,
  ];
}

function refining({ profile, isRefining }: ServedModel): string {
  if (profile?.quality !== 'quick') return '';
  return `, planned with a wider margin${isRefining ? ' and refined in the background' : ''}`;
}

function describePolicy({ policy }: Server): string {
  switch (policy.name) {
    case 'static':
      return `static: ${inCores(policy.cpuMillicores)} cores, batches of up to ${policy.batchSize}`;
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
