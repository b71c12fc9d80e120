import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CommanderError } from 'commander';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { publishedProfile } from '../scheduler/perf-model/published.js';
import { UserError } from './options.js';
import { planCommand } from './plan.js';

const RESNET = ['--profile', 'resnet18', '--rate', '100', '--slo', '1000'];
const NODE = ['--max-cores', '4'];
const YOLO = ['--profile', 'yolov5s', '--rate', '20', '--slo', '1000'];

function run(...args: readonly string[]): string {
  let printed = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
  planCommand()
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .parse(args, { from: 'user' });
  return printed;
}

function json(...args: readonly string[]): Record<string, unknown> {
  return JSON.parse(run(...args, '--json')) as Record<string, unknown>;
}

/** What goes to stderr, with a non-zero exit code. */
function failure(...args: readonly string[]): string {
  try {
    run(...args);
  } catch (error) {
    // What main.ts says of it is the same line.
    if (error instanceof UserError) return error.message;
    if (!(error instanceof CommanderError)) throw error;
    expect(error.exitCode).toBeGreaterThan(0);
    return error.message;
  }
  throw new Error('the command did not fail');
}

afterEach(() => vi.restoreAllMocks());

describe('sponge plan', () => {
  it('answers ResNet18 at 100/s, 50 ms away, SLO 1000, as one JSON object', () => {
    const answer = json(...RESNET, '--network-delay', '50');
    expect(Object.keys(answer)).toEqual([
      'feasible',
      'cpuMillicores',
      'batchSize',
      'predictedLatencyMs',
      'throughputPerSec',
    ]);
    expect(answer).toMatchObject({ feasible: true, cpuMillicores: 4000, batchSize: 14 });
    expect(answer['predictedLatencyMs']).toBeCloseTo(139.26, 2);
    expect(answer['throughputPerSec']).toBeCloseTo(100.53, 2);
  });

  it('answers the same by the released rule: the worked example', () => {
    const answer = json(...RESNET, '--network-delay', '50', '--policy', 'released');
    expect(answer).toMatchObject({ feasible: true, cpuMillicores: 5000, batchSize: 10, predictedLatencyMs: 91 });
  });

  it('uses nine tenths of the SLO where the evaluation did, unless told otherwise', () => {
    const released = [...YOLO, '--policy', 'released'];
    expect(json(...released)).toMatchObject({ feasible: true, cpuMillicores: 9000, batchSize: 4 });
    expect(json(...released, '--network-delay', '145')).toMatchObject({
      feasible: false,
      reason: 'budget_spent_in_network',
      cpuMillicores: 16_000,
      batchSize: 1,
    });
    // 4 batches · 189 + 145 = 901 ≤ 1000.
    expect(json(...released, '--network-delay', '145', '--slo-fraction', '1')).toMatchObject({ feasible: true });
  });

  it('keeps to --max-cores, --step and --max-batch', () => {
    expect(json(...RESNET, '--network-delay', '50', '--step', '0.1')).toMatchObject({
      cpuMillicores: 3900,
      batchSize: 16,
    });
    // h(13, 4) = 99.8/s: with b ≤ 13 four cores are too few.
    expect(json(...RESNET, '--network-delay', '50', '--max-batch', '13')).toMatchObject({ cpuMillicores: 5000 });
    expect(json(...RESNET, '--network-delay', '50', '--max-cores', '3')).toMatchObject({
      feasible: false,
      reason: 'queue_overload',
      cpuMillicores: 3000,
    });
  });

  it('prints a page that accounts for the SLO and shows other rates and delays', () => {
    const page = run(...RESNET, '--network-delay', '50');
    expect(page).toContain('needs       4 cores, batch size 14');
    expect(page).toContain('458.5 of 1000 ms = 130.0 filling + 139.3 batch in flight + 139.3 own batch + 50 network');
    expect(page).toMatch(/^ +ms +50\/s +100\/s +150\/s +200\/s$/m);
    expect(page).toMatch(/^ +50 .*4 × 14/m);
    expect(run(...RESNET, '--network-delay', '990')).toContain('infeasible: the network takes too much of the SLO');
    expect(run(...RESNET, '--network-delay', '50', '--policy', 'released')).toContain(
      '960 of 1000 ms = 10 batches · 91 + 50 network',
    );
  });

  it('says what several instances need, and how many are worth having', () => {
    const answer = json(...YOLO, '--instances', 'auto');
    // On a core a request takes 137.0 ms, so three do 3/0.137 = 21.9/s; whatever the batch, 20/s hold 20 · 0.137 cores on average.
    expect(answer).toMatchObject({
      feasible: true,
      instances: 3,
      cpuMillicores: 1000,
      togetherMillicores: 3000,
      worthwhileInstances: 3,
    });
    expect(answer['throughputPerSec']).toBeCloseTo(21.9, 1);
    expect(answer['leastMeanMillicores']).toBeCloseTo(2739, 0);
    expect(answer['savedByOneMoreMillicores']).toBeCloseTo(0, 6);
    // As without the flag, and what a second would save.
    expect(json(...YOLO, '--instances', '1')).toMatchObject({ ...json(...YOLO), instances: 1 });

    const page = run(...YOLO, '--instances', '2');
    expect(page).toContain('needs       2 instances of 2 cores, batch size 1');
    expect(page).toContain('cores of all 2 instances × batch size, by network delay and rate');
    expect(page).toMatch(/^ +2 +2 × 2 = 4 cores +1 +184 +3\.52 +0\.78$/m);
    expect(page).toContain('worth having: 3, with 0.05 core charged for each while it rests');
    // The page of one tells of several too.
    expect(run(...YOLO)).toMatch(/^ +3 +3 × 1 = 3 cores/m);
  });

  it('says whether several models fit on one budget of cores', () => {
    const models = ['--model', 'resnet18:rate=40,slo=400', '--model', 'yolov5s:rate=8,slo=1000,network-delay=100'];
    const answer = json(...models, '--max-cores', '8') as unknown as { models: readonly object[] };
    expect(answer).toMatchObject({ budgetMillicores: 8000, fits: 'apart', togetherMillicores: 4000 });
    expect(answer.models).toMatchObject([
      { name: 'resnet18', instances: 1, togetherMillicores: 2000, batchSize: 3 },
      { name: 'yolov5s', instances: 2, togetherMillicores: 2000, batchSize: 1 },
    ]);
    const page = run(...models, '--max-cores', '8');
    expect(page).toContain('2 models on 8 cores, policy sponge');
    // 8/s · 0.137 s · 1 core.
    expect(page).toMatch(/^ {2}yolov5s +8 +1000 +100 +2 × 1 = 2 cores +1 +374 +1\.10$/m);
    expect(page).toMatch(/^ {2}fits {3}yes/m);
    // The same on three cores: what they hold on average is there, what they need at once is not.
    expect(run(...models, '--max-cores', '3')).toMatch(/^ {2}fits {3}on average, by sharing/m);
    expect(run(...models, '--max-cores', '2')).toMatch(/^ {2}fits {3}no/m);
  });

  it('reads a profile file, and stays within what was measured', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sponge-plan-'));
    try {
      const path = join(folder, 'profile.json');
      writeFileSync(path, JSON.stringify(publishedProfile('yolov5s')));
      const answer = json('--profile', path, '--rate', '5', '--slo', '2000');
      expect(answer).toMatchObject({ feasible: true });
      expect(answer['cpuMillicores']).toBeGreaterThanOrEqual(1000);
      expect(answer['batchSize']).toBeLessThanOrEqual(8);
      expect(answer['throughputPerSec']).toBeGreaterThanOrEqual(5);
      // The published table's own fit, so the published answer.
      expect(json('--profile', path, '--rate', '20', '--slo', '1000', '--policy', 'released')).toMatchObject({
        cpuMillicores: 9000,
        batchSize: 4,
      });

      writeFileSync(path, '{"schemaVersion": 1}');
      expect(failure('--profile', path, '--rate', '5', '--slo', '2000')).toMatch(
        /^sponge: profile .*name.*Give yolov5s/,
      );
      writeFileSync(path, 'no');
      expect(failure('--profile', path, '--rate', '5', '--slo', '2000')).toMatch(/it is not JSON/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each([
    [[...RESNET, '--rate', '0'], /--rate.*expected a number > 0/],
    [[...RESNET, '--rate', 'NaN'], /--rate.*expected a number > 0/],
    [[...RESNET, '--slo', 'Infinity'], /--slo.*expected a number > 0/],
    [[...RESNET, '--slo', ''], /--slo.*expected a number > 0/],
    [[...RESNET, '--network-delay', '-1'], /--network-delay.*expected a number ≥ 0/],
    [[...RESNET, '--max-batch', '2.5'], /--max-batch.*whole number/],
    [[...RESNET, '--max-batch', '1e9'], /--max-batch.*from 1 to 1024/],
    [[...RESNET, '--max-cores', '1e9'], /--max-cores.*Give 1024 or less/],
    [[...RESNET, '--max-cores', '0.5'], /Give at least 1 core/],
    [[...RESNET, '--step', '0.0001'], /Give 0.001 or more/],
    [[...RESNET, '--policy', 'fifo'], /sponge, released/],
    [[...RESNET, '--policy', 'released', '--step', '0.1'], /--step has no meaning with --policy released/],
    [[...RESNET, '--slo-fraction', '0.9'], /--slo-fraction has no meaning with --policy sponge/],
    [[...RESNET, '--profile', 'nosuch'], /cannot read profile nosuch.*Give yolov5s, yolov5n, resnet18, or a file/],
    [['--profile', 'resnet18', '--rate', '1'], /--slo/],
    [[...RESNET, '--instances', '0'], /--instances.*whole number/],
    [[...RESNET, '--instances', '65'], /--instances.*Give auto, or a whole number from 1 to 64/],
    [[...RESNET, '--instances', '17'], /--instances 17: there are cores for 16 at most/],
    [[...RESNET, '--policy', 'released', '--instances', '2'], /--instances has no meaning with --policy released/],
    [[...RESNET, '--model', 'yolov5s:rate=1,slo=1000'], /--profile is of one model; say it in --model/],
    [['--model', 'yolov5s:rate=1,slo=1000'], /--model needs --max-cores/],
    [[...NODE, '--model', 'yolov5s'], /--model yolov5s: give <name\|file>:rate=…,slo=…/],
    [[...NODE, '--model', 'yolov5s:rate=1'], /--model yolov5s:rate=1: needs rate=… and slo=…/],
    [[...NODE, '--model', 'yolov5s:rate=x,slo=1'], /rate: expected a number > 0/],
    [[...NODE, '--model', 'yolov5s:cost=1'], /no key cost; keys are rate, slo/],
    [[...NODE, '--model', 'nosuch:rate=1,slo=1'], /cannot read profile nosuch/],
    [[...NODE, '--model', 'yolov5s:rate=1,slo=1000,instances=5'], /needs 5 cores for its least allocation/],
    [
      [...NODE, '--policy', 'released', '--model', 'yolov5s:rate=1,slo=1'],
      /--model has no meaning with --policy released/,
    ],
  ])('refuses %j in one line', (args, message) => {
    const line = failure(...args);
    expect(line).toMatch(message);
    expect(line).not.toContain('\n');
  });
});
