import { describe, expect, it } from 'vitest';
import { ensembleIn } from './ensemble.js';
import { pipelineIn } from './pipeline-file.js';

const FUNCTION = {
  ...{ name: 'cut', function: './cut.mjs', inputs: { page: 'page' } },
  outputs: { crop: { datatype: 'FP32', shape: [1, -1], list: true } },
};
const MODEL = { name: 'read', model: 'ocr', version: 2, for_each: 'x', inputs: { x: 'crop' }, outputs: { y: 'text' } };
const FILE = {
  inputs: { page: { datatype: 'UINT8', shape: [-1, 3] } },
  outputs: ['text'],
  steps: [FUNCTION, MODEL],
};

const whyNot = (change: object): string => {
  try {
    pipelineIn({ ...FILE, ...change }, '/models/page');
    return 'nothing';
  } catch (error) {
    return (error as Error).message;
  }
};

describe('pipeline.yaml', () => {
  it('says steps, what runs them, and their limits', () => {
    const { description, targets, inputs, defaultSloMs, scheduling } = pipelineIn(
      { ...FILE, slo_ms: 500 },
      '/models/page',
    );
    expect(defaultSloMs).toBe(500);
    expect(inputs).toEqual([{ name: 'page', datatype: 'UINT8', shape: [-1, 3] }]);
    expect(description.steps[1]).toEqual({
      ...{ name: 'read', forEach: ['x'], when: null, onFailure: 'fail', maxParts: 256, takesLists: false },
      inputs: [{ name: 'x', from: ['crop'] }],
      outputs: [{ name: 'y', tensor: 'text', isList: false }],
    });
    expect(targets.get('read')).toEqual({ kind: 'model', model: 'ocr', version: '2' });
    expect(targets.get('cut')).toEqual({
      ...{ kind: 'function', file: '/models/page/cut.mjs' },
      outputs: [{ name: 'crop', datatype: 'FP32', shape: [1, -1], isList: true }],
      limits: { timeMs: 1000, memoryMib: 256, threads: 1 },
    });
    expect(scheduling).toEqual({
      step: [
        { model_name: 'cut', model_version: '-1', input_map: { page: 'page' }, output_map: { crop: 'crop' } },
        { model_name: 'ocr', model_version: '2', input_map: { x: 'crop' }, output_map: { y: 'text' } },
      ],
    });
  });

  it.each([
    [{ steps: [] }, 'steps: Too small: expected array to have >=1 items'],
    [{ inputs: {} }, 'inputs: a pipeline has at least one input'],
    [{ steps: [{ name: 'cut' }] }, "step 'cut': it has neither a model nor a function: say which runs it"],
    [{ steps: [{ ...FUNCTION, model: 'x' }] }, "step 'cut': it has a model and a function: one of them runs it"],
    [{ steps: [FUNCTION, { ...MODEL, timeout: 3 }] }, `step 'read': Unrecognized key: "timeout"`],
    [
      { steps: [FUNCTION, { ...MODEL, for_each: 'z' }] },
      "step 'read': for_each: 'z' is none of its inputs, those are 'x'",
    ],
  ])('says in one line what is wrong: %j', (change, message) => {
    expect(whyNot(change)).toBe(message);
  });
});

describe('an ensemble', () => {
  const step = (model: string, from: string, to: string) => ({
    ...{ model_name: model, model_version: '-1', input_map: { x: from }, output_map: { y: to } },
  });
  const CONFIG = {
    max_batch_size: 8,
    input: [{ name: 'a', data_type: 'TYPE_STRING', dims: ['4'] }],
    output: [{ name: 'c', data_type: 'TYPE_FP32', dims: ['-1'] }],
    ensemble_scheduling: { step: [step('m', 'a', 'b'), step('m', 'b', 'c')] },
  };

  it('is a pipeline of models, each step of a name of its own, with the batch axis in front', () => {
    const { description, targets, inputs, outputs } = ensembleIn(CONFIG, 'e');
    expect(description.steps.map(({ name }) => name)).toEqual(['m', 'm (2)']);
    expect([...targets.values()]).toEqual([
      { kind: 'model', model: 'm' },
      { kind: 'model', model: 'm' },
    ]);
    expect([inputs, outputs]).toEqual([
      [{ name: 'a', datatype: 'BYTES', shape: [-1, 4] }],
      [{ name: 'c', datatype: 'FP32', shape: [-1, -1] }],
    ]);
  });

  it('is refused where it is another one, or has no steps', () => {
    expect(() => ensembleIn({ ...CONFIG, name: 'f' }, 'e')).toThrow("name is 'f', and the folder is called 'e'");
    expect(() => ensembleIn({ ...CONFIG, ensemble_scheduling: { step: [] } }, 'e')).toThrow(
      'an ensemble has at least one step',
    );
  });
});
