import { CORE_MILLICORES, grantable } from '../controlplane/baselines/allocations.js';
import { fa2PublishedPlanner } from '../controlplane/baselines/fa2-published.js';
import { fa2Planner } from '../controlplane/baselines/fa2.js';
import { oneCorePool } from '../controlplane/baselines/one-core-pool.js';
import { releasedPlanner, type AuthorsConfig } from '../controlplane/baselines/released-planner.js';
import { staticPlanner } from '../controlplane/baselines/static.js';
import { themisPlanner } from '../controlplane/baselines/themis-hybrid.js';
import { vpaPlanner } from '../controlplane/baselines/vpa.js';
import { eventPlanner, paperPlanner } from '../controlplane/program-planner.js';
import type { PolicyDeclaration, CpuRule, PolicySetting } from './declaration.js';
import { OURS, PLAIN, type DispatchKnobs } from './dispatch-knobs.js';
import { instancesOf, sponge } from './own-policies.js';

/*
 * The policies by name, each as it declares itself: a CPU rule (planner), a dispatch rule whose order, batching and admission can be
 * set on any of them, and how it scales. Where each comes from: docs/policies.md.
 */

/** The authors' queue: MLServer's window as they changed it, `max_batch_time` 1 s. */
const AUTHORS_QUEUE: DispatchKnobs = { ...PLAIN, batching: 'window-fork' };
export const AUTHORS_WAIT_MS = 1000;
/** What an operator with an SLO of a second may well configure. */
const OPERATOR_WAIT_MS = 100;
/** The fixed allocation of the paper's evaluation that is not the whole machine. */
const FIXED_CORES = 8;

function authorsConfig({ authors }: PolicySetting): AuthorsConfig {
  if (authors === undefined)
    throw new Error('the authors’ controllers are told the load beforehand, which nobody knows here');
  return authors();
}

function authorsFa2(setting: PolicySetting): CpuRule {
  return fa2Planner({ ...authorsConfig(setting), maxInstances: setting.replicas.maxInstances });
}

function fixed({ limits, maxBatchSize }: PolicySetting, numbers: Readonly<Record<string, number>>): CpuRule {
  const { cores = FIXED_CORES, batch = 1 } = numbers;
  const cpuMillicores = grantable(Math.round(cores * CORE_MILLICORES), limits);
  return { planner: staticPlanner(cpuMillicores, Math.min(batch, maxBatchSize)) };
}

