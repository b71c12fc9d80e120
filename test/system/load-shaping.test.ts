import { spawn, spawnSync, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { startEcho, type EchoServer, type SeenRequest } from '../../bench/harness/oip-echo.js';
import type { LoadSummary } from '../../src/load/load-summary.js';
import { planLoad, type PlannedRequest } from '../../src/load/load-plan.js';
import { parseScenario } from '../../src/simulator/scenarios/parse-scenario.js';
import { setUp } from '../../src/simulator/scenarios/setup.js';
import { eventually, REPOSITORY_ROOT, TestBench } from './server/harness.js';

/*
 * `sponge load --shaping tc` with a real namespace and real queues, against an echo server that sees when bodies come. All
 * traffic is between this machine and a namespace on it.
 */

/** Null where it can be done, in a namespace of its own that is gone afterwards. */
function whyNotShaped(): string | null {
  if (process.getuid?.() !== 0) return 'it takes root';
  const name = `sponge-probe-${process.pid}`;
  const steps = [
    `ip -n ${name} link add name outer gso_max_segs 1 type veth peer name inner`,
    `tc -n ${name} qdisc add dev outer root handle 1: htb default 0`,
    `tc -n ${name} filter add dev outer parent 1: protocol ip prio 1 handle 2: u32 divisor 256`,
  ];
  const script = `ip netns add ${name} || exit 1; ${steps.join(' && ')}; status=$?; ip netns del ${name}; exit $status`;
  const { status, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
  return status === 0 ? null : stderr.trim();
}

const whyNot = whyNotShaped();
if (whyNot !== null) console.warn(`skipped: links shaped by the kernel, because ${whyNot}`);

const bench = new TestBench();
const servers: EchoServer[] = [];
const loads = new Set<ChildProcessByStdio<null, Readable, Readable>>();
afterEach(async () => {
  for (const load of loads) load.kill('SIGKILL');
  for (const each of servers.splice(0)) await each.close();
});
afterAll(() => bench.close());

async function echo(host: string): Promise<EchoServer> {
  const server = await startEcho({ delayMs: 20, host });
  servers.push(server);
  return server;
}

interface ShapedLoad {
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;
}

function startLoad(scenario: string, flags: readonly string[], prefix: readonly string[] = []): ShapedLoad {
  const cli = join(REPOSITORY_ROOT, 'bin/sponge.js');
  const [program, ...args] = [...prefix, process.execPath, cli, 'load', scenario, '--shaping', 'tc', ...flags];
  const child = spawn(program!, args, { cwd: bench.folder, stdio: ['ignore', 'pipe', 'pipe'] });
  loads.add(child);
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = once(child, 'close').then(([code]) => {
    loads.delete(child);
    return { code: code as number | null, stdout, stderr };
  });
  return { pid: child.pid!, kill: (signal) => child.kill(signal), ended };
}

/** What is left of a load: its namespace, its end of the cable. */
function leftOf({ pid }: ShapedLoad): string[] {
  const found = (args: string[], pattern: RegExp): string[] =>
    spawnSync('ip', args, { encoding: 'utf8' }).stdout.match(pattern) ?? [];
  return [
    ...found(['netns', 'list'], new RegExp(`^sponge-load-${pid}\\b`, 'gm')),
    ...found(['-o', 'link'], new RegExp(`\\bsponge-l${pid}(?=@)`, 'g')),
  ];
}

function processesIn({ pid }: ShapedLoad): string[] {
  const { stdout } = spawnSync('ip', ['netns', 'pids', `sponge-load-${pid}`], { encoding: 'utf8' });
  return stdout.split('\n').filter((line) => line !== '');
}

/** Seed 1, as the load has it. */
function plannedRequests(text: string): readonly PlannedRequest[] {
  return planLoad(setUp(parseScenario(text, 's.yaml'), 's.yaml', bench.folder), 1).requests;
}

function isAlone(request: PlannedRequest, all: readonly PlannedRequest[]): boolean {
  return all.every(
    (other) =>
      other === request ||
      other.client !== request.client ||
      other.sentAtMs > request.upload!.endAtMs + 50 ||
      other.upload!.endAtMs + 50 < request.sentAtMs,
  );
}

/** First byte → last byte at the server, over the plan's, of requests that had their link to themselves; sorted. */
function lengthRatios(planned: readonly PlannedRequest[], seen: readonly SeenRequest[]): number[] {
  const ofClient = (client: number): readonly SeenRequest[] =>
    seen
      .filter(({ headers }) => headers['sponge-client'] === `client-${client}`)
      .sort((a, b) => a.beganAtMs - b.beganAtMs);
  return planned
    .filter((request) => isAlone(request, planned))
    .map((request) => {
      const place = planned.filter(({ client }) => client === request.client).indexOf(request);
      const { beganAtMs, endedAtMs } = ofClient(request.client)[place]!;
      return (endedAtMs - beganAtMs) / uploadMs(request);
    })
    .sort((a, b) => a - b);
}

function uploadMs({ upload }: PlannedRequest): number {
  return upload!.endAtMs - upload!.sentAtMs - upload!.propagationMs;
}

const SCENARIO = `
durationSec: 1.5
arrivals: { kind: constant, ratePerSec: 12 }
payloads: [{ bytes: 200000, sloMs: 2000 }]
network: { mode: applied, clients: 8, scale: 0.3, propagationMs: 30 }
`;
const scenario = bench.file('shaped.yaml', SCENARIO);

describe.skipIf(whyNot !== null)('a load over links that the kernel shapes', () => {
  it.each(['rest', 'grpc'])('has uploads as long as its networks make them: %s', async (protocol) => {
    const server = await echo('0.0.0.0');
    const url = protocol === 'grpc' ? server.grpcUrl : server.restUrl;
    const csv = bench.path(`${protocol}.csv`);
    const load = startLoad(scenario, ['--url', url, '--protocol', protocol, '--json', '--csv', csv, '--threads', '2']);
    const { stdout, stderr } = await load.ended;
    expect(stderr).not.toContain('sponge:');
    const summary = JSON.parse(stdout) as LoadSummary & { readonly shaping: string };
    expect(summary).toMatchObject({ shaping: 'tc', sent: 18, outcomes: { 'on-time': 18 } });
    // Nobody can say when the last byte had come but the server.
    expect(summary.generator.pacingErrorFraction).toBeNull();
    expect(summary.generator.cores).toBeGreaterThan(0);

    const planned = plannedRequests(SCENARIO);
    const ratios = lengthRatios(planned, server.seen);
    expect(ratios.length).toBeGreaterThan(8);
    expect(ratios[Math.floor(ratios.length / 2)]).toBeGreaterThan(0.9);
    expect(ratios[Math.floor(ratios.length / 2)]).toBeLessThan(1.1);

    // The propagation counts in both directions, and the server's 20 ms.
    const rows = readFileSync(csv, 'utf8').trim().split('\n').slice(1);
    for (const [index, , , , , , latencyMs] of rows.map((line) => line.split(','))) {
      const request = planned.find((each) => each.index === Number(index))!;
      if (isAlone(request, planned))
        expect(Number(latencyMs)).toBeGreaterThan(0.9 * uploadMs(request) + 30 + 20 + 30 - 3);
    }
    expect(leftOf(load)).toEqual([]);
  });

  it('carries nothing through an outage, and goes on when it is over', async () => {
    const server = await echo('0.0.0.0');
    // 400 KB/s, a second of nothing, 400 KB/s.
    bench.file('outage.csv', 'seconds,megabytes_per_s\n0,0.4\n1,0\n2,0.4\n3,0.4\n');
    const text =
      'durationSec: 1\narrivals: { kind: constant, ratePerSec: 1 }\npayloads: [{ bytes: 300000, sloMs: 5000 }]\n' +
      'network: { mode: applied, log: outage.csv }\n';
    const [request] = plannedRequests(text);
    // Sent at 0.5 s: 200 KB until the outage, 100 KB in the 250 ms after it.
    expect(uploadMs(request!)).toBeCloseTo(500 + 1000 + 250, 0);
    const { code } = await startLoad(bench.file('outage.yaml', text), ['--url', server.restUrl]).ended;
    expect(code).toBe(0);
    const { beganAtMs, endedAtMs } = server.seen[0]!;
    expect((endedAtMs - beganAtMs) / 1750).toBeGreaterThan(0.95);
    expect((endedAtMs - beganAtMs) / 1750).toBeLessThan(1.1);
  });

  it('leaves nothing when it is interrupted; of one that was killed, the next removes what it could not', async () => {
    // A server for each: bodies that the kernel has are sent to their end, also of one that was killed.
    const [server, other] = [await echo('0.0.0.0'), await echo('0.0.0.0')];
    const flags = ['--duration-sec', '60', '--json'];

    const killed = startLoad(scenario, ['--url', server.restUrl, ...flags]);
    await eventually('its first request', () => server.seen.length > 0);
    expect(leftOf(killed)).toHaveLength(2);
    expect(processesIn(killed)).not.toEqual([]);
    killed.kill('SIGKILL');
    await killed.ended;
    await eventually('the end of its processes', () => processesIn(killed).length === 0);
    expect(leftOf(killed)).toHaveLength(2);

    const interrupted = startLoad(scenario, ['--url', other.restUrl, ...flags]);
    await eventually('its first request', () => other.seen.length > 0);
    expect(leftOf(killed)).toEqual([]);
    interrupted.kill('SIGINT');
    const { code, stdout } = await interrupted.ended;
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ isInterrupted: true });
    expect(leftOf(interrupted)).toEqual([]);
  });

  it.each([
    [
      'a server that clients cannot reach',
      '127.0.0.1',
      [],
      /nothing answers at port \d+ there; start the server with --host 0\.0\.0\.0$/,
    ],
    ['no network', '0.0.0.0', ['--set', 'network.mode=none'], /shapes a network that is applied/],
    ['too many clients', '0.0.0.0', ['--set', 'network.clients=201'], /links for 200 clients, the scenario has 201; /],
    ['too small a body', '0.0.0.0', ['--shape', 'x=1,100'], /\d{3} bytes are too few to stand for .* 200000;/],
    [
      'several sizes',
      '0.0.0.0',
      ['--set', 'payloads=[{bytes: [1000, 2000], sloMs: 100}]'],
      /sizes of 1000, 2000 bytes/,
    ],
  ])('cannot be, says so in one line, and leaves nothing: %s', async (_, host, flags, message) => {
    const server = await echo(host);
    const load = startLoad(scenario, ['--url', server.restUrl, ...flags]);
    const { code, stderr } = await load.ended;
    expect(code).toBe(1);
    expect(stderr.trim()).toMatch(/^sponge: .*$/);
    expect(stderr.trim()).toMatch(message);
    expect(leftOf(load)).toEqual([]);
  });
});

describe('a load over links that the kernel shapes, for a user without rights,', () => {
  const NOBODY = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];
  const isRoot = process.getuid?.() === 0;
  const canSwitch = isRoot && spawnSync(NOBODY[0]!, [...NOBODY.slice(1), process.execPath, '-v']).status === 0;

  it('is refused, with the other way', async ({ skip }) => {
    if (isRoot && !canSwitch) {
      console.warn('skipped: links without rights, because there is no setpriv to become somebody else');
      skip();
    }
    const server = await echo('127.0.0.1');
    // A ready scenario: the folder of this test is not for others to read.
    const load = startLoad('authors-applied', ['--url', server.restUrl], isRoot ? NOBODY : []);
    const { code, stderr } = await load.ended;
    expect(code).toBe(1);
    expect(stderr.trim()).toMatch(/^sponge: --shaping tc .* takes Linux and root; .* --shaping paced$/);
  });
});
