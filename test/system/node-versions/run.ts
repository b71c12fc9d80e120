import { execFile, spawn } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { identity } from '../../../research/load-models/tiny-graphs.js';
import { DATATYPES, ELEMENT_BYTES, type Datatype, type Tensor } from '../../../src/scheduler/domain/tensor.js';
import { binaryOutputs, inferBinary } from '../server/clients.js';
import { REPOSITORY_ROOT, RunningServer } from '../server/harness.js';

/*
 * Whether Sponge installs, starts and serves under each Node version that the README claims: `npm ci` without a warning,
 * `npm start`, `npm run demo`, and one request of each tensor type. Everything happens in a temporary copy of the files that
 * git tracks. A version that cannot be had from the registry is skipped, loudly.
 *
 *   npm run test:node-versions               an installation of its own for each version; some minutes
 *   npm run test:node-versions -- --short    the newer versions, with the packages that are installed here
 */

interface NodeVersion {
  readonly node: string;
  /** Of the major version that this Node brings. */
  readonly npm: string;
  readonly isInShort: boolean;
}

const VERSIONS: readonly NodeVersion[] = [
  // The oldest that the README claims.
  { node: '20.19.0', npm: '10.9.4', isInShort: false },
  { node: '22.23.3', npm: '10.9.4', isInShort: true },
  { node: '24.21.0', npm: '11.19.1', isInShort: true },
];

const DEMO_TEXT = 'Sponge SLO 250 ms';
/** What is asked here is whether it answers, not how fast. */
const SLO_MS = 60_000;

const isShort = process.argv.includes('--short');

/** Not a fault of Sponge's: the version is skipped. */
class NotToBeHad extends Error {}

interface Place {
  /** The copy of the repository. */
  readonly tree: string;
  readonly env: NodeJS.ProcessEnv;
}

const interruption = new AbortController();

