import { grantable } from '../../scheduler/controlplane/baselines/allocations.js';
import { fa2PublishedPlanner } from '../../scheduler/controlplane/baselines/fa2-published.js';
import { fa2Planner } from '../../scheduler/controlplane/baselines/fa2.js';
import { oneCorePool } from '../../scheduler/controlplane/baselines/one-core-pool.js';
import { releasedPlanner, type AuthorsConfig } from '../../scheduler/controlplane/baselines/released-planner.js';
import { jointPlanner } from '../../scheduler/controlplane/joint-planner.js';
import { staticPlanner } from '../../scheduler/controlplane/baselines/static.js';
import { themisPlanner } from '../../scheduler/controlplane/baselines/themis-hybrid.js';
import { vpaPlanner } from '../../scheduler/controlplane/baselines/vpa.js';
import type { Planner } from '../../scheduler/controlplane/planner.js';
import { eventPlanner, paperPlanner } from '../../scheduler/controlplane/program-planner.js';
import { decideBatch } from '../../scheduler/dataplane/batcher.js';
import { cork } from '../../scheduler/dataplane/baselines/cork.js';
import { delay } from '../../scheduler/dataplane/baselines/delay.js';
import { dispatchPolicy, type DispatchRules } from '../../scheduler/dataplane/baselines/dispatch.js';
import type { BatchingRule } from '../../scheduler/dataplane/baselines/fill-batch.js';
import { greedy } from '../../scheduler/dataplane/baselines/greedy.js';
import { batchWindow } from '../../scheduler/dataplane/baselines/window.js';
import type { Event } from '../../scheduler/domain/event.js';
import type { AllocationLimits } from '../../scheduler/domain/plan.js';
import { OnlineLatencyModels } from '../../scheduler/perf-model/latency-model.js';
import type { LatencyModels } from '../../scheduler/perf-model/model-source.js';
import { stream } from '../../scheduler/random/streams.js';
import type { SimulatedPolicy } from '../sim/environment.js';
import { draw } from '../workloads/workload.js';
import { instancesOf, PARTS, sponge, spongeLatency, type Part } from './own-policies.js';
import { parsePolicySpec, type PolicySpec } from './policy-spec.js';
import type { ScenarioSetup } from '../scenarios/setup.js';

/*
 * The policies by name. Each is a CPU rule (planner) and a dispatch rule; the dispatch rule's order, batching and admission
 * can be set on any of them: `released(order=edf,batching=greedy)`. Where each comes from: docs/policies.md.
 */

/** The choices that make up a dispatch rule. */
const ORDERS = ['edf', 'fifo'] as const;
const BATCHINGS = ['sponge', 'greedy', 'delay', 'window', 'window-fork', 'cork'] as const;
const ADMISSIONS = ['sponge', 'none'] as const;
const EXPIRIES = ['on', 'off'] as const;

interface DispatchKnobs {
  readonly order: (typeof ORDERS)[number];
  readonly batching: (typeof BATCHINGS)[number];
  readonly admission: (typeof ADMISSIONS)[number];
  /** Whether a stated deadline ends a request's wait in the queue. */
  readonly expiry: (typeof EXPIRIES)[number];
}

/** What the CPU rule brings. */
export interface CpuRule {
  readonly planner: Planner;
  readonly observe?: (event: Event) => void;
  readonly isAllocationFixed?: boolean;
  /** Unless this is false latency models follow the batches that really ran. */
  readonly learns?: boolean;
  readonly horizontal?: SimulatedPolicy['horizontal'];
  readonly instances?: number;
}

interface PolicyKind {
  readonly title: string;
  readonly dispatch: DispatchKnobs;
  /** Parameters besides the dispatch knobs, and their defaults. */
  readonly parameters?: Readonly<Record<string, number>>;
  /** Whether `without=…` is understood. */
  readonly hasParts?: boolean;
  readonly cpu: (
    setup: ScenarioSetup,
    parameters: Readonly<Record<string, number>>,
    seed: number,
    without: Part,
  ) => CpuRule;
}

const OURS: DispatchKnobs = { order: 'edf', batching: 'sponge', admission: 'sponge', expiry: 'on' };
/** A server that knows nothing of deadlines. */
const PLAIN: DispatchKnobs = { order: 'fifo', batching: 'greedy', admission: 'none', expiry: 'off' };

