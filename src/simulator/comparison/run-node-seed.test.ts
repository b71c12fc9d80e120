import { describe, expect, it } from 'vitest';
import { parseNodePolicy } from '../policies/node-policies.js';
import { nodeReference, nodeWorldOf, runNodeSeed } from './run-node-seed.js';
import { reference } from './run-seed.js';
import { setUpNode, type NodeSetup } from '../scenarios/node-setup.js';
import { parseScenario } from '../scenarios/parse-scenario.js';
import { readScenario } from '../scenarios/scenario-files.js';
import { summarisePolicy } from './summary.js';

function fourModels(load: number, durationSec = 20): NodeSetup {
  const { scenario, name, folder } = readScenario('four-models', [`load=${load}`, `durationSec=${durationSec}`]);
  return setUpNode(scenario, name, folder);
}

describe('the scenario of four models', () => {
  it('has rates whose least cost is the load', () => {
    const rates = (load: number): number[] => fourModels(load).models.map(({ setup }) => setup.predictedRatePerSec);
    const [mlp, resnet, yolov5n, yolov5s] = rates(0.5);
    expect([mlp! / resnet!, mlp! / yolov5n!, mlp! / yolov5s!].map((ratio) => Math.round(1e6 * ratio) / 1e6)).toEqual([
      2, 3, 4,
    ]);
    expect(rates(1)[0]).toBeCloseTo(2 * mlp!, 6);
    // What four instances each need at least is half of eight cores, give or take bursts, and the floors of those that rest.
    const setup = fourModels(0.5, 120);
    const { worlds } = nodeWorldOf(setup, 1);
    const least = setup.models.map((model, index) => reference(model.setup, worlds[index]!, 4).servableCoreSeconds);
    const cores = least.reduce((sum, coreSeconds) => sum + coreSeconds, 0) / 120;
    expect(cores).toBeGreaterThan(3.5);
    expect(cores).toBeLessThan(5.5);
  });

  it('gives each model clients of its own, which another model does not change', () => {
    const setup = fourModels(0.6);
    const { worlds } = nodeWorldOf(setup, 1);
    const last = { ...setup, models: setup.models.slice(3) };
    expect(nodeWorldOf(last, 1).worlds[0]!.workload.receivedAtMs).toEqual(worlds[3]!.workload.receivedAtMs);
    expect(worlds[0]!.seed).not.toBe(worlds[1]!.seed);
  });

  it.each(['sponge', 'sponge(instances=1)', 'even-split', 'even-split(instances=4)'])(
    '%s: the models’ parts add up to the whole, within eight cores, and repeat',
    (policy) => {
      const setup = fourModels(0.7, 8);
      const world = nodeWorldOf(setup, 2);
      const result = runNodeSeed(setup, world, policy);
      const { models } = result;
      expect(models!.map(({ model }) => model)).toEqual(['mlp', 'resnet18', 'yolov5n', 'yolov5s']);
      const sum = (of: (each: typeof result) => number): number => models!.reduce((total, each) => total + of(each), 0);
      expect(sum(({ sent }) => sent)).toBe(result.sent);
      expect(sum(({ coreSeconds }) => coreSeconds)).toBeCloseTo(result.coreSeconds, 6);
      const ended = result.onTime + result.late + result.rejectedInfeasible + result.rejectedOverload + result.expired;
      expect(ended + result.cancelled + result.failed).toBe(result.sent);
      expect(result.heldMs.at(-1)![0]).toBeLessThanOrEqual(8000);
      expect(result.boundCoreSeconds!).toBeLessThanOrEqual(result.coreSeconds);
      expect(runNodeSeed(setup, world, policy).eventHash).toBe(result.eventHash);
      const summary = summarisePolicy([result]);
      expect(summary.models!.map(({ model, sent }) => `${model} ${sent}`)).toEqual(
        models!.map(({ model, sent }) => `${model} ${sent}`),
      );
    },
  );

  it.each(['one-core-pool', 'vpa(split=even)', 'fa2(split=even)', 'themis(split=even)', 'fa2', 'themis'])(
    '%s: the models’ parts add up to the whole, and repeat',
    (policy) => {
      const setup = fourModels(0.5, 8);
      const world = nodeWorldOf(setup, 2);
      const result = runNodeSeed(setup, world, policy);
      const models = result.models!;
      const sum = (of: (each: typeof result) => number): number => models.reduce((total, each) => total + of(each), 0);
      expect(sum(({ coreSeconds }) => coreSeconds)).toBeCloseTo(result.coreSeconds, 6);
      const heldMs = result.heldMs.reduce((total, [, durationMs]) => total + durationMs, 0);
      const heldCoreMs = result.heldMs.reduce((total, [millicores, ms]) => total + (millicores / 1000) * ms, 0);
      expect(heldMs).toBeCloseTo(1000 * result.durationSec, 3);
      expect(heldCoreMs / 1000).toBeCloseTo(result.coreSeconds, 6);
      expect(result.boundCoreSeconds!).toBeLessThanOrEqual(result.coreSeconds);
      // What is charged includes cold starts and what is being given up; more than eight cores it is for moments only.
      const beyondMs = result.heldMs.reduce((total, [millicores, ms]) => total + (millicores > 8000 ? ms : 0), 0);
      expect(beyondMs).toBeLessThan(0.001 * heldMs);
      if (!policy.includes('even') && policy !== 'one-core-pool') expect(result.chosen).toMatch(/^mlp [\d.]+, /);
      expect(runNodeSeed(setup, world, policy).eventHash).toBe(result.eventHash);
    },
  );

  it('bounds what of an overload nobody could avoid, from all cores together', () => {
    const setup = fourModels(1.3);
    const world = nodeWorldOf(setup, 1);
    const { instanceReference, models, ...result } = runNodeSeed(setup, world, 'sponge');
    const alone = models!.reduce((sum, each) => sum + each.instanceReference!.unavoidable, 0);
    expect(instanceReference!.unavoidable).toBeGreaterThan(alone);
    const feasible = result.sent - result.cancelled - result.infeasibleOnArrival;
    expect(instanceReference!.unavoidable).toBeLessThanOrEqual(result.violationRateFeasible * feasible);
  });

  it('loses fewer requests shared than split evenly, or as well as can be in hindsight', () => {
    const setup = fourModels(0.6);
    const world = nodeWorldOf(setup, 1);
    const missed = (policy: string): number => runNodeSeed(setup, world, policy).violationRate;
    const best = runNodeSeed(setup, world, 'best-split(instances=4)');
    expect(best.chosen).toMatch(/^mlp [\d.]+, resnet18 [\d.]+, yolov5n [\d.]+, yolov5s [\d.]+$/);
    expect(best.violationRate).toBeLessThanOrEqual(missed('even-split(instances=4)'));
    expect(missed('sponge(instances=4)')).toBeLessThan(best.violationRate);
  });
});

