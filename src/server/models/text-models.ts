import { dirname, join } from 'node:path';
import { oneLine } from '../workers/load-failure.js';
import { describeText } from '../text/text-files.js';
import { tensorsName, textPipeline } from '../text/text-source.js';
import type { ModelSource } from './model-repository.js';
import { RepositoryError, SETTINGS_FILE } from './model-settings.js';

/** Texts of a sentence or two: what it is profiled with, until there are requests. */
const PROFILED_TOKENS = 32;

/**
 * A model as it is, or where a tokenizer lies beside it, or in its folder, the model of text that the two make, and the model itself under
 * another name.
 * @throws RepositoryError: what is said of its text cannot be had
 */
export async function textSources(source: ModelSource, folder: string): Promise<readonly ModelSource[]> {
  if (source.pipeline !== undefined) return [source];
  const { name, version, settings, modelPath } = source;
  const folders = [...new Set([dirname(modelPath), folder])];
  const text = await describeText(folders, settings.text ?? null).catch((error: unknown) => {
    throw new RepositoryError(`${join(folder, SETTINGS_FILE)}: ${oneLine(error)}`);
  });
  if (text === null) return [source];
  const tensors = {
    ...source,
    name: tensorsName(name),
    profiledTokens: Math.min(PROFILED_TOKENS, text.maxTokens),
  };
  const pipeline = textPipeline(name, version, text, settings.defaultSloMs);
  return [tensors, { ...source, modelPath: text.tokenizerPath, pipeline }];
}