/** The authors' queue: MLServer's window as they changed it, `max_batch_time` 1 s. */
const AUTHORS_QUEUE: DispatchKnobs = { ...PLAIN, batching: 'window-fork' };
const AUTHORS_WAIT_MS = 1000;
/** What an operator with an SLO of a second may well configure. */
const OPERATOR_WAIT_MS = 100;
/** The fixed allocation of the paper's evaluation that is not the whole machine. */
const FIXED_CORES = 8;
/** Instances are of one allocation for good; at most as many as the machine has room for. */
function replicaLimits(unitMillicores: number): AllocationLimits {
  return { minMillicores: unitMillicores, maxMillicores: unitMillicores, stepMillicores: unitMillicores };
}

const CORE_LIMITS = replicaLimits(1000);

function authorsConfig({ machine, environment, predictedRatePerSec, commonSloMs }: ScenarioSetup): AuthorsConfig {
  if (machine.releasedFit === null) {
    throw new Error(`profile ${machine.name} has too few cells for the authors' fit; leave released and fa2 out`);
  }
  return {
    coefficients: machine.releasedFit,
    arrivalRatePerSec: predictedRatePerSec,
    sloMs: commonSloMs,
    maxBatchSize: environment.cpu.maxBatchSize,
  };
}

function mostInstances({ environment }: ScenarioSetup, unitMillicores = 1000): number {
  return Math.max(1, Math.floor(environment.cpu.limits.maxMillicores / unitMillicores));
}

function replicas(
  setup: ScenarioSetup,
  seed: number,
  isWarm: boolean,
  limits: AllocationLimits,
): CpuRule['horizontal'] {
  const coldStarts = stream(seed, 'cold starts');
  const coldStartMs = (): number => 1000 * draw(setup.scenario.coldStartSec, coldStarts);
  return { replicas: { initial: 1, isWarm, coldStartMs }, limits };
}

function fixed(setup: ScenarioSetup, cores: number, batchSize: number): CpuRule {
  const { limits, maxBatchSize } = setup.environment.cpu;
  const cpuMillicores = grantable(Math.round(cores * 1000), limits);
  return { planner: staticPlanner(cpuMillicores, Math.min(batchSize, maxBatchSize)), isAllocationFixed: true };
}

