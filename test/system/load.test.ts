import { readFileSync } from 'node:fs';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { identity } from '../../research/load-models/tiny-graphs.js';
import type { LoadSummary } from '../../src/load/load-summary.js';
import { planLoad, type PlannedRequest } from '../../src/load/load-plan.js';
import { parseScenario } from '../../src/simulator/scenarios/parse-scenario.js';
import { setUp } from '../../src/simulator/scenarios/setup.js';
import { TestBench } from './server/harness.js';
import {
  ECHO_ELEMENTS,
  ECHO_MODEL,
  inferRequestOf,
  startEcho,
  type EchoOptions,
  type EchoServer,
} from '../../bench/harness/oip-echo.js';

/*
 * `sponge load` as a user starts it, against an echo server that answers after a known time, and against Sponge. Times are
 * asserted where they are certain (nothing is faster than it can be) or far apart; how precise they are is measured by
 * `bench/load.bench.ts`.
 */

const bench = new TestBench();
const echoes: EchoServer[] = [];
afterEach(async () => {
  for (const each of echoes.splice(0)) await each.close();
});
afterAll(() => bench.close());

async function echo(options: EchoOptions): Promise<EchoServer> {
  const server = await startEcho(options);
  echoes.push(server);
  return server;
}

const SCENARIO = `
durationSec: 1
arrivals: { kind: constant, ratePerSec: 20 }
payloads: [{ bytes: 300000, sloMs: 10000 }]
network: { mode: applied, clients: 4, propagationMs: 5 }
`;

const scenario = bench.file('load.yaml', SCENARIO);

/** Seed 1, as the load has it. */
function plannedRequests(text: string): readonly PlannedRequest[] {
  return planLoad(setUp(parseScenario(text, 's.yaml'), 's.yaml', '.'), 1).requests;
}

async function load(server: EchoServer, flags: readonly string[] = []): Promise<LoadSummary> {
  const url = flags.includes('grpc') ? server.grpcUrl : server.restUrl;
  const { stdout, stderr, code } = await bench.run(['load', scenario, '--url', url, '--json', ...flags]);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as LoadSummary;
}

describe.each(['rest', 'rest-json', 'grpc'])('a load over %s', (protocol) => {
  it('sends whole requests, each as slowly as its network, and takes the known time', async () => {
    const server = await echo({ delayMs: 50 });
    const csv = bench.path(`${protocol}.csv`);
    const summary = await load(server, ['--protocol', protocol, '--csv', csv]);
    expect(summary).toMatchObject({ planned: 20, sent: 20, violationRate: 0, offeredPerSec: 20, goodputPerSec: 20 });
    expect(summary.outcomes).toMatchObject({ 'on-time': 20, late: 0, refused: 0, lost: 0 });
    // As the echo server says.
    expect(summary.split).toMatchObject({
      meanBatchSize: 3,
      meanCores: 0.7,
      queuedMs: { p50: 12.5 },
      workerMs: { p50: 20 },
    });

    expect(server.seen).toHaveLength(20);
    for (const { headers, body } of server.seen) {
      expect(headers['sponge-client']).toMatch(/^client-[0-3]$/);
      if (protocol === 'grpc') {
        expect(headers['grpc-timeout']).toBe('10000000u');
        expect(inferRequestOf(body).rawInputContents[0]).toHaveLength(4 * ECHO_ELEMENTS);
      } else {
        expect(headers['request-timeout-ms']).toBe('10000.000');
        const headBytes = Number(headers['inference-header-content-length'] ?? body.length);
        const { inputs } = JSON.parse(body.toString('utf8', 0, headBytes)) as {
          inputs: { data?: number[]; shape: number[] }[];
        };
        expect(inputs[0]!.shape).toEqual([1, ECHO_ELEMENTS]);
        if (protocol === 'rest-json') expect(inputs[0]!.data).toHaveLength(ECHO_ELEMENTS);
        else expect(body.length - headBytes).toBe(4 * ECHO_ELEMENTS);
      }
    }

    // Each took its upload, as the trace has it, and the server's 50 ms, and no less but for a timer's rounding. How much more
    // is this machine's: what the same requests take without a network.
    const bare = await load(await echo({ delayMs: 50 }), ['--protocol', protocol, '--set', 'network.mode=none']);
    const mostExtraMs = 250 + 4 * (bare.latencyMs!.p99 - 50);
    const planned = plannedRequests(SCENARIO);
    const rows = readFileSync(csv, 'utf8')
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(','));
    for (const [index, , , , , , latencyMs] of rows) {
      const { upload } = planned.find((each) => each.index === Number(index))!;
      const leastMs = upload!.endAtMs - upload!.sentAtMs + 50 + upload!.propagationMs;
      expect(Number(latencyMs)).toBeGreaterThan(leastMs - 3);
      expect(Number(latencyMs)).toBeLessThan(leastMs + mostExtraMs);
    }
    // The server saw slow bodies: the sum over all is certain to be most of what was planned.
    const plannedMs = planned.reduce((sum, { upload }) => sum + upload!.endAtMs - upload!.sentAtMs - 5, 0);
    const seenMs = server.seen.reduce((sum, { beganAtMs, endedAtMs }) => sum + endedAtMs - beganAtMs, 0);
    expect(seenMs / plannedMs).toBeGreaterThan(0.9);
    expect(seenMs / plannedMs).toBeLessThan(1.5);
  });

  it('tells what was refused, and why, from what was lost', async () => {
    const status = protocol === 'grpc' ? 4 : 504;
    const server = await echo({
      delayMs: 1,
      answerTo: (count) => {
        if (count % 4 === 0) return { kind: 'refuse', status, reason: 'expired' };
        if (count % 4 === 1) return { kind: 'refuse', status: protocol === 'grpc' ? 14 : 503 };
        return count % 4 === 2 ? { kind: 'hang-up' } : { kind: 'answer' };
      },
    });
    // Far apart and one after the other, so that none shares its connection with one that is cut.
    const summary = await load(server, [
      '--protocol',
      protocol,
      '--set',
      'arrivals.ratePerSec=8',
      '--set',
      'network.mode=none',
    ]);
    expect(summary.outcomes).toEqual({ 'on-time': 2, late: 0, refused: 4, lost: 2, cancelled: 0 });
    expect(summary.violationRate).toBe(0.75);
    expect(summary.reasons).toContainEqual({ outcome: 'refused', reason: 'expired', count: 2 });
    const bare = protocol === 'grpc' ? 'gRPC status 14' : 'HTTP 503';
    expect(summary.reasons).toContainEqual({ outcome: 'refused', reason: bare, count: 2 });
  });
});

