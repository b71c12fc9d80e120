import { describe, expect, it } from 'vitest';
import { graphOf } from '../../scheduler/pipeline/graph.js';
import type { SplitQuestion, StepOutlook } from '../../scheduler/pipeline/timing.js';
import { equalSplit, proportionalSplit } from './splits.js';

const outlook = (leastMs: number): StepOutlook => ({
  ...{ leastMs, plannedMs: 2 * leastMs, partMs: leastMs, resource: 'cores' },
  startInMs: () => 0,
});
const step = (name: string, from: string, to: string) => ({
  ...{ name, forEach: [], when: null, onFailure: 'fail' as const, maxParts: 9, takesLists: true },
  inputs: [{ name: 'x', from: [from] }],
  outputs: [{ name: 'y', tensor: to, isList: false }],
});
/** first → second → (third | fourth). */
const GRAPH = graphOf({
  inputs: ['a'],
  outputs: ['d', 'e'],
  steps: [step('first', 'a', 'b'), step('second', 'b', 'c'), step('third', 'c', 'd'), step('fourth', 'c', 'e')],
});
const asked = (index: number, nowMs: number): SplitQuestion => ({
  ...{ nowMs, beganAtMs: 1000, dueAtMs: 1300, graph: GRAPH, step: index },
  outlooks: [outlook(10), outlook(20), outlook(30), outlook(5)],
  ...{ parts: [1, 1, 1, 1], expectedParts: [1, 1, 1, 1] },
});

describe('other splits of a deadline', () => {
  it('give each step of the longest way an equal share, whenever it begins', () => {
    expect([0, 1, 2, 3].map((index) => equalSplit(asked(index, 1000)).dueAtMs)).toEqual([1100, 1200, 1300, 1300]);
    expect(equalSplit(asked(1, 1150)).dueAtMs).toBe(1200);
  });

  it('or one in proportion to what each takes, on the longest way through it', () => {
    // 20 of 20 + 40 + 60, 60 of 120; of the fourth's way all.
    expect([0, 1, 2, 3].map((index) => proportionalSplit(asked(index, 1000)).dueAtMs)).toEqual([
      1050, 1150, 1300, 1300,
    ]);
  });

  it('leave what the rest needs at the least', () => {
    // 1300 − 30 is the last instant for the second.
    const tight = { ...asked(1, 1000), outlooks: [outlook(1), outlook(200), outlook(30), outlook(5)] };
    expect(proportionalSplit(tight)).toEqual({ dueAtMs: 1000 + (402 / 462) * 300, latestAtMs: 1270 });
    expect(
      equalSplit({ ...asked(0, 1000), outlooks: [outlook(1), outlook(200), outlook(60), outlook(5)] }).dueAtMs,
    ).toBe(1040);
  });
});
