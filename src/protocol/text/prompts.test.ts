import { describe, expect, it } from 'vitest';
import { encodeStrings } from '../../scheduler/domain/bytes-elements.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { InferCall, ParameterValue } from '../service.js';
import { withPrompt } from './prompts.js';
import type { Prompts, TextModel } from './text-model.js';

const PROMPTS: Prompts = { byName: { query: 'Frage: ', plain: '' }, defaultName: null };

const model = (prompts: Prompts, task: 'embed' | 'rerank' = 'embed'): TextModel => ({
  ...{ task, maxTokens: 8, maxTexts: 8, dimensions: [], vocabularySize: null, prompts },
});

function call(texts: readonly string[], name?: ParameterValue, more: readonly Tensor[] = []): InferCall {
  const text: Tensor = { name: 'text', datatype: 'BYTES', shape: [texts.length], data: encodeStrings(texts) };
  return {
    ...{ modelName: 'm', inputs: [text, ...more], outputNames: [], statedBudgetsMs: [] },
    ...{ parameters: name === undefined ? {} : { prompt_name: name } },
    arrival: { firstByteAtMs: 0, receivedAtMs: 0, routerDelayMs: 0, bodyBytes: 0, peer: '' },
  };
}

const textOf = ({ inputs }: InferCall): string[] => {
  const bytes = Buffer.from(inputs[0]!.data);
  const texts: string[] = [];
  for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32LE(at))
    texts.push(bytes.toString('utf8', at + 4, at + 4 + bytes.readUInt32LE(at)));
  return texts;
};
const TOKENS: Tensor = { name: 'tokens', datatype: 'INT32', shape: [1, 1], data: new Uint8Array(4) };

describe('a prompt', () => {
  it('goes before each text of a request that names it, byte by byte', () => {
    const asked = call(['ä', '', 'b c'], 'query');
    expect(textOf(withPrompt(asked, model(PROMPTS)))).toEqual(['Frage: ä', 'Frage: ', 'Frage: b c']);
    expect(textOf(asked)).toEqual(['ä', '', 'b c']);
  });

  it('is the model’s own where none is named, and none at all by its name ""', () => {
    const own = model({ ...PROMPTS, defaultName: 'query' });
    expect(textOf(withPrompt(call(['a']), own))).toEqual(['Frage: a']);
    for (const none of ['', 'plain']) expect(textOf(withPrompt(call(['a'], none), own))).toEqual(['a']);
    const asked = call(['a']);
    expect(withPrompt(asked, model(PROMPTS))).toBe(asked);
  });

  it('is none of tokens, which are taken as they are', () => {
    const own = model({ ...PROMPTS, defaultName: 'query' });
    const asked = call([''], undefined, [TOKENS]);
    expect(withPrompt(asked, own)).toBe(asked);
    expect(() => withPrompt(call([''], 'query', [TOKENS]), own)).toThrow('tokens are taken as they are');
  });

  it.each<[string, ParameterValue, TextModel, string]>([
    ['another name', 'document', model(PROMPTS), "model 'm' has 'query', 'plain', and not 'document'"],
    ['a name that objects have', 'toString', model(PROMPTS), "and not 'toString'"],
    ['one of a model without', 'query', model({ byName: {}, defaultName: null }), 'has no prompts'],
    ['one of a model that ranks', 'query', model(PROMPTS, 'rerank'), 'has no prompts'],
    ['no name', 3, model(PROMPTS), 'expected a string'],
  ])('is refused: %s', (_, name, text, message) => {
    expect(() => withPrompt(call(['a'], name), text)).toThrow(message);
  });
});
