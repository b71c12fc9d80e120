import type { Planner } from '../planner.js';

/** A fixed plan: what a server without in-place scaling has. The batcher still never makes the head late. */
export function staticPlanner(cpuMillicores: number, batchSize: number): Planner {
  const plan = { kind: 'feasible', instances: 1, cpuMillicores, batchSize, boundBy: { kind: 'static' } } as const;
  return {
    name: 'static',
    tickMs: 10_000,
    isEventDriven: false,
    appliesAtOnce: false,
    plansInstances: false,
    plan: () => ({ plan, unsalvageable: [] }),
    isStillValid: () => true,
  };
}
