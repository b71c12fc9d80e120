import { z } from 'zod';
import type { Prng } from '../../scheduler/random/prng.js';
import { draw } from '../workloads/workload.js';

/*
 * A scenario's `pipeline`: the pipeline as its own file has it, or written here, and of each step what a simulation cannot know from that.
 * What models take is said of models (`models`), by their names.
 */

const nonNegative = z.number().nonnegative();
const fraction = z.number().min(0).max(1);
const MOST_PARTS = 4096;
const count = z.int().min(0).max(MOST_PARTS);

const range = z.union(
  [nonNegative, z.tuple([nonNegative, nonNegative]).refine(([least, most]) => least <= most, 'expected [least, most]')],
  { error: 'expected a number or [least, most]' },
);

/** So many, evenly from least to most, or at least one with a long tail: k with (1 − 1/mean)^(k−1), cut at `most`. */
const countSchema = z.union(
  [
    count,
    z.tuple([count, count]).refine(([least, most]) => least <= most, 'expected [least, most]'),
    z.strictObject({ mean: z.number().min(1), most: z.int().min(1).max(MOST_PARTS) }),
  ],
  { error: 'expected a whole number, [least, most] or { mean, most }' },
);

const stepSchema = z.strictObject({
  /** Of a function: one call, ms, and so much more for each part that it is given. */
  ms: range.default(0),
  msEach: nonNegative.default(0),
  /** σ of ln(actual / that). */
  deviation: z.number().min(0).max(2).default(0),
  /** How many there are of what it gives: tensors of a list, or rows. As many as it is given by default, or 1. */
  gives: countSchema.optional(),
  /** Of what it gives as somebody's condition. */
  trueFraction: fraction.default(1),
  /** Of a function's calls: that throw, and that do not end. */
  failFraction: fraction.default(0),
  hangFraction: fraction.default(0),
});

export const pipelineSchema = z.strictObject({
  /** A `pipeline.yaml`, relative to the scenario. */
  file: z.string().optional(),
  /** Or what would be in one. */
  description: z.looseObject({}).optional(),
  /** By the step's name. */
  steps: z.record(z.string(), stepSchema).default({}),
  /** Requests held at a time. */
  maxRequests: z.int().min(1).max(1_000_000).optional(),
});

export type StepScenario = z.infer<typeof stepSchema>;
export type CountSpec = z.infer<typeof countSchema>;

/** A step of which nothing is said. */
export const PLAIN_STEP: StepScenario = stepSchema.parse({});

export function drawCount(spec: CountSpec, prng: Prng): number {
  if (typeof spec === 'number') return spec;
  if (!('mean' in spec)) return spec[0] + prng.int(spec[1] - spec[0] + 1);
  if (spec.mean === 1) return 1;
  // A geometric number is an exponential one, counted in whole units.
  return Math.min(spec.most, 1 + Math.floor(prng.exponential() / -Math.log(1 - 1 / spec.mean)));
}

export function drawMs({ ms, msEach }: StepScenario, partsGiven: number, prng: Prng): number {
  return draw(ms, prng) + msEach * partsGiven;
}
