import type { RunPipeline, RunStep } from '../scheduler/domain/event-record.js';

/** A file is anybody's: what is drawn of a pipeline has to be there. */
export function isRunPipeline(value: unknown): value is RunPipeline {
  const { steps, counts } = (value ?? {}) as Partial<RunPipeline>;
  if (!Array.isArray(steps) || steps.length === 0 || !Array.isArray(counts?.steps)) return false;
  return counts.steps.length === steps.length && steps.every(isStep);
}

function isStep(value: unknown, index: number): boolean {
  const { name, target, before } = (value ?? {}) as Partial<RunStep>;
  return (
    typeof name === 'string' &&
    typeof target === 'string' &&
    Array.isArray(before) &&
    before.every((other: unknown) => Number.isInteger(other) && (other as number) >= 0 && (other as number) < index)
  );
}
