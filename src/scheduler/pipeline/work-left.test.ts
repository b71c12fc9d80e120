import { describe, expect, it } from 'vitest';
import { graphOf } from './graph.js';
import { PartsInFlight } from './parts-in-flight.js';
import { Progress } from './progress.js';
import type { StepOutlook } from './timing.js';
import { doneFraction, workLeft } from './work-left.js';

const outlook = (partMs: number, resource: string): StepOutlook => ({
  ...{ leastMs: partMs, plannedMs: partMs, partMs, resource },
  startInMs: () => 0,
});
const OUTLOOKS = [outlook(10, 'cores'), outlook(1, 'cut'), outlook(4, 'cores')];
const DEADLINE = { dueAtMs: 1, latestAtMs: 1 };

describe('the work of a request', () => {
  it('that is left is added up by resource, half of what is at a step being done', () => {
    expect(Object.fromEntries(workLeft(OUTLOOKS, [1, 1, 3], null))).toEqual({ cores: 10 + 12, cut: 1 });
    const inFlight = new PartsInFlight();
    for (const part of [0, 1]) inFlight.begin(part, { step: 2, part, inputs: new Map() }, DEADLINE);
    expect(Object.fromEntries(workLeft(OUTLOOKS, [0, 0, 2], inFlight))).toEqual({ cores: 8 - 4, cut: 0 });
  });

  it('that was done is told of all of it, as far as that is known', () => {
    const step = (name: string, from: string, to: string) => ({
      ...{ name, forEach: [], when: null, onFailure: 'fail' as const, maxParts: 9, takesLists: true },
      inputs: [{ name: 'x', from: [from] }],
      outputs: [{ name: 'y', tensor: to, isList: false }],
    });
    const graph = graphOf({
      inputs: ['a'],
      outputs: ['d'],
      steps: [step('find', 'a', 'b'), step('cut', 'b', 'c'), step('read', 'c', 'd')],
    });
    const tensor = { name: 'a', datatype: 'UINT8' as const, shape: [1], data: Uint8Array.of(1) };
    const progress = new Progress({ graph, inputs: new Map([['a', tensor]]), maxBytes: 100 });
    progress.begin();
    expect([doneFraction(OUTLOOKS, progress, [1, 1, 3]), progress.hasBegun]).toEqual([0, false]);
    progress.ended(0, 0, { kind: 'done', outputs: new Map([['y', tensor]]) });
    // 10 of 10 + 1 + 3 · 4.
    expect([doneFraction(OUTLOOKS, progress, [1, 1, 3]), progress.hasBegun]).toEqual([10 / 23, true]);
    expect(doneFraction([], progress, [])).toBe(0);
  });
});
