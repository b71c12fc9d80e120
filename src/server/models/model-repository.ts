import type { Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { TOKENIZER_FILE } from '../text/text-files.js';
import { PIPELINE_FILE, readPipeline } from '../pipelines/pipeline-file.js';
import { readVariants, VARIANTS_FILE } from '../variants/variants-file.js';
import type { PipelineSource } from '../pipelines/pipeline-source.js';
import { oneLine } from '../workers/load-failure.js';
import { CONFIG_FILE, readConfig, readEnsemble, withConfig, type SentConfig } from './model-config-file.js';
import {
  NO_SETTINGS,
  NOTHING_SAID,
  readSettings,
  RepositoryError,
  resolveModelFile,
  SETTINGS_FILE,
  type ModelSettings,
} from './model-settings.js';
import { samplesIn } from './sample-files.js';
import type { HeldFolder } from './sent-folder.js';
import { textSources } from './text-models.js';
import { variantSources } from './variant-models.js';
import { compareVersions, isVersion, LATEST_ONE, ONLY_VERSION, versionsBy } from './versions.js';

/*
 * Where models come from: a bare `.onnx` file, a model's own folder, or a folder of models
 *
 *   <name>.onnx                      its only version
 *   <name>/model.onnx                the same
 *   <name>/<version>/model.onnx      versions are numbers; the highest one is served where nothing else is said
 *   <name>/model.yaml                optional; may name the model file elsewhere, and the versions that are served
 *   <name>/config.pbtxt              optional; as Triton reads it, which may call the model's file otherwise, or say that it is an ensemble
 *   <name>/pipeline.yaml             a pipeline of other models and of functions
 *   <name>/tokenizer.json            makes a text model of it, as one beside the model's file does; `onnx/model.onnx` is its model where there is no other
 *   <name>/variants.yaml             one model of several variants: files and versions of this folder, or other models
 *
 * A model's own folder may be given itself, as KServe mounts it. Links are followed, as Kubernetes makes mounts of them; names that begin
 * with a dot are not looked at. Whatever else is no model is named, with the reason.
 */

export interface ModelSource {
  readonly name: string;
  readonly version: string;
  readonly modelPath: string;
  /** Where its profile is kept: beside the model. */
  readonly profilePath: string;
  readonly settings: ModelSettings;
  /** It is no model, but a pipeline of such. */
  readonly pipeline?: PipelineSource;
  /** Why it cannot be served, known without loading it: its YAML is wrong. */
  readonly fault?: string;
  /** Texts of so many tokens are what it is profiled with, where nothing else is known; absent: it is no text model's. */
  readonly profiledTokens?: number;
  /** What it lies in, to be held while it is served; absent: that stays. */
  readonly folder?: HeldFolder;
}

/** What lies in a repository and is not served, and why. */
export interface Skipped {
  readonly path: string;
  readonly reason: string;
}

export function describeSkipped({ path, reason }: Skipped): string {
  return `${path} is left out: ${reason}`;
}

export interface Repository {
  /** By name, then by version, ascending. */
  readonly sources: readonly ModelSource[];
  readonly skipped: readonly Skipped[];
}

const MODEL_FILE = 'model.onnx';
/** In a folder of models. */
export const EXPECTED = `expected <name>.onnx, <name>/${MODEL_FILE}, <name>/<version>/${MODEL_FILE} or <name>/${SETTINGS_FILE} in it`;

/**
 * The models at a path; at least one. Pipelines are made of them, and are not among them.
 * @throws RepositoryError when the path holds no model
 */
export async function findModels(path: string): Promise<readonly ModelSource[]> {
  const { sources: all } = await readRepository(path);
  const sources = all.filter(({ pipeline }) => pipeline === undefined);
  if (sources.length === 0) throw new RepositoryError(`${path} holds no models: ${EXPECTED}`);
  return sources;
}

/**
 * All that there is at a path.
 * @param modelName of a model whose own folder, or file, the path is; null: as that is called
 * @param sent counts in place of the `config.pbtxt` of the model of that name
 * @throws RepositoryError when there is nothing, or a file that is no model
 */
export async function readRepository(
  path: string,
  modelName: string | null = null,
  sent: SentConfig | null = null,
): Promise<Repository> {
  const absolute = resolve(path);
  const info = await stat(absolute).catch(() => null);
  if (info === null) throw new RepositoryError(`no such model: ${path} (give a .onnx file or a model repository)`);
  if (info.isFile()) {
    if (!absolute.endsWith('.onnx')) throw new RepositoryError(`${path} is not a .onnx file`);
    return bareModel(absolute, modelName, sent);
  }
  const entries = await entriesOf(absolute);
  if (await isModelFolder(absolute, entries)) return modelIn(absolute, modelName ?? basename(absolute), sent);
  const parts = await Promise.all(entries.map((entry) => partOf(absolute, entry, sent)));
  const sources = parts.flatMap((part) => part.sources);
  const skipped = parts.flatMap((part) => part.skipped);
  const byName = (a: ModelSource, b: ModelSource): number => (a.name < b.name ? -1 : Number(a.name > b.name));
  return withoutDoubles({
    sources: sources.sort((a, b) => byName(a, b) || compareVersions(a.version, b.version)),
    skipped,
  });
}

/** A model's own folder. */
export async function modelIn(folder: string, name: string, sent: SentConfig | null): Promise<Repository> {
  try {
    const { sources, skipped } = await modelInFolder(folder, name, sent);
    const withTexts = (await Promise.all(sources.map((source) => textSources(source, folder)))).flat();
    const variants = await Promise.all(withTexts.map((source) => variantSources(source, folder, sent)));
    return { sources: [...variants.flat(), ...withTexts], skipped };
  } catch (error) {
    return faulty(error, { name, modelPath: join(folder, SETTINGS_FILE) });
  }
}

/** What is wrong with one model is no reason to serve none. @throws what is no fault of the model's */
function faulty(error: unknown, source: Pick<ModelSource, 'name' | 'modelPath'>): Repository {
  if (!(error instanceof RepositoryError)) throw error;
  const profilePath = join(dirname(source.modelPath), 'model.profile.json');
  const fault = { version: ONLY_VERSION, profilePath, settings: NO_SETTINGS, fault: error.message };
  return { sources: [{ ...source, ...fault }], skipped: [] };
}

/** In a folder; where a link leads is what it is. Null: that is nowhere. */
interface Entry {
  readonly name: string;
  readonly info: Stats | null;
}

async function entriesOf(folder: string): Promise<readonly Entry[]> {
  const names = (await readdir(folder)).filter((name) => !name.startsWith('.'));
  return Promise.all(names.map(async (name) => ({ name, info: await stat(join(folder, name)).catch(() => null) })));
}

/** Rather than a folder of models. */
async function isModelFolder(folder: string, entries: readonly Entry[]): Promise<boolean> {
  const models = entries.filter(({ name, info }) => info?.isFile() === true && name.endsWith('.onnx'));
  if (models.length === 1 && models[0]!.name === MODEL_FILE) return true;
  const saysSo = [SETTINGS_FILE, CONFIG_FILE, PIPELINE_FILE, VARIANTS_FILE];
  if (entries.some(({ name, info }) => saysSo.includes(name) && info?.isFile() === true)) return true;
  if (await isTextLayout(folder)) return true;
  const versions = entries.filter(({ name }) => isVersion(name));
  const have = await Promise.all(versions.map(({ name }) => isFile(join(folder, name, MODEL_FILE))));
  return have.includes(true);
}

/** What one entry of a folder of models is. */
async function partOf(folder: string, { name, info }: Entry, sent: SentConfig | null): Promise<Repository> {
  const path = join(folder, name);
  if (info === null) return skipping(path, 'a link that leads nowhere');
  if (info.isDirectory()) return modelIn(path, name, sent);
  if (info.isFile() && name.endsWith('.onnx')) return bareModel(path, null, sent);
  // Of what is written beside a bare model, and of weights, there is nothing to be said.
  const isBesideModel = /\.profile\.[\w.-]+$|\.onnx[._]/.test(name);
  return isBesideModel ? NOTHING : skipping(path, 'neither a folder nor a .onnx file');
}

const NOTHING: Repository = { sources: [], skipped: [] };

function skipping(path: string, reason: string): Repository {
  return { sources: [], skipped: [{ path, reason }] };
}

/** `<name>.onnx` beside a folder of that name: the folder says more. */
function withoutDoubles({ sources, skipped }: Repository): Repository {
  const isBare = ({ name, modelPath }: ModelSource): boolean => basename(modelPath) === `${name}.onnx`;
  const doubles = sources.filter(
    (source) => isBare(source) && sources.some((other) => other !== source && other.name === source.name),
  );
  const told = doubles.map(({ modelPath, name }) => ({
    path: modelPath,
    reason: `the folder ${name} beside it is served`,
  }));
  return { sources: sources.filter((source) => !doubles.includes(source)), skipped: [...skipped, ...told] };
}

async function bareModel(path: string, modelName: string | null, sent: SentConfig | null): Promise<Repository> {
  const name = modelName ?? basename(path, '.onnx');
  const source = {
    name,
    version: ONLY_VERSION,
    modelPath: path,
    profilePath: path.replace(/\.onnx$/, '.profile.json'),
  };
  if (sent?.name !== name) return { sources: [{ ...source, settings: NO_SETTINGS }], skipped: [] };
  try {
    const { settings } = await withConfig(NOTHING_SAID, await readConfig(dirname(path), name, sent), dirname(path));
    return { sources: [{ ...source, settings }], skipped: [] };
  } catch (error) {
    return faulty(error, source);
  }
}

async function modelInFolder(folder: string, name: string, sent: SentConfig | null): Promise<Repository> {
  const pipeline = await pipelineInFolder(folder, name, sent);
  if (pipeline !== null) return { sources: [pipeline], skipped: [] };
  const config = await readConfig(folder, name, sent);
  const description = await withConfig(await readSettings(join(folder, SETTINGS_FILE)), config, folder);
  const settings = await withSamples(description.settings, folder);
  const fileName = config?.modelFile ?? MODEL_FILE;
  const { versions, skipped } = await versionsIn(folder, fileName);
  const { modelFile, versionPolicy: stated } = description;
  const versionPolicy = stated ?? LATEST_ONE;
  const profilePath = join(folder, 'model.profile.json');
  if (modelFile !== null) {
    const modelPath = resolveModelFile(modelFile, folder);
    return { sources: [{ name, version: versions.at(-1) ?? ONLY_VERSION, modelPath, profilePath, settings }], skipped };
  }
  if (versions.length > 0) {
    if (versionPolicy.kind === 'specific') {
      const missing = versionPolicy.versions.find((version) => !versions.includes(version));
      if (missing !== undefined)
        throw new RepositoryError(`${folder}: there is no version ${missing}, only ${versions.join(', ')}`);
    }
    const sources = versionsBy(versionPolicy, versions).map((version) => ({
      ...{ name, version, settings },
      modelPath: join(folder, version, fileName),
      profilePath: join(folder, version, 'model.profile.json'),
    }));
    return { sources, skipped };
  }
  if (await isFile(join(folder, fileName))) {
    const modelPath = join(folder, fileName);
    return {
      sources: [{ name, version: ONLY_VERSION, modelPath, profilePath, settings }],
      skipped,
    };
  }
  // As models' authors lay them out for those who load them by their names.
  if (await isTextLayout(folder)) {
    const modelPath = join(folder, TEXT_LAYOUT_FILE);
    return { sources: [{ name, version: ONLY_VERSION, modelPath, profilePath, settings }], skipped };
  }
  const [found] = (await entriesOf(folder)).filter((entry) => entry.name.endsWith('.onnx'));
  const reason =
    found === undefined
      ? `holds no ${fileName}, no version with one, and no ${SETTINGS_FILE} that names one`
      : `holds ${found.name}, and a model is called ${fileName}: rename it, or name it in ${SETTINGS_FILE}`;
  return { sources: [], skipped: [...skipped, { path: folder, reason }] };
}

/** Null where it is a model's. */
async function pipelineInFolder(folder: string, name: string, sent: SentConfig | null): Promise<ModelSource | null> {
  const path = join(folder, PIPELINE_FILE);
  const described = await readPipeline(path).catch((error: unknown) => {
    throw new RepositoryError(oneLine(error));
  });
  const variantsPath = join(folder, VARIANTS_FILE);
  const variants = await readVariants(variantsPath, name).catch((error: unknown) => {
    throw new RepositoryError(oneLine(error));
  });
  if (variants !== null && described !== null)
    throw new RepositoryError(`${folder}: it has a ${PIPELINE_FILE} and a ${VARIANTS_FILE}: keep one of them`);
  const pipeline = variants ?? described ?? (await readEnsemble(folder, name, sent));
  if (pipeline === null) return null;
  const modelPath = variants !== null ? variantsPath : described === null ? join(folder, CONFIG_FILE) : path;
  const profilePath = join(folder, 'model.profile.json');
  return { name, version: ONLY_VERSION, modelPath, profilePath, settings: NO_SETTINGS, pipeline };
}

/** Those that the YAML names, or else all in the model's folder of samples. */
async function withSamples(settings: ModelSettings, folder: string): Promise<ModelSettings> {
  return settings.samplePaths.length > 0 ? settings : { ...settings, samplePaths: await samplesIn(folder) };
}

/** Ascending; folders that look like one and are none are named. */
async function versionsIn(
  folder: string,
  fileName: string,
): Promise<{ versions: readonly string[]; skipped: readonly Skipped[] }> {
  const versions: string[] = [];
  const skipped: Skipped[] = [];
  for (const { name, info } of await entriesOf(folder)) {
    const path = join(folder, name);
    if (info === null) skipped.push({ path, reason: 'a link that leads nowhere' });
    // `1_Pooling` and such are of a text model's author.
    else if (!info.isDirectory() || !/^\d/.test(name) || /^\d_[A-Z]/.test(name)) continue;
    else if (!isVersion(name))
      skipped.push({ path, reason: 'a version is a whole number that does not begin with a zero' });
    else if (!(await isFile(join(path, fileName)))) skipped.push({ path, reason: `a version without a ${fileName}` });
    else versions.push(name);
  }
  return { versions: versions.sort(compareVersions), skipped };
}

const TEXT_LAYOUT_FILE = join('onnx', MODEL_FILE);

async function isTextLayout(folder: string): Promise<boolean> {
  return (await isFile(join(folder, TOKENIZER_FILE))) && (await isFile(join(folder, TEXT_LAYOUT_FILE)));
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isFile() === true;
}

/** A clear error before a worker is started for nothing. @throws Error, in one line */
export async function assertReadable({ name, modelPath, fault }: ModelSource): Promise<void> {
  if (fault !== undefined) throw new Error(fault);
  if (!(await isFile(modelPath))) throw new Error(`model ${name}: no file ${modelPath}`);
}

/** Of a folder with more files, that many are looked at. */
const MOST_FILES_STAMPED = 200;

/**
 * Tells one state of what a model consists of from another: its file, what lies beside it, and what is said of it above. Not where they
 * lie: what was fetched again and stayed as it was may be linked to from another folder.
 */
export async function stampOf({ modelPath, settings }: ModelSource): Promise<string> {
  const folder = dirname(modelPath);
  const names = await readdir(folder).catch((): string[] => []);
  const own = basename(modelPath, '.onnx');
  const isShared = names.filter((name) => name.endsWith('.onnx')).length > 1;
  const beside = names.filter((name) => !name.includes('.profile.') && (!isShared || name.startsWith(own)));
  const said = [folder, dirname(folder)].flatMap((each) =>
    [SETTINGS_FILE, CONFIG_FILE, TOKENIZER_FILE].map((file) => join(each, file)),
  );
  const paths = [
    modelPath,
    ...said,
    ...beside
      .sort()
      .slice(0, MOST_FILES_STAMPED)
      .map((name) => join(folder, name)),
  ];
  const states = await Promise.all([...new Set(paths)].map(stateOf));
  return JSON.stringify([states, settings]).replaceAll(JSON.stringify(dirname(folder)).slice(1, -1), '');
}

async function stateOf(path: string): Promise<readonly (string | number)[]> {
  const info = await stat(path).catch(() => null);
  return info?.isFile() === true ? [path, info.ino, info.size, info.mtimeMs] : [];
}
