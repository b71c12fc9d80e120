import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { z } from 'zod';
import { oneLine } from '../workers/load-failure.js';
import { BATCHING_MODES, type BatchingMode } from './batching-decision.js';
import { readLabels, type Labels } from './label-files.js';
import { samplesIn } from './sample-files.js';
import type { InputShapes } from '../workers/samples.js';

/*
 * Where models come from: a bare `.onnx` file, or a repository
 *
 *   <repository>/<name>/<version>/model.onnx      versions are numbers; the highest one is served
 *   <repository>/<name>/model.yaml                optional; may name the model file elsewhere
 *
 * Reading another description (Triton's config.pbtxt, say) means another function from a folder to `ModelSettings`.
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
}

export interface ModelSource {
  readonly name: string;
  readonly version: string;
  readonly versions: readonly string[];
  readonly modelPath: string;
  /** Where its profile is kept: beside the model. */
  readonly profilePath: string;
  readonly settings: ModelSettings;
  /** Why it cannot be served, known without loading it: its YAML is wrong. */
  readonly fault?: string;
}

/** The user's mistake, in one line with its remedy. */
class RepositoryError extends Error {
  override readonly name = 'RepositoryError';
}

const SETTINGS_FILE = 'model.yaml';
const MODEL_FILE = 'model.onnx';
const MAX_SETTINGS_BYTES = 1024 * 1024;
export const NO_SETTINGS: ModelSettings = {
  shapes: null,
  defaultSloMs: null,
  maxBatchSize: null,
  samplePaths: [],
  batching: null,
  floorFraction: null,
  labels: {},
};

const settingsSchema = z.strictObject({
  model: z.string().min(1).optional(),
  shape: z.record(z.string(), z.array(z.int().min(1)).max(16)).optional(),
  slo_ms: z.number().positive().optional(),
  max_batch_size: z.int().min(1).optional(),
  sample: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]).optional(),
  batching: z.enum(BATCHING_MODES).optional(),
  floor: z.number().min(0).max(1).optional(),
  labels: z.record(z.string(), z.string().min(1)).optional(),
});

/**
 * The models at a path, sorted by name; at least one.
 * @throws RepositoryError when the path holds no model or a YAML is wrong
 */
export async function findModels(path: string): Promise<readonly ModelSource[]> {
  const absolute = resolve(path);
  const info = await stat(absolute).catch(() => null);
  if (info === null) throw new RepositoryError(`no such model: ${path} (give a .onnx file or a model repository)`);
  if (info.isFile()) return [bareModel(absolute)];
  const names = (await readdir(absolute, { withFileTypes: true })).filter((entry) => entry.isDirectory());
  const found = await Promise.all(names.map((entry) => modelOrFault(join(absolute, entry.name))));
  const sources = found.filter((source) => source !== null).sort((a, b) => (a.name < b.name ? -1 : 1));
  if (sources.length === 0) {
    throw new RepositoryError(
      `${path} holds no models: expected <name>/<version>/${MODEL_FILE} or <name>/${SETTINGS_FILE} in it`,
    );
  }
  return sources;
}

function bareModel(path: string): ModelSource {
  if (!path.endsWith('.onnx')) throw new RepositoryError(`${path} is not a .onnx file`);
  return {
    name: basename(path, '.onnx'),
    version: '1',
    versions: ['1'],
    modelPath: path,
    profilePath: path.replace(/\.onnx$/, '.profile.json'),
    settings: NO_SETTINGS,
  };
}

/** What is wrong with one model is no reason to serve none. */
async function modelOrFault(folder: string): Promise<ModelSource | null> {
  try {
    return await modelInFolder(folder);
  } catch (error) {
    if (!(error instanceof RepositoryError)) throw error;
    const profilePath = join(folder, 'model.profile.json');
    const unread = { version: '1', versions: ['1'], modelPath: join(folder, SETTINGS_FILE), profilePath };
    return { name: basename(folder), ...unread, settings: NO_SETTINGS, fault: error.message };
  }
}

/** Null for a folder that is not a model's. */
async function modelInFolder(folder: string): Promise<ModelSource | null> {
  const name = basename(folder);
  const versions = await versionsIn(folder);
  const read = await readSettings(join(folder, SETTINGS_FILE));
  const settings = { ...read, settings: await withSamples(read.settings, folder) };
  const version = versions.at(-1);
  if (settings.modelFile !== null) {
    return {
      name,
      version: version ?? '1',
      versions: versions.length > 0 ? versions : ['1'],
      modelPath: resolveModelFile(settings.modelFile, folder),
      profilePath: join(folder, 'model.profile.json'),
      settings: settings.settings,
    };
  }
  if (version === undefined) return null;
  return {
    name,
    version,
    versions,
    modelPath: join(folder, version, MODEL_FILE),
    profilePath: join(folder, version, 'model.profile.json'),
    settings: settings.settings,
  };
}

/** Those that the YAML names, or else all in the model's folder of samples. */
async function withSamples(settings: ModelSettings, folder: string): Promise<ModelSettings> {
  return settings.samplePaths.length > 0 ? settings : { ...settings, samplePaths: await samplesIn(folder) };
}

/** Ascending. */
async function versionsIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .filter(
      (entry) =>
        entry.isDirectory() && /^\d{1,9}$/.test(entry.name) && existsSync(join(folder, entry.name, MODEL_FILE)),
    )
    .map((entry) => entry.name)
    .sort((a, b) => Number(a) - Number(b));
}

async function readSettings(path: string): Promise<{ modelFile: string | null; settings: ModelSettings }> {
  const info = await stat(path).catch(() => null);
  if (info === null) return { modelFile: null, settings: NO_SETTINGS };
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
  const { model, shape, slo_ms, max_batch_size, sample, batching, floor, labels } = parsed.data;
  const labelFiles = Object.entries(labels ?? {}).map(([output, file]) => [output, resolve(dirname(path), file)]);
  return {
    modelFile: model ?? null,
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
    },
  };
}

/** `npm:<package>/<file>` is looked up as Node would from the folder, then from Sponge's own packages; else a path. */
function resolveModelFile(file: string, folder: string): string {
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
    `${join(folder, SETTINGS_FILE)}: ${file} is not installed; run "npm install ${packageName!}" in ${dirname(folder)}`,
  );
}

/** A clear error before a worker is started for nothing. @throws Error, in one line */
export async function assertReadable({ name, modelPath, fault }: ModelSource): Promise<void> {
  if (fault !== undefined) throw new Error(fault);
  const info = await stat(modelPath).catch(() => null);
  if (info?.isFile() !== true) throw new Error(`model ${name}: no file ${modelPath}`);
}
