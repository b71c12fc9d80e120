import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { oneLine } from '../workers/load-failure.js';
import type { InputShapes } from '../workers/samples.js';
import type { ServedConfig } from '../triton-config/config-settings.js';
import { BATCHING_MODES, type BatchingMode } from '../served/batching-decision.js';
import { readLabels, type Labels } from './label-files.js';
import { textSchema, type StatedText } from '../text/text-settings.js';
import { isVersion, type VersionPolicy } from './versions.js';

/*
 * What a model's folder says of it, beside the model itself: its `model.yaml`.
 */

/** What a model's own YAML may say; everything is optional. */
export interface ModelSettings {
  /** Shape of one request for each input, first axis included; what profiling runs. Null: from the model or the first request. */
  readonly shapes: InputShapes | null;
  /** For requests that state no budget. Null: from the profile. */
  readonly defaultSloMs: number | null;
  readonly maxBatchSize: number | null;
  /** Files of requests that the model is profiled and tried with. */
  readonly samplePaths: readonly string[];
  /** Null: by what the graph says. */
  readonly batching: BatchingMode | null;
  /** Of the server's cores, in [0, 1]: what it may have in a backlog before other models get more. Null: an equal share of half of them. */
  readonly floorFraction: number | null;
  /** What the classes of its outputs are called. */
  readonly labels: Labels;
  /** What its `config.pbtxt` says beside that; null where it has none. */
  readonly config: OwnConfig | null;
  /** Of the text that it takes; absent: it does not say. */
  readonly text?: StatedText;
}

/** With the folder that it speaks of. */
export interface OwnConfig extends ServedConfig {
  readonly folder: string;
}

/** What is said of a model as a whole: how all its versions are served, which they are, and where it is. */
export interface ModelDescription {
  readonly settings: ModelSettings;
  /** Null: it does not say. */
  readonly versionPolicy: VersionPolicy | null;
  /** Of the model, where it is not in the folder of a version. */
  readonly modelFile: string | null;
}

/** The user's mistake, in one line with its remedy. */
export class RepositoryError extends Error {
  override readonly name = 'RepositoryError';
}

export const SETTINGS_FILE = 'model.yaml';
const MAX_SETTINGS_BYTES = 1024 * 1024;
/** Of a model that says nothing of itself. */
export const NO_SETTINGS: ModelSettings = {
  shapes: null,
  defaultSloMs: null,
  maxBatchSize: null,
  samplePaths: [],
  batching: null,
  floorFraction: null,
  labels: {},
  config: null,
};

/** YAML reads a number of more than 15 digits as another one. */
const versionNumber = z
  .union([z.string(), z.int()])
  .transform(String)
  .refine(
    isVersion,
    'a version is a whole number that does not begin with a zero; one of many digits stands in quotes',
  );

const settingsSchema = z.strictObject({
  model: z.string().min(1).optional(),
  shape: z.record(z.string(), z.array(z.int().min(1)).max(16)).optional(),
  slo_ms: z.number().positive().optional(),
  max_batch_size: z.int().min(1).optional(),
  sample: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]).optional(),
  batching: z.enum(BATCHING_MODES).optional(),
  floor: z.number().min(0).max(1).optional(),
  labels: z.record(z.string(), z.string().min(1)).optional(),
  text: textSchema.optional(),
  versions: z
    .union([
      z.literal('all'),
      z.strictObject({ latest: z.int().min(1) }),
      z.strictObject({ specific: z.array(versionNumber).min(1) }),
    ])
    .optional(),
});

type YamlVersions = z.infer<typeof settingsSchema>['versions'];

/** By a model that has no YAML. */
export const NOTHING_SAID: ModelDescription = { settings: NO_SETTINGS, versionPolicy: null, modelFile: null };

/** @throws RepositoryError for what is wrong in it */
export async function readSettings(path: string): Promise<ModelDescription> {
  const info = await stat(path).catch(() => null);
  if (info === null) return NOTHING_SAID;
  if (info.size > MAX_SETTINGS_BYTES) throw new RepositoryError(`${path} is larger than 1 MiB`);
  const { parse } = await import('yaml');
  let value: unknown;
  try {
    value = parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new RepositoryError(`${path}: ${oneLine(error)}`);
  }
  const parsed = settingsSchema.safeParse(value ?? {});
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new RepositoryError(`${path}: ${[...issue.path.map(String), issue.message].join(': ')}`);
  }
  const { model, shape, slo_ms, max_batch_size, sample, batching, floor, labels, text, versions } = parsed.data;
  const labelFiles = Object.entries(labels ?? {}).map(([output, file]) => [output, resolve(dirname(path), file)]);
  return {
    modelFile: model ?? null,
    versionPolicy: versionPolicyOf(versions),
    settings: {
      shapes: shape ?? null,
      defaultSloMs: slo_ms ?? null,
      maxBatchSize: max_batch_size ?? null,
      samplePaths: (sample === undefined ? [] : [sample].flat()).map((file) => resolve(dirname(path), file)),
      batching: batching ?? null,
      floorFraction: floor ?? null,
      labels: await readLabels(Object.fromEntries(labelFiles) as Record<string, string>).catch((error: unknown) => {
        throw new RepositoryError(`${path}: ${oneLine(error)}`);
      }),
      config: null,
      ...(text === undefined ? {} : { text }),
    },
  };
}

function versionPolicyOf(versions: YamlVersions): VersionPolicy | null {
  if (versions === undefined) return null;
  if (versions === 'all') return { kind: 'all' };
  if ('latest' in versions) return { kind: 'latest', count: versions.latest };
  return { kind: 'specific', versions: versions.specific };
}

/** Of models that are in an installed package, the folder that it is installed in: what is added inside would be lost with it. */
function installFolder(folder: string): string {
  return folder.split(/[\\/]node_modules[\\/]/)[0]!;
}

/** `npm:<package>/<file>` is looked up as Node would from the folder, then from Sponge's own packages; else a path. */
export function resolveModelFile(file: string, folder: string): string {
  if (!file.startsWith('npm:')) return resolve(folder, file);
  const match = /^npm:((?:@[^/]+\/)?[^/]+)\/(.+)$/.exec(file);
  if (match === null)
    throw new RepositoryError(`${join(folder, SETTINGS_FILE)}: model: expected npm:<package>/<file>, got ${file}`);
  const [, packageName, path] = match;
  for (const from of [pathToFileURL(join(folder, SETTINGS_FILE)).href, import.meta.url]) {
    for (const root of createRequire(from).resolve.paths(packageName!) ?? []) {
      const candidate = join(root, packageName!, path!);
      if (existsSync(candidate)) return candidate;
    }
  }
  throw new RepositoryError(
    `${join(folder, SETTINGS_FILE)}: ${file} is not installed; run "npm install ${packageName!}" in ${installFolder(dirname(folder))}`,
  );
}
