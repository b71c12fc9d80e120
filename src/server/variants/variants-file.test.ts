import { describe, expect, it } from 'vitest';
import type { ModelSignature, TensorSpec } from '../../scheduler/domain/tensor.js';
import { commonSignature } from './variants-contract.js';
import { variantsIn } from './variants-file.js';

const LARGE = { model: 'large', accuracy: 80 };
const SMALL = { model: 'small', version: 2, accuracy: 50 };

const whyNot = (act: () => unknown): string => {
  try {
    act();
    return 'nothing';
  } catch (error) {
    return (error as Error).message;
  }
};

describe('variants.yaml', () => {
  it('says variants, by ascending accuracy, and what is asked of them', () => {
    const { variants, targets, defaultSloMs } = variantsIn({ slo_ms: 500, variants: [LARGE, SMALL] }, 'any');
    expect(variants).toEqual({
      variants: [
        { name: 'small:2', accuracy: 50 },
        { name: 'large', accuracy: 80 },
      ],
      ...{ objective: { kind: 'accuracy' }, leastAccuracy: 0, accuracyWeight: 1, own: [] },
    });
    expect([...targets]).toEqual([
      ['small:2', { kind: 'model', model: 'small', version: '2' }],
      ['large', { kind: 'model', model: 'large' }],
    ]);
    expect(defaultSloMs).toBe(500);
    expect(variantsIn({ mean_accuracy: 60, variants: [LARGE, SMALL] }, 'any').variants!.objective).toEqual({
      ...{ kind: 'cores', meanAccuracy: 60 },
    });
  });

  it('takes files and versions of its folder, and calls the models that are made of them by both names', () => {
    const { variants, targets } = variantsIn(
      {
        variants: [
          { file: 'int8.onnx', accuracy: 91 },
          { version: 2, accuracy: 93 },
          { file: 'npm:@of/models/float.onnx', name: 'best', accuracy: 95 },
          SMALL,
        ],
      },
      'any',
    );
    expect(variants!.variants.map((each) => each.name)).toEqual(['small:2', 'int8', '2', 'best']);
    expect([...targets.values()].slice(1)).toEqual(
      ['any.int8', 'any.2', 'any.best'].map((model) => ({ kind: 'model', model })),
    );
    expect(variants!.own).toEqual([
      { variant: 'int8', model: 'any.int8', from: { kind: 'file', file: 'int8.onnx' } },
      { variant: '2', model: 'any.2', from: { kind: 'version', version: '2' } },
      { variant: 'best', model: 'any.best', from: { kind: 'file', file: 'npm:@of/models/float.onnx' } },
    ]);
  });

  it.each([
    [
      { variants: [LARGE, { accuracy: 1 }] },
      'variants: each is one of model (and its version), file, or version: say which',
    ],
    [
      { variants: [LARGE, { file: 'a.onnx', version: 1, accuracy: 1 }] },
      'variants: each is one of model (and its version), file, or version: say which',
    ],
    [
      { variants: [LARGE, { file: 'a b.onnx', accuracy: 1 }] },
      "variants: 'a b' is to be a name of letters, digits and _ . -: give it one with name",
    ],
    [
      { variants: [LARGE, { version: '02', accuracy: 1 }] },
      "variants: version: a version is a whole number that does not begin with a zero, not '02'",
    ],
    [{ variants: [LARGE] }, 'variants: a model with variants has two at least'],
    [{ variants: [LARGE, LARGE] }, "variants: 'large' is there twice: give one of them a name"],
    [{ variants: [LARGE, SMALL], least_accuracy: 81 }, 'least_accuracy: no variant has 81, the best one has 80'],
    [{ variants: [LARGE, SMALL], mean_accuracy: 81 }, 'mean_accuracy: no variant has 81, the best one has 80'],
    [{ variants: [LARGE, SMALL], slo: 3 }, 'Unrecognized key: "slo"'],
  ])('says in one line what is wrong: %j', (file, message) => {
    expect(whyNot(() => variantsIn(file, 'any'))).toBe(message);
  });
});

describe('what variants take and give', () => {
  const spec = (name: string, shape: TensorSpec['shape'], datatype: TensorSpec['datatype'] = 'FP32'): TensorSpec => ({
    ...{ name, datatype, shape },
  });
  const signature = (inputs: readonly TensorSpec[], outputs = [spec('y', [-1, 5])]): ModelSignature => ({
    ...{ inputs, outputs },
  });
  const common = (one: ModelSignature, other: ModelSignature): ModelSignature =>
    commonSignature([
      { name: 'a', signature: one },
      { name: 'b', signature: other },
    ]);

  it('is what all of them do: the narrower of two shapes', () => {
    expect(common(signature([spec('x', [-1, 3, -1])]), signature([spec('x', [-1, -1, 8])])).inputs).toEqual([
      spec('x', [-1, 3, 8]),
    ]);
    expect(common(signature([spec('x', null)]), signature([spec('x', [2])])).inputs).toEqual([spec('x', [2])]);
  });

  it.each([
    [[spec('x', [1]), spec('z', [1])], "variant 'b' has an input 'z', and 'a' has none of that name"],
    [[], "variant 'b' has no input 'x', and 'a' has"],
    [[spec('x', [1], 'INT64')], "variant 'b': input 'x' is INT64 [1], and of 'a' it is FP32 [1]"],
    [[spec('x', [2])], "variant 'b': input 'x' is FP32 [2], and of 'a' it is FP32 [1]"],
    [[spec('x', [1, 1])], "variant 'b': input 'x' is FP32 [1, 1], and of 'a' it is FP32 [1]"],
  ])('says in one line what does not fit: %j', (inputs, message) => {
    expect(whyNot(() => common(signature([spec('x', [1])]), signature(inputs)))).toBe(message);
  });
});