/** @returns all it printed @throws Error with that where it fails */
async function run(command: string, args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<string> {
  const options = { cwd, env, signal: interruption.signal, maxBuffer: 2 ** 24 };
  try {
    const { stdout, stderr } = await promisify(execFile)(command, args, options);
    return stdout + stderr;
  } catch (error) {
    const { message, stdout = '' } = error as Error & { readonly stdout?: string };
    throw new Error(`${message}${stdout}`, { cause: error });
  }
}

/** `node` and `npm` of these versions in the folder. @returns an environment in which they come first */
async function fetchNode({ node, npm }: NodeVersion, folder: string): Promise<NodeJS.ProcessEnv> {
  const nodePackage = `node-${process.platform}-${process.arch}`;
  mkdirSync(folder);
  const inherited = withoutNpmVariables(process.env);
  const packages = [`${nodePackage}@${node}`, `npm@${npm}`];
  await run('npm', ['install', '--prefix', folder, '--ignore-scripts', ...packages], folder, inherited).catch(
    (error: unknown) => {
      throw new NotToBeHad((error as Error).message);
    },
  );
  const bin = join(folder, 'node_modules', nodePackage, 'bin');
  const env = {
    ...inherited,
    PATH: [bin, join(folder, 'node_modules/.bin'), process.env['PATH']].join(delimiter),
    NO_COLOR: '1',
  };
  const found = (await run('node', ['--version'], folder, env)).trim();
  if (found !== `v${node}`) throw new Error(`node --version says ${found}`);
  return env;
}

/** What the npm that runs this script says of itself, and Sponge's own variables, would be obeyed; how to reach the registry must be. */
function withoutNpmVariables(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const isKept = (name: string): boolean =>
    /^npm_config_(registry|cache|userconfig|cafile|.*proxy)$/i.test(name) ||
    !/^(npm_|INIT_CWD$|NODE_OPTIONS$|SPONGE_)/i.test(name);
  return Object.fromEntries(Object.entries(env).filter(([name]) => isKept(name)));
}

async function copyRepository(tree: string): Promise<void> {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const paths = await run('git', args, REPOSITORY_ROOT, process.env);
  for (const path of paths.split('\0').filter(Boolean)) {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    copyFileSync(join(REPOSITORY_ROOT, path), join(tree, path));
  }
}

async function install({ tree, env }: Place): Promise<void> {
  if (isShort) {
    symlinkSync(join(REPOSITORY_ROOT, 'node_modules'), join(tree, 'node_modules'));
    cpSync(join(REPOSITORY_ROOT, 'dist'), join(tree, 'dist'), { recursive: true });
    return;
  }
  const said = await run('npm', ['ci'], tree, env);
  // What somebody has in a file of their own is not ours to keep in order.
  const warnings = said
    .split('\n')
    .filter((line) => /\bwarn/i.test(line) && !/Unknown (user|global) config/.test(line));
  if (warnings.length > 0) throw new Error(`npm ci warns: ${warnings.join('; ')}`);
}

async function whileServing(
  command: string,
  args: readonly string[],
  { tree, env }: Place,
  act: (server: RunningServer) => Promise<void>,
): Promise<void> {
  const flags = ['--port', '0', '--grpc-port', '0', '--metrics-port', '0', '--no-refine'];
  flags.push('--group', `node-versions-${process.pid}`);
  const child = spawn(command, [...args, ...flags], { cwd: tree, env });
  const end = (): void => void child.kill();
  process.once('exit', end);
  const server = new RunningServer(child);
  try {
    await server.ready();
    await act(server);
  } finally {
    const { code } = await server.stop();
    process.off('exit', end);
    if (code !== 0) console.log(`    the server ended with ${code}: ${server.log}`);
  }
}

async function readText(server: RunningServer, { tree, env }: Place): Promise<void> {
  const said = await run('npm', ['run', 'demo', '--', '--url', server.rest, '--slo', String(SLO_MS)], tree, env);
  if (!said.includes(DEMO_TEXT)) throw new Error(`the demo does not read "${DEMO_TEXT}": ${said}`);
}

/** Four elements whose bytes all differ, as far as the type allows. */
function exampleOf(datatype: Datatype): Tensor {
  const shape = [1, 4];
  if (datatype === 'BYTES') {
    // Each with its length before it: "a", NUL, what is no UTF-8, nothing.
    return { name: 'x', datatype, shape, data: Uint8Array.of(1, 0, 0, 0, 97, 1, 0, 0, 0, 0, 2, 0, 0, 0, 255, 254, 0, 0, 0, 0) }; // prettier-ignore
  }
  const data = new Uint8Array(4 * ELEMENT_BYTES[datatype]);
  return { name: 'x', datatype, shape, data: data.map((_, place) => (datatype === 'BOOL' ? place % 2 : place + 1)) };
}

async function answerEachType(server: RunningServer): Promise<void> {
  const wrong: string[] = [];
  for (const datatype of DATATYPES) {
    const input = exampleOf(datatype);
    const reply = await inferBinary(server, datatype.toLowerCase(), [input], { sloMs: SLO_MS });
    const output = reply.status === 200 ? binaryOutputs(reply)[0] : undefined;
    const isSame = output?.datatype === datatype && Buffer.compare(output.data, input.data) === 0;
    if (!isSame) wrong.push(`${datatype} (${reply.json.error ?? 'other bytes'})`);
  }
  if (wrong.length > 0) throw new Error(`not answered as they should be: ${wrong.join(', ')}`);
}

function writeIdentities(repository: string): void {
  for (const datatype of DATATYPES) {
    const folder = join(repository, datatype.toLowerCase(), '1');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'model.onnx'), identity(datatype).toModel());
  }
}

async function check(version: NodeVersion, folder: string): Promise<void> {
  const place: Place = { tree: join(folder, 'tree'), env: await fetchNode(version, folder) };
  await copyRepository(place.tree);
  await install(place);
  await whileServing('npm', ['start', '--'], place, (server) => readText(server, place));
  const models = join(folder, 'models');
  writeIdentities(models);
  await whileServing('node', ['bin/sponge.js', 'serve', models], place, answerEachType);
}

async function main(): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'sponge-node-versions-'));
  process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      interruption.abort();
      process.exit(130);
    });
  }
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const version of VERSIONS.filter(({ isInShort }) => isInShort || !isShort)) {
    const what = `Node ${version.node}, npm ${version.npm}`;
    const startedAtMs = performance.now();
    try {
      await check(version, join(scratch, version.node));
      counts.passed++;
      console.log(`ok: ${what} (${((performance.now() - startedAtMs) / 1000).toFixed(0)} s)`);
    } catch (error) {
      const { message } = error as Error;
      if (error instanceof NotToBeHad) {
        counts.skipped++;
        console.warn(`SKIPPED ${what}: it cannot be had: ${message}`);
      } else {
        counts.failed++;
        console.log(`not ok: ${what}: ${message}`);
      }
    }
    rmSync(join(scratch, version.node), { recursive: true, force: true });
  }
  console.log(`node versions: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  if (counts.failed > 0) process.exitCode = 1;
}

await main();
