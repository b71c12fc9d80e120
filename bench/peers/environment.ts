import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/*
 * Where peers live: a virtual environment of Python for each, in a folder that is thrown away unless it was asked to be kept. All have
 * ONNX Runtime in the version that we have.
 */

const ONNX_RUNTIME = 'onnxruntime==1.30.0';

const PACKAGES = {
  /** Of the neutral client, and of the bare run. */
  client: ['aiohttp==3.14.5', 'grpcio==1.85.3', 'numpy==2.4.6', ONNX_RUNTIME],
  mosec: ['mosec==0.9.8', 'numpy==2.4.6', ONNX_RUNTIME],
  kserve: ['kserve==0.21.0', ONNX_RUNTIME],
  /** Of the bench of text. */
  text: ['mosec==0.9.8', 'tokenizers==0.23.3', 'numpy==2.4.6', ONNX_RUNTIME],
  triton: ['nvidia-pytriton==0.7.0', ONNX_RUNTIME],
} as const;

export type EnvironmentName = keyof typeof PACKAGES;

const INSTALL_TIMEOUT_MS = 600_000;

export class Environments {
  readonly #folder: string;
  readonly #python: string;

  /** @param python a Python with `venv`, 3.9 to 3.13: for those there is a Triton */
  constructor(folder: string, python: string) {
    this.#folder = folder;
    this.#python = python;
    mkdirSync(folder, { recursive: true });
  }

  /** @throws Error of one line: why it cannot be had */
  async install(name: EnvironmentName): Promise<void> {
    const home = join(this.#folder, name);
    if (existsSync(join(home, 'installed'))) return;
    const run = promisify(execFile);
    const options = { timeout: INSTALL_TIMEOUT_MS, maxBuffer: 1 << 26 };
    try {
      await run(this.#python, ['-m', 'venv', home], options);
      await run(this.python(name), ['-m', 'pip', 'install', '--quiet', ...PACKAGES[name]], options);
      mkdirSync(join(home, 'installed'));
    } catch (error) {
      const { stderr = '', message } = error as Error & { stderr?: string };
      const told = stderr.split('\n').filter((line) => /error/i.test(line));
      throw new Error(told.at(-1)?.trim() ?? message.split('\n', 1)[0]!, { cause: error });
    }
  }

  python(name: EnvironmentName): string {
    return join(this.#folder, name, 'bin/python');
  }

  /** Of the first of its packages, and ONNX Runtime's: `mosec 0.9.8, onnxruntime 1.30.0`. */
  versions(name: EnvironmentName): string {
    const names = PACKAGES[name].map((each) => each.split('==')[0]!).filter((each) => each !== 'numpy');
    const script = `from importlib.metadata import version\nprint(", ".join(f"{n} {version(n)}" for n in ${JSON.stringify(names)}))`;
    return spawnSync(this.python(name), ['-c', script], { encoding: 'utf8' }).stdout.trim();
  }
}