export const POLICIES: Readonly<Record<string, PolicyDeclaration>> = {
  sponge: {
    title: 'ours: a price on the worker’s time, the actual queue, each batch with its cores',
    dispatch: OURS,
    scaling: { kind: 'instances' },
    isEventDriven: true,
    hasParts: true,
    hasPreference: true,
    // 0: the planner's own, and the setting's.
    parameters: { safety: 0, instances: 0 },
    cpu: sponge,
  },
  'sponge-latency': {
    title: 'ours with --prefer latency',
    dispatch: OURS,
    scaling: { kind: 'instances' },
    isEventDriven: true,
    // 0: the setting's.
    parameters: { instances: 0 },
    cpu: (setting, parameters) => sponge(setting, { ...parameters, prefer: 'latency' }),
  },
  program: {
    title: "the paper's program on the actual queue, whenever something happens",
    dispatch: OURS,
    scaling: { kind: 'in-place' },
    isEventDriven: true,
    hasPreference: true,
    cpu: (_, { prefer }) => ({ planner: eventPlanner(prefer) }),
  },
  paper: {
    title: "the paper's program, once a second, on the actual queue",
    dispatch: OURS,
    scaling: { kind: 'in-place' },
    hasPreference: true,
    cpu: (_, { prefer }) => ({ planner: paperPlanner(prefer) }),
  },
  released: {
    title: "the authors' code: once a second, a virtual second of arrivals, FIFO",
    dispatch: AUTHORS_QUEUE,
    scaling: { kind: 'in-place' },
    parameters: { waitMs: AUTHORS_WAIT_MS },
    cpu: (setting) => releasedPlanner(authorsConfig(setting)),
  },
  'static-8': {
    title: 'eight cores, one request at a time, as in the paper',
    dispatch: PLAIN,
    scaling: { kind: 'fixed' },
    cpu: (setting) => fixed(setting, { cores: FIXED_CORES, batch: 1 }),
  },
  'static-16': {
    title: 'sixteen cores, one request at a time, as in the paper',
    dispatch: PLAIN,
    scaling: { kind: 'fixed' },
    cpu: (setting) => fixed(setting, { cores: 16, batch: 1 }),
  },
  static: {
    title: 'any fixed allocation: static(cores=8,batch=4)',
    dispatch: PLAIN,
    scaling: { kind: 'fixed' },
    parameters: { cores: FIXED_CORES, batch: 1 },
    cpu: (setting, { numbers }) => fixed(setting, numbers),
  },
  fa2: {
    title: 'FA2 as the authors coded it: instances of one core, one warm at the start',
    dispatch: AUTHORS_QUEUE,
    scaling: { kind: 'replicas', areResized: false, isFirstWarm: true },
    parameters: { waitMs: AUTHORS_WAIT_MS },
    cpu: authorsFa2,
  },
  'fa2-cold': {
    title: 'the same, and its first instance has a cold start too',
    dispatch: AUTHORS_QUEUE,
    scaling: { kind: 'replicas', areResized: false, isFirstWarm: false },
    parameters: { waitMs: AUTHORS_WAIT_MS },
    cpu: authorsFa2,
  },
  'fa2-published': {
    title: 'FA2 as published: measured rate, waiting for a batch to fill counted; unit: cores of an instance',
    dispatch: PLAIN,
    scaling: { kind: 'replicas', areResized: false, isFirstWarm: true },
    parameters: { unit: 1 },
    cpu: ({ sloMs, replicas }) => fa2PublishedPlanner({ sloMs, ...replicas }),
  },
  vpa: {
    title: 'a vertical autoscaler that follows the use of CPU, applied in place',
    dispatch: PLAIN,
    scaling: { kind: 'in-place' },
    cpu: () => ({ planner: vpaPlanner() }),
  },
  themis: {
    title: 'Themis-like: grows in place at once, adds instances in the background',
    dispatch: { ...PLAIN, expiry: 'on' },
    scaling: { kind: 'replicas', areResized: true, isFirstWarm: true },
    cpu: ({ sloMs, replicas }) => themisPlanner({ sloMs, maxInstances: replicas.maxInstances }),
  },
  'one-core-pool': {
    title: 'warm instances of one core, earliest deadline first, one at a time; tight=1: more cores for who needs them',
    dispatch: OURS,
    scaling: { kind: 'instances' },
    isEventDriven: true,
    // 0: the setting's; and no.
    parameters: { instances: 0, tight: 0 },
    cpu: (setting, { numbers }) => ({
      planner: oneCorePool(numbers['tight']! > 0),
      instances: instancesOf(setting, numbers['instances']!),
    }),
  },
  triton: {
    title: 'Triton-like dynamic batching on a fixed allocation',
    dispatch: { ...PLAIN, batching: 'delay' },
    scaling: { kind: 'fixed' },
    parameters: { cores: FIXED_CORES, batch: 8, waitMs: OPERATOR_WAIT_MS },
    cpu: (setting, { numbers }) => fixed(setting, numbers),
  },
  mlserver: {
    title: 'MLServer-like batching window on a fixed allocation',
    dispatch: { ...PLAIN, batching: 'window' },
    scaling: { kind: 'fixed' },
    parameters: { cores: FIXED_CORES, batch: 8, waitMs: OPERATOR_WAIT_MS },
    cpu: (setting, { numbers }) => fixed(setting, numbers),
  },
  'mlserver-fork': {
    title: "the same window as the authors' fork counts its time",
    dispatch: AUTHORS_QUEUE,
    scaling: { kind: 'fixed' },
    parameters: { cores: FIXED_CORES, batch: 8, waitMs: AUTHORS_WAIT_MS },
    cpu: (setting, { numbers }) => fixed(setting, numbers),
  },
  bentoml: {
    title: 'BentoML-like adaptive batching on a fixed allocation; drops what would be late',
    dispatch: { ...PLAIN, batching: 'cork' },
    scaling: { kind: 'fixed' },
    parameters: { cores: FIXED_CORES, batch: 8 },
    cpu: (setting, { numbers }) => fixed(setting, numbers),
  },
};
