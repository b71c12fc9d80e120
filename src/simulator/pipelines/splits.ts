import { longestMs, restsMs, stepMs, type DeadlineSplit, type SplitQuestion } from '../../scheduler/pipeline/timing.js';

/*
 * Other ways to divide a request's time among its steps than ours, for comparison. Both decide at the door for the whole way: what a step
 * does not need is not given to another, and what it takes too long is nobody's. Everything else is as ours.
 */

/** Of n steps behind each other on the longest way, an n-th for each. */
export const equalSplit: DeadlineSplit = (question) =>
  fixedShare(
    question,
    question.graph.steps.map(() => 1),
  );

/** In proportion to what each step takes by itself on all cores, with as many parts as there are of late. */
export const proportionalSplit: DeadlineSplit = (question) =>
  fixedShare(
    question,
    question.outlooks.map((outlook, step) => stepMs(outlook, 'plannedMs', question.expectedParts[step]!)),
  );

function fixedShare(
  { graph, step, outlooks, parts, beganAtMs, dueAtMs }: SplitQuestion,
  weights: readonly number[],
): ReturnType<DeadlineSplit> {
  const heads = new Array<number>(graph.steps.length).fill(0);
  graph.steps.forEach(({ before }, index) => {
    heads[index] = weights[index]! + before.reduce((most, other) => Math.max(most, heads[other]!), 0);
  });
  const behind = graph.steps[step]!.behind;
  const tails = new Array<number>(graph.steps.length).fill(0);
  for (let index = graph.steps.length - 1; index >= 0; index--)
    tails[index] =
      weights[index]! + graph.steps[index]!.behind.reduce((most, other) => Math.max(most, tails[other]!), 0);
  const behindWeight = behind.reduce((most, other) => Math.max(most, tails[other]!), 0);
  const rests = restsMs(graph, outlooks, 'leastMs', parts);
  const latestAtMs = dueAtMs - longestMs(behind.map((other) => rests[other]!));
  const whole = heads[step]! + behindWeight;
  const share = whole === 0 ? 1 : heads[step]! / whole;
  return { dueAtMs: Math.min(latestAtMs, beganAtMs + share * (dueAtMs - beganAtMs)), latestAtMs };
}

/** Nobody knows of deadlines: who came first goes first. */
export const noSplit: DeadlineSplit = ({ beganAtMs }) => ({ dueAtMs: beganAtMs, latestAtMs: beganAtMs });

/** Each step knows when the whole is due. */
export const wholeDeadline: DeadlineSplit = ({ dueAtMs }) => ({ dueAtMs, latestAtMs: dueAtMs });
