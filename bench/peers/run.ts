import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { LOAD_MODELS, writeModelFile } from '../../research/load-models/model-files.js';
import { identity } from '../../research/load-models/tiny-graphs.js';
import { bench, Scope } from '../harness/bench.js';
import { describeMachine } from '../harness/machine.js';
import { emptyClassifier, IMAGE_ELEMENTS, writeBareModel } from '../harness/tensor-models.js';
import { Environments, type EnvironmentName } from './environment.js';
import { PEERS, startPeer, type PeerName, type RunningPeer, type ServedModel } from './peers.js';
import { peersPage, type PeersRun } from './report.js';
import { measureRow, MODEL_OF, ROWS, type Measure, type RowName } from './rows.js';

/*
 * Ours beside mosec, KServe's server and Triton, with the same models and neutral clients; writes `docs/peers.md`. It needs PyPI, 1.3 GB
 * of disk, and half an hour.
 *
 *   npm run bench -- peers [--rows a,b] [--peers a,b] [--seconds n] [--out file] [--results file] [--environment folder] [--python program]
 */

const ROOT = join(import.meta.dirname, '../..');

const { values: flags } = parseArgs({
  options: {
    rows: { type: 'string', default: ROWS.join() },
    peers: { type: 'string', default: PEERS.join() },
    seconds: { type: 'string', default: '20' },
    out: { type: 'string' },
    /** A file of JSON: the page is made of what is in it too, and what is measured is added. */
    results: { type: 'string' },
    /** Kept, and used again if it is there. */
    environment: { type: 'string' },
    python: { type: 'string', default: 'python3' },
  },
});
const rows = chosen('rows', flags.rows, ROWS);
const wanted = chosen('peers', flags.peers, PEERS);
const seconds = Number(flags.seconds);
if (!(seconds > 0)) fail(`--seconds ${flags.seconds}: expected a number above 0`);
// What is not all of it does not replace all of it.
const isWhole = rows.length === ROWS.length && wanted.length === PEERS.length;
const out = flags.out ?? (isWhole ? join(ROOT, 'docs/peers.md') : null);
if (spawnSync('h2load', ['--version']).status !== 0) fail('h2load is missing: install nghttp2-client');

await bench(async (scope) => {
  const machine = describeMachine();
  const environments = new Environments(flags.environment ?? scope.folder(), flags.python);
  const { peers, missing, versions } = await install(environments);
  const models = await writeModels(scope.folder());
  const bareRun = rows.some((row) => MODEL_OF[row] === 'resnet18') ? await bare(environments, models.resnet18) : null;
  const measures: Measure[] = [];
  for (const kind of ['tiny', 'image', 'resnet18'] as const) {
    const ofModel = rows.filter((row) => MODEL_OF[row] === kind);
    if (ofModel.length > 0)
      measures.push(...(await measureModel(environments, peers, missing, models[kind], ofModel, bareRun?.perSec ?? 0)));
  }
  const run: PeersRun = {
    command: `npm run bench -- peers --rows ${rows.join()} --peers ${wanted.join()} --seconds ${seconds}`,
    machine,
    loadAfter: os.loadavg().map((load) => Math.round(load * 100) / 100),
    ...{ peers, versions, missing, capacity: bareRun, measures },
  };
  const runs = [...(flags.results === undefined ? [] : storedRuns(flags.results)), run];
  if (flags.results !== undefined) writeFileSync(flags.results, `${JSON.stringify(runs, null, 2)}\n`);
  const page = await peersPage(runs);
  console.log(page);
  if (out === null) return;
  writeFileSync(out, page);
  console.log(`written to ${out}`);
});

function storedRuns(path: string): readonly PeersRun[] {
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as PeersRun[]) : [];
}

function chosen<Name extends string>(flag: string, text: string, names: readonly Name[]): readonly Name[] {
  const unknown = text.split(',').filter((name) => !(names as readonly string[]).includes(name));
  if (unknown.length > 0) fail(`--${flag} ${unknown.join()}: there are ${names.join(', ')}`);
  return names.filter((name) => text.split(',').includes(name));
}

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}

interface Installed {
  readonly peers: readonly PeerName[];
  readonly missing: Record<string, string>;
  readonly versions: Readonly<Record<string, string>>;
}

function environmentOf(peer: Exclude<PeerName, 'sponge'>): EnvironmentName {
  return peer === 'mosec-batched' ? 'mosec' : peer;
}

/** Whoever cannot be had is left out, with its reason. */
async function install(environments: Environments): Promise<Installed> {
  await environments.install('client').catch((error: unknown) => fail(`the client: ${(error as Error).message}`));
  const missing: Record<string, string> = {};
  const versions: Record<string, string> = { client: environments.versions('client') };
  const peers: PeerName[] = [];
  for (const peer of wanted) {
    if (peer !== 'sponge') {
      const name = environmentOf(peer);
      console.log(`installing ${name}`);
      try {
        await environments.install(name);
        versions[name] = environments.versions(name);
      } catch (error) {
        missing[peer] = (error as Error).message;
        continue;
      }
    }
    peers.push(peer);
  }
  return { peers, missing, versions };
}

/** Each as `<folder>/model.onnx`: all of them are called so. */
async function writeModels(folder: string): Promise<Readonly<Record<'tiny' | 'image' | 'resnet18', ServedModel>>> {
  for (const name of ['tiny', 'image']) mkdirSync(join(folder, name));
  const tiny = writeBareModel(join(folder, 'tiny'), 'model', identity('FP32'));
  const image = writeBareModel(join(folder, 'image'), 'model', emptyClassifier());
  const repository = join(folder, 'repository');
  const resnet = LOAD_MODELS.find(({ name }) => name === 'resnet18')!;
  await writeModelFile(repository, resnet);
  mkdirSync(join(folder, 'resnet18'));
  const resnet18 = join(folder, 'resnet18/model.onnx');
  renameSync(join(repository, 'resnet18/1/model.onnx'), resnet18);
  return {
    tiny: { path: tiny, input: 'x', shape: [1, 4] },
    image: { path: image, input: 'x', shape: [1, IMAGE_ELEMENTS] },
    resnet18: { path: resnet18, input: 'input', shape: [1, 3, 224, 224] },
  };
}

/** One on each core at the same time. */
async function bare(
  environments: Environments,
  { path, shape }: ServedModel,
): Promise<{ readonly perSec: number; readonly cpuMs: number }> {
  const script = join(import.meta.dirname, 'bare_run.py');
  const python = environments.python('client');
  const { stdout } = await promisify(execFile)(python, [script, path, shape.join(), String(Math.min(10, seconds))]);
  return JSON.parse(stdout) as { perSec: number; cpuMs: number };
}

async function measureModel(
  environments: Environments,
  names: readonly PeerName[],
  missing: Record<string, string>,
  model: ServedModel,
  ofModel: readonly RowName[],
  capacityPerSec: number,
): Promise<readonly Measure[]> {
  const scope = new Scope();
  try {
    const peers: RunningPeer[] = [];
    for (const name of names) {
      try {
        peers.push(await startPeer(scope, environments, name, model));
      } catch (error) {
        if (name === 'sponge') throw error;
        missing[name] = (error as Error).message;
      }
    }
    const measures: Measure[] = [];
    for (const row of ofModel) {
      console.log(`measuring ${row}`);
      measures.push(...(await measureRow(row, { scope, environments, peers, seconds, capacityPerSec })));
    }
    return measures;
  } finally {
    await scope.end();
  }
}
