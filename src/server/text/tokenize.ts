import { readFileSync } from 'node:fs';
import * as library from '@huggingface/tokenizers';
import type { FunctionTensor } from '../pipelines/functions/function-values.js';
import { framed, frameTokens, templateOf, type Encoded, type TokenTemplate } from './token-template.js';

/*
 * The function that cuts a text into tokens, in a thread of its own: what a stranger's text costs, it costs here. Loaded only where a model
 * has a tokenizer.
 *
 * Only so much of a text is looked at as its longest tokens could be, so no text takes longer than that: a megabyte without a space is its
 * first few thousand characters.
 */

/** What of the library is used here: its own declarations are not found from where modules are as Node has them. */
interface Tokenizer {
  encode(
    text: string,
    options: {
      readonly text_pair?: string;
      readonly add_special_tokens: boolean;
      readonly return_token_type_ids: true;
    },
  ): Encoded;
}
const { Tokenizer: LibraryTokenizer } = library as unknown as {
  readonly Tokenizer: new (tokenizer: object, config: object) => Tokenizer;
};

export interface TokenizeOptions {
  readonly tokenizerPath: string;
  readonly tokenizerConfigPath: string | null;
  readonly isLowerCased: boolean;
  readonly maxTokens: number;
  /** A query goes before each text. */
  readonly isPair: boolean;
}

/** Of a text, for each token that it may have: a word of English has five or six, and its longest fewer than this. */
const CHARACTERS_A_TOKEN = 64;
/** UTF-8 has no longer character. */
const BYTES_A_CHARACTER = 4;

const decoder = new TextDecoder();

let options: TokenizeOptions;
let tokenizer: Tokenizer;
let template: TokenTemplate;

/** Called once, before the first text. @throws Error of one line where the tokenizer cannot be used */
export function begin(given: unknown): void {
  options = given as TokenizeOptions;
  const { tokenizerPath, tokenizerConfigPath, isPair, maxTokens } = options;
  const config = tokenizerConfigPath === null ? {} : objectIn(tokenizerConfigPath);
  tokenizer = new LibraryTokenizer(objectIn(tokenizerPath), config);
  template = templateOf(encode, isPair ? 2 : 1);
  const taken = frameTokens(template);
  if (taken >= maxTokens)
    throw new Error(`${taken} special tokens leave no room for text in ${maxTokens} tokens (max_tokens)`);
}

/** @returns `ids` and `types` of `[1, token]`, framed by special tokens, and how many of them are the text's own */
export default function tokenize(given: Readonly<Record<string, FunctionTensor>>) {
  const texts = [...(options.isPair ? [textIn(given['query']!)] : []), ownTokens(given['text']!)];
  const { ids, types } = framed(template, texts, options.maxTokens);
  const shape = [1, ids.length];
  return {
    ids: { shape, data: ids },
    types: { shape, data: types },
    token_count: { shape: [1], data: Int32Array.of(ids.length) },
  };
}

/** Of a text; or tokens that somebody else made, without what frames them. */
function ownTokens(given: FunctionTensor): readonly number[] {
  if (given.datatype === 'BYTES') return textIn(given);
  // Of a row with fewer than the longest has the rest is −1.
  return unframed([...(given.data as Int32Array)].filter((id) => id >= 0));
}

/** A tokenizer that frames what it gives is as good as one that does not. */
function unframed(ids: readonly number[]): readonly number[] {
  const [before, behind] = [template.frames[0]!.ids, template.frames.at(-1)!.ids];
  const isFramed =
    ids.length >= before.length + behind.length &&
    before.every((id, i) => ids[i] === id) &&
    behind.every((id, i) => ids[ids.length - behind.length + i] === id);
  return isFramed ? ids.slice(before.length, ids.length - behind.length) : ids;
}

function textIn({ data }: FunctionTensor): readonly number[] {
  const [bytes] = data as readonly Uint8Array[];
  const most = options.maxTokens * CHARACTERS_A_TOKEN;
  const text = decoder.decode(bytes!.subarray(0, most * BYTES_A_CHARACTER)).slice(0, most);
  return encode(text, null, false).ids;
}

function encode(text: string, pair: string | null, isFramed: boolean): Encoded {
  const { isLowerCased } = options;
  const { ids, token_type_ids: types } = tokenizer.encode(isLowerCased ? text.toLowerCase() : text, {
    ...{ add_special_tokens: isFramed, return_token_type_ids: true },
    ...(pair === null ? {} : { text_pair: pair }),
  });
  return { ids, token_type_ids: types };
}

function objectIn(path: string): object {
  const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (typeof value !== 'object' || value === null) throw new Error(`${path} holds no JSON object`);
  return value;
}
