import { describe, expect, it } from 'vitest';
import type { PipelineDescription, PipelineStep } from './description.js';
import { graphOf } from './graph.js';

interface Sketch extends Partial<Omit<PipelineStep, 'inputs' | 'outputs'>> {
  readonly takes: Readonly<Record<string, string | readonly string[]>>;
  /** `tensor[]` is a list. */
  readonly gives: readonly string[];
}

function pipeline(
  inputs: readonly string[],
  outputs: readonly string[],
  steps: Readonly<Record<string, Sketch>>,
): PipelineDescription {
  return {
    ...{ inputs, outputs },
    steps: Object.entries(steps).map(([name, { takes, gives, ...rest }]) => ({
      ...{ name, forEach: [], when: null, onFailure: 'fail', maxParts: 8, takesLists: true },
      inputs: Object.entries(takes).map(([input, from]) => ({ name: input, from: [from].flat() })),
      outputs: gives.map((text) => ({
        name: text.replace('[]', ''),
        tensor: text.replace('[]', ''),
        isList: text.endsWith('[]'),
      })),
      ...rest,
    })),
  };
}

const whyNot = (...sketch: Parameters<typeof pipeline>): string => {
  try {
    graphOf(pipeline(...sketch));
    return 'nothing';
  } catch (error) {
    return (error as Error).message;
  }
};

describe('a pipeline that is looked through', () => {
  it('has its steps in an order in which each comes behind what it takes, however they are written', () => {
    const { steps, useCounts, lists } = graphOf(
      pipeline(['page'], ['text', 'boxes'], {
        read: { takes: { x: 'crop' }, gives: ['text'], forEach: ['x'], takesLists: false },
        cut: { takes: { page: 'page', map: 'map' }, gives: ['crop[]', 'boxes'] },
        detect: { takes: { x: 'page' }, gives: ['map'] },
      }),
    );
    expect(steps.map(({ name, before, behind }) => [name, before, behind])).toEqual([
      ['detect', [], [1]],
      ['cut', [0], [2]],
      ['read', [1], []],
    ]);
    expect(Object.fromEntries(useCounts)).toEqual({ page: 2, map: 1, crop: 1, boxes: 1, text: 1 });
    expect(Object.fromEntries(lists)).toEqual({ crop: 'crop', text: 'crop' });
  });

  it.each([
    [
      'a tensor that nobody makes',
      [['a'], ['b'], { s: { takes: { x: 'c' }, gives: ['b'] } }],
      "step 's': input 'x': there is no tensor 'c', only 'a', 'b'",
    ],
    [
      'an output that nobody makes',
      [['a'], ['c'], { s: { takes: { x: 'a' }, gives: ['b'] } }],
      "output 'c': there is no tensor 'c', only 'a', 'b'",
    ],
    [
      'a condition that nobody makes',
      [['a'], ['b'], { s: { takes: { x: 'a' }, gives: ['b'], when: 'd' } }],
      "step 's': when: there is no tensor 'd', only 'a', 'b'",
    ],
    [
      'a circle',
      [['a'], ['c'], { s: { takes: { x: 'c' }, gives: ['b'] }, t: { takes: { x: 'b' }, gives: ['c'] } }],
      "steps wait for each other in a circle: 's' → 't' → 's'",
    ],
    [
      'two makers',
      [['a'], ['b'], { s: { takes: { x: 'a' }, gives: ['b'] }, t: { takes: { x: 'a' }, gives: ['b'] } }],
      "step 't': 'b' is made by step 's' already; call it otherwise",
    ],
    [
      'an input that is made',
      [['a'], ['a'], { s: { takes: { x: 'a' }, gives: ['a'] } }],
      "step 's': 'a' is an input of the pipeline; call its output otherwise",
    ],
    [
      'work for nothing',
      [['a'], ['b'], { s: { takes: { x: 'a' }, gives: ['b'] }, t: { takes: { x: 'b' }, gives: ['c'] } }],
      "step 't': nothing comes of it; use one of its outputs, or remove it",
    ],
    [
      'a model with a list',
      [
        ['a'],
        ['c'],
        { s: { takes: { x: 'a' }, gives: ['b[]'] }, t: { takes: { x: 'b' }, gives: ['c'], takesLists: false } },
      ],
      "step 't': input 'x' gets a list, and a model takes one tensor: name it in for_each",
    ],
    [
      'a list of lists',
      [
        ['a'],
        ['c'],
        { s: { takes: { x: 'a' }, gives: ['b[]'] }, t: { takes: { x: 'b' }, gives: ['c[]'], forEach: ['x'] } },
      ],
      "step 't': output 'c' is a list in each of its parts: a list of lists cannot be",
    ],
    [
      'parts of what is no input',
      [['a'], ['b'], { s: { takes: { x: 'a' }, gives: ['b'], forEach: ['y'] } }],
      "step 's': for_each: 'y' is none of its inputs, those are 'x'",
    ],
    [
      'a condition by parts of a step without',
      [['a'], ['c'], { s: { takes: { x: 'a' }, gives: ['b[]'] }, t: { takes: { x: 'a' }, gives: ['c'], when: 'b' } }],
      "step 't': when: 'b' is a list, and the step runs once: name an input in for_each",
    ],
    ['no outputs', [['a'], [], {}], 'the pipeline has no outputs: name at least one tensor'],
  ] as const)('says in one line what is wrong: %s', (_, sketch, message) => {
    expect(whyNot(...(sketch as unknown as Parameters<typeof pipeline>))).toBe(message);
  });
});
