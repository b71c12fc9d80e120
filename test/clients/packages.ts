import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/*
 * Published clients, fetched once into a cache by the ordinary clients of their registries: pip, npm, go, apt. Nothing of them is kept in
 * this repository.
 */

const CACHE =
  process.env['SPONGE_CLIENTS_CACHE'] ??
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sponge-inference/clients');

/** Once it is there it stays: a folder that a step has filled. */
function filled(name: string, fill: (folder: string) => void): string {
  const folder = join(CACHE, name);
  if (existsSync(join(folder, 'ready'))) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  fill(folder);
  mkdirSync(join(folder, 'ready'));
  return folder;
}

/** @returns a Python that has these packages, in an environment of its own. @throws Error where it cannot be made */
export function pythonWith(name: string, packages: readonly string[]): string {
  const folder = filled(`python-${name}`, (made) => {
    run('python3', ['-m', 'venv', made], CACHE);
    run(join(made, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', ...packages], CACHE);
  });
  return join(folder, 'bin', 'python');
}

/** @returns a folder that has these packages of npm. @throws Error where it cannot be made */
export function nodeWith(name: string, packages: readonly string[]): string {
  return filled(`node-${name}`, (made) => {
    run('npm', ['install', '--silent', '--no-audit', '--no-fund', '--prefix', made, ...packages], made);
  });
}

export function grpcurl(version: string): string {
  return goProgram('grpcurl', `github.com/fullstorydev/grpcurl/cmd/grpcurl@v${version}`, version);
}

/** A server of S3's protocol, on a folder. */
export function versityGateway(version: string): string {
  return goProgram('versitygw', `github.com/versity/versitygw/cmd/versitygw@v${version}`, version);
}

/** @returns the program. @throws Error where there is no Go to build it */
function goProgram(name: string, source: string, version: string): string {
  const folder = filled(`${name}-${version}`, (made) => {
    const env = {
      ...process.env,
      GOBIN: made,
      GOPATH: join(made, 'path'),
      GOCACHE: join(made, 'cache'),
      GOFLAGS: '-modcacherw',
    };
    run('go', ['install', source], made, env);
    for (const used of ['path', 'cache']) rmSync(join(made, used), { recursive: true, force: true });
  });
  return join(folder, name);
}

export interface PerfAnalyzer {
  readonly program: string;
  readonly libraries: string;
}

/** Triton's load generator, of the last release that came as a wheel, and the two libraries that it was linked with. */
export function perfAnalyzer(version: string): PerfAnalyzer {
  const folder = filled(`perf-analyzer-${version}`, (made) => {
    const wheels = [`tritonclient==${version}`, 'nvidia-cuda-runtime-cu12==12.9.79'];
    run('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', ...wheels], made);
    const unpack = 'import glob, zipfile; [zipfile.ZipFile(wheel).extractall() for wheel in glob.glob("*.whl")]';
    run('python3', ['-c', unpack], made);
    run('apt-get', ['download', '--quiet', 'libb64-0d'], made);
    const archive = readdirSync(made).find((file) => file.endsWith('.deb'));
    run('dpkg-deb', ['--extract', archive!, made], made);
    run('chmod', ['+x', join(made, `tritonclient-${version}.data/data/bin/perf_analyzer`)], made);
  });
  const libraries = ['usr/lib/x86_64-linux-gnu', 'nvidia/cuda_runtime/lib'].map((path) => join(folder, path)).join(':');
  return { program: join(folder, `tritonclient-${version}.data/data/bin/perf_analyzer`), libraries };
}

function run(program: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = process.env): void {
  mkdirSync(CACHE, { recursive: true });
  execFileSync(program, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 600_000 });
}
