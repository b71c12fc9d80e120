import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { simple } from '../../../research/load-models/tiny-graphs.js';
import { readFeed } from '../../../src/cli/watch-feed.js';
import { parseEventLog } from '../../../src/scheduler/domain/event-log.js';
import type { ModelRecord, RunHeader } from '../../../src/scheduler/domain/event-record.js';
import { http, infer, scrape, type Reply } from './clients.js';
import { eventually, REPOSITORY_ROOT, TestBench, type RunningServer } from './harness.js';

/* What a real server tells of itself: the live feed, the event log, and `sponge watch`, against its metrics. */

const bench = new TestBench();
const LOG = bench.path('events.jsonl');
let server: RunningServer;

const DATA = Array.from({ length: 16 }, (_, i) => i);
const send = (parameters = {}, sloMs = 20_000): Promise<Reply> =>
  infer(
    server,
    'simple',
    ['INPUT0', 'INPUT1'].map((name) => ({ name, datatype: 'INT32', shape: [1, 16], data: DATA })),
    { sloMs, parameters },
  );

beforeAll(async () => {
  server = await bench.serve(bench.repository('models', { simple: simple() }), [
    '--no-refine',
    '--server-name',
    'tested',
    '--event-log',
    LOG,
  ]);
});
afterAll(() => bench.close());

/** What a subscriber is told until it says that this is enough. @param onConnected from then on it misses nothing */
async function subscribe(
  isEnough: (records: readonly ModelRecord[]) => boolean,
  onConnected: () => void = () => undefined,
): Promise<{
  readonly headers: readonly RunHeader[];
  readonly records: readonly ModelRecord[];
}> {
  const headers: RunHeader[] = [];
  const records: ModelRecord[] = [];
  const leaving = AbortSignal.timeout(60_000);
  for await (const item of readFeed(new URL('/events', server.metrics), { tls: {} }, leaving)) {
    if (item.kind === 'run') {
      headers.push(item.header);
      onConnected();
    } else records.push(...item.message.records);
    if (isEnough(records)) break;
  }
  return { headers, records };
}

