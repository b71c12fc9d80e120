import { readFile, stat } from 'node:fs/promises';
import type { ModelSignature } from '../../scheduler/domain/tensor.js';

/*
 * What the classes of a model's outputs are called, for Triton's classification extension: a text file an output, a label a line, the
 * first for index 0. An empty line is a class without a name.
 */

/** By output. */
export type Labels = Readonly<Record<string, readonly string[]>>;

const MOST_BYTES = 8 * 1024 ** 2;

/** @param files by output. @throws Error of one line: no such file, or too large */
export async function readLabels(files: Readonly<Record<string, string>>): Promise<Labels> {
  const read = Object.entries(files).map(async ([output, path]) => [output, await labelsIn(path)] as const);
  return Object.fromEntries(await Promise.all(read));
}

/** @throws Error of one line where there are labels for an output that the model does not have */
export function assertLabelled(labels: Labels, { outputs }: ModelSignature): void {
  const names = outputs.map(({ name }) => name);
  const unknown = Object.keys(labels).find((output) => !names.includes(output));
  if (unknown === undefined) return;
  throw new Error(
    `labels: the model has no output '${unknown}', it has ${names.map((name) => `'${name}'`).join(', ')}`,
  );
}

async function labelsIn(path: string): Promise<readonly string[]> {
  const info = await stat(path).catch(() => null);
  if (info?.isFile() !== true) throw new Error(`labels: no file ${path}`);
  if (info.size > MOST_BYTES) throw new Error(`labels: ${path} is larger than ${MOST_BYTES / 1024 ** 2} MiB`);
  const lines = (await readFile(path, 'utf8')).split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines;
}