const KINDS: Readonly<Record<string, PolicyKind>> = {
  sponge: {
    title: 'ours: a price on the worker’s time, the actual queue, each batch with its cores',
    dispatch: OURS,
    hasParts: true,
    // 0: the planner's own, and the scenario's.
    parameters: { safety: 0, instances: 0 },
    cpu: (setup, { safety, instances }, _, without) => sponge(setup, safety!, instances!, without),
  },
  'sponge-latency': {
    title: 'ours with --prefer latency',
    dispatch: OURS,
    // 0: the scenario's.
    parameters: { instances: 0 },
    cpu: (setup, { instances }) => spongeLatency(setup, instances!),
  },
  program: {
    title: "the paper's program on the actual queue, whenever something happens",
    dispatch: OURS,
    cpu: () => ({ planner: eventPlanner('cpu') }),
  },
  paper: {
    title: "the paper's program, once a second, on the actual queue",
    dispatch: OURS,
    cpu: () => ({ planner: paperPlanner('cpu') }),
  },
  released: {
    title: "the authors' code: once a second, a virtual second of arrivals, FIFO",
    dispatch: AUTHORS_QUEUE,
    parameters: { waitMs: AUTHORS_WAIT_MS },
    cpu: (setup) => releasedPlanner(authorsConfig(setup)),
  },
  'static-8': {
    title: 'eight cores, one request at a time, as in the paper',
    dispatch: PLAIN,
    cpu: (setup) => fixed(setup, FIXED_CORES, 1),
  },
  'static-16': {
    title: 'sixteen cores, one request at a time, as in the paper',
    dispatch: PLAIN,
    cpu: (setup) => fixed(setup, 16, 1),
  },
  static: {
    title: 'any fixed allocation: static(cores=8,batch=4)',
    dispatch: PLAIN,
    parameters: { cores: FIXED_CORES, batch: 1 },
    cpu: (setup, { cores, batch }) => fixed(setup, cores!, batch!),
  },
  fa2: {
    title: 'FA2 as the authors coded it: instances of one core, one warm at the start',
    dispatch: AUTHORS_QUEUE,
    parameters: { waitMs: AUTHORS_WAIT_MS },
    cpu: (setup, _, seed) => ({
      ...fa2Planner({ ...authorsConfig(setup), maxInstances: mostInstances(setup) }),
      horizontal: replicas(setup, seed, true, CORE_LIMITS),
    }),
  },
  'fa2-cold': {
    title: 'the same, and its first instance has a cold start too',
    dispatch: AUTHORS_QUEUE,
    parameters: { waitMs: AUTHORS_WAIT_MS },
    cpu: (setup, _, seed) => ({
      ...fa2Planner({ ...authorsConfig(setup), maxInstances: mostInstances(setup) }),
      horizontal: replicas(setup, seed, false, CORE_LIMITS),
    }),
  },
  'fa2-published': {
    title: 'FA2 as published: measured rate, waiting for a batch to fill counted; unit: cores of an instance',
    dispatch: PLAIN,
    parameters: { unit: 1 },
    cpu: (setup, { unit }, seed) => {
      const unitMillicores = Math.max(1, Math.round(unit! * 1000));
      const maxInstances = mostInstances(setup, unitMillicores);
      return {
        ...fa2PublishedPlanner({ sloMs: setup.commonSloMs, maxInstances, unitMillicores }),
        horizontal: replicas(setup, seed, true, replicaLimits(unitMillicores)),
      };
    },
  },
  vpa: {
    title: 'a vertical autoscaler that follows the use of CPU, applied in place',
    dispatch: PLAIN,
    cpu: () => ({ planner: vpaPlanner() }),
  },
  themis: {
    title: 'Themis-like: grows in place at once, adds instances in the background',
    dispatch: { ...PLAIN, expiry: 'on' },
    cpu: (setup, _, seed) => ({
      ...themisPlanner({ sloMs: setup.commonSloMs, maxInstances: mostInstances(setup) }),
      horizontal: replicas(setup, seed, true, setup.environment.cpu.limits),
    }),
  },
  'one-core-pool': {
    title: 'warm instances of one core, earliest deadline first, one at a time; tight=1: more cores for who needs them',
    dispatch: OURS,
    // 0: the scenario's; and no.
    parameters: { instances: 0, tight: 0 },
    cpu: (setup, { instances, tight }) => ({
      planner: oneCorePool(tight! > 0),
      instances: instancesOf(setup, instances!),
    }),
  },
  triton: {
    title: 'Triton-like dynamic batching on a fixed allocation',
    dispatch: { ...PLAIN, batching: 'delay' },
    parameters: { cores: FIXED_CORES, batch: 8, waitMs: OPERATOR_WAIT_MS },
    cpu: (setup, { cores, batch }) => fixed(setup, cores!, batch!),
  },
  mlserver: {
    title: 'MLServer-like batching window on a fixed allocation',
    dispatch: { ...PLAIN, batching: 'window' },
    parameters: { cores: FIXED_CORES, batch: 8, waitMs: OPERATOR_WAIT_MS },
    cpu: (setup, { cores, batch }) => fixed(setup, cores!, batch!),
  },
  'mlserver-fork': {
    title: "the same window as the authors' fork counts its time",
    dispatch: AUTHORS_QUEUE,
    parameters: { cores: FIXED_CORES, batch: 8, waitMs: AUTHORS_WAIT_MS },
    cpu: (setup, { cores, batch }) => fixed(setup, cores!, batch!),
  },
  bentoml: {
    title: 'BentoML-like adaptive batching on a fixed allocation; drops what would be late',
    dispatch: { ...PLAIN, batching: 'cork' },
    parameters: { cores: FIXED_CORES, batch: 8 },
    cpu: (setup, { cores, batch }) => fixed(setup, cores!, batch!),
  },
};

/** Found in hindsight (`best-static.ts`): the least fixed allocation that violates no more than `sponge` does. */
export const BEST_STATIC = 'best-static';

export interface PolicyTitle {
  readonly name: string;
  readonly title: string;
}

export function policyTitles(): readonly PolicyTitle[] {
  return [
    ...Object.entries(KINDS).map(([name, { title }]) => ({ name, title })),
    {
      name: BEST_STATIC,
      title: 'the least fixed allocation that violates no more than sponge does, chosen in hindsight',
    },
  ];
}

/** @throws Error, one line, for an unknown name or parameter   @param text such as `static(cores=4,order=edf)` */
export function checkPolicy(text: string): void {
  if (text !== BEST_STATIC) kindOf(parsePolicySpec(text));
}

/** A fresh one for each run: some remember. */
export function policyFor(text: string, setup: ScenarioSetup, seed: number): SimulatedPolicy {
  const { kind, knobs, parameters, without } = kindOf(parsePolicySpec(text));
  return assembled(text, setup, knobs, parameters, kind.cpu(setup, parameters, seed, without));
}

