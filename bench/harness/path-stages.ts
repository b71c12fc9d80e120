import type { PathPoint } from '../../src/server/path-points.js';
import type { PathRecord, ProcessPath } from './path-probe.js';

/* What was written down of requests that were sent one at a time → their stages. A stage is what lies between two points. */

/** A stage by the point that ends it, in order. */
export const STAGES = [
  ['receive', 'received'],
  ['parse', 'parsed'],
  ['check', 'checked'],
  ['admit', 'admitted'],
  ['stage', 'staged'],
  ['plan', 'planned'],
  ['hand over', 'begun'],
  ['run', 'ran'],
  ['back', 'returned'],
  ['settle', 'settled'],
  ['encode', 'encoded'],
  ['write', 'written'],
] as const satisfies readonly (readonly [string, PathPoint])[];

export type Stage = (typeof STAGES)[number][0];

/** Of each request that passed all points once and in order, the µs of each stage. */
export function stageTimes(processes: readonly ProcessPath[]): readonly Readonly<Record<Stage, number>>[] {
  const all = processes.flatMap(({ records }) => records).sort((a, b) => a.atUs - b.atUs);
  return requestsOf(all).flatMap((records) => {
    const atUs = new Map(records.map(({ point, atUs }) => [point, atUs]));
    const times = ['head', ...STAGES.map(([, point]) => point)].map((point) => atUs.get(point) ?? NaN);
    const stages = STAGES.map(([stage], i) => [stage, times[i + 1]! - times[i]!] as const);
    return stages.every(([, us]) => us >= 0) ? [Object.fromEntries(stages) as Record<Stage, number>] : [];
  });
}

const ROUTER_POINTS = [
  ['router: receive', 'received'],
  ['router: parse', 'parsed'],
  ['router: check', 'checked'],
  ['router: admit', 'admitted'],
  ['router: stage', 'staged'],
  ['router: plan', 'planned'],
  ['router: hand over and back', 'returned'],
  ['router: settle', 'settled'],
  ['router: encode', 'encoded'],
  ['router: write', 'written'],
] as const satisfies readonly (readonly [string, PathPoint])[];

const WORKER_POINTS = [
  ['worker: hand over', 'begun'],
  ['worker: run', 'ran'],
  ['worker: back', 'sent'],
] as const satisfies readonly (readonly [string, PathPoint])[];

/** Each process counts for itself; what it did before a request's first point, such as reading its head, counts to its first stage. */
export const BYTE_STAGES = [...ROUTER_POINTS, ...WORKER_POINTS].map(([stage]) => stage);

export type ByteStage = (typeof ROUTER_POINTS | typeof WORKER_POINTS)[number][0];

export interface StageBytes {
  readonly copied: number;
  /** Null where garbage was collected meanwhile. */
  readonly allocated: number | null;
  readonly read: number;
  readonly written: number;
}

/** Of each request but the first, what the process did between two points. Router and worker have as many or not. */
export function stageBytes(processes: readonly ProcessPath[]): Readonly<Record<ByteStage, readonly StageBytes[]>> {
  const bytes = Object.fromEntries(BYTE_STAGES.map((stage) => [stage, []])) as unknown as Record<
    ByteStage,
    StageBytes[]
  >;
  for (const { isWorker, records } of processes) {
    const points = isWorker ? WORKER_POINTS : ROUTER_POINTS;
    let from: PathRecord | undefined;
    for (const part of splitAfter(records, points.at(-1)![1])) {
      for (const [stage, point] of points) {
        const to = part.findLast((each) => each.point === point);
        if (from !== undefined && to !== undefined) bytes[stage].push(difference(from, to));
        from = to;
      }
    }
  }
  return bytes;
}

function difference(from: PathRecord, to: PathRecord): StageBytes {
  return {
    copied: to.copiedBytes - from.copiedBytes,
    allocated: to.collections > from.collections ? null : to.allocatedBytes - from.allocatedBytes,
    read: to.readBytes - from.readBytes,
    written: to.writtenBytes - from.writtenBytes,
  };
}

/** One part a request; what comes before the first is dropped. */
function requestsOf(records: readonly PathRecord[]): readonly (readonly PathRecord[])[] {
  const parts: PathRecord[][] = [];
  for (const each of records) {
    if (each.point === 'head') parts.push([]);
    // A client may have all of its answer, and send the next request, before the router hears that the kernel has taken it.
    const [before, current] = parts.slice(-2);
    const isOfBefore = each.point === 'written' && current?.length === 1;
    (isOfBefore ? before : parts.at(-1))?.push(each);
  }
  return parts;
}

/** Parts that end with that point; what comes after the last is dropped. */
function splitAfter(records: readonly PathRecord[], point: PathPoint): readonly (readonly PathRecord[])[] {
  const parts: PathRecord[][] = [[]];
  for (const each of records) {
    parts.at(-1)!.push(each);
    if (each.point === point) parts.push([]);
  }
  return parts.slice(0, -1);
}
