import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseEventLog } from '../../src/scheduler/domain/event-log.js';
import { READY_NAMES } from '../../src/simulator/scenarios/scenario-files.js';
import type { SimulationSummary } from '../../src/simulator/comparison/summary.js';

/* `sponge simulate` as a user runs it: the built command, in a process of its own. */

const ROOT = join(import.meta.dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'sponge-simulate-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function sponge(...args: string[]): Ran {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(ROOT, 'bin/sponge.js'), 'simulate', ...args], {
    cwd: folder,
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

function summaryOf(...args: string[]): SimulationSummary {
  const { status, stdout, stderr } = sponge(...args, '--json');
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as SimulationSummary;
}

const SHORT = ['--set', 'durationSec=30'];

/** Rows of the Ghent format: 10 s at so many bytes a second. */
function ghentLog(name: string, bytesPerSec: number): string {
  const rows = Array.from(
    { length: 10 },
    (_, second) => `${1450274031248 + 1000 * second} ${1000 * (second + 1)} 51.06 3.73 ${bytesPerSec} 1000`,
  );
  const path = join(folder, name);
  writeFileSync(path, `${rows.join('\n')}\n`);
  return path;
}

describe('sponge simulate', () => {
  it('prints a JSON object that says everything of every policy', () => {
    const summary = summaryOf('bursts', ...SHORT, '--policies', 'sponge,static-16', '--seeds', '2');
    expect(summary).toMatchObject({ scenario: 'bursts', seed: 1, seeds: 2 });
    expect(summary.eventHash).toMatch(/^[0-9a-f]{16}$/);
    expect(summary.simulatedRequestsPerSec).toBeGreaterThan(0);
    for (const policy of summary.policies) {
      for (const key of [
        'sent onTime late rejectedInfeasible rejectedOverload expired cancelled failed infeasibleOnArrival',
        'violationRate violationRateFeasible meanCores p99Cores peakCores coreSeconds grantedCoreSeconds cpuSecondsUsed',
        'boundCoreSeconds resizes meanBatch',
      ].flatMap((line) => line.split(' '))) {
        expect(policy, key).toHaveProperty(key, expect.any(Number));
      }
      const { p50, p95, p99 } = policy.latencyMs;
      expect(p50).toBeGreaterThan(0);
      expect(p95).toBeGreaterThanOrEqual(p50!);
      expect(p99).toBeGreaterThanOrEqual(p95!);
      expect(policy.perSeed.map(({ seed }) => seed)).toEqual([1, 2]);
      expect(policy.perSeed.reduce((sum, { sent }) => sum + sent, 0)).toBe(policy.sent);
    }
  });

  it('repeats bit for bit in another process and on another number of threads', () => {
    const args = ['deep-fades', ...SHORT, '--policies', 'sponge,fa2,bentoml', '--seeds', '2', '--seed', '17'];
    const first = summaryOf(...args, '--threads', '1');
    const second = summaryOf(...args, '--threads', '2');
    expect(second.eventHash).toBe(first.eventHash);
    expect({ ...second, wallSeconds: 0, simulatedRequestsPerSec: 0 }).toEqual({
      ...first,
      wallSeconds: 0,
      simulatedRequestsPerSec: 0,
    });
  });

  it('takes Ghent logs by path, one or several', () => {
    const [fast, slow] = [ghentLog('fast.log', 6_072_000), ghentLog('slow.log', 607_200)];
    const args = ['authors-applied', ...SHORT, '--policies', 'static(cores=16,batch=4)'];
    const p50 = (...logs: string[]): number =>
      summaryOf(...args, '--set', 'network.clients=2', ...logs.flatMap((log) => ['--set', `network.log=${log}`]))
        .policies[0]!.latencyMs.p50!;
    // 303 600 bytes take 50 ms on the fast one and 500 ms on the slow one; with both, half of the requests each.
    expect(p50(slow) - p50(fast)).toBeGreaterThan(400);
    const both = p50(fast, slow);
    expect(both).toBeGreaterThan(p50(fast));
    expect(both).toBeLessThan(p50(slow));
    expect(p50('fast.log')).toBe(p50(fast)); // relative to where we are
  });

  it('prints a table for people', () => {
    const { status, stdout } = sponge('authors-applied', ...SHORT, '--policies', 'sponge,released');
    expect(status).toBe(0);
    expect(stdout).toContain('authors-applied: ');
    expect(stdout).toMatch(/^policy +violations +violations/m);
    expect(stdout).toMatch(/^released +\d/m);
    expect(stdout).toContain('core-seconds: the least at which one instance could answer');
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(160);
  });

  it('writes a report that is one page', () => {
    const page = join(folder, 'out.html');
    const { status, stderr } = sponge('bursts', ...SHORT, '--policies', 'sponge,paper', '--report', page);
    expect(status, stderr).toBe(0);
    const html = readFileSync(page, 'utf8');
    expect(html).toContain('<svg');
    expect(html).not.toMatch(/(?:src|href)="https?:/);
  });

  it('writes the event log of one run', () => {
    const log = join(folder, 'bursts.jsonl');
    const summary = summaryOf('bursts', ...SHORT, '--policies', 'sponge', '--seed', '3', '--event-log', log);
    const { header, records } = parseEventLog(readFileSync(log, 'utf8'));
    expect(header).toMatchObject({
      source: 'simulated',
      title: 'bursts, sponge, seed 3',
      startedAt: null,
      startedAtMs: records[0]!.atMs,
      models: [{ policy: 'sponge', limits: { maxMillicores: 16_000 }, cpuMillicores: 16_000 }],
    });
    const instants = records.map(({ atMs }) => atMs);
    expect(instants).toEqual([...instants].sort((a, b) => a - b));
    const judged = summary.policies[0]!;
    const count = (kind: string): number => records.filter((record) => record.kind === kind).length;
    expect(count('request-received')).toBe(judged.sent);
    expect(count('request-finished')).toBe(judged.sent);
    const batchSizes = records.flatMap((record) => (record.kind === 'batch-started' ? [record.batchSize] : []));
    expect(batchSizes.reduce((sum, size) => sum + size, 0) / batchSizes.length).toBeCloseTo(judged.meanBatch, 10);
  });

  it('writes the event log of several instances, and of several models that share a budget', () => {
    const log = join(folder, 'node.jsonl');
    const short = ['--set', 'durationSec=10', '--threads', '1', '--event-log', log];
    expect(sponge('bursts', ...short, '--policies', 'sponge(instances=4)').status).toBe(0);
    // The first holds what the others, which rest on 0.1, leave of 16 cores.
    expect(parseEventLog(readFileSync(log, 'utf8')).header).toMatchObject({
      models: [{ instances: 4, cpuMillicores: 15_700, allocations: [15_700, 100, 100, 100] }],
    });

    const { status, stdout, stderr } = sponge('four-models', ...short, '--policies', 'sponge', '--json');
    expect(status, stderr).toBe(0);
    const { header, records } = parseEventLog(readFileSync(log, 'utf8'));
    const names = ['mlp', 'resnet18', 'yolov5n', 'yolov5s'];
    expect(header).toMatchObject({ budgetMillicores: 8000, models: names.map((name) => ({ name, instances: 4 })) });
    // 8 cores less 0.05 for each of the 15 that rest.
    expect(header.models[0]!.allocations).toEqual([7250, 50, 50, 50]);
    const sent = records.filter(({ kind }) => kind === 'request-received').map(({ model }) => names[model]);
    const [policy] = (JSON.parse(stdout) as SimulationSummary).policies;
    for (const { model, sent: count } of policy!.models!) {
      expect(sent.filter((each) => each === model)).toHaveLength(count);
    }
  });

  it('writes the event log of a pipeline: of its models, and of whole requests as of one model more', () => {
    const log = join(folder, 'crops.jsonl');
    const short = ['--set', 'durationSec=2', '--threads', '1', '--event-log', log, '--json'];
    const { status, stdout, stderr } = sponge('crops', ...short, '--policies', 'sponge');
    expect(status, stderr).toBe(0);
    const { header, records } = parseEventLog(readFileSync(log, 'utf8'));
    expect(header).toMatchObject({
      title: 'crops, sponge, seed 1',
      budgetMillicores: 8000,
      models: [
        { name: 'detect', instances: 4 },
        { name: 'classify', instances: 4 },
        { name: 'crops', cpuMillicores: 0, instances: 1 },
      ],
    });
    const [policy] = (JSON.parse(stdout) as SimulationSummary).policies;
    const whole = records.filter(({ model }) => model === 2);
    expect(whole.filter(({ kind }) => kind === 'request-received')).toHaveLength(policy!.sent);
    expect(whole.filter(({ kind }) => kind === 'request-finished')).toHaveLength(policy!.sent);
    // Every request that was let in was one for the detector.
    const admitted = whole.filter(({ kind }) => kind === 'request-admitted').length;
    const detected = records.filter(({ kind, model }) => kind === 'request-received' && model === 0).length;
    expect(detected).toBeGreaterThanOrEqual(admitted);
    expect(records.some(({ kind, model }) => kind === 'batch-ended' && model === 1)).toBe(true);
  });

  it('lists scenarios and policies', () => {
    const { status, stdout } = sponge('--list');
    expect(status).toBe(0);
    for (const name of [...READY_NAMES, 'sponge', 'released', 'best-static', 'fa2', 'bentoml']) {
      expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
    }
  });

  it.each([
    [['nosuch'], 'no scenario nosuch; give a YAML file or one of authors'],
    [['bursts', '--policies', 'spong'], 'no policy is called spong; there are sponge'],
    [['bursts', '--set', 'arrivals.rate=3'], 'bursts: arrivals: unknown key "rate"; known keys: kind, ratePerSec'],
    [['bursts', '--set', 'network.log=missing.log'], 'missing.log: no such file'],
    [['bursts', '--set', 'profile=missing.json'], 'missing.json: '],
    [['bursts', ...SHORT, '--policies', 'sponge', '--report', 'no/such/folder.html'], '--report no/such/folder.html: '],
    [
      ['bursts', ...SHORT, '--event-log', 'a.jsonl'],
      '--event-log is of one run, and 5 policies and 1 seed are asked for; name one policy',
    ],
    [
      ['bursts', ...SHORT, '--policies', 'sponge', '--seeds', '2', '--event-log', 'a.jsonl'],
      '--event-log is of one run, and 1 policy and 2 seeds are asked for; name one policy',
    ],
    [
      ['bursts', ...SHORT, '--policies', 'sponge', '--event-log', 'no/such/folder.jsonl'],
      '--event-log no/such/folder.jsonl: ',
    ],
    [[], 'simulate needs a scenario'],
  ])('says what is wrong with %j in one line', (args, message) => {
    const { status, stdout, stderr } = sponge(...args);
    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toContain(message);
    expect(
      stderr
        .trim()
        .split('\n')
        .filter((line) => !line.startsWith('(add --help')),
    ).toHaveLength(1);
  });
});
