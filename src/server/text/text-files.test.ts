import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { describeText } from './text-files.js';

const root = mkdtempSync(join(tmpdir(), 'sponge-text-files-'));
afterAll(() => rmSync(root, { recursive: true }));
let count = 0;

function folderOf(files: Readonly<Record<string, unknown>>): string {
  const folder = join(root, String(count++));
  mkdirSync(folder);
  for (const [name, value] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), typeof value === 'string' ? value : JSON.stringify(value));
  }
  return folder;
}

const module = (name: string): object => ({ type: `sentence_transformers.models.${name}` });

describe('what a folder says of its text', () => {
  it('is nothing without a tokenizer, or where the model is to take tensors', async () => {
    expect(await describeText([folderOf({})], null)).toBeNull();
    expect(await describeText([folderOf({ 'tokenizer.json': {} })], false)).toBeNull();
    await expect(describeText([folderOf({})], { pooling: 'cls' })).rejects.toThrow('there is no tokenizer.json');
  });

  it('is the mean, of length 1, of 512 tokens, where nothing is said', async () => {
    expect(await describeText([folderOf({ 'tokenizer.json': {} })], null)).toMatchObject({
      ...{ task: 'embed', pooling: 'mean', isNormalized: true, maxTokens: 512, activation: 'none', padId: 0 },
      ...{ lengths: null, vocabularySize: null, dimensions: [], output: null, tokenizerConfigPath: null },
    });
  });

  it.each([
    ['a table of ids', { model: { vocab: { a: 0, b: 7 } }, added_tokens: [{ id: 9, content: '[X]' }] }, 10],
    ['a list with scores', { model: { vocab: [['a', 0], ['b', -1]] }, added_tokens: [] }, 2], // prettier-ignore
    ['none', { model: { type: 'WordPiece' } }, null],
    ['no JSON', '{', null],
  ])('has token ids up to those of its tokenizer, where the model does not say: %s', async (_, tokenizer, size) => {
    expect(await describeText([folderOf({ 'tokenizer.json': tokenizer })], null)).toMatchObject({
      vocabularySize: size,
    });
    const both = folderOf({ 'tokenizer.json': tokenizer, 'config.json': { vocab_size: 12 } });
    expect(await describeText([both], null)).toMatchObject({ vocabularySize: 12 });
  });

  it('is what its author’s tools wrote', async () => {
    const folder = folderOf({
      'tokenizer.json': {},
      'tokenizer_config.json': { model_max_length: 512 },
      'config.json': { architectures: ['BertModel'], max_position_embeddings: 512, pad_token_id: 3, vocab_size: 99 },
      'modules.json': [module('Transformer'), module('Pooling')],
      '1_Pooling/config.json': { pooling_mode_cls_token: true, pooling_mode_mean_tokens: false },
      'sentence_bert_config.json': { max_seq_length: 128, do_lower_case: true },
    });
    expect(await describeText([join(root, 'none'), folder], null)).toMatchObject({
      ...{ pooling: 'cls', isNormalized: false, maxTokens: 128, isLowerCased: true, padId: 3, vocabularySize: 99 },
      tokenizerConfigPath: join(folder, 'tokenizer_config.json'),
    });
    const stated = { pooling: 'last', normalize: true, max_tokens: 64, lengths: [32, 8], dimensions: [4] } as const;
    expect(await describeText([folder], { ...stated, lengths: [32, 8], dimensions: [4] })).toMatchObject({
      ...{ pooling: 'last', isNormalized: true, maxTokens: 64, lengths: [8, 32, 64], dimensions: [4] },
    });
  });

  it('is a model that ranks where its author says so', async () => {
    const ranking = { architectures: ['BertForSequenceClassification'] };
    const sigmoid = { activation_fn: 'torch.nn.modules.activation.Sigmoid' };
    const of = (config: object): Promise<unknown> =>
      describeText([folderOf({ 'tokenizer.json': {}, 'config.json': config })], null);
    expect(await of(ranking)).toMatchObject({ task: 'rerank', activation: 'none' });
    expect(await of({ ...ranking, sentence_transformers: sigmoid })).toMatchObject({ activation: 'sigmoid' });
  });

  it('has its author’s prompts, or those that are stated; none where their tokens would be left out', async () => {
    const config = { prompts: { query: 'query: ', document: '' }, default_prompt_name: 'query' };
    const files = { 'tokenizer.json': {}, 'config_sentence_transformers.json': config };
    const of = async (more: object, stated: Parameters<typeof describeText>[1] = null): Promise<unknown> =>
      (await describeText([folderOf({ ...files, ...more })], stated))!.prompts;
    expect(await of({})).toEqual({ byName: config.prompts, defaultName: 'query' });
    expect(await of({}, { default_prompt: null })).toEqual({ byName: config.prompts, defaultName: null });
    expect(await of({}, { prompts: { q: 'Q ' }, default_prompt: 'q' })).toEqual({
      byName: { q: 'Q ' },
      defaultName: 'q',
    });
    expect(await of({ '1_Pooling/config.json': { include_prompt: false } }, { default_prompt: null })).toEqual({
      ...{ byName: {}, defaultName: null },
    });
  });

  it('says what must be in the file where modules come behind the pooling, and an output is named', async () => {
    const files = { 'tokenizer.json': {}, 'modules.json': [module('Pooling'), module('Dense'), module('Normalize')] };
    expect(await describeText([folderOf(files)], { output: 'sentence_embedding' })).toMatchObject({
      ...{ innerModule: 'sentence_transformers.models.Dense', output: 'sentence_embedding', isNormalized: true },
    });
  });

  it('takes no limit for none', async () => {
    const files = { 'tokenizer.json': {}, 'tokenizer_config.json': { model_max_length: 1e30 } };
    expect(await describeText([folderOf(files)], null)).toMatchObject({ maxTokens: 512 });
  });

  it.each([
    [{ 'config.json': '{' }, 'config.json is no JSON'],
    [{ 'config.json': { vocab_size: 'many' } }, 'config.json: vocab_size'],
    [{ '1_Pooling/config.json': { pooling_mode_max_tokens: true } }, 'pooling by max_tokens cannot be had'],
    [{ '1_Pooling/config.json': { pooling_mode_mean_tokens: true, pooling_mode_cls_token: true } }, 'cannot be had'],
    [{ 'modules.json': [module('Pooling')] }, 'modules.json has a Pooling, and there is no 1_Pooling/config.json'],
    [
      { 'modules.json': [{ ...module('Pooling'), path: '3_Pooling' }], '1_Pooling/config.json': {} },
      'there is no 3_Pooling/config.json',
    ],
    [{ 'config_sentence_transformers.json': { prompts: { query: 1 } } }, 'config_sentence_transformers.json: prompts'],
    [{ 'config_sentence_transformers.json': { default_prompt_name: 'query' } }, "default prompt 'query' is none"],
    [
      {
        '1_Pooling/config.json': { include_prompt: false },
        'config_sentence_transformers.json': { prompts: { a: 'a: ' }, default_prompt_name: 'a' },
      },
      'include_prompt is false',
    ],
    [{ 'modules.json': [module('Dense')] }, 'a module sentence_transformers.models.Dense cannot be had'],
  ])('says in one line what cannot be: %j', async (files, message) => {
    await expect(describeText([folderOf({ 'tokenizer.json': {}, ...files })], null)).rejects.toThrow(message);
  });
});
