import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Lease, Tensor } from '../domain/tensor.js';
import type { PipelineStep } from './description.js';
import { graphOf } from './graph.js';
import { Progress, type PartResult, type PartStart } from './progress.js';

const bytes = (...values: number[]): Tensor => ({
  ...{ name: 't', datatype: 'UINT8', shape: [1, values.length] },
  data: Uint8Array.from(values),
});

/** Lent memory, and how often it is held now. */
function lent(tensor: Tensor): { tensor: Tensor; holds: () => number } {
  let holds = 0;
  const lease: Lease = {
    hold: () => void (holds += 1),
    release: () => {
      holds -= 1;
      if (holds < 0) throw new Error('released more often than held');
    },
  };
  return { tensor: { ...tensor, lease }, holds: () => holds };
}

const step = (
  name: string,
  from: Readonly<Record<string, string | readonly string[]>>,
  gives: readonly string[],
  rest: Partial<PipelineStep> = {},
): PipelineStep => ({
  ...{ name, forEach: [], when: null, onFailure: 'fail', maxParts: 4, takesLists: true },
  inputs: Object.entries(from).map(([input, tensors]) => ({ name: input, from: [tensors].flat() })),
  outputs: gives.map((tensor) => ({
    name: tensor.replace('[]', ''),
    tensor: tensor.replace('[]', ''),
    isList: tensor.endsWith('[]'),
  })),
  ...rest,
});

/** page → crops → (turned, where upside down) → texts, and a join. */
const PAGE = graphOf({
  inputs: ['page'],
  outputs: ['text', 'count'],
  steps: [
    step('cut', { page: 'page' }, ['crop[]', 'isTurned[]']),
    step('turn', { x: 'crop' }, ['turned'], { forEach: ['x'], when: 'isTurned' }),
    step('read', { x: ['turned', 'crop'] }, ['text'], { forEach: ['x'], takesLists: false, onFailure: 'leave_out' }),
    step('count', { all: 'text' }, ['count']),
  ],
});
const [CUT, TURN, READ, COUNT] = [0, 1, 2, 3];

const done = (outputs: Readonly<Record<string, Tensor | readonly Tensor[]>>): PartResult => ({
  kind: 'done',
  outputs: new Map(Object.entries(outputs)),
});
const begun = (starts: readonly PartStart[]): string[] =>
  starts.map(({ step: at, part }) => `${PAGE.steps[at]!.name} ${part}`);
const on = (page = bytes(9)): Progress =>
  new Progress({ graph: PAGE, inputs: new Map([['page', page]]), maxBytes: 1000 });

