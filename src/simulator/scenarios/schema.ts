import { z } from 'zod';
import { pipelineSchema } from '../pipelines/pipeline-schema.js';

/*
 * A scenario: one YAML file that says who sends what over which network to which model on which machine. Every key but
 * `arrivals` and `durationSec` has a default, so that a file states only what it is about.
 */

const positive = z.number().positive();
const nonNegative = z.number().nonnegative();
/** Whole millicores, and no more than any machine has. */
const cores = z.number().min(0.001).max(1024);
const ratePerSec = positive.max(100_000);
/** Least and most. */
const interval = (value: z.ZodNumber): z.ZodType<readonly [number, number]> =>
  z.tuple([value, value]).refine(([least, most]) => least <= most, 'expected [least, most]');
const fraction = z.number().min(0).max(1);

/** A number, or [least, most] for a uniform draw. */
function rangeOf(value: z.ZodNumber): z.ZodType<number | readonly [number, number]> {
  return z.union([value, z.tuple([value, value]).refine(([least, most]) => least <= most, 'expected [least, most]')], {
    error: 'expected a number or [least, most]',
  });
}

const arrivalsSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('constant'), ratePerSec }),
  z.strictObject({ kind: z.literal('poisson'), ratePerSec }),
  z.strictObject({ kind: z.literal('front-loaded'), ratePerSec }),
  z.strictObject({
    kind: z.literal('mmpp'),
    ratePerSec,
    highFactor: positive,
    lowFactor: nonNegative,
    dwellSec: interval(z.number().min(0.001)),
  }),
  z.strictObject({
    kind: z.literal('diurnal'),
    minRatePerSec: nonNegative,
    maxRatePerSec: ratePerSec,
    periodSec: positive,
  }),
  z.strictObject({
    kind: z.literal('flash-crowd'),
    ratePerSec,
    peakRatePerSec: ratePerSec,
    atSec: nonNegative,
    rampSec: nonNegative,
    holdSec: nonNegative,
    decaySec: nonNegative,
  }),
  /** One rate a second, in the file or listed here. */
  z.strictObject({
    kind: z.literal('rates'),
    file: z.string().optional(),
    ratesPerSec: z.array(nonNegative.max(100_000)).min(1).optional(),
  }),
]);

const payloadSchema = z.strictObject({
  bytes: rangeOf(nonNegative).default(303_600),
  sloMs: rangeOf(positive).default(1000),
  weight: positive.default(1),
});

const clocksSchema = z.strictObject({
  offsetMs: rangeOf(z.number()).default(0),
  driftPpm: rangeOf(z.number()).default(0),
});

const networkSchema = z.strictObject({
  mode: z.enum(['none', 'applied', 'subtracted']).default('applied'),
  /** One path or several: clients take them in turn. Without any, a 4G-like series is generated for each client. */
  log: z.union([z.string(), z.array(z.string()).min(1)]).optional(),
  clients: z.int().min(1).max(10_000).default(1),
  /** Multiplies every bandwidth. */
  scale: positive.default(1),
  fades: z
    .strictObject({
      perMinute: nonNegative.max(600),
      /** Whole seconds. */
      durationSec: interval(z.int().min(1)),
      bytesPerMs: interval(nonNegative),
    })
    .optional(),
  propagationMs: rangeOf(nonNegative).default(0),
  replyBytes: nonNegative.default(4096),
  clocks: clocksSchema.optional(),
});

const cpuSchema = z.strictObject({
  /** By default 1 to 16 for a published profile, and what was measured for a measured one. */
  minCores: cores.optional(),
  maxCores: cores.optional(),
  stepCores: cores.default(0.1),
  /** Kept while idle; nothing runs on it. */
  idleCores: cores.default(0.1),
  idleRelease: z.boolean().default(true),
  idleReleaseMs: nonNegative.default(100),
  /** Warm instances of the default policy, each resized by itself. */
  instances: z.int().min(1).max(64).default(1),
  /** How much longer a batch takes while three cores or more are busy beside it: 0.3 for 30 %. */
  interference: fraction.default(0),
  maxBatch: z.int().min(1).max(256).optional(),
});

const scalerSchema = z.strictObject({
  delayMs: rangeOf(nonNegative).default(0.1),
  readBackMs: rangeOf(nonNegative).default(0),
  refusedFraction: fraction.default(0),
  /** All allocations are inside a limit that is resized as a pod's is, and takes `delayMs`. */
  envelope: z
    .strictObject({
      /** Each allocation has a quota inside, which takes 0.1 ms; otherwise the limit is the one allocation. */
      hasInner: z.boolean().default(true),
      holdMs: nonNegative.default(10_000),
      perSec: positive.default(1),
      burst: positive.default(10),
    })
    .optional(),
});

