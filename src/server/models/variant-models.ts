import { join } from 'node:path';
import { VARIANTS_FILE, type OwnVariant } from '../variants/variants-file.js';
import { readConfig, withConfig, type SentConfig } from './model-config-file.js';
import type { ModelSource } from './model-repository.js';
import {
  readSettings,
  RepositoryError,
  resolveModelFile,
  SETTINGS_FILE,
  type ModelSettings,
} from './model-settings.js';
import { samplesIn } from './sample-files.js';
import { ONLY_VERSION } from './versions.js';

/**
 * The files and versions of a model's folder that are its variants, as the models that they are served as. What is said of the model beside
 * them holds for each.
 * @param folder the model's
 * @throws RepositoryError of one line
 */
export async function variantSources(
  { name, pipeline }: ModelSource,
  folder: string,
  sent: SentConfig | null,
): Promise<readonly ModelSource[]> {
  const own = pipeline?.variants?.own ?? [];
  if (own.length === 0) return [];
  const path = join(folder, SETTINGS_FILE);
  const config = await readConfig(folder, name, sent);
  const yaml = await readSettings(path);
  const { settings } = await withConfig(yaml, config, folder);
  const key = yaml.modelFile !== null ? 'model' : yaml.versionPolicy !== null ? 'versions' : null;
  if (key !== null) throw new RepositoryError(`${path}: ${key}: which files are served is said in ${VARIANTS_FILE}`);
  const samplePaths = settings.samplePaths.length > 0 ? settings.samplePaths : await samplesIn(folder);
  return own.map((each) => sourceOf(each, folder, config?.modelFile ?? 'model.onnx', { ...settings, samplePaths }));
}

function sourceOf(
  { model, variant, from }: OwnVariant,
  folder: string,
  fileName: string,
  settings: ModelSettings,
): ModelSource {
  const common = { name: model, version: ONLY_VERSION, settings };
  if (from.kind === 'version') {
    const own = join(folder, from.version);
    return { ...common, modelPath: join(own, fileName), profilePath: join(own, 'model.profile.json') };
  }
  return {
    ...common,
    modelPath: resolveModelFile(from.file, folder),
    profilePath: join(folder, `${variant}.profile.json`),
  };
}
