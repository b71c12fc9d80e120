import type { AllocationLimits } from '../../src/scheduler/domain/plan.js';
import { grantable } from '../../src/scheduler/controlplane/baselines/allocations.js';
import type { LiveCase } from './live-results.js';

/* The policies of the live experiment, each as it is served and as it is simulated. */

export interface CaseSizes {
  readonly limits: AllocationLimits;
  /** Of one replica. */
  readonly unitMillicores: number;
  /** Of the fixed batches. */
  readonly batchSize: number;
  /** What resizes workers here: `cgroup-v1`, … */
  readonly scaler: string;
}

export interface LiveCases {
  readonly cases: readonly LiveCase[];
  /** What cannot be served here, and why; a sentence each. */
  readonly leftOut: readonly string[];
}

/** Of ours: one was the single worker. */
const INSTANCES = [2, 4] as const;

/** Several instances, and replicas, only where each can have a CPU group of its own. */
export function liveCases(sizes: CaseSizes): LiveCases {
  const [ours, ...others] = singleCases(sizes);
  if (sizes.scaler.startsWith('cgroup'))
    return { cases: [ours!, ...INSTANCES.map(instancesCase), ...others, replicasCase(sizes)], leftOut: [] };
  const reason =
    'Several instances and replicas were left out: each needs a CPU group of its own, ' +
    `and here CPU is granted by ${sizes.scaler}.`;
  return { cases: [ours!, ...others], leftOut: [reason] };
}

/** What a person who does not know the load may well choose as the small one. */
const SMALL_SHARE = 0.5;

function singleCases({ limits, batchSize }: CaseSizes): readonly LiveCase[] {
  const small = grantable(Math.round(limits.maxMillicores * SMALL_SHARE), limits);
  const [smallCores, fullCores] = [small / 1000, limits.maxMillicores / 1000];
  const fixed = (name: string, cores: number): LiveCase => ({
    name,
    title: `${cores} cores, first come, first served, batches of up to ${batchSize}`,
    serveFlags: ['--policy', 'static', '--cpu', String(cores), '--batch', String(batchSize), '--order', 'fifo'],
    isDeadlineAware: false,
    simulatedPolicy: `static(cores=${cores},batch=${batchSize})`,
  });
  return [
    {
      name: 'sponge',
      title: 'ours: plans whenever something happens, earliest deadline first',
      serveFlags: ['--policy', 'sponge', '--instances', '1'],
      isDeadlineAware: true,
      simulatedPolicy: 'sponge',
    },
    {
      name: 'paper',
      title: "the paper's planner: once a second, earliest deadline first",
      serveFlags: ['--policy', 'paper'],
      isDeadlineAware: true,
      simulatedPolicy: 'paper',
    },
    fixed('static small', smallCores),
    fixed('static full', fullCores),
  ];
}

function instancesCase(count: number): LiveCase {
  return {
    name: `sponge ${count}`,
    title: `ours, with ${count} warm instances, each resized by itself`,
    serveFlags: ['--policy', 'sponge', '--instances', String(count)],
    isDeadlineAware: true,
    simulatedPolicy: `sponge(instances=${count})`,
    warmInstances: count,
  };
}

function replicasCase({ unitMillicores }: CaseSizes): LiveCase {
  const unitCores = unitMillicores / 1000;
  return {
    name: 'replicas',
    title: `FA2-like: instances of ${unitCores} cores, first come, first served, with their cold start`,
    serveFlags: ['--policy', 'fa2-published', '--unit-cores', String(unitCores)],
    isDeadlineAware: false,
    simulatedPolicy: `fa2-published(unit=${unitCores})`,
  };
}
