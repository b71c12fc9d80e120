import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import type { TestBench } from '../server/harness.js';

/*
 * Text models that are tiny, and whose right answers can be worked out: a tokenizer of one token a letter and a word or two, and graphs that
 * look each token up in a table.
 */

export const DIMENSION = 4;
const SPECIAL = ['[PAD]', '[UNK]', '[CLS]', '[SEP]'];
const LETTERS = Array.from('abcdefghijklmnopqrstuvwxyz');
const VOCABULARY = [...SPECIAL, ...LETTERS, ...LETTERS.map((letter) => `##${letter}`), 'hello', 'world', '.', '!'];

export const VOCABULARY_SIZE = VOCABULARY.length;

export function idOf(token: string): number {
  const id = VOCABULARY.indexOf(token);
  if (id < 0) throw new Error(`no token ${token}`);
  return id;
}

/** `tokenizer.json`: WordPiece, in lower case, `[CLS] text [SEP]` or `[CLS] text [SEP] other [SEP]`. */
export function tokenizerJson(): string {
  const special = (token: string, type: number): object => ({ SpecialToken: { id: token, type_id: type } });
  const sequence = (id: string, type: number): object => ({ Sequence: { id, type_id: type } });
  const single = [special('[CLS]', 0), sequence('A', 0), special('[SEP]', 0)];
  return JSON.stringify({
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL.map((content, id) => ({
      ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
    })),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      ...{ type: 'TemplateProcessing', single, pair: [...single, sequence('B', 1), special('[SEP]', 1)] },
      special_tokens: Object.fromEntries(
        ['[CLS]', '[SEP]'].map((token) => [token, { id: token, ids: [idOf(token)], tokens: [token] }]),
      ),
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      ...{ type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100 },
      vocab: Object.fromEntries(VOCABULARY.map((token, id) => [token, id])),
    },
  });
}

/** What each token is looked up as. */
export function rowOf(id: number): number[] {
  return Array.from({ length: DIMENSION }, (_, axis) => Math.sin(1 + 3 * id + axis));
}

function table(graph: OnnxGraph): string {
  const rows = Float32Array.from(Array.from({ length: VOCABULARY_SIZE }, (_, id) => rowOf(id)).flat());
  return graph.constant('table', 'FP32', [VOCABULARY_SIZE, DIMENSION], rows);
}

function tokens(graph: OnnxGraph): { readonly ids: string; readonly mask: string } {
  const ids = graph.input('input_ids', 'INT64', ['batch', 'tokens']);
  const mask = graph.input('attention_mask', 'INT64', ['batch', 'tokens']);
  // FP32 is type 1 of ONNX.
  const number = graph.add('Cast', [mask], { to: { int: 1 } });
  return { ids, mask: graph.add('Unsqueeze', [number, graph.constant('last', 'INT64', [1], BigInt64Array.of(2n))]) };
}

/** Each token's row, and the mean of the rows of all tokens of its text added to it: `last_hidden_state` [batch, tokens, 4]. */
export function embedder(): OnnxGraph {
  const graph = new OnnxGraph('embedder');
  const { ids, mask } = tokens(graph);
  const rows = graph.add('Gather', [table(graph), ids]);
  const axis = graph.constant('axis', 'INT64', [1], BigInt64Array.of(1n));
  const sum = graph.add('ReduceSum', [graph.add('Mul', [rows, mask]), axis], { keepdims: { int: 1 } });
  const count = graph.add('ReduceSum', [mask, axis], { keepdims: { int: 1 } });
  const mean = graph.add('Div', [sum, count]);
  graph.output(graph.add('Add', [rows, mean], {}, 'last_hidden_state'), 'FP32', ['batch', 'tokens', DIMENSION]);
  return graph;
}

/** The same, but padding counts: its answers change with it. */
export function leakyEmbedder(): OnnxGraph {
  const graph = new OnnxGraph('leaky');
  const { ids, mask } = tokens(graph);
  const rows = graph.add('Gather', [table(graph), ids]);
  const mean = graph.add('ReduceMean', [rows], { axes: { ints: [1] }, keepdims: { int: 1 } });
  const masked = graph.add('Mul', [rows, mask]);
  graph.output(graph.add('Add', [masked, mean], {}, 'last_hidden_state'), 'FP32', ['batch', 'tokens', DIMENSION]);
  return graph;
}

/** The sum of the first numbers of all tokens' rows: `logits` [batch, 1]. */
export function scorer(): OnnxGraph {
  const graph = new OnnxGraph('scorer');
  const { ids, mask } = tokens(graph);
  const first = graph.constant(
    'first',
    'FP32',
    [VOCABULARY_SIZE, 1],
    Float32Array.from({ length: VOCABULARY_SIZE }, (_, id) => rowOf(id)[0]!),
  );
  const rows = graph.add('Mul', [graph.add('Gather', [first, ids]), mask]);
  const axis = graph.constant('axis', 'INT64', [1], BigInt64Array.of(1n));
  graph.output(graph.add('ReduceSum', [rows, axis], { keepdims: { int: 0 } }, 'logits'), 'FP32', ['batch', 1]);
  return graph;
}

/** What `embedder` makes of a text's tokens: mean pooled, of length 1. */
export function vectorOf(ids: readonly number[]): number[] {
  const mean = Array.from(
    { length: DIMENSION },
    (_, axis) => ids.reduce((sum, id) => sum + rowOf(id)[axis]!, 0) / ids.length,
  );
  const twice = mean.map((value) => 2 * value);
  const length = Math.hypot(...twice);
  return twice.map((value) => value / length);
}

/** As `scorer` does. */
export function scoreOf(ids: readonly number[]): number {
  return ids.reduce((sum, id) => sum + rowOf(id)[0]!, 0);
}

/** Of letters only: a word is its letters. */
export function idsOf(text: string): number[] {
  const words = text.split(' ').filter((word) => word !== '');
  const own = words.flatMap((word) => Array.from(word, (letter, i) => idOf(i === 0 ? letter : `##${letter}`)));
  return [idOf('[CLS]'), ...own, idOf('[SEP]')];
}

/** A folder of a model of text. */
export function writeTextModel(bench: TestBench, folder: string, graph: OnnxGraph, yaml = ''): void {
  bench.file(`${folder}/model.onnx`, graph.toModel());
  bench.file(`${folder}/tokenizer.json`, tokenizerJson());
  if (yaml !== '') bench.file(`${folder}/model.yaml`, yaml);
}
