import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PUBLISHED_PROFILE_NAMES } from '../../scheduler/perf-model/published.js';
import type { ScenarioFile } from '../comparison/simulate.js';
import { parseScenario } from './parse-scenario.js';

/** The ready ones, beside the code as it is installed. */
const READY_FOLDER = fileURLToPath(new URL('../../../scenarios/', import.meta.url));
const MAX_FILE_BYTES = 1024 * 1024;

/** In the order in which reports show them: the authors' own, steady ones, then what changes. */
export const READY_NAMES = [
  'authors',
  'authors-applied',
  'authors-light',
  'multi-client',
  'mixed-payloads',
  'bursts',
  'diurnal',
  'flash-crowd',
  'deep-fades',
  'drift',
  'slow-actuation',
  'overload',
] as const;

/** Of several models on a node, which have policies of their own. */
export const READY_NODE_NAMES = ['four-models', 'four-models-heavy'] as const;

/** Of a pipeline of models, which have policies of their own too. */
export const READY_PIPELINE_NAMES = ['crops', 'page'] as const;

/** Of one model with variants, which have policies of their own. */
export const READY_VARIANTS_NAMES = ['variants-bursts', 'variants-flash-crowd'] as const;

const ALL_READY: readonly string[] = [
  ...READY_NAMES,
  ...READY_NODE_NAMES,
  ...READY_PIPELINE_NAMES,
  ...READY_VARIANTS_NAMES,
];

export function readyScenarios(
  names: readonly string[] = READY_NAMES,
): readonly { readonly name: string; readonly title: string }[] {
  return names.map((name) => ({ name, title: readScenario(name).scenario.title }));
}

/**
 * A ready scenario by its name, or any by its path. Paths in a file are relative to it, those in settings to where we are.
 * @throws Error, one line, where it is missing or wrong   @param settings `key.path=value`
 */
export function readScenario(nameOrPath: string, settings: readonly string[] = []): ScenarioFile {
  const isReady = ALL_READY.includes(nameOrPath);
  const path = isReady ? join(READY_FOLDER, `${nameOrPath}.yaml`) : nameOrPath;
  const scenario = parseScenario(readText(path), isReady ? nameOrPath : path, settings.map(absolutePaths));
  return { name: basename(nameOrPath).replace(/\.ya?ml$/, ''), scenario, folder: dirname(path) };
}

function readText(path: string): string {
  const info = statSync(path, { throwIfNoEntry: false });
  if (info === undefined) {
    throw new Error(`no scenario ${path}; give a YAML file or one of ${ALL_READY.join(', ')}`);
  }
  if (!info.isFile() || info.size > MAX_FILE_BYTES) {
    throw new Error(`scenario ${path}: not a file of at most 1 MiB`);
  }
  return readFileSync(path, 'utf8');
}

/** Keys whose values are paths. */
const PATH_SETTING = /^(network\.log|arrivals\.file|profile|pipeline\.file)=(.+)$/;

function absolutePaths(setting: string): string {
  const match = PATH_SETTING.exec(setting);
  if (match === null) return setting;
  const [, key, text] = match;
  if (key === 'profile' && (PUBLISHED_PROFILE_NAMES as readonly string[]).includes(text!)) return setting;
  const absolute = (path: string): string => (isAbsolute(path) ? path : join(process.cwd(), path));
  // Several logs: separated by commas, in brackets or not.
  const names = key === 'network.log' ? text!.replace(/^\[|\]$/g, '').split(',') : [text!];
  const paths = names.map((name) => absolute(name.trim()));
  return `${key!}=${JSON.stringify(paths.length === 1 ? paths[0] : paths)}`;
}

/** For tests: what lies in the folder. */
export function filesOfReadyScenarios(): readonly string[] {
  return readdirSync(READY_FOLDER).sort();
}