describe('a request on its way', () => {
  it('divides, runs parts by their condition, takes the first tensor that there is, and joins in order', () => {
    const progress = on();
    expect(begun(progress.begin())).toEqual(['cut 0']);
    const turning = progress.ended(
      CUT,
      0,
      done({ crop: [bytes(1), bytes(2), bytes(3)], isTurned: [bytes(0), bytes(1), bytes(0)] }),
    );
    expect(begun(turning)).toEqual(['turn 1']);
    const reading = progress.ended(TURN, 1, done({ turned: bytes(20) }));
    expect(begun(reading)).toEqual(['read 0', 'read 1', 'read 2']);
    expect(reading.map(({ inputs }) => [...(inputs.get('x') as Tensor).data])).toEqual([[1], [20], [3]]);
    expect(progress.partsOf(READ)).toEqual({ count: 3, left: 3 });
    // In any order, and one of them fails.
    expect(progress.ended(READ, 2, done({ text: bytes(33) }))).toEqual([]);
    expect(progress.ended(READ, 0, { kind: 'failed', message: 'unreadable' })).toEqual([]);
    const [join] = progress.ended(READ, 1, done({ text: bytes(22) }));
    expect((join!.inputs.get('all') as (Tensor | null)[]).map((part) => part && [...part.data])).toEqual([
      null,
      [22],
      [33],
    ]);
    progress.ended(COUNT, 0, done({ count: bytes(2) }));
    expect(progress.isComplete).toBe(true);
    expect(progress.outputs().map(({ name, shape, data }) => [name, shape, [...data]])).toEqual([
      ['text', [2, 1], [22, 33]],
      ['count', [1, 1], [2]],
    ]);
  });

  it('fails with the step, the part and the reason where a part may not fail', () => {
    const graph = graphOf({
      inputs: ['x'],
      outputs: ['y'],
      steps: [step('work', { x: 'x' }, ['y'], { forEach: ['x'] })],
    });
    const x: Tensor = { ...bytes(1, 2, 3), shape: [3, 1] };
    const progress = new Progress({ graph, inputs: new Map([['x', x]]), maxBytes: 100 });
    expect(progress.begin().map(({ inputs }) => inputs.get('x'))).toMatchObject([
      { shape: [1, 1] },
      { shape: [1, 1] },
      { shape: [1, 1] },
    ]);
    expect(progress.ended(0, 1, { kind: 'failed', message: 'no memory' })).toEqual([]);
    expect(progress.failure).toBe("step 'work', part 2: no memory");
    expect(progress.ended(0, 0, done({ y: bytes(1) }))).toEqual([]);
    expect(progress.isComplete).toBe(false);
  });

  it('refuses more parts than the step allows, and more bytes than a request may hold', () => {
    const five = [1, 2, 3, 4, 5].map((value) => bytes(value));
    const many = on();
    many.begin();
    many.ended(CUT, 0, done({ crop: five, isTurned: five }));
    expect(many.failure).toBe("step 'turn': it would run for 5 parts, and max_parts is 4");
    const large = new Progress({ graph: PAGE, inputs: new Map([['page', bytes(9)]]), maxBytes: 10 });
    large.begin();
    large.ended(CUT, 0, done({ crop: [bytes(1, 2, 3, 4, 5, 6, 7, 8, 9)], isTurned: [bytes(0)] }));
    expect(large.failure).toBe("step 'cut': with its outputs the request holds 11 bytes, and may hold 10");
  });

  it('has nothing to do where a list is empty, and leaves out what it needs of what is missing', () => {
    const progress = on();
    progress.begin();
    const [join] = progress.ended(CUT, 0, done({ crop: [], isTurned: [] }));
    expect(begun([join!])).toEqual(['count 0']);
    expect(join!.inputs.get('all')).toEqual([]);
  });

  it('lets go of what it held with the last use of it', () => {
    const crops = [lent(bytes(1)), lent(bytes(2))];
    const text = lent(bytes(7));
    const progress = on();
    progress.begin();
    progress.ended(CUT, 0, done({ crop: crops.map(({ tensor }) => tensor), isTurned: [bytes(0), bytes(0)] }));
    // By reading alone: turning was left out.
    expect(crops.map(({ holds }) => holds())).toEqual([1, 1]);
    progress.ended(READ, 1, done({ text: text.tensor }));
    expect(crops.map(({ holds }) => holds())).toEqual([1, 0]);
    progress.ended(READ, 0, done({ text: bytes(8) }));
    progress.ended(COUNT, 0, done({ count: bytes(2) }));
    expect([...crops.map(({ holds }) => holds()), text.holds()]).toEqual([0, 0, 1]);
    progress.release();
    expect(text.holds()).toBe(0);
    expect(progress.heldBytes).toBe(0);
  });

  it('begins each part once, and holds nothing in the end, whatever fails and in whatever order', () => {
    const outcome = fc.record({
      pick: fc.nat(),
      fails: fc.integer({ min: 0, max: 9 }),
      count: fc.integer({ min: 0, max: 4 }),
    });
    fc.assert(
      fc.property(fc.array(outcome, { minLength: 30, maxLength: 30 }), (outcomes) => {
        const memory: ReturnType<typeof lent>[] = [];
        const make = (value: number): Tensor => {
          const made = lent(bytes(value));
          memory.push(made);
          return made.tensor;
        };
        const progress = on();
        const seen = new Set<string>();
        let open = [...progress.begin()];
        for (const { pick, fails, count } of outcomes) {
          for (const text of begun(open)) seen.add(text);
          const [start] = open.splice(pick % Math.max(1, open.length), 1);
          if (start === undefined) break;
          const parts = (): Tensor[] => Array.from({ length: count }, (_, index) => make(index % 2));
          const { name, outputs } = PAGE.steps[start.step]!;
          const results = outputs.map(({ name: output, isList }) => [output, isList ? parts() : make(1)] as const);
          const isFailing = fails === 0 && name !== 'cut';
          const next = progress.ended(
            start.step,
            start.part,
            isFailing ? { kind: 'failed', message: 'x' } : { kind: 'done', outputs: new Map(results) },
          );
          for (const text of begun(next)) expect(seen).not.toContain(text);
          open.push(...next);
          if (progress.failure !== null) open = [];
        }
        expect(progress.isComplete || progress.failure !== null).toBe(true);
        if (progress.isComplete) progress.outputs();
        progress.release();
        expect(memory.every(({ holds }) => holds() === 0)).toBe(true);
        expect(progress.heldBytes).toBe(0);
      }),
      { numRuns: 500 },
    );
  });
});