/** Nobody listens there, as far as one can know. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

const finishedIn = (records: readonly ModelRecord[]) => records.filter((record) => record.kind === 'request-finished');

describe('GET /events', () => {
  it('agrees with the metrics, for who was there before and for who came later', async () => {
    const early = subscribe((records) => finishedIn(records).length === 24);
    for (let wave = 0; wave < 2; wave++) await Promise.all(Array.from({ length: 10 }, () => send()));
    // Two seconds of upload, as the client says, out of one.
    for (let turn = 0; turn < 4; turn++) expect((await send({ sponge_upload_us: 2_000_000 }, 1000)).status).toBe(504);
    const late = await subscribe((records) => finishedIn(records).length === 24);
    const metrics = await scrape(server);
    for (const { headers, records } of [await early, late]) {
      expect(headers).toHaveLength(1);
      expect(headers[0]).toMatchObject({
        source: 'live',
        title: 'tested',
        models: [{ name: 'simple', version: '1', policy: 'sponge' }],
      });
      const finished = finishedIn(records);
      const count = (outcome: string): number => finished.filter((record) => record.outcome === outcome).length;
      for (const outcome of ['completed_on_time', 'completed_late', 'rejected_infeasible']) {
        expect(metrics.sum('sponge_outcomes_total', { outcome }), outcome).toBe(count(outcome));
      }
      expect(count('rejected_infeasible')).toBe(4);
      const batches = records.filter((record) => record.kind === 'batch-started');
      expect(metrics.sum('sponge_batch_size_count')).toBe(batches.length);
      expect(metrics.sum('sponge_batch_size_sum')).toBe(batches.reduce((sum, { batchSize }) => sum + batchSize, 0));
      const known = new Set(records.flatMap((each) => (each.kind === 'request-received' ? [each.sequence] : [])));
      expect(known.size).toBe(24);
      expect(finished.every(({ sequence }) => known.has(sequence))).toBe(true);
    }
    const { minMillicores, maxMillicores } = late.headers[0]!.models[0]!.limits;
    expect(server.banner).toContain(`${minMillicores / 1000} to ${maxMillicores / 1000} cores a model`);
    // A second after the last answer, CPU has been given back; plans go on once in a while.
    const { headers, records } = await subscribe((each) => {
      const lastAnswer = finishedIn(each)[23];
      return lastAnswer !== undefined && each.at(-1)!.atMs > lastAnswer.atMs + 1000;
    });
    const resized = records.filter((record) => record.kind === 'resized').at(-1);
    const allocation = resized?.cpuMillicores ?? headers[0]!.models[0]!.cpuMillicores;
    expect((await scrape(server)).sum('sponge_allocation_millicores')).toBe(allocation);
  });

  it('is named in the banner, with the page', async () => {
    const dashboard = / {2}dashboard (\S+)$/m.exec(server.banner)![1]!;
    expect(new URL(dashboard).port).toBe(new URL(server.metrics).port);
    const page = await http(dashboard);
    expect(page.status).toBe(200);
    expect(page.headers['content-type']).toContain('text/html');
    if (existsSync(join(REPOSITORY_ROOT, 'dist/dashboard/index.html'))) {
      const shared = await http(`${dashboard}scheduler/domain/event-log.js`);
      expect(shared.status).toBe(200);
      expect(shared.headers['content-type']).toContain('text/javascript');
    }
  });
});

describe('sponge watch', () => {
  it('prints a line a second where there is no terminal, and ends when it is told to', async () => {
    const child = spawn(process.execPath, [
      join(REPOSITORY_ROOT, 'bin/sponge.js'),
      'watch',
      new URL(server.metrics).host,
    ]);
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    try {
      await eventually('two lines', async () => {
        await send();
        return stdout.split('\n').length > 2;
      });
      child.kill('SIGINT');
      expect(await ended).toBe(0);
    } finally {
      child.kill('SIGKILL');
    }
    expect(stderr).toBe('');
    for (const line of stdout.trim().split('\n')) {
      expect(line).toMatch(
        /^\d\d:\d\d:\d\d simple: [\d.]+ of [\d.]+ cores; queue \d+; \d+\.\d\/s, (?:[\d.]+ %|-) on time, /,
      );
    }
    // The last whole second was full of requests.
    expect(stdout.trim().split('\n').at(-1)).toContain(' 100 % on time, 0 late, 0 refused');
  });

  it('says in one line that nothing is there, or that an address is none', async () => {
    const port = await freePort();
    const absent = await bench.run(['watch', `127.0.0.1:${port}`]);
    expect([absent.code, absent.stdout]).toEqual([1, '']);
    expect(absent.stderr).toMatch(/^sponge: nothing answers at http:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED.*\n$/);
    const wrong = await bench.run(['watch', 'no address']);
    expect(wrong.code).toBe(1);
    expect(wrong.stderr).toMatch(/^sponge: no address is no address; give that of the server's metrics port.*\n$/);
  });

  it('says so at a port that has no feed', async () => {
    const { code, stderr } = await bench.run(['watch', server.rest]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^sponge: http:\S+ has no live feed \(HTTP 404\); give the server's metrics port\n$/);
  });
});

describe('--watch and --event-log', () => {
  it('show the same of the server itself, and write a log that is whole when it ends', async () => {
    const log = bench.path('other.jsonl');
    const path = bench.repository('watched', { simple: simple() });
    const watched = await bench.serve(path, [
      '--no-refine',
      '--watch',
      '--event-log',
      log,
      '--group',
      `${bench.group}-watched`,
    ]);
    await eventually('a line', () => / simple: .* of .* cores; queue 0; /.test(watched.banner));
    expect((await watched.stop()).code).toBe(0);
    expect(watched.banner).toMatch(/SIGTERM: draining\nstopped\n$/);
    expect(readFileSync(log, 'utf8').endsWith('}\n')).toBe(true);
  });

  it('serves on when nobody reads what it shows any more', async () => {
    const path = bench.repository('piped', { simple: simple() });
    const piped = await bench.serve(path, ['--no-refine', '--watch', '--group', `${bench.group}-piped`]);
    const lineCount = (): number => piped.banner.split('\n').filter((line) => / cores; queue /.test(line)).length;
    await eventually('a line', () => lineCount() > 0);
    piped.closeOutput();
    // It writes a line a second.
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(piped.hasExited).toBe(false);
    expect((await http(`${piped.rest}/v2/health/ready`)).status).toBe(200);
    expect((await piped.stop()).code).toBe(0);
  });

  it('have every event up to the last one', async () => {
    let isConnected = false;
    const told = subscribe(
      () => false,
      () => (isConnected = true),
    );
    await eventually('the subscription', () => isConnected);
    // Its records are still to be handed on when the server is told to end.
    await send();
    const before = await scrape(server);
    expect((await server.stop()).code).toBe(0);
    const text = readFileSync(LOG, 'utf8');
    expect(text.endsWith('}\n')).toBe(true);
    const { header, records } = parseEventLog(text);
    expect(header).toMatchObject({ title: 'tested', models: [{ name: 'simple' }] });
    const onTime = finishedIn(records).filter(({ outcome }) => outcome === 'completed_on_time');
    expect(onTime).toHaveLength(before.sum('sponge_outcomes_total', { outcome: 'completed_on_time' }));
    const received = records.filter(({ kind }) => kind === 'request-received');
    expect(finishedIn(records)).toHaveLength(received.length);
    const heard = await told;
    expect(finishedIn(heard.records).at(-1)).toEqual(finishedIn(records).at(-1));
    expect(heard.records.at(-1)).toEqual(records.at(-1));
  });

  it('cannot be written where there is no folder: one line, before anything starts', async () => {
    const log = bench.path('missing/events.jsonl');
    const { code, stderr, stdout } = await bench.serveFailing(bench.path('models'), ['--event-log', log]);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(
      /^sponge: event log: ENOENT: .*; give --event-log a file in a folder that can be written to\n$/,
    );
  });
});
