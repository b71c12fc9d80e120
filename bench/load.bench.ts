import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { LoadSummary } from '../src/load/load-summary.js';
import { planLoad } from '../src/load/load-plan.js';
import { parseScenario } from '../src/simulator/scenarios/parse-scenario.js';
import { setUp } from '../src/simulator/scenarios/setup.js';
import { bench } from './harness/bench.js';
import { Disturbed } from './harness/disturbed.js';
import { startHelper } from './harness/helper.js';
import { interleaved } from './harness/repeat.js';
import { atMost, isTiny, report } from './harness/row.js';
import { median } from './harness/statistics.js';
import type { EchoUrls } from './helpers/oip-echo-server.js';

/*
 * The load generator against itself: an echo server answers after a known time, so the latency of every request is known
 * beforehand: its upload on its client's trace, the server's delay, and the reply's way back.
 *
 * - upload time off: |last byte sent − planned| / planned upload, median over requests
 * - latency off: measured − known, median
 * - busiest thread: share of the time in which its event loop was busy, at 500 requests/s of 300 KB
 *
 * Baseline of the last: the same load with uploads that leave at once, so what the pacing costs.
 */

const ROUNDS = isTiny ? 1 : 5;
const DELAY_MS = 40;
const SECONDS = isTiny ? 1 : 10;
const BIN = join(import.meta.dirname, '../bin/sponge.js');
const SCENARIO = (mode: string, ratePerSec: number, clients: number): string =>
  `durationSec: ${SECONDS}\narrivals: { kind: poisson, ratePerSec: ${ratePerSec} }\n` +
  `payloads: [{ bytes: 300000, sloMs: 2000 }]\nnetwork: { mode: ${mode}, clients: ${clients} }\n`;
const CALM = SCENARIO('applied', 20, 10);
const HEAVY_RATE = isTiny ? 50 : 500;

interface Measured {
  readonly summary: LoadSummary;
  /** Of every request that was answered. */
  readonly latencies: readonly (readonly [index: number, latencyMs: number])[];
}

await bench(async (scope) => {
  const folder = scope.folder();
  const { restUrl, grpcUrl } = await startHelper<{ delayMs: number }, EchoUrls>(scope, 'oip-echo-server').call({
    delayMs: DELAY_MS,
  });
  const measure = async (protocol: 'rest' | 'grpc', scenario: string): Promise<Measured> => {
    const [path, csv] = [join(folder, 'scenario.yaml'), join(folder, 'requests.csv')];
    writeFileSync(path, scenario);
    const url = protocol === 'rest' ? restUrl : grpcUrl;
    const args = [BIN, 'load', path, '--protocol', protocol, '--url', url, '--json', '--csv', csv];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const summary = JSON.parse(stdout) as LoadSummary;
    if (summary.outcomes.lost + summary.outcomes.refused > 0)
      throw new Disturbed(`not all answered: ${JSON.stringify(summary.reasons)}`);
    const rows = readFileSync(csv, 'utf8')
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(','));
    return { summary, latencies: rows.map((row) => [Number(row[0]), Number(row[6])]) };
  };

  for (const [protocol, name] of [
    ['rest', 'REST'],
    ['grpc', 'gRPC'],
  ] as const) {
    const calm: Measured[] = [];
    for (let round = 0; round < ROUNDS; round++) calm.push(await measure(protocol, CALM));
    report({
      what: `upload time off, ${name}`,
      unit: '%',
      ours: calm.map(({ summary }) => 100 * summary.generator.pacingErrorFraction!.p50),
      baseline: null,
      budget: atMost(2),
      note: `20 requests/s of 300 KB on ten 4G-like links; p99 ${median(calm.map(({ summary }) => 100 * summary.generator.pacingErrorFraction!.p99)).toFixed(1)} %`,
    });
    report({
      what: `latency off, ${name}`,
      unit: 'ms',
      ours: calm.map(latencyErrorMs),
      baseline: null,
      budget: null,
      note: `measured − known, median of the requests; the server answers after ${DELAY_MS} ms by a timer, itself about 1 ms late`,
    });
    const { paced, bare } = await interleaved(ROUNDS, {
      paced: async () => busyShare(await measure(protocol, SCENARIO('applied', HEAVY_RATE, 100))),
      bare: async () => busyShare(await measure(protocol, SCENARIO('none', HEAVY_RATE, 100))),
    });
    report({
      what: `busiest thread, ${name}`,
      unit: '% of the time',
      ours: paced,
      baseline: { what: 'the same without pacing', values: bare },
      budget: atMost(80),
      note: `${HEAVY_RATE} requests/s of 300 KB from 100 clients, one thread`,
    });
  }
});

function busyShare({ summary }: Measured): number {
  return 100 * summary.generator.busiestFraction;
}

/** What each request had to take, from the same plan. */
function latencyErrorMs({ latencies }: Measured): number {
  const plan = planLoad(setUp(parseScenario(CALM, 'calm.yaml'), 'calm.yaml', '.'), 1);
  const known = new Map(
    plan.requests.map((request) => {
      const repliedAtMs = request.upload!.endAtMs + DELAY_MS;
      return [request.index, plan.replyEndAtMs(request, repliedAtMs) - request.sentAtMs];
    }),
  );
  return median(latencies.map(([index, latencyMs]) => latencyMs - known.get(index)!));
}
