import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chainBound } from '../../src/simulator/clairvoyant/chain-bound.js';
import { setUpPipeline } from '../../src/simulator/pipelines/pipeline-setup.js';
import { RequestDraws } from '../../src/simulator/pipelines/request-draws.js';
import { chainModels } from '../../src/simulator/pipelines/run-pipeline-seed.js';
import { parseScenario } from '../../src/simulator/scenarios/parse-scenario.js';
import { leastChainCoreMs } from './tiny-chains.js';

/* The bound of a chain against exhaustive search: two models with a function between them, two requests, three parts at the most. */

/** Fixed, so that a run repeats; change it to look elsewhere. */
const SEED = 20000369;
const DURATION_MS = 1000;
const IDLE_CORES = 0.1;
/** P99 of batches is γ·b/c + ε/c + δ·b + η; they take 0.88 of it. */
const FIRST = { gamma: 40, epsilon: 10, delta: 4, eta: 2 };
const SECOND = { gamma: 12, epsilon: 20, delta: 1, eta: 3 };
const MAX_BATCH = 2;
const ALLOCATIONS = [1000, 2000, 3000];

const latencyOf =
  ({ gamma, epsilon, delta, eta }: typeof FIRST) =>
  (batchSize: number, cpuMillicores: number): number =>
    0.88 * ((1000 * (gamma * batchSize + epsilon)) / cpuMillicores + delta * batchSize + eta);

const step = (name: string, how: object, from: string, to: object): object => ({
  ...{ name, inputs: { x: from }, outputs: to },
  ...how,
});
const tensor = { datatype: 'FP32', shape: [1] };

const SETUP = setUpPipeline(
  parseScenario(
    JSON.stringify({
      durationSec: 1,
      arrivals: { kind: 'constant', ratePerSec: 1 },
      network: { mode: 'none' },
      cpu: { minCores: 1, maxCores: 3, stepCores: 1, idleCores: IDLE_CORES, maxBatch: MAX_BATCH },
      models: [
        { name: 'first', formula: FIRST },
        { name: 'second', formula: SECOND },
      ],
      pipeline: {
        description: {
          inputs: { a: tensor },
          outputs: ['d'],
          steps: [
            step('find', { model: 'first' }, 'a', { y: 'b' }),
            step('cut', { function: './cut.js' }, 'b', { c: { ...tensor, list: true } }),
            step('read', { model: 'second', for_each: 'x' }, 'c', { y: 'd' }),
          ],
        },
      },
    }),
    'tiny',
  ),
  'tiny',
  '.',
);

const requests = fc.array(
  fc.record({
    releaseAtMs: fc.integer({ min: 0, max: 60 }),
    budgetMs: fc.integer({ min: 60, max: 260 }),
    betweenMs: fc.integer({ min: 0, max: 25 }),
    parts: fc.integer({ min: 1, max: 2 }),
  }),
  { minLength: 1, maxLength: 2 },
);

describe('the bound of a chain', () => {
  it('is never above what real batches cost at the least, and not far below it', () => {
    const ratios: number[] = [];
    fc.assert(
      fc.property(requests, (drawn) => {
        const all = drawn.map(({ budgetMs, ...rest }) => ({ ...rest, dueAtMs: rest.releaseAtMs + budgetMs }));
        const least = leastChainCoreMs({
          requests: all,
          allocations: ALLOCATIONS,
          maxBatchSize: MAX_BATCH,
          latenciesMs: [latencyOf(FIRST), latencyOf(SECOND)],
        });
        if (least === null) return;
        const run = { batches: 0, batchedParts: 0, leastMultiplier: 1, leastRunningMillicores: 1000, eventHash: '' };
        const bound = chainBound(
          chainModels(
            SETUP,
            {
              seed: 1,
              draws: new RequestDraws(SETUP.graph, SETUP.steps, 1),
              workload: {
                ...SETUP.clients.workload(1),
                count: all.length,
                receivedAtMs: Float64Array.from(all, ({ releaseAtMs }) => releaseAtMs),
                latestFinishAtMs: Float64Array.from(all, ({ dueAtMs }) => dueAtMs),
              },
              parts: Int32Array.from(all.flatMap(({ parts }) => [1, 1, parts])),
              functionMs: Float64Array.from(all.flatMap(({ betweenMs }) => [0, betweenMs, 0])),
              infeasible: new Uint8Array(all.length),
            },
            new Uint8Array(all.length).fill(1),
            [1, 2].map(() => ({ ...run, mostInstances: 1, heldInstances: 1 })),
            [1, 1],
          ),
          DURATION_MS,
        );
        // Idle cores are held all the time, and a batch's are held beside them: the search counts batches whole.
        const idleCoreMs = 2 * IDLE_CORES * DURATION_MS;
        const boundCoreMs = 1000 * bound!;
        expect(boundCoreMs).toBeLessThanOrEqual((idleCoreMs + least) * (1 + 1e-9));
        ratios.push((idleCoreMs + least) / boundCoreMs);
      }),
      { seed: SEED, numRuns: 300 },
    );
    expect(ratios.length).toBeGreaterThan(100);
    expect(ratios.reduce((sum, each) => sum + each, 0) / ratios.length).toBeLessThan(1.5);
  });
});
