import { execFileSync } from 'node:child_process';
import os from 'node:os';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SERVER_VERSION } from '../server/version.js';

/* Where numbers come from: what they depend on and nobody remembers later. */

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGib: number;
  /** `Linux 6.18.5`. */
  readonly kernel: string;
  readonly node: string;
}

export function describeMachine(): Machine {
  return {
    cpu: os.cpus()[0]?.model ?? 'unknown',
    cores: os.availableParallelism(),
    memoryGib: Math.round(os.totalmem() / 2 ** 30),
    kernel: `${os.type()} ${os.release()}`,
    node: process.version,
  };
}

/** What a report says of itself. */
export interface RunOrigin {
  /** To type to have it again. */
  readonly command: string;
  /** `1`, `1 to 5`. */
  readonly seeds: string;
  /** Null where this is not a clone. */
  readonly commit: string | null;
  readonly version: string;
  /** ISO 8601. */
  readonly date: string;
  readonly machine: Machine;
  readonly tookSeconds?: number;
}

export function describeOrigin(run: Pick<RunOrigin, 'command' | 'seeds' | 'tookSeconds'>): RunOrigin {
  return {
    ...run,
    commit: commitText(),
    version: SERVER_VERSION,
    date: new Date().toISOString(),
    machine: describeMachine(),
  };
}

const PACKAGE_FOLDER = fileURLToPath(new URL('../../', import.meta.url));

/** Null without git, and where the package lies in somebody else's repository: that commit would say nothing of ours. */
export function commitText(): string | null {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { cwd: PACKAGE_FOLDER, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    if (relative(git('rev-parse', '--show-toplevel'), PACKAGE_FOLDER) !== '') return null;
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain') === '' ? '' : ' with changes');
  } catch {
    return null;
  }
}

/** A command as one would type it. @param args after the program's name */
export function commandText(args: readonly string[], program = 'sponge'): string {
  return [program, ...args.map(quoted)].join(' ');
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