describe.each(['rest', 'grpc'])('a load over %s', (protocol) => {
  it('does not go on with what was refused before it was all there', async () => {
    const server = await echo({ delayMs: 0, refusesEarly: true });
    const model = ['--model', ECHO_MODEL];
    const summary = await load(server, ['--protocol', protocol, ...model, '--set', 'network.scale=0.1']);
    expect(summary.outcomes).toMatchObject({ refused: 20, lost: 0 });
    expect(summary.reasons).toEqual([{ outcome: 'refused', reason: 'queue_full', count: 20 }]);
    const uploadsMs = plannedRequests(SCENARIO.replace('propagationMs: 5', 'propagationMs: 5, scale: 0.1'))
      .map(({ upload }) => upload!.endAtMs - upload!.sentAtMs)
      .sort((a, b) => a - b);
    // At a tenth of the bandwidth an upload takes most of a second; half of it would show.
    expect(summary.refusedAfterMs!.p50).toBeLessThan(uploadsMs[10]! / 2);
  });

  it('takes an answer that is none for what it is', async () => {
    const server = await echo({ delayMs: 0, answerTo: () => ({ kind: 'garbage' }) });
    const summary = await load(server, ['--protocol', protocol]);
    if (protocol === 'grpc')
      expect(summary.reasons).toEqual([{ outcome: 'lost', reason: 'no ModelInferResponse', count: 20 }]);
    // Over REST nobody parses all of what may be megabytes of outputs; that nothing is explained is told.
    else expect(summary).toMatchObject({ outcomes: { 'on-time': 20 }, split: null });
  });
});

