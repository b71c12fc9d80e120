import { execFile, spawn } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { identity } from '../../../research/load-models/tiny-graphs.js';
import { RunningServer, type TestBench } from '../server/harness.js';
import { http, infer } from '../server/clients.js';
import { REPOSITORY } from './expressions.js';
import { onPath } from './packages.js';

/*
 * The image's root folder, made from this Debian as `Containerfile` makes it from its base, serves: read-only, as a user that is not root, without
 * capabilities, models read-only too. Bubblewrap stands in for a container runtime: it needs no daemon and no image store.
 */

const execute = promisify(execFile);
const USER = '65532';
/** The image is small: Node is two thirds of it. */
const MOST_BYTES = 260 * 1000 ** 2;

/** Why it cannot be tried here; null where it can. */
export function containerGap(): string | null {
  if (process.platform !== 'linux') return 'Linux alone';
  const needed = ['dpkg-query', 'bwrap', 'setpriv', 'taskset', 'chroot'].filter((program) => onPath(program) === null);
  if (needed.length > 0) return `${needed.join(', ')} missing (Debian with bubblewrap and util-linux is needed)`;
  return process.getuid?.() === 0 ? null : 'only root may see that programs run on the new root alone (chroot)';
}

/** @returns the root folder */
export async function makeRoot(folder: string): Promise<string> {
  const app = join(folder, 'app');
  // Another user is to read what is below.
  chmodSync(folder, 0o755);
  const packages = join(folder, 'packages');
  mkdirSync(app);
  const node = (args: readonly string[]): Promise<unknown> => execute(process.execPath, args, { cwd: REPOSITORY });
  await node(['--import', 'tsx', 'release/pack.ts', '--here', '--to', packages]);
  for (const name of ['bin', 'dist', 'LICENSE', 'package.json', 'package-lock.json', '.npmrc'])
    cpSync(join(REPOSITORY, name), join(app, name), { recursive: true });
  cpSync(join(REPOSITORY, 'deploy/container/healthcheck.js'), join(app, 'bin/healthcheck.js'));
  await execute('npm', ['ci', '--omit=dev', '--prefer-offline'], { cwd: app });
  await execute('npm', ['uninstall', '--no-save', '--omit=dev', 'onnxruntime-node'], { cwd: app });
  const library = readdirSync(packages).find((name) => name.startsWith('sponge-inference-onnxruntime-'))!;
  const place = join(app, 'node_modules', library.replace(/-[\d.]+\.tgz$/, ''));
  mkdirSync(place);
  await execute('tar', ['xzf', join(packages, library), '--strip-components=1', '-C', place]);
  const root = join(folder, 'root');
  await execute('sh', [join(REPOSITORY, 'deploy/container/rootfs.sh'), app, root]);
  return root;
}

/** The command that runs `node …` on the root folder as the image would be run. */
function contained(
  root: string,
  models: string,
  env: Readonly<Record<string, string>>,
  args: readonly string[],
): string[] {
  const settings = Object.entries({ PATH: '/usr/bin', ...env }).flatMap(([name, value]) => ['--setenv', name, value]);
  return [
    ...['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--clear-groups', '--no-new-privs'],
    ...[
      'bwrap',
      '--unshare-user',
      '--unshare-pid',
      '--unshare-ipc',
      '--as-pid-1',
      '--die-with-parent',
      '--cap-drop',
      'ALL',
    ],
    ...[
      '--ro-bind',
      root,
      '/',
      '--proc',
      '/proc',
      '--dev',
      '/dev',
      '--tmpfs',
      '/tmp',
      '--ro-bind',
      models,
      '/mnt/models',
    ],
    ...['--clearenv', ...settings, 'node', ...args],
  ];
}

/** @throws Error that says what is not as it should be */
export async function servesReadOnly(bench: TestBench, root: string): Promise<string> {
  const models = bench.repository('contained', { identity: identity('FP32') });
  chmodSync(bench.folder, 0o755);
  const free = ['--port', '0', '--grpc-port', '0', '--metrics-port', '0'];
  const [program, ...args] = contained(root, models, {}, [
    '/opt/sponge/bin/sponge.js',
    'serve',
    '/mnt/models',
    ...free,
  ]);
  const server = new RunningServer(spawn(program!, args, { stdio: 'pipe' }));
  try {
    await server.ready();
    // Bubblewrap stays outside and waits.
    const inside = server.worker();
    const status = readFileSync(`/proc/${inside}/status`, 'utf8');
    expectLine(status, new RegExp(`^Uid:\t${USER}\t${USER}\t`, 'm'));
    expectLine(status, /^CapEff:\t0+$/m);
    expectLine(status, /^CapBnd:\t0+$/m);
    expectLine(status, /^NoNewPrivs:\t1$/m);
    const data = [1, 2, 3, 4];
    const answer = await infer(server, 'identity', [{ name: 'x', datatype: 'FP32', shape: [1, 4], data }], {
      sloMs: 30_000,
    });
    if (answer.status !== 200 || String(answer.json.outputs?.[0]?.data) !== String(data))
      throw new Error(`no answer: ${answer.status} ${JSON.stringify(answer.json)}`);
    if ((await http(`${server.rest}/v2/health/ready`)).status !== 200)
      throw new Error('it does not say that it is ready');
    const port = String(server.port);
    if ((await healthcheck(root, models, port)) !== 0) throw new Error('the health check says that it is not ready');
    if (/not confined|setpriv|taskset/.test(server.log)) throw new Error(`workers lack something: ${server.log}`);
    process.kill(inside, 'SIGTERM');
    const { code } = await server.exited;
    if (code !== 0 || !server.banner.includes('stopped'))
      throw new Error(`SIGTERM ended it with ${code}: ${server.log}`);
    if ((await healthcheck(root, models, port)) === 0)
      throw new Error('the health check says that a server is ready that has ended');
  } finally {
    if (!server.hasExited) process.kill(server.pid, 'SIGKILL');
    await server.exited;
  }
  const bytes = bytesBelow(root);
  if (bytes > MOST_BYTES) throw new Error(`the image has ${bytes} bytes; ${MOST_BYTES} at most are wanted`);
  return `serves read-only as user ${USER} without capabilities; ${Math.round(bytes / 1000 ** 2)} MB`;
}

async function healthcheck(root: string, models: string, port: string): Promise<number> {
  const [program, ...args] = contained(root, models, { SPONGE_PORT: port }, ['/opt/sponge/bin/healthcheck.js']);
  return execute(program!, args).then(
    () => 0,
    (error: unknown) => Number((error as { readonly code: unknown }).code),
  );
}

function expectLine(text: string, line: RegExp): void {
  if (!line.test(text)) throw new Error(`expected ${String(line)} in:\n${text}`);
}

function bytesBelow(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