/** For one of the models that share cores: a single instance too is planned as one of several. */
export function sharingPolicy(name: string, setup: ScenarioSetup, instances: number): SimulatedPolicy {
  return assembled(name, setup, OURS, {}, { planner: jointPlanner(), instances });
}

function assembled(
  name: string,
  setup: ScenarioSetup,
  knobs: DispatchKnobs,
  parameters: Readonly<Record<string, number>>,
  cpuRule: CpuRule,
): SimulatedPolicy {
  const { planner, observe, isAllocationFixed = false, learns = true, horizontal, instances } = cpuRule;
  const models = new OnlineLatencyModels(setup.machine.profile);
  const { rule, observe: observeBatching } = batchingRule(
    knobs.batching,
    setup,
    parameters['waitMs'] ?? AUTHORS_WAIT_MS,
  );
  const { order, admission, expiry } = knobs;
  const rules: DispatchRules = { order, admission, batching: rule, isDeadlineAware: expiry === 'on' };
  const observers = [observe, observeBatching].filter((each) => each !== undefined);
  return {
    policy: {
      name,
      dispatch: dispatchPolicy(rules),
      planner,
      isAllocationFixed,
      ...(observers.length === 0 ? {} : { observe: (event) => observers.forEach((each) => each(event)) }),
    },
    models: learns ? models : unlearning(models),
    ...(horizontal === undefined ? {} : { horizontal }),
    ...(instances === undefined ? {} : { instances }),
  };
}

function kindOf(spec: PolicySpec): {
  readonly kind: PolicyKind;
  readonly knobs: DispatchKnobs;
  readonly parameters: Readonly<Record<string, number>>;
  readonly without: Part;
} {
  const kind = Object.hasOwn(KINDS, spec.name) ? KINDS[spec.name] : undefined;
  if (kind === undefined) {
    const names = policyTitles().map(({ name }) => name);
    throw new Error(`no policy is called ${spec.name}; there are ${names.join(', ')}`);
  }
  const knobs = { ...kind.dispatch };
  const parameters: Record<string, number> = { ...kind.parameters };
  let without: Part = 'none';
  for (const [key, value] of Object.entries(spec.parameters)) {
    if (key === 'order') knobs.order = oneOf(ORDERS, key, value);
    else if (key === 'batching') knobs.batching = oneOf(BATCHINGS, key, value);
    else if (key === 'admission') knobs.admission = oneOf(ADMISSIONS, key, value);
    else if (key === 'expiry') knobs.expiry = oneOf(EXPIRIES, key, value);
    else if (key === 'without' && kind.hasParts) without = oneOf(PARTS, key, value);
    else if (Object.hasOwn(parameters, key)) parameters[key] = positive(key, value);
    else {
      const own = [...Object.keys(kind.parameters ?? {}), ...(kind.hasParts ? ['without'] : [])];
      const known = [...own, 'order', 'batching', 'admission', 'expiry'];
      throw new Error(`policy ${spec.name} has no parameter ${key}; it has ${known.join(', ')}`);
    }
  }
  return { kind, knobs, parameters, without };
}

/** The profile alone, whatever batches really take. */
function unlearning(models: LatencyModels): LatencyModels {
  return {
    isProvisional: models.isProvisional,
    forClass: (shapeClass) => models.forClass(shapeClass),
    observe: () => undefined,
  };
}

function oneOf<const T extends string>(allowed: readonly T[], key: string, value: string): T {
  const found = allowed.find((each) => each === value);
  if (found === undefined) throw new Error(`policy parameter ${key}=${value}: give one of ${allowed.join(', ')}`);
  return found;
}

function positive(key: string, value: string): number {
  const number = Number(value);
  if (!(number > 0 && number < Infinity)) throw new Error(`policy parameter ${key}=${value}: give a number > 0`);
  return number;
}

function batchingRule(
  name: DispatchKnobs['batching'],
  setup: ScenarioSetup,
  waitMs: number,
): { readonly rule: BatchingRule; readonly observe?: (event: Event) => void } {
  switch (name) {
    case 'sponge':
      return { rule: decideBatch };
    case 'greedy':
      return { rule: greedy };
    case 'delay':
      return { rule: delay({ maxQueueDelayMs: waitMs }) };
    case 'window':
    case 'window-fork': {
      const timeLeft = name === 'window' ? 'fixed' : 'cumulative';
      const { batch, observe } = batchWindow({ maxBatchTimeMs: waitMs, timeLeft });
      return { rule: batch, observe };
    }
    case 'cork': {
      const { batch, observe } = cork({ maxLatencyMs: setup.commonSloMs });
      return { rule: batch, observe };
    }
  }
}
