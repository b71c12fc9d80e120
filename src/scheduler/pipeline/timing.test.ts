import { describe, expect, it } from 'vitest';
import { graphOf } from './graph.js';
import { deadlineOf, finishMs, restsMs, stepMs, type StepOutlook } from './timing.js';

const outlook = (leastMs: number, waitMs = 0, partMs = 2): StepOutlook => ({
  ...{ leastMs, plannedMs: 2 * leastMs, partMs, resource: 'cores' },
  startInMs: () => waitMs,
});

const step = (name: string, from: string, to: string) => ({
  ...{ name, forEach: [], when: null, onFailure: 'fail' as const, maxParts: 99, takesLists: true },
  inputs: [{ name: 'x', from: [from] }],
  outputs: [{ name: 'y', tensor: to, isList: false }],
});

/** first → (second | third), beside each other. */
const FORK = graphOf({
  inputs: ['a'],
  outputs: ['c', 'd'],
  steps: [step('first', 'a', 'b'), step('second', 'b', 'c'), step('third', 'b', 'd')],
});

const split = (dueAtMs: number, outlooks: readonly StepOutlook[], parts: readonly number[], begins: number) =>
  deadlineOf({
    ...{ nowMs: 1000, beganAtMs: 1000, dueAtMs, graph: FORK, outlooks, parts, expectedParts: [1, 1, 1], step: begins },
  });

describe('the time of a pipeline', () => {
  it('of a step is its first part alone, and what each further one adds', () => {
    expect([0, 0.5, 1, 4].map((parts) => stepMs(outlook(10), 'leastMs', parts))).toEqual([0, 5, 10, 10 + 3 * 2]);
  });

  it('from a step to the end is the longest way', () => {
    // 10 + max(20, 30), with 6 parts of the second: 20 + 5 · 2 = 30.
    const outlooks = [outlook(10), outlook(20), outlook(30)];
    expect(restsMs(FORK, outlooks, 'leastMs', [1, 6, 1])).toEqual([40, 30, 30]);
    expect(restsMs(FORK, outlooks, 'plannedMs', [1, 1, 1])).toEqual([80, 40, 60]);
  });

  it('to the end counts what waits at later steps, but not what is done by the time it comes there', () => {
    expect(finishMs(FORK, [outlook(10, 5), outlook(20, 12), outlook(30, 100)], [1, 1, 1], 500)).toBe(130);
    expect(finishMs(FORK, [outlook(10, 5), outlook(20, 12), outlook(30, 15)], [1, 1, 1], 500)).toBe(5 + 10 + 30);
  });

  it('is divided as the steps need it, and a step whose share is not enough may have all that can be spared', () => {
    const outlooks = [outlook(10), outlook(20), outlook(30)];
    // Planned 20 of 20 + 60 = 80: a quarter of 200. At the latest when 30 are left.
    expect(split(1200, outlooks, [1, 1, 1], 0)).toEqual({ dueAtMs: 1050, latestAtMs: 1170 });
    // 60 < 80: what is planned does not fit, what is least does.
    expect(split(1060, outlooks, [1, 1, 1], 0)).toEqual({ dueAtMs: 1030, latestAtMs: 1030 });
    // The last has all that is left.
    expect(split(1200, outlooks, [0, 0, 1], 2)).toEqual({ dueAtMs: 1200, latestAtMs: 1200 });
    // With 20 to wait for: (20 + 20) of 100.
    expect(split(1200, [outlook(10, 20), outlook(20), outlook(30)], [1, 1, 1], 0).dueAtMs).toBe(1080);
  });
});
