import type { PartsInFlight } from './parts-in-flight.js';
import type { Progress } from './progress.js';
import type { StepOutlook } from './timing.js';

/* What is left of a request, and what was done for it, as time of each resource. */

/** Ms by resource. @param parts of each step, that are left   @param inFlight null where it has not begun */
export function workLeft(
  outlooks: readonly StepOutlook[],
  parts: readonly number[],
  inFlight: PartsInFlight | null,
): ReadonlyMap<string, number> {
  const workMs = new Map<string, number>();
  parts.forEach((count, step) => {
    const { resource, partMs } = outlooks[step]!;
    // Of what runs or waits at a step half is taken to be done.
    const left = count - 0.5 * (inFlight?.atStep(step) ?? 0);
    workMs.set(resource, (workMs.get(resource) ?? 0) + Math.max(0, left) * partMs);
  });
  return workMs;
}

/** Of all its work, in [0, 1]. @param expectedParts of steps that have not begun */
export function doneFraction(
  outlooks: readonly StepOutlook[],
  progress: Progress,
  expectedParts: readonly number[],
): number {
  let doneMs = 0;
  let allMs = 0;
  outlooks.forEach(({ partMs }, step) => {
    const own = progress.partsOf(step);
    allMs += partMs * (own?.count ?? (progress.hasEnded(step) ? 0 : expectedParts[step]!));
    if (own !== null) doneMs += partMs * (own.count - own.left);
  });
  return allMs === 0 ? 0 : doneMs / allMs;
}
