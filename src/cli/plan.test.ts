import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CommanderError } from 'commander';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { publishedProfile } from '../perf-model/published.js';
import { planCommand } from './plan.js';

const RESNET = ['--profile', 'resnet18', '--rate', '100', '--slo', '1000'];
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
  ])('refuses %j in one line', (args, message) => {
    const line = failure(...args);
    expect(line).toMatch(message);
    expect(line).not.toContain('\n');
  });
});
