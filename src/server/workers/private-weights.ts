import { constants, copyFileSync, mkdirSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { withTemporaryFolder } from '../onnx-runtime/temporary-folder.js';
import { oneLine } from './load-failure.js';

/*
 * ONNX Runtime maps weights that lie in files beside the model's: whoever writes into such a file in place, as `cp` does, changes the
 * answers of sessions that stand. So sessions are made from a copy that has no name any more once they stand. Where the file system
 * can, it shares the blocks.
 */

/**
 * Loads a model from where nobody else writes.
 * @param weightsPaths files beside the model's that its weights are in; without any, it is loaded from its own path, and read once
 * @param load called with the path to load from
 * @param onTrouble one line, for the operator: no copy could be made, and the files are read in place
 */
export async function withPrivateWeights<Result>(
  modelPath: string,
  weightsPaths: readonly string[],
  load: (path: string) => Promise<Result>,
  onTrouble: (line: string) => void,
): Promise<Result> {
  if (weightsPaths.length === 0) return load(modelPath);
  const from = dirname(modelPath);
  const copied = { isWhole: false };
  try {
    return await withTemporaryFolder(async (folder) => {
      const copyOf = (path: string): string => join(folder, relative(from, path));
      for (const path of [modelPath, ...weightsPaths]) copy(path, copyOf(path));
      copied.isWhole = true;
      try {
        return await load(copyOf(modelPath));
      } catch (error) {
        // It is the model's own files that are wrong.
        if (error instanceof Error) error.message = error.message.replaceAll(folder, from);
        throw error;
      }
    });
  } catch (error) {
    if (copied.isWhole) throw error;
    onTrouble(
      `${modelPath}: do not write into its files while it is served: no copy of its weights could be made: ${oneLine(error)}`,
    );
    return load(modelPath);
  }
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to, constants.COPYFILE_FICLONE);
}
