import { lowerBound } from './columns.js';
import type { TimeRange } from './binning.js';
import type { ModelState } from './model-state.js';

/*
 * What each of several instances did: a lane each, of stretches in which it had the same cores and ran a batch or did not. Only where
 * instances are resized one by one; what all have alike is one allocation, and has no lanes.
 */

/** 1 where instances are alike, or there is one. */
export function laneCount({ model }: ModelState): number {
  return model.allocations?.length ?? 1;
}

export interface Stretch {
  readonly instance: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly millicores: number;
  readonly isRunning: boolean;
}

/** In order of their end within each lane; none of what is not known. A batch that has no end yet runs. */
export function forEachStretch(model: ModelState, range: TimeRange, visit: (stretch: Stretch) => void): void {
  const { resizes, batches } = model;
  const [resizedAtMs, resizedInstance] = [resizes.column('atMs'), resizes.column('instance')];
  const [startedAtMs, startedInstance] = [batches.column('atMs'), batches.column('instance')];
  const millicores = resizes.column('cpuMillicores');
  const endedAtMs = batches.column('endedAtMs');

  const fromMs = Math.max(range.fromMs, model.steps.column('atMs')[0] ?? Infinity);
  let resize = lowerBound(resizedAtMs, fromMs);
  let batch = lowerBound(startedAtMs, fromMs);
  const count = laneCount(model);
  const lastResizes = lastRows(resizedInstance, resize, count);
  const lastBatches = lastRows(startedInstance, batch, count);
  const lanes = Array.from({ length: count }, (_, instance): Lane => {
    const [resizeRow, batchRow] = [lastResizes[instance]!, lastBatches[instance]!];
    // Where rows were forgotten, what the header said holds no longer.
    const atFirst = resizes.dropped === 0 ? (model.model.allocations?.[instance] ?? 0) : 0;
    return {
      sinceMs: fromMs,
      millicores: resizeRow === -1 ? atFirst : millicores[resizeRow]!,
      runsUntilMs: batchRow === -1 ? -Infinity : endOf(endedAtMs[batchRow]!),
    };
  });

  const advance = (instance: number, toMs: number): Lane | undefined => {
    const lane = lanes[instance];
    if (lane === undefined) return undefined;
    const { sinceMs, millicores: cpu, runsUntilMs } = lane;
    const runningToMs = Math.max(sinceMs, Math.min(runsUntilMs, toMs));
    if (runningToMs > sinceMs) {
      visit({ instance, fromMs: sinceMs, toMs: runningToMs, millicores: cpu, isRunning: true });
    }
    if (toMs > runningToMs) visit({ instance, fromMs: runningToMs, toMs, millicores: cpu, isRunning: false });
    lane.sinceMs = Math.max(sinceMs, toMs);
    return lane;
  };
  for (;;) {
    const [resizeMs, batchMs] = [resizedAtMs[resize] ?? Infinity, startedAtMs[batch] ?? Infinity];
    const atMs = Math.min(resizeMs, batchMs);
    if (!(atMs < range.toMs)) break;
    // Of the same instant the resize is first: a batch starts on what is in force.
    if (resizeMs <= batchMs) {
      const lane = advance(resizedInstance[resize]!, atMs);
      if (lane !== undefined) lane.millicores = millicores[resize]!;
      resize += 1;
    } else {
      const lane = advance(startedInstance[batch]!, atMs);
      if (lane !== undefined) lane.runsUntilMs = endOf(endedAtMs[batch]!);
      batch += 1;
    }
  }
  lanes.forEach((_, instance) => advance(instance, range.toMs));
}

interface Lane {
  sinceMs: number;
  millicores: number;
  runsUntilMs: number;
}

/** What an instance does at an instant. */
export interface InstanceNow {
  readonly millicores: number;
  /** Members of the batch that runs; 0 where it rests. */
  readonly batchSize: number;
}

/** By instance. */
export function instancesAt(model: ModelState, instantMs: number): readonly InstanceNow[] {
  const { resizes, batches } = model;
  const count = laneCount(model);
  const resizeRows = lastRows(resizes.column('instance'), upperBound(resizes.column('atMs'), instantMs), count);
  const batchRows = lastRows(batches.column('instance'), upperBound(batches.column('atMs'), instantMs), count);
  const [millicores, sizes] = [resizes.column('cpuMillicores'), batches.column('size')];
  const endedAtMs = batches.column('endedAtMs');
  return Array.from({ length: count }, (_, instance) => {
    const [resizeRow, batchRow] = [resizeRows[instance]!, batchRows[instance]!];
    const isRunning = batchRow !== -1 && endOf(endedAtMs[batchRow]!) > instantMs;
    return {
      millicores: resizeRow === -1 ? (model.model.allocations?.[instance] ?? 0) : millicores[resizeRow]!,
      batchSize: isRunning ? sizes[batchRow]! : 0,
    };
  });
}

function endOf(endedAtMs: number): number {
  return Number.isNaN(endedAtMs) ? Infinity : endedAtMs;
}

function upperBound(ascending: Float64Array, bound: number): number {
  let after = lowerBound(ascending, bound);
  while (ascending[after] === bound) after += 1;
  return after;
}

/** By instance, the last of its rows before `end`; −1 where there is none. */
function lastRows(instances: Float64Array, end: number, count: number): Int32Array {
  const last = new Int32Array(count).fill(-1);
  let missing = count;
  for (let row = end - 1; row >= 0 && missing > 0; row--) {
    const instance = instances[row]!;
    if (last[instance] !== -1) continue;
    last[instance] = row;
    missing -= 1;
  }
  return last;
}
