import { readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import type { VariantsObjective } from '../../scheduler/variants/objective.js';
import type { PipelineSource, StepTarget } from '../pipelines/pipeline-source.js';
import { oneLine } from '../workers/load-failure.js';

/*
 * `variants.yaml` in a folder of the repository makes a model with variants of it (docs/variants.md has the format): other models of the
 * repository, or versions of them, that answer the same requests, each as well as it can.
 */

export const VARIANTS_FILE = 'variants.yaml';
const MAX_FILE_BYTES = 1024 * 1024;
const MOST_VARIANTS = 16;

const name = z.string().regex(/^[\w.:/-]{1,128}$/, 'a name is of letters, digits and _ . : / -');

const fileSchema = z.strictObject({
  slo_ms: z.number().positive().optional(),
  /** The least cores at this mean accuracy, rather than the highest one that deadlines and cores allow. */
  mean_accuracy: z.number().positive().optional(),
  least_accuracy: z.number().nonnegative().default(0),
  accuracy_weight: z.number().min(0).max(1).default(1),
  variants: z
    .array(
      z.strictObject({
        name: name.optional(),
        model: name,
        version: z.union([z.string(), z.int()]).transform(String).optional(),
        accuracy: z.number().positive(),
      }),
    )
    .min(2, 'a model with variants has two at least')
    .max(MOST_VARIANTS),
});

export interface VariantsSource {
  /** By ascending accuracy; what runs each is its target of the same name. */
  readonly variants: readonly { readonly name: string; readonly accuracy: number }[];
  readonly objective: VariantsObjective;
  /** Of requests that say nothing. */
  readonly leastAccuracy: number;
  readonly accuracyWeight: number;
}

/** Null where there is none. @throws Error of one line: what is wrong in it, and where */
export async function readVariants(path: string): Promise<PipelineSource | null> {
  const info = await stat(path).catch(() => null);
  if (info?.isFile() !== true) return null;
  try {
    if (info.size > MAX_FILE_BYTES) throw new Error('it is larger than 1 MiB');
    const { parse } = await import('yaml');
    return variantsIn(parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw new Error(`${path}: ${oneLine(error)}`, { cause: error });
  }
}

/** @throws Error of one line */
export function variantsIn(value: unknown): PipelineSource {
  const result = fileSchema.safeParse(value ?? {});
  if (!result.success) {
    const issue = result.error.issues[0]!;
    throw new Error([...issue.path.map(String), issue.message].join(': '));
  }
  const { slo_ms, mean_accuracy: meanAccuracy, least_accuracy, accuracy_weight, variants } = result.data;
  const stated = variants
    .map(({ name: own, model, version, accuracy }) => ({
      name: own ?? (version === undefined ? model : `${model}:${version}`),
      accuracy,
      target: { kind: 'model' as const, model, ...(version === undefined ? {} : { version }) },
    }))
    .sort((a, b) => a.accuracy - b.accuracy);
  const names = stated.map((each) => each.name);
  const twice = names.find((each, index) => names.indexOf(each) !== index);
  if (twice !== undefined) throw new Error(`variants: '${twice}' is there twice: give one of them a name`);
  const best = stated.at(-1)!.accuracy;
  if (least_accuracy > best)
    throw new Error(`least_accuracy: no variant has ${least_accuracy}, the best one has ${best}`);
  if (meanAccuracy !== undefined && meanAccuracy > best)
    throw new Error(`mean_accuracy: no variant has ${meanAccuracy}, the best one has ${best}`);
  return {
    description: { inputs: [], outputs: [], steps: [] },
    ...{ inputs: [], outputs: [], scheduling: {}, defaultSloMs: slo_ms ?? null },
    targets: new Map<string, StepTarget>(stated.map((each) => [each.name, each.target])),
    variants: {
      variants: stated.map(({ name: own, accuracy }) => ({ name: own, accuracy })),
      objective: meanAccuracy === undefined ? { kind: 'accuracy' } : { kind: 'cores', meanAccuracy },
      ...{ leastAccuracy: least_accuracy, accuracyWeight: accuracy_weight },
    },
  };
}
