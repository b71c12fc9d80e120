import { posix } from 'node:path';

/*
 * Settings of a model name other files: its own, samples, labels. Those of a model on this machine may name any; those that came from
 * elsewhere none outside of the model's folder: who may write to a bucket is not to read this machine's files through a server. Pure.
 */

/** Paths as they stand in a `model.yaml`. @param settings as it was parsed */
export function namedInYaml(settings: unknown): readonly string[] {
  if (typeof settings !== 'object' || settings === null) return [];
  const { model, sample, labels } = settings as Readonly<Record<string, unknown>>;
  const values = [model, sample, typeof labels === 'object' && labels !== null ? Object.values(labels) : []].flat();
  return values.filter((value) => typeof value === 'string');
}

/** A field of Triton's `config.pbtxt` that names a file, with its strings, which may be several in a row. */
const FILE_FIELD =
  /\b(?:label_filename|default_model_filename|input_data_file)\s*:((?:\s*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'))+)/g;

/**
 * Files of a `config.pbtxt`, as far as they can be seen without reading it; `triton-config` reads it, and takes no file outside of the
 * model's folder wherever that came from.
 */
export function namedInTritonConfig(text: string): readonly string[] {
  return [...text.matchAll(FILE_FIELD)].map(([, strings]) =>
    [...strings!.matchAll(/"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'/g)].map(([, a, b]) => a ?? b).join(''),
  );
}

/** Whether a path, from a model's folder, stays in it. */
export function staysInside(path: string): boolean {
  const normal = posix.normalize(path);
  return (
    !posix.isAbsolute(normal) &&
    normal !== '..' &&
    !normal.startsWith('../') &&
    !path.includes('\\') &&
    !path.startsWith('npm:')
  );
}
