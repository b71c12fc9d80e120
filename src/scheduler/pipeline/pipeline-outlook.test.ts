import { describe, expect, it } from 'vitest';
import { MOST_MARKS } from '../domain/pod-report.js';
import { graphOf } from './graph.js';
import { pipelineOutlook, type HeldRequest, type PipelineView } from './pipeline-outlook.js';
import type { StepOutlook } from './timing.js';

const step = (name: string, from: string, to: string) => ({
  ...{ name, forEach: [], when: null, onFailure: 'fail' as const, maxParts: 99, takesLists: true },
  inputs: [{ name: 'x', from: [from] }],
  outputs: [{ name: 'y', tensor: to, isList: false }],
});
/** detect → cut (a function) → read, four parts of it. */
const GRAPH = graphOf({
  inputs: ['a'],
  outputs: ['d'],
  steps: [step('detect', 'a', 'b'), step('cut', 'b', 'c'), step('read', 'c', 'd')],
});

const model = (leastMs: number, partMs: number, startInMs: StepOutlook['startInMs'] = () => 0): StepOutlook => ({
  ...{ leastMs, plannedMs: 1.5 * leastMs, partMs, resource: 'cores', instanceCount: 2, startInMs },
  spareCoreSeconds: 3,
});
const CUT: StepOutlook = { leastMs: 4, plannedMs: 4, partMs: 5, resource: 'cut', startInMs: () => 0 };

/** @param dueInMs of now, 1000 */
const held = (dueInMs: number, coreMs: number, mayBeLate = false): HeldRequest => ({
  ...{ dueAtMs: 1000 + dueInMs, mayBeLate },
  workMs: new Map([
    ['cores', coreMs],
    ['cut', 5],
  ]),
});

const told = (fields: Partial<PipelineView> = {}) =>
  pipelineOutlook(1000, {
    ...{ graph: GRAPH, outlooks: [model(40, 20), CUT, model(10, 5)], parts: [1, 1, 4], held: [], caution: 1 },
    ...{ isFull: false, ...fields },
  });

describe('the outlook of a pipeline', () => {
  it('is what one more takes: alone along its longest way, and of the busiest resource beside others', () => {
    const { leastMs, aloneMs, requestMs, instanceCount, marks, spareCoreSeconds } = told();
    // 40 + 4 + (10 + 3 · 5); planned 60 + 4 + (15 + 3 · 5).
    expect([leastMs, aloneMs]).toEqual([69, 94]);
    // Of the cores 20 + 4 · 5, and of the function's thread 5.
    expect(requestMs).toBe(40);
    // In a hurry it keeps both instances of its models for (60 + 30) / 2.
    expect(instanceCount).toBeCloseTo(94 / 45, 9);
    expect(marks).toEqual([{ dueInMs: 0, startInMs: 0, doneInMs: 0, roomMs: null }]);
    expect(spareCoreSeconds).toBe(3);
  });

  it('has one more behind the work of all who are due before it, wherever that waits, and before the rest', () => {
    const { marks } = told({ held: [held(900, 300), held(500, 100)] });
    expect(marks.map(({ dueInMs }) => dueInMs)).toEqual([0, 500, 900]);
    // Done once 100 and its own 40 are, which is 94 after it could start: 46. Then 400 + 40 − 94.
    expect(marks.map(({ startInMs }) => startInMs)).toEqual([0, 46, 346]);
    expect(marks.map(({ doneInMs }) => doneInMs)).toEqual([0, 100, 400]);
    // Whoever is due at 500 has 100 of work before its end, at 900 it is 400.
    expect(marks.map(({ roomMs }) => roomMs)).toEqual([400, 400, 500]);
  });

  it('takes work for more where the door has learnt to', () => {
    const { requestMs, marks } = told({ held: [held(500, 100)], caution: 1.5 });
    expect(requestMs).toBe(60);
    expect(marks[1]).toEqual({ dueInMs: 500, startInMs: 150 + 60 - 94, doneInMs: 150, roomMs: 350 });
  });

  it('keeps nobody out for who may be late, and not for who is lost', () => {
    const { marks } = told({ held: [held(-5, 1000), held(500, 100, true)] });
    expect(marks).toHaveLength(2);
    expect(marks[1]).toMatchObject({ dueInMs: 500, doneInMs: 100, roomMs: Infinity });
  });

  it('knows of what others wait for at its steps, up to each deadline', () => {
    // Somebody else's requests are due at 150 and at 700, for reading.
    const startInMs = (dueInMs: number): number => (dueInMs >= 700 ? 300 : dueInMs >= 150 ? 120 : 0);
    const { marks } = told({ outlooks: [model(40, 20), CUT, model(10, 5, startInMs)] });
    // Reading begins after 44 of its own way at the soonest: 120 − 44, and 300 − 44. Asked at 94, 188, 376, 752, …
    expect(marks.map(({ dueInMs, startInMs: start }) => [dueInMs, start])).toEqual([
      [0, 0],
      [188, 76],
      [752, 256],
    ]);
  });

  it('can take none before one has left, where it is full', () => {
    expect(told({ isFull: true }).marks).toEqual([{ dueInMs: 0, startInMs: 40, doneInMs: 40, roomMs: null }]);
  });

  it('is of bounded size, and its marks ascend', () => {
    const many = Array.from({ length: 256 }, (_, index) => held(100 + ((index * 7919) % 4000), 1 + (index % 9)));
    const { marks } = told({ held: many });
    expect(marks.length).toBeLessThanOrEqual(MOST_MARKS);
    for (const key of ['dueInMs', 'startInMs', 'doneInMs', 'roomMs'] as const) {
      const values = marks.map((mark) => mark[key] ?? Infinity);
      expect(values).toEqual([...values].sort((a, b) => a - b));
    }
  });
});
