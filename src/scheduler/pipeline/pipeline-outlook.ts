import { marksOfSteps, type Step } from '../controlplane/outlook.js';
import type { ModelOutlook } from '../domain/pod-report.js';
import type { PipelineGraph } from './graph.js';
import type { PendingRequest } from './overload.js';
import { finishMs, longestMs, restsMs, stepMs, type StepOutlook } from './timing.js';

/*
 * How much room there is for one more whole request, told to those who choose between several servers in the words in which a model tells it
 * (`controlplane/outlook.ts`). Pure, and by the rules of the door: what is told here as room is what the door will find.
 *
 * One more request is done when its longest way is, behind what waits at each step, and not before each resource has done all work of those who are
 * due earlier and its own: the later of the two, less what it takes alone, is when it "could start". Whoever is due later may be put off until
 * the same sum reaches its deadline. That sum is multiplied by what the door has learnt of its predictions (`caution.ts`).
 *
 * Rejected: the least room of its models' own reports. They know nothing of the parts that requests under way are still to bring, which is what a
 * pipeline's door is there for.
 */

export interface PipelineView {
  readonly graph: PipelineGraph;
  readonly outlooks: readonly StepOutlook[];
  /** Expected of each step. */
  readonly parts: readonly number[];
  /** All that are held. */
  readonly held: readonly HeldRequest[];
  /** ≥ 1: how much more than predicted work is taken to be. */
  readonly caution: number;
  /** As many are held as may be. */
  readonly isFull: boolean;
}

export interface HeldRequest extends Pick<PendingRequest, 'dueAtMs' | 'workMs'> {
  /** It is served late rather than given up: nobody is kept out for it. */
  readonly mayBeLate: boolean;
}

/** Deadlines at which it is asked what waits at the steps, which others than the pipeline's requests wait for too: so many times what one takes alone. */
const ASKED_AT = [1, 2, 4, 8, 16, 32];

export function pipelineOutlook(nowMs: number, view: PipelineView): ModelOutlook {
  const { graph, outlooks, parts, caution, isFull } = view;
  const leastMs = longestMs(restsMs(graph, outlooks, 'leastMs', parts));
  const aloneMs = longestMs(restsMs(graph, outlooks, 'plannedMs', parts));
  const requestMs = caution * busiestMs(ofOne(outlooks, (each, step) => parts[step]! * each.partMs));
  const occupiedMs = busiestMs(
    ofOne(outlooks, (each, step) => stepMs(each, 'plannedMs', parts[step]!) / (each.instanceCount ?? 1)),
  );
  const waitMs = (dueInMs: number): number => {
    const behindStepsMs = finishMs(graph, outlooks, parts, dueInMs) - leastMs;
    // One of those that are held has to go first.
    return Math.max(0, behindStepsMs, isFull ? requestMs : 0);
  };
  const steps = stepsOf(nowMs, view, waitMs, Math.max(0, aloneMs - requestMs));
  const firstInMs = waitMs(0);
  for (const dueInMs of ASKED_AT.map((times) => times * aloneMs))
    addWaiting(steps, dueInMs, waitMs(dueInMs), firstInMs);
  return {
    ...{ leastMs, aloneMs, requestMs, instanceCount: Math.max(1, occupiedMs > 0 ? aloneMs / occupiedMs : 1) },
    marks: marksOfSteps(steps, [nowMs + firstInMs], nowMs),
    spareCoreSeconds: Math.min(...outlooks.map((each) => each.spareCoreSeconds ?? Infinity), MOST_SPARE),
  };
}

/** Of a pipeline of functions alone nothing is told in cores. */
const MOST_SPARE = 1e6;

/** One for each that is held, in the order of their deadlines. @param ownWayMs what one more needs beyond its work */
function stepsOf(
  nowMs: number,
  { held, caution }: PipelineView,
  waitMs: (dueInMs: number) => number,
  ownWayMs: number,
): Step[] {
  const inOrder = held
    .filter(({ dueAtMs, mayBeLate }) => mayBeLate || dueAtMs > nowMs)
    .sort((a, b) => a.dueAtMs - b.dueAtMs);
  const sums = new Map<string, number>();
  let startInMs = 0;
  return inOrder.map(({ dueAtMs, workMs, mayBeLate }) => {
    for (const [resource, ms] of workMs) sums.set(resource, (sums.get(resource) ?? 0) + ms);
    const doneInMs = caution * busiestMs(sums);
    const dueInMs = Math.max(0, dueAtMs - nowMs);
    startInMs = Math.max(startInMs, waitMs(dueInMs), doneInMs - ownWayMs);
    const ownRoomMs = mayBeLate ? Infinity : dueInMs - doneInMs;
    return { dueInMs, startInMs, doneInMs: Math.max(startInMs, doneInMs), roomMs: null, ownRoomMs };
  });
}

/** A deadline at which the wait is longer than before it although none of the pipeline's is due by then. */
function addWaiting(steps: Step[], dueInMs: number, startInMs: number, firstInMs: number): void {
  const place = steps.findIndex((step) => step.dueInMs > dueInMs);
  const before = place < 0 ? steps.at(-1) : steps[place - 1];
  if (startInMs <= (before?.startInMs ?? firstInMs)) return;
  const doneInMs = Math.max(startInMs, before?.doneInMs ?? 0);
  const added: Step = { dueInMs, startInMs, doneInMs, roomMs: null, ownRoomMs: Infinity };
  steps.splice(place < 0 ? steps.length : place, 0, added);
}

/** By resource. */
function ofOne(
  outlooks: readonly StepOutlook[],
  msOf: (outlook: StepOutlook, step: number) => number,
): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  outlooks.forEach((outlook, step) =>
    sums.set(outlook.resource, (sums.get(outlook.resource) ?? 0) + msOf(outlook, step)),
  );
  return sums;
}

function busiestMs(sums: ReadonlyMap<string, number>): number {
  return Math.max(0, ...sums.values());
}
