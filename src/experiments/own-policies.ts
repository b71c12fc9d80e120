import { jointPlanner } from '../controlplane/joint-planner.js';
import { pricedPlanner } from '../controlplane/priced-planner.js';
import type { CpuRule } from './policies.js';
import type { ScenarioSetup } from './scenarios/setup.js';

/*
 * Our own CPU rules: the priced planner of one worker, the joint one of several warm instances.
 */

/** What can be left out of the planner of one worker, to see what it is worth. */
export const PARTS = ['none', 'slowing', 'learning', 'forecast', 'losses', 'events'] as const;
export type Part = (typeof PARTS)[number];

/** As many as any machine is simulated with. */
const MOST_INSTANCES = 64;

/**
 * @param safety 0: the planner's own   @param instances 0: the scenario's
 * @throws Error, one line, for what several instances do not know
 */
export function sponge(setup: ScenarioSetup, safety: number, instances: number, without: Part): CpuRule {
  const count = instancesOf(setup, instances);
  if (count === 1) return single(safety, without);
  if (safety !== 0 || without !== 'none') throw new Error('policy sponge: safety and without are of one instance only');
  return { planner: jointPlanner(), instances: count };
}

/** @param instances 0: the scenario's */
export function spongeLatency(setup: ScenarioSetup, instances: number): CpuRule {
  const count = instancesOf(setup, instances);
  return count === 1
    ? { planner: pricedPlanner({ prefer: 'latency' }) }
    : { planner: jointPlanner('latency'), instances: count };
}

function instancesOf({ scenario }: ScenarioSetup, asked: number): number {
  const count = asked === 0 ? scenario.cpu.instances : asked;
  if (Number.isInteger(count) && count <= MOST_INSTANCES) return count;
  throw new Error(`policy parameter instances=${asked}: give an integer from 1 to ${MOST_INSTANCES}`);
}

/** The planner without one of its parts. */
function single(safety: number, without: Part): CpuRule {
  const planner = pricedPlanner({
    prefer: 'cpu',
    ...(safety === 0 ? {} : { safety }),
    usesForecast: without !== 'forecast',
    holds: without === 'slowing',
    ...(without === 'losses' ? { lossCoreMs: 0 } : {}),
    ...(without === 'events' ? { everyMs: 1000 } : {}),
  });
  return { planner, learns: without !== 'learning', isAllocationFixed: without === 'slowing' };
}
