import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { variantsTargets, runVariantsExperiment } from '../../research/variants/variants-experiment.js';
import { writeEventLog } from '../../src/simulator/comparison/recorded-run.js';
import { runVariantsSeed, variantsWorldOf } from '../../src/simulator/comparison/run-variants-seed.js';
import { variantsPolicy } from '../../src/simulator/policies/variants-policies.js';
import { readScenario } from '../../src/simulator/scenarios/scenario-files.js';
import { setUpVariants } from '../../src/simulator/scenarios/variants-setup.js';

/* Some seconds of a model with variants, by each policy. */

const setupOf = (...settings: readonly string[]) => {
  const { scenario, name, folder } = readScenario('variants-bursts', ['durationSec=4', ...settings]);
  return setUpVariants(scenario, name, folder);
};

interface LoggedLine {
  readonly kind: string;
  readonly model?: number;
  readonly models?: readonly { readonly name: string }[];
}

describe('a simulated model with variants', () => {
  const setup = setupOf();
  const world = variantsWorldOf(setup, 7);

  it.each([
    'sponge',
    'sponge(meanAccuracy=69.758)',
    'clairvoyant',
    'single(variant=resnet34)',
    'best-single',
    'infaas',
    'proteus',
    'superserve',
  ])('ends each request once, and no accuracy is above the most: %s', (policy) => {
    const result = runVariantsSeed(setup, world, policy);
    const { sent, onTime, late, rejectedInfeasible, rejectedOverload, expired, cancelled, failed } = result;
    expect(onTime + late + rejectedInfeasible + rejectedOverload + expired + cancelled + failed).toBe(sent);
    const { accuracySum, mostAccuracySum, answered } = result.accuracy!;
    expect(answered.reduce((sum, each) => sum + each.onTime, 0)).toBe(onTime);
    expect(accuracySum).toBeGreaterThan(63 * onTime);
    expect(accuracySum).toBeLessThanOrEqual(mostAccuracySum);
    expect(result.coreSeconds).toBeLessThanOrEqual(8 * result.durationSec);
  });

  it('repeats bit for bit', () => {
    expect(runVariantsSeed(setup, world, 'sponge').eventHash).toBe(runVariantsSeed(setup, world, 'sponge').eventHash);
  });

  it('costs more of the most accurate with more time, and loses nobody for it', () => {
    const light = setupOf('load=0.2');
    const { accuracy, violationRateFeasible } = runVariantsSeed(light, variantsWorldOf(light, 7), 'sponge');
    const [small, , large] = accuracy!.answered;
    expect(violationRateFeasible).toBe(0);
    expect(large!.onTime).toBeGreaterThan(small!.onTime);
  });

  it('writes the events of each variant, with the requests that it was given', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sponge-variants-log-'));
    const path = join(folder, 'events.jsonl');
    const file = readScenario('variants-bursts', ['durationSec=2']);
    writeEventLog(path, { file, policy: 'sponge', seed: 7 });
    const [head, ...events] = readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as LoggedLine);
    expect(() => writeEventLog(path, { file, policy: 'superserve', seed: 7 })).toThrow('has one queue of its own');
    rmSync(folder, { recursive: true });
    expect(head!.models!.map(({ name }) => name)).toEqual(['resnet10', 'resnet18', 'resnet34']);
    const short = setUpVariants(file.scenario, file.name, file.folder);
    const { accuracy } = runVariantsSeed(short, variantsWorldOf(short, 7), 'sponge');
    const finished = accuracy!.answered.map(
      (_, model) => events.filter((each) => each.model === model && each.kind === 'request-finished').length,
    );
    accuracy!.answered.forEach(({ onTime }, model) => expect(finished[model]).toBeGreaterThanOrEqual(onTime));
    expect(Math.max(...finished)).toBeGreaterThan(0);
  });

  it('says which policies and which variants there are', () => {
    expect(() => variantsPolicy('best', ['a', 'b'], 1)).toThrow(
      'no policy of variants is called best; there are sponge',
    );
    expect(() => variantsPolicy('single(variant=c)', ['a', 'b'], 1)).toThrow(
      'policy single: give variant= one of a, b',
    );
    expect(() => variantsPolicy('infaas(variant=a)', ['a', 'b'], 1)).toThrow('policy infaas has no parameter variant');
  });
});

describe('the experiment', () => {
  it('has a row for each policy, and measures what it is held to', async () => {
    const results = await runVariantsExperiment({
      ...{ threads: 1, settings: ['durationSec=1'], scale: 0.01, onProgress: () => undefined },
    });
    expect(results.cases.map(({ rows }) => rows.length)).toEqual([9, 9, 9, 2, 2, 2, 2]);
    expect(variantsTargets(results)).toHaveLength(5);
  });
});
