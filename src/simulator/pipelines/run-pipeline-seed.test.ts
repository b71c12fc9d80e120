import { describe, expect, it } from 'vitest';
import { readScenario } from '../scenarios/scenario-files.js';
import { parsePipelinePolicy } from './pipeline-policies.js';
import { setUpPipeline } from './pipeline-setup.js';
import { pipelineWorldOf } from './pipeline-world.js';
import { runPipelineSeed } from './run-pipeline-seed.js';

const setupOf = (scenario: string, ...settings: readonly string[]) => {
  const { scenario: read, name, folder } = readScenario(scenario, settings);
  return setUpPipeline(read, name, folder);
};

describe('a simulated pipeline', () => {
  it('has a rate at which what its steps cost at least is the load', () => {
    const [half, whole] = [0.5, 1].map((load) => setupOf('crops', `load=${load}`));
    expect(half!.clients.predictedRatePerSec).toBeCloseTo(whole!.clients.predictedRatePerSec / 2);
    // One detection, and of a geometric number of mean 3, cut at 12, a little less than 3.
    expect(half!.meanParts[0]).toBe(1);
    expect(half!.meanParts[2]).toBeGreaterThan(2.8);
    expect(half!.meanParts[2]).toBeLessThan(3);
  });

  it('is the one of the file that serves', () => {
    const setup = setupOf('page', 'durationSec=2');
    expect(setup.graph.steps.map(({ name }) => name)).toEqual([
      ...['prepare', 'detect', 'cut', 'direction', 'turn', 'read', 'texts'],
    ]);
    // As many lines are read as were turned.
    expect(setup.meanParts[5]).toBe(setup.meanParts[3]);
  });

  it('draws its requests from the seed alone: the same for every policy', () => {
    const setup = setupOf('crops', 'durationSec=5');
    const [first, again, other] = [7, 7, 8].map((seed) => pipelineWorldOf(setup, seed));
    expect(again!.parts).toEqual(first!.parts);
    expect(again!.functionMs).toEqual(first!.functionMs);
    expect(other!.parts).not.toEqual(first!.parts);
  });

  it.each([
    'sponge',
    'equal-split',
    'proportional-split',
    'triton(batch=2)',
    'triton(cancel=0)',
    'triton(cancel=2,timeout=1)',
    'pard',
  ])(
    'is judged by one ledger, above its bound, and repeats: %s',
    (policy) => {
      const setup = setupOf('crops', 'durationSec=2', 'load=0.7');
      const world = pipelineWorldOf(setup, 3);
      const [first, again] = [1, 2].map(() => runPipelineSeed(setup, world, policy));
      const { sent, onTime, late, rejectedInfeasible, rejectedOverload, expired, cancelled, failed } = first!;
      expect(onTime + late + rejectedInfeasible + rejectedOverload + expired + cancelled + failed).toBe(sent);
      expect(sent).toBe(world.workload.count);
      expect(first!.coreSeconds).toBeGreaterThanOrEqual(first!.boundCoreSeconds!);
      expect(first!.coreSeconds).toBeLessThanOrEqual(8 * first!.durationSec + 1e-6);
      expect(first!.work!.functionSeconds).toBeGreaterThan(0);
      expect({ ...again, wallMs: 0 }).toEqual({ ...first, wallMs: 0 });
    },
    60_000,
  );

  it('wastes the more of a Triton-like server the later it hears that a client has left', () => {
    const setup = setupOf('crops', 'durationSec=5', 'load=1.5');
    const world = pipelineWorldOf(setup, 3);
    const run = (how: string) => runPipelineSeed(setup, world, `triton(cores=1,batch=4,waitMs=0,${how})`);
    const [never, between, limited, atOnce] = ['cancel=0', 'cancel=2', 'cancel=2,timeout=1', 'cancel=1'].map(run);
    // All of these requests are alike for all four, so what is lost is what was done for those who had left.
    expect(never!.work!.lostCoreSeconds).toBeGreaterThan(between!.work!.lostCoreSeconds);
    expect(between!.work!.lostCoreSeconds).toBeGreaterThanOrEqual(limited!.work!.lostCoreSeconds);
    expect(limited!.work!.lostCoreSeconds).toBeGreaterThan(atOnce!.work!.lostCoreSeconds);
    // Refused are those that are over their time, and nobody else.
    expect(between!.expired).toBeGreaterThan(0);
    expect(never!.expired).toBe(0);
  }, 60_000);

  it('wastes nothing where nobody is lost', () => {
    const setup = setupOf('crops', 'durationSec=5', 'load=0.1', 'payloads.0.sloMs=5000');
    const { onTime, sent, work } = runPipelineSeed(setup, pipelineWorldOf(setup, 3), 'sponge');
    expect(onTime).toBe(sent);
    expect(work!.lostCoreSeconds).toBe(0);
  });

  it.each([
    [['pipeline.steps.cat.ms=3'], "crops: pipeline.steps: there is no step 'cat', only detect, cut, classify, collect"],
    [
      ['models.1.name=other'],
      "crops: models: step of model 'classify': the scenario says nothing of it, only of detect, other",
    ],
    [['pipeline.file=none.yaml', 'pipeline.description=null'], 'pipeline.description'],
  ])('says in one line what is wrong: %j', (settings, message) => {
    expect(() => setupOf('crops', ...settings)).toThrow(message);
  });

  it.each([
    ['even-split', 'no policy of a pipeline is called even-split'],
    ['sponge(cores=2)', 'policy sponge has no parameter cores; it has instances'],
    ['triton(batch=1.5)', 'policy parameter batch=1.5: give a whole number'],
    ['triton(cancel=3)', 'policy parameter cancel=3: give a whole number from 0 to 2'],
  ])('knows no policy %s', (policy, message) => {
    expect(() => parsePipelinePolicy(policy)).toThrow(message);
  });
});
