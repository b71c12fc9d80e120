import { accessSync, constants, mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { oneLine } from '../server/workers/load-failure.js';
import { UserError } from './options.js';

/** The folder that `--profile-dir` names, made where it is not there; null where none is named. @throws UserError where it is of no use */
export function profileFolder(path: string | undefined): string | null {
  if (path === undefined) return null;
  const folder = resolve(path);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    accessSync(folder, constants.W_OK);
  } catch (error) {
    throw new UserError(`--profile-dir ${path}: no folder that can be written to: ${oneLine(error)}`);
  }
  return folder;
}