describe('the same, the dear models asked for most', () => {
  it('has instances where the load is, and loses less for it than with four of each', () => {
    const { scenario, name, folder } = readScenario('four-models-heavy', ['load=0.7', 'durationSec=60']);
    const setup = setUpNode(scenario, name, folder);
    expect(setup.models.map((model) => model.setup.scenario.cpu.instances)).toEqual([1, 2, 4, 8]);
    const world = nodeWorldOf(setup, 3);
    const placed = runNodeSeed(setup, world, 'sponge');
    expect(placed.violationRate).toBeLessThan(runNodeSeed(setup, world, 'sponge(instances=4)').violationRate);
  });
});

describe('the reference of a node', () => {
  it('adds up what each model needs with a single instance, and says whose load is beyond one', () => {
    const setup = fourModels(0.2);
    const world = nodeWorldOf(setup, 1);
    const each = setup.models.map((model, index) => reference(model.setup, world.worlds[index]!));
    const whole = nodeReference(setup, world);
    expect(whole.servableCoreSeconds).toBeCloseTo(
      each.reduce((sum, one) => sum + one.servableCoreSeconds, 0),
      6,
    );
    expect(nodeReference(fourModels(2), nodeWorldOf(fourModels(2), 1)).reason).toMatch(
      /^(?:yolov5n|yolov5s|resnet18): /,
    );
  });
});

describe('scenarios of several models', () => {
  const parse = (yaml: string): unknown =>
    parseScenario(`durationSec: 1\narrivals: {kind: poisson, ratePerSec: 1}\n${yaml}`, 'x.yaml');

  it.each([
    ['load: 1', 'load is of several models'],
    ['models: [{name: a}]', 'cpu.maxCores is missing'],
    ['cpu: {maxCores: 4}\nmodels: [{name: a}, {name: a}]', 'a is there twice'],
    ['cpu: {maxCores: 4}\nmodels: [{name: a, slo: 1}]', 'models[0]: unknown key "slo"; known keys: name, weight'],
  ])('are refused in one line: %s', (yaml, message) => {
    expect(() => parse(yaml)).toThrow(message);
  });

  it('let a model say otherwise than the whole', () => {
    const scenario = parseScenario(
      [
        'durationSec: 10',
        'arrivals: { kind: poisson, ratePerSec: 40 }',
        'cpu: { maxCores: 4, instances: 2 }',
        'models:',
        '  - { name: a, weight: 3 }',
        '  - { name: b, profile: resnet18, cpu: { instances: 1, maxBatch: 4 }, floorFraction: 0.1 }',
        '  - { name: c, arrivals: { kind: constant, ratePerSec: 5 } }',
      ].join('\n'),
      'x.yaml',
    );
    const { models, budgetMillicores } = setUpNode(scenario, 'x', '.');
    expect(budgetMillicores).toBe(4000);
    // Of 40/s three fifths and one.
    expect(models.map(({ setup }) => setup.predictedRatePerSec)).toEqual([24, 8, 5]);
    expect(models.map(({ setup }) => setup.machine.name)).toEqual(['yolov5s', 'resnet18', 'yolov5s']);
    expect(models.map(({ setup }) => setup.scenario.cpu.instances)).toEqual([2, 1, 2]);
    expect(models[1]!.setup.environment.cpu.maxBatchSize).toBe(4);
    expect(models.map(({ floorFraction }) => floorFraction)).toEqual([undefined, 0.1, undefined]);
  });
});

describe('policies of several models', () => {
  it.each([
    ['released', 'no policy of several models is called released; there are sponge, even-split, best-split'],
    ['fa2(instances=2)', 'policy fa2 has no parameter instances; it has split'],
    ['themis(split=odd)', 'policy parameter split=odd: give even or best'],
    ['even-split(cores=1)', 'has no parameter cores'],
    ['sponge(instances=0)', 'give a whole number from 1 to 64'],
  ])('%s is refused in one line', (text, message) => {
    expect(() => parseNodePolicy(text)).toThrow(message);
  });
});
