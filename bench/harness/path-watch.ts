import { transformSync } from 'esbuild';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { ProcessPath } from './path-probe.js';

/* Puts `path-probe.ts` into a server and its workers, and fetches what it has written down. */

export interface PathWatch {
  /** For the server. */
  readonly nodeFlags: readonly string[];
  /** What each process that lives has written down since it was asked last. */
  take(): Promise<readonly ProcessPath[]>;
}

const ANSWER_TIMEOUT_MS = 20_000;
/** In which the server hears that the kernel has taken its last answer. */
const SETTLE_MS = 50;

/**
 * @param parent a folder that whoever made it removes
 * @param name of the folder in it, for a server of its own
 */
export function pathWatch(parent: string, what: 'times' | 'bytes', name: string = what): PathWatch {
  const folder = join(parent, `path-${name}`);
  mkdirSync(folder);
  // Workers run as another user, who reads the probe there and leaves files.
  chmodSync(parent, 0o755);
  chmodSync(folder, 0o777);
  const probe = join(folder, 'probe.mjs');
  const source = readFileSync(join(import.meta.dirname, 'path-probe.ts'), 'utf8');
  writeFileSync(probe, transformSync(source, { loader: 'ts', format: 'esm', target: 'node20' }).code);
  const query = what === 'bytes' ? '?bytes' : '';

  const ask = async (pid: number): Promise<ProcessPath | null> => {
    const path = join(folder, `${pid}.json`);
    try {
      process.kill(pid, 'SIGUSR2');
    } catch {
      return null;
    }
    const untilMs = performance.now() + ANSWER_TIMEOUT_MS;
    while (!existsSync(path)) {
      if (performance.now() > untilMs) throw new Error(`process ${pid}, which is watched, does not answer`);
      await delay(10);
    }
    const answer = JSON.parse(readFileSync(path, 'utf8')) as ProcessPath;
    rmSync(path);
    return answer;
  };

  return {
    nodeFlags: ['--import', `${pathToFileURL(probe).href}${query}`],
    async take() {
      await delay(SETTLE_MS);
      const pids = readdirSync(folder).flatMap((name) => (name.endsWith('.pid') ? [Number.parseInt(name, 10)] : []));
      const answers = await Promise.all(pids.map(ask));
      return answers.filter((answer) => answer !== null);
    },
  };
}