describe('a load', () => {
  it('that is interrupted tells of what had ended by then, at the rate until then', async () => {
    const server = await echo({ delayMs: 5 });
    const flags = ['--url', server.restUrl, '--duration-sec', '30', '--set', 'network.mode=none', '--json'];
    const { stdout, code } = await bench.runInterrupted(['load', scenario, ...flags], () => server.seen.length >= 10);
    const summary = JSON.parse(stdout) as LoadSummary;
    expect(code).toBe(0);
    expect(summary).toMatchObject({ isInterrupted: true, planned: 600, violationRate: 0 });
    expect(summary.sent).toBeGreaterThanOrEqual(8);
    expect(summary.durationSec).toBeLessThan(25);
    expect(summary.goodputPerSec * summary.durationSec).toBeCloseTo(summary.sent, 6);
  });

  it('is open-loop: a server that stalls gets all requests, and all the waiting counts', async () => {
    // It answers nobody before the last has come: a closed loop of 4 clients would send 4, and wait for ever.
    const server = await echo({ delayMs: 0, answersFrom: 20 });
    const summary = await load(server, ['--set', 'network.mode=none', '--slo', '100']);
    expect(server.seen).toHaveLength(20);
    expect(summary.sent).toBe(20);
    // One every 50 ms: each has waited for all that were due behind it, those before the last two for longer than the SLO.
    expect(summary.latencyMs!.p50).toBeGreaterThanOrEqual(9 * 50);
    expect(summary.outcomes.late).toBeGreaterThanOrEqual(17);
  });

  it('says its SLO as a parameter, or not at all', async () => {
    const server = await echo({ delayMs: 1 });
    await load(server, ['--deadline', 'parameter', '--slo', '321', '--duration-sec', '0.1']);
    await load(server, ['--deadline', 'none', '--duration-sec', '0.1']);
    const heads = server.seen.map(({ headers, body }) => {
      expect(headers['request-timeout-ms']).toBeUndefined();
      const head = body.toString('utf8', 0, Number(headers['inference-header-content-length']));
      return JSON.parse(head) as { parameters: unknown };
    });
    expect(heads.map(({ parameters }) => parameters)).toEqual([
      ...[1, 2].map(() => ({ binary_data_output: true, timeout: 321_000 })),
      ...[1, 2].map(() => ({ binary_data_output: true })),
    ]);
  });

  it('lets clients leave that a server keeps waiting', async () => {
    const server = await echo({ delayMs: 0, answerTo: () => ({ kind: 'silence' }) });
    const flags = ['--set', 'leavingFraction=1', '--set', 'network.mode=none', '--slo', '200'];
    const summary = await load(server, flags);
    expect(summary.outcomes).toMatchObject({ cancelled: 20 });
    expect(summary.violationRate).toBe(0);
  });

  it('is the same on several threads', async () => {
    const server = await echo({ delayMs: 5 });
    const summary = await load(server, ['--threads', '2']);
    expect(summary).toMatchObject({ planned: 20, sent: 20, outcomes: { 'on-time': 20 } });
    expect(summary.generator.threads).toBe(2);
  });

  it('finds the highest rate', async () => {
    const server = await echo({ delayMs: 1 });
    const flags = [
      '--search',
      '--duration-sec',
      '0.5',
      '--most-rate',
      '80',
      '--set',
      'network.mode=none',
      '--most-violations',
      '0.5',
      '--slo',
      '60000',
    ];
    const { stdout } = await bench.run(['load', scenario, '--url', server.restUrl, ...flags]);
    expect(stdout).toBe('highest rate with at most 50 % violations: 80.0 requests/s (no higher rate was tried)\n');
  });

  it.each([
    [
      ['--url', 'http://127.0.0.1:1'],
      'no server answers at http://127.0.0.1:1; start one with "sponge serve", or give --url',
    ],
    [['--url', 'http://127.0.0.1:1', '--protocol', 'grpc'], 'no gRPC server answers at 127.0.0.1:1'],
    [['--url', 'ftp://x'], '--url ftp://x: expected http://host:port'],
    [['--rate', '0'], 'expected a number > 0'],
    [['--set', 'arrivals.ratePerSec=-1'], 'arrivals.ratePerSec'],
  ])('that cannot be says so in one line: %j', async (flags, message) => {
    const { code, stderr } = await bench.run(['load', scenario, ...flags]);
    expect(code).toBe(1);
    expect(stderr.split('\n')[0]).toContain(message);
  });

  it('on Sponge is counted by both sides alike, and has a report', async () => {
    const server = await bench.serve(bench.model('identity', identity('FP32')), ['--no-refine']);
    const report = bench.path('load.html');
    const flags = ['--shape', 'x=1,4', '--json', '--report', report, '--set', 'network.scale=3'];
    const { stdout, stderr } = await bench.run(['load', scenario, '--url', server.rest, ...flags]);
    expect(stderr).not.toContain('sponge:');
    const summary = JSON.parse(stdout) as LoadSummary;
    expect(summary.sent).toBe(20);
    const metrics = await (await fetch(server.metrics)).text();
    const counted = /^sponge_outcomes_total\{.*outcome="completed_on_time".*\} (\d+)$/m.exec(metrics)![1];
    expect(summary.outcomes['on-time'] + summary.outcomes.late).toBe(Number(counted));
    expect(readFileSync(report, 'utf8')).toContain('Requests over time');
  });
});
