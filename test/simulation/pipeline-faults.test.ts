import { describe, expect, it } from 'vitest';
import { parsePipelinePolicy } from '../../src/simulator/pipelines/pipeline-policies.js';
import { setUpPipeline, type PipelineSetup } from '../../src/simulator/pipelines/pipeline-setup.js';
import { pipelineWorldOf } from '../../src/simulator/pipelines/pipeline-world.js';
import { PipelineRun, type PipelineRunReport } from '../../src/simulator/pipelines/run-pipeline-seed.js';
import { readScenario } from '../../src/simulator/scenarios/scenario-files.js';

/* A pipeline on a node, in whose every step something goes wrong, by the seed; as `crops` has it otherwise. */

const FAULTS: Readonly<Record<string, readonly string[]>> = {
  'functions throw': ['pipeline.steps.cut.failFraction=0.1', 'pipeline.steps.collect.failFraction=0.05'],
  'functions hang until their time limit': [
    'pipeline.steps.cut.hangFraction=0.01',
    'pipeline.steps.collect.hangFraction=0.01',
  ],
  'workers die and come back': ['worker.crashesAtSec=[1, 2.5, 4]', 'worker.restartMs=700'],
  'resizes are refused and late': ['scaler.refusedFraction=0.2', 'scaler.delayMs=[0, 30]'],
  'queues are full': ['queueLimit=6', 'pipeline.maxRequests=12'],
  'clients leave': ['leavingFraction=0.2'],
  'all at once': [
    'pipeline.steps.cut.failFraction=0.05',
    'pipeline.steps.cut.hangFraction=0.005',
    'pipeline.steps.collect.failFraction=0.05',
    'worker.crashesAtSec=[1, 4]',
    'worker.restartMs=500',
    'scaler.refusedFraction=0.1',
    'queueLimit=20',
    'pipeline.maxRequests=40',
    'leavingFraction=0.1',
  ],
};

function setupOf(faults: readonly string[], load = 0.9): PipelineSetup {
  const { scenario, name, folder } = readScenario('crops', ['durationSec=5', `load=${load}`, ...faults]);
  return setUpPipeline(scenario, name, folder);
}

interface Watched {
  readonly report: PipelineRunReport;
  readonly heldInTheEnd: number;
}

/** Whose ledger throws where a request has no outcome; a second one of any would be one too many. */
function watched(setup: PipelineSetup, policy: string, seed: number): Watched {
  const run = new PipelineRun(setup, pipelineWorldOf(setup, seed), parsePipelinePolicy(policy));
  while (run.advance(10_000));
  const { heldRequests, heldBytes } = run.pipeline;
  return { report: run.end(), heldInTheEnd: heldRequests + heldBytes };
}

describe('a pipeline in whose steps things go wrong', () => {
  it.each(
    Object.keys(FAULTS).flatMap((name) =>
      ['sponge', 'triton(batch=2)', 'pard(batch=4,waitMs=0)'].map((policy) => [name, policy] as const),
    ),
  )(
    'has one outcome a request and holds nothing in the end: %s, %s',
    (name, policy) => {
      const setup = setupOf(FAULTS[name]!);
      for (const seed of policy === 'sponge' ? [31, 32] : [31]) {
        const { report, heldInTheEnd } = watched(setup, policy, seed);
        const { sent, onTime, late, rejectedInfeasible, rejectedOverload, expired, cancelled, failed } =
          report.outcomes;
        expect(onTime + late + rejectedInfeasible + rejectedOverload + expired + cancelled + failed).toBe(sent);
        expect(heldInTheEnd).toBe(0);
        expect(onTime).toBeGreaterThan(0);
        expect(report.work.lostCoreSeconds).toBeLessThanOrEqual(report.work.workCoreSeconds);
      }
    },
    60_000,
  );

  it('fails those whose function threw or hung, and no others', () => {
    const { outcomes } = watched(setupOf(FAULTS['functions throw']!, 0.3), 'sponge', 31).report;
    // A tenth of cuts, and a twentieth of what is left: 14.5 %.
    expect(outcomes.failed / outcomes.sent).toBeGreaterThan(0.07);
    expect(outcomes.failed / outcomes.sent).toBeLessThan(0.24);
    expect(watched(setupOf([], 0.3), 'sponge', 31).report.outcomes.failed).toBe(0);
  });

  it('goes again from its seed, event by event', () => {
    const setup = setupOf(FAULTS['all at once']!);
    const [first, second] = [1, 2].map(() => watched(setup, 'sponge', 33).report);
    expect(second).toEqual(first);
    expect(watched(setup, 'sponge', 34).report.eventHash).not.toBe(first!.eventHash);
  });
});