const workerSchema = z.strictObject({
  stagingMs: nonNegative.default(0.5),
  restartMs: positive.default(2000),
  crashesAtSec: z.array(nonNegative).default([]),
  slow: z.array(z.strictObject({ atSec: nonNegative, forSec: positive, factor: positive })).default([]),
  drift: z.array(z.strictObject({ atSec: nonNegative, overSec: nonNegative, factor: positive })).default([]),
});

/** l(b, c) = γ·b/c + ε/c + δ·b + η, ms with c in cores: P99, as published tables are. */
const formulaSchema = z.strictObject({
  gamma: nonNegative,
  epsilon: nonNegative,
  delta: nonNegative,
  eta: nonNegative,
});
const serviceSchema = z.enum(['fit', 'p99-table', 'table']);

/** One of several models on the node: what it leaves out is as the scenario says. */
const nodeModelSchema = z.strictObject({
  name: z.string().regex(/^[\w.-]+$/, 'expected letters, digits, ".", "_" or "-"'),
  /** Share of the scenario's arrivals, unless it has its own. */
  weight: positive.default(1),
  /** Of the node's cores: so much it may have in a backlog before other models get more. */
  floorFraction: fraction.optional(),
  profile: z.string().optional(),
  formula: formulaSchema.optional(),
  service: serviceSchema.optional(),
  arrivals: arrivalsSchema.optional(),
  payloads: z.array(payloadSchema).min(1).optional(),
  network: networkSchema.optional(),
  leavingFraction: fraction.optional(),
  cpu: z
    .strictObject({
      instances: z.int().min(1).max(64).optional(),
      maxBatch: z.int().min(1).max(256).optional(),
    })
    .optional(),
});

/** One of several models that answer the same requests, each as well as it can; what it leaves out is as the scenario says. */
const variantSchema = z.strictObject({
  name: z.string().regex(/^[\w.-]+$/, 'expected letters, digits, ".", "_" or "-"'),
  accuracy: positive,
  profile: z.string().optional(),
  formula: formulaSchema.optional(),
  /** Multiplies every latency of its profile. */
  latencyFactor: positive.max(1000).optional(),
});

export const scenarioSchema = z.strictObject({
  title: z.string().default(''),
  about: z.string().default(''),
  durationSec: positive.max(7 * 86_400),
  /** A published name, or a file that `sponge profile` wrote. */
  profile: z.string().default('yolov5s'),
  /** What a published profile's batches take: the fit of its P99 × 0.88, the P99 of each cell × 0.88, or its typical latencies. */
  service: serviceSchema.default('fit'),
  scatter: z.number().min(0).max(2).optional(),
  /** Instead of a profile: a machine whose batches take what a formula says. */
  formula: formulaSchema.optional(),
  /** Several models that share the cores. Each has arrivals of its own, of the kind given here or another. */
  models: z.array(nodeModelSchema).min(1).max(64).optional(),
  /** Multiplies every latency of the profile. */
  latencyFactor: positive.max(1000).default(1),
  /** Variants of one model, which share the cores: each request is answered by one of them. */
  variants: z.array(variantSchema).min(2).max(16).optional(),
  /** Of several models or variants: scales all rates, so that at 1 the least that they cost, all by the middle variant, is all of `cpu.maxCores`. */
  load: positive.max(100).optional(),
  /** Requests go through several of `models` in a pipeline, and are of no model by themselves. */
  pipeline: pipelineSchema.optional(),
  arrivals: arrivalsSchema,
  payloads: z.array(payloadSchema).min(1).prefault([{}]),
  network: networkSchema.prefault({}),
  /** Share of requests whose client leaves before its SLO is over. */
  leavingFraction: fraction.default(0),
  cpu: cpuSchema.prefault({}),
  scaler: scalerSchema.prefault({}),
  worker: workerSchema.prefault({}),
  /** From the request for another replica to its first batch, for policies that scale horizontally. */
  coldStartSec: rangeOf(nonNegative).default(3),
  /** For policies that are told the load beforehand; the mean rate of the arrivals where absent. */
  predictedRatePerSec: positive.optional(),
  /** How late the system's own timers are. */
  timerLatenessMs: nonNegative.default(1),
  queueLimit: z.int().min(1).default(10_000),
});

export type Scenario = z.infer<typeof scenarioSchema>;
export type VariantScenario = z.infer<typeof variantSchema>;
export type NodeModelScenario = z.infer<typeof nodeModelSchema>;
/** As written: what is left out has its default. */
export type ScenarioInput = z.input<typeof scenarioSchema>;
