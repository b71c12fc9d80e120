import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ensembleIn } from '../pipelines/ensemble.js';
import type { PipelineSource } from '../pipelines/pipeline-source.js';
import { settingsOf, type ConfigSettings } from '../triton-config/config-settings.js';
import { configFromJson, configFromText, MOST_CONFIG_BYTES } from '../triton-config/model-config.js';
import { statedIn } from '../triton-config/stated-config.js';
import { oneLine } from '../workers/load-failure.js';
import { readLabels } from './label-files.js';
import { RepositoryError, type ModelDescription } from './model-settings.js';

/*
 * Triton's `config.pbtxt` in a model's folder, or what a client sent in its place. Where the model's `model.yaml` says the same thing,
 * that counts: it is what an operator of this server wrote, and the other may be shared with a Triton.
 */

export const CONFIG_FILE = 'config.pbtxt';

/** A configuration that was sent with a call to load a model: JSON. */
export interface SentConfig {
  readonly name: string;
  readonly json: string;
}

/** Null where there is none. @throws RepositoryError for what is wrong in it */
export async function readConfig(
  folder: string,
  name: string,
  sent: SentConfig | null,
): Promise<ConfigSettings | null> {
  if (sent?.name === name) return settingsIn('config', name, () => configFromJson(limited(sent.json)));
  const path = join(folder, CONFIG_FILE);
  const info = await stat(path).catch(() => null);
  if (info?.isFile() !== true) return null;
  return settingsIn(path, name, async () => {
    if (info.size > MOST_CONFIG_BYTES) throw new Error(TOO_LARGE);
    return configFromText(await readFile(path, 'utf8'));
  });
}

const TOO_LARGE = `it is larger than ${MOST_CONFIG_BYTES / 1024 ** 2} MiB`;

function limited(json: string): string {
  if (json.length > MOST_CONFIG_BYTES) throw new Error(TOO_LARGE);
  return json;
}

async function settingsIn(
  where: string,
  name: string,
  read: () => ReturnType<typeof configFromText>,
): Promise<ConfigSettings> {
  try {
    return settingsOf(statedIn(await read()), name);
  } catch (error) {
    throw new RepositoryError(`${where}: ${oneLine(error)}`);
  }
}

/** An ensemble, which is a pipeline; null where the configuration is a model's, or there is none. @throws RepositoryError */
export async function readEnsemble(
  folder: string,
  name: string,
  sent: SentConfig | null,
): Promise<PipelineSource | null> {
  const path = join(folder, CONFIG_FILE);
  const own = sent?.name === name ? sent.json : null;
  const text = own ?? (await readFile(path, 'utf8').catch(() => ''));
  if (text.length > MOST_CONFIG_BYTES || !text.includes('ensemble_scheduling')) return null;
  try {
    const config = await (own === null ? configFromText(text) : configFromJson(text));
    return 'ensemble_scheduling' in config ? ensembleIn(config, name) : null;
  } catch (error) {
    throw new RepositoryError(`${own === null ? path : 'config'}: ${oneLine(error)}`);
  }
}

/** What the two say together. @throws RepositoryError where a file of labels cannot be read */
export async function withConfig(
  yaml: ModelDescription,
  config: ConfigSettings | null,
  folder: string,
): Promise<ModelDescription> {
  if (config === null) return yaml;
  const { settings } = yaml;
  const labelPaths = Object.entries(config.labelFiles)
    .filter(([output]) => settings.labels[output] === undefined)
    .map(([output, file]) => [output, join(folder, file)] as const);
  const labels = await readLabels(Object.fromEntries(labelPaths)).catch((error: unknown) => {
    throw new RepositoryError(`${join(folder, CONFIG_FILE)}: ${oneLine(error)}`);
  });
  const sharesNone = config.maxBatchSize === 0 && settings.maxBatchSize === null;
  return {
    modelFile: yaml.modelFile,
    versionPolicy: yaml.versionPolicy ?? config.versionPolicy,
    settings: {
      ...settings,
      maxBatchSize: settings.maxBatchSize ?? (sharesNone ? null : config.maxBatchSize),
      batching: settings.batching ?? (sharesNone ? 'off' : null),
      defaultSloMs: settings.defaultSloMs ?? config.defaultSloMs,
      labels: { ...labels, ...settings.labels },
      config: {
        ...config.served,
        folder,
        isDefaultSloBinding: config.served.isDefaultSloBinding && settings.defaultSloMs === null,
      },
    },
  };
}
