import type { GraphStep, PipelineGraph } from './graph.js';

/*
 * How long the rest of a request takes, and what of its time each step may have. Pure.
 *
 * The least that the rest takes decides what is refused and dropped; the time as it is planned decides how what is left is divided: in
 * proportion to what each step needs on all cores, along the longest way to the end. That gives each step the same cores, which is
 * what one price of a core's time gives to steps that scale alike: where a step is cheaper to put on more cores than another, moving time to
 * the other costs less. It is divided anew before each step, by what is left then and the parts that there are by then.
 *
 * Rejected: what each step took of late. Given less time a step takes less of it, and is then thought to need less, until it has none.
 */

/** A step as its own scheduler sees it now: for one more part like those of late. */
export interface StepOutlook {
  /** One part alone on all there is: surely, and as it is planned. */
  readonly leastMs: number;
  readonly plannedMs: number;
  /** What each further part takes, where as many share a batch as do most. */
  readonly partMs: number;
  /** Steps with the same resource do their work one after the other, others beside it. */
  readonly resource: string;
  /** Until one more part that is due then could start, behind what is there already. */
  startInMs(dueInMs: number): number;
  /** That run side by side; absent: 1. */
  readonly instanceCount?: number;
  /** Cores × seconds that the next second leaves; absent of what is not counted in cores. */
  readonly spareCoreSeconds?: number;
}

type Latency = 'leastMs' | 'plannedMs';

/** @param parts expected, or known: 0 where it has ended or is left out, and less than 1 where it may be */
export function stepMs(outlook: StepOutlook, latency: Latency, parts: number): number {
  return parts <= 1 ? outlook[latency] * parts : outlook[latency] + (parts - 1) * outlook.partMs;
}

/** Of each step: from its start to the end of the request. */
export function restsMs(
  graph: PipelineGraph,
  outlooks: readonly StepOutlook[],
  latency: Latency,
  parts: readonly number[],
): readonly number[] {
  const rests = new Array<number>(graph.steps.length).fill(0);
  for (let index = graph.steps.length - 1; index >= 0; index--) {
    rests[index] = stepMs(outlooks[index]!, latency, parts[index]!) + behindMs(graph.steps[index]!, rests);
  }
  return rests;
}

/** Of all steps that come after this one, on the longest way. */
function behindMs({ behind }: GraphStep, rests: readonly number[]): number {
  return behind.reduce((most, other) => Math.max(most, rests[other]!), 0);
}

/** The longest way from now on. */
export function longestMs(rests: readonly number[]): number {
  return rests.reduce((most, rest) => Math.max(most, rest), 0);
}

/** The same behind all that waits for each step already. */
export function finishMs(
  graph: PipelineGraph,
  outlooks: readonly StepOutlook[],
  parts: readonly number[],
  dueInMs: number,
): number {
  const finish = new Array<number>(graph.steps.length).fill(0);
  graph.steps.forEach(({ before }, index) => {
    const readyMs = before.reduce((most, other) => Math.max(most, finish[other]!), 0);
    const isSure = parts[index]! >= 1;
    const startMs = isSure ? Math.max(readyMs, outlooks[index]!.startInMs(dueInMs)) : readyMs;
    finish[index] = startMs + stepMs(outlooks[index]!, 'leastMs', parts[index]!);
  });
  return longestMs(finish);
}

export interface StepDeadline {
  /** Its share of what is left: what it is ordered and sized by. */
  readonly dueAtMs: number;
  /** Until then it can be done at all, if all behind it then goes as fast as it can. */
  readonly latestAtMs: number;
}

/** Of a request that is under way. */
export interface SplitQuestion {
  readonly nowMs: number;
  /** When it was let in, and when it is due. */
  readonly beganAtMs: number;
  readonly dueAtMs: number;
  readonly graph: PipelineGraph;
  readonly outlooks: readonly StepOutlook[];
  /** Of all steps what is left, its own included: known where they have begun, else expected. */
  readonly parts: readonly number[];
  /** Of all steps, before any has begun. */
  readonly expectedParts: readonly number[];
  /** Index of one that begins now. */
  readonly step: number;
}

/** How a request's time is divided among its steps: ours is `deadlineOf`. */
export type DeadlineSplit = (question: SplitQuestion) => StepDeadline;

export function deadlineOf({ nowMs, dueAtMs, graph, outlooks, parts, step }: SplitQuestion): StepDeadline {
  const own = graph.steps[step]!;
  const latestAtMs = dueAtMs - behindMs(own, restsMs(graph, outlooks, 'leastMs', parts));
  const leftMs = dueAtMs - nowMs;
  const waitMs = outlooks[step]!.startInMs(leftMs);
  const ownMs = waitMs + stepMs(outlooks[step]!, 'plannedMs', parts[step]!);
  const wholeMs = ownMs + behindMs(own, restsMs(graph, outlooks, 'plannedMs', parts));
  // With less than is planned for, everything that can be spared is this step's.
  if (wholeMs <= 0 || leftMs <= wholeMs) return { dueAtMs: latestAtMs, latestAtMs };
  return { dueAtMs: Math.min(latestAtMs, nowMs + (ownMs / wholeMs) * leftMs), latestAtMs };
}
