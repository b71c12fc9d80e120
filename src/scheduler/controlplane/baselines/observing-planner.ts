import type { Event } from '../../domain/event.js';
import type { Planner } from '../planner.js';

/** A planner with a memory of its own, and what has to be told of every event for it. */
export interface ObservingPlanner {
  readonly planner: Planner;
  readonly observe: (event: Event) => void;
}

/** What all the controllers here have in common: a loop by the clock, and plans that are applied as they are. */
export function timedPlanner(name: string, tickMs: number, plan: Planner['plan']): Planner {
  return {
    name,
    tickMs,
    isEventDriven: false,
    appliesAtOnce: true,
    plansInstances: false,
    plan,
    isStillValid: () => true,
  };
}
