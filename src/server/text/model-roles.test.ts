import { describe, expect, it } from 'vitest';
import type { TensorSpec } from '../../scheduler/domain/tensor.js';
import { rolesOf } from './model-roles.js';
import type { TextDescription } from './text-settings.js';

const tokens = (name: string, shape: readonly number[] = [-1, -1]): TensorSpec => ({ name, datatype: 'INT64', shape });
const floats = (name: string, shape: readonly number[]): TensorSpec => ({ name, datatype: 'FP32', shape });
const describeAs = (task: 'embed' | 'rerank', output: string | null = null): TextDescription =>
  ({ task, output }) as TextDescription;

const BERT = [tokens('input_ids'), tokens('attention_mask'), tokens('token_type_ids'), tokens('position_ids')];

describe('which input and output is what', () => {
  it('is told by names and shapes', () => {
    const outputs = [floats('pooler_output', [-1, 8]), floats('last_hidden_state', [-1, -1, 8])];
    const roles = rolesOf({ inputs: BERT, outputs }, describeAs('embed'));
    expect(roles.inputs.map(({ role }) => role)).toEqual(['ids', 'mask', 'types', 'positions']);
    expect(roles.output).toEqual({ name: 'last_hidden_state', kind: 'tokens', dimension: 8 });
    expect(roles.fixedTokens).toBeNull();
    const both = [...outputs, floats('sentence_embedding', [-1, 4])];
    expect(rolesOf({ inputs: BERT, outputs: both }, describeAs('embed')).output).toMatchObject({ kind: 'vector' });
    expect(rolesOf({ inputs: BERT, outputs }, describeAs('embed', 'pooler_output')).output.dimension).toBe(8);
    const fixed = rolesOf({ inputs: [tokens('ids', [1, 64])], outputs }, describeAs('embed'));
    expect(fixed.fixedTokens).toBe(64);
  });

  it('is a score where a model ranks', () => {
    for (const shape of [[-1, 1], [-1]])
      expect(rolesOf({ inputs: BERT, outputs: [floats('logits', shape)] }, describeAs('rerank')).output.kind).toBe(
        'score',
      );
  });

  it('is no output of tokens where more comes behind the pooling: its vectors would be others, and nobody would see', () => {
    const outputs = [floats('last_hidden_state', [-1, -1, 8]), floats('sentence_embedding', [-1, 4])];
    const of = (output: string): object =>
      rolesOf({ inputs: BERT, outputs }, { ...describeAs('embed', output), innerModule: 'models.Dense' }).output;
    expect(of('sentence_embedding')).toMatchObject({ kind: 'vector' });
    expect(() => of('last_hidden_state')).toThrow('modules.json has a models.Dense behind the pooling');
  });

  it.each([
    [[tokens('input_ids'), floats('pixels', [-1, 3])], [floats('y', [-1, -1, 8])], 'embed', "input 'pixels'"],
    [[tokens('attention_mask')], [floats('y', [-1, -1, 8])], 'embed', 'no input for token ids'],
    [BERT, [floats('logits', [-1, 2])], 'embed', 'none of its outputs is a vector of text'],
    [BERT, [floats('logits', [-1, 3])], 'rerank', 'has 3 scores for each pair'],
    [BERT, [{ ...floats('y', [-1, -1, 8]), datatype: 'FP16' }], 'embed', "output 'y' is FP16"],
  ] as const)('is refused in one line: %#', (inputs, outputs, task, message) => {
    expect(() => rolesOf({ inputs, outputs }, describeAs(task))).toThrow(message);
  });
});
