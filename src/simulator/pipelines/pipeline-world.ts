import { meanMultiplier } from '../sim/service-noise.js';
import type { Workload } from '../workloads/workload.js';
import type { PipelineSetup } from './pipeline-setup.js';
import { RequestDraws } from './request-draws.js';

/* What a run's requests are, before any policy has seen them. */

export interface PipelineWorld {
  readonly seed: number;
  readonly workload: Workload;
  readonly draws: RequestDraws;
  /** Parts of each request's steps, and the longest of its function calls, ms: by request × step. */
  readonly parts: Int32Array;
  readonly functionMs: Float64Array;
  /** 1 for each request that even alone, at the mean service time, on all cores, would be too late. */
  readonly infeasible: Uint8Array;
}

export function pipelineWorldOf(setup: PipelineSetup, seed: number): PipelineWorld {
  const { clients, graph, modelOf } = setup;
  const workload = clients.workload(seed);
  const draws = new RequestDraws(graph, setup.steps, seed);
  const stepCount = graph.steps.length;
  const parts = new Int32Array(workload.count * stepCount);
  const functionMs = new Float64Array(workload.count * stepCount);
  for (let request = 0; request < workload.count; request++)
    draws.walk(request, ({ step, part, inputs }) => {
      const at = request * stepCount + step;
      parts[at]! += 1;
      if (modelOf[step] !== null) return;
      functionMs[at] = Math.max(functionMs[at]!, draws.fate(request, step, part, inputs).ms);
    });
  const world = { seed, workload, draws, parts, functionMs, infeasible: new Uint8Array(workload.count) };
  const multipliers = setup.node.models.map(({ setup: { machine } }) => meanMultiplier(machine.logDeviation));
  for (let request = 0; request < workload.count; request++) {
    const { rests } = leastTimes(setup, world, request, multipliers);
    const longest = rests.reduce((most, each) => Math.max(most, each), 0);
    world.infeasible[request] = Number(workload.receivedAtMs[request]! + longest > workload.latestFinishAtMs[request]!);
  }
  return world;
}

/**
 * By step, along the longest way: what comes before it at least (`heads`, without itself), and what is left from its start on (`rests`, with
 * itself), where every model's step takes what one part takes alone on all cores, times the model's multiplier.
 */
export function leastTimes(
  { graph, modelOf, node }: PipelineSetup,
  { parts, functionMs }: Pick<PipelineWorld, 'parts' | 'functionMs'>,
  request: number,
  multipliers: readonly number[],
): { readonly heads: readonly number[]; readonly rests: readonly number[]; readonly own: readonly number[] } {
  const stepCount = graph.steps.length;
  const own = graph.steps.map((_, step) => {
    const at = request * stepCount + step;
    const model = modelOf[step] ?? null;
    if (parts[at] === 0) return 0;
    return model === null ? functionMs[at]! : multipliers[model]! * aloneMs(node.models[model]!.setup, node);
  });
  const heads = new Array<number>(stepCount).fill(0);
  graph.steps.forEach(({ before }, step) => {
    heads[step] = before.reduce((most, other) => Math.max(most, heads[other]! + own[other]!), 0);
  });
  const rests = new Array<number>(stepCount).fill(0);
  for (let step = stepCount - 1; step >= 0; step--)
    rests[step] = own[step]! + graph.steps[step]!.behind.reduce((most, other) => Math.max(most, rests[other]!), 0);
  return { heads, rests, own };
}

type ModelSetup = PipelineSetup['node']['models'][number]['setup'];

function aloneMs({ machine, environment }: ModelSetup, { budgetMillicores }: PipelineSetup['node']): number {
  return machine.curve.latencyMs(1, Math.min(budgetMillicores, environment.cpu.limits.maxMillicores));
}
