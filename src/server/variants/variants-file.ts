import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { z } from 'zod';
import type { VariantsObjective } from '../../scheduler/variants/objective.js';
import type { PipelineSource, StepTarget } from '../pipelines/pipeline-source.js';
import { isVersion } from '../models/versions.js';
import { oneLine } from '../workers/load-failure.js';

/*
 * `variants.yaml` in a folder of the repository makes a model with variants of it (docs/variants.md has the format): files or versions in
 * that folder, or other models of the repository, that answer the same requests, each as well as it can. A file or a version becomes
 * a model of its own, called by both names, so that all variants are served in one way.
 */

export const VARIANTS_FILE = 'variants.yaml';
const MAX_FILE_BYTES = 1024 * 1024;
const MOST_VARIANTS = 16;

const versionNumber = z.union([z.string(), z.int()]).transform(String);
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
        model: name.optional(),
        version: versionNumber.optional(),
        file: z.string().min(1).optional(),
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
  /** Those that are no models of the repository, and are served as some: they come and go with it. */
  readonly own: readonly OwnVariant[];
}

/** A file of the folder or of a package, or a version in the folder. */
export interface OwnVariant {
  readonly variant: string;
  /** That it is served as. */
  readonly model: string;
  readonly from:
    { readonly kind: 'file'; readonly file: string } | { readonly kind: 'version'; readonly version: string };
}

/** Null where there is none. @param of how the model is called. @throws Error of one line: what is wrong in it, and where */
export async function readVariants(path: string, of: string): Promise<PipelineSource | null> {
  const info = await stat(path).catch(() => null);
  if (info?.isFile() !== true) return null;
  try {
    if (info.size > MAX_FILE_BYTES) throw new Error('it is larger than 1 MiB');
    const { parse } = await import('yaml');
    return variantsIn(parse(await readFile(path, 'utf8')), of);
  } catch (error) {
    throw new Error(`${path}: ${oneLine(error)}`, { cause: error });
  }
}

/** @param of how the model is called. @throws Error of one line */
export function variantsIn(value: unknown, of: string): PipelineSource {
  const result = fileSchema.safeParse(value ?? {});
  if (!result.success) {
    const issue = result.error.issues[0]!;
    throw new Error([...issue.path.map(String), issue.message].join(': '));
  }
  const { slo_ms, mean_accuracy: meanAccuracy, least_accuracy, accuracy_weight, variants } = result.data;
  const stated = variants.map((each) => statedVariant(each, of)).sort((a, b) => a.accuracy - b.accuracy);
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
      own: stated.flatMap(({ own }) => own ?? []),
    },
  };
}

interface StatedVariant {
  readonly name: string;
  readonly accuracy: number;
  readonly target: Extract<StepTarget, { kind: 'model' }>;
  readonly own: OwnVariant | null;
}

type WrittenVariant = z.infer<typeof fileSchema>['variants'][number];

/** @throws Error of one line */
function statedVariant({ name: stated, model, version, file, accuracy }: WrittenVariant, of: string): StatedVariant {
  if (model !== undefined && file === undefined) {
    const own = stated ?? (version === undefined ? model : `${model}:${version}`);
    return {
      ...{ name: own, accuracy, own: null },
      target: { kind: 'model', model, ...(version === undefined ? {} : { version }) },
    };
  }
  if ([model, file, version].filter((each) => each !== undefined).length !== 1)
    throw new Error('variants: each is one of model (and its version), file, or version: say which');
  const variant = stated ?? (file === undefined ? version! : basename(file, '.onnx'));
  if (!OWN_NAME.test(variant))
    throw new Error(`variants: '${variant}' is to be a name of letters, digits and _ . -: give it one with name`);
  if (version !== undefined && !isVersion(version))
    throw new Error(`variants: version: a version is a whole number that does not begin with a zero, not '${version}'`);
  const from = file === undefined ? { kind: 'version' as const, version: version! } : { kind: 'file' as const, file };
  const served = `${of}.${variant}`;
  return {
    ...{ name: variant, accuracy, target: { kind: 'model', model: served } },
    own: { variant, model: served, from },
  };
}

/** It is the name of a file too, that of its profile. */
const OWN_NAME = /^[\w-][\w.-]{0,63}$/;
