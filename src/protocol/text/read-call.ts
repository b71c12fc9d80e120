import { encodeStrings } from '../../scheduler/domain/bytes-elements.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { invalid } from '../service.js';
import type { EmbeddingsCall, RerankCall, TextCall, TextRoute } from './text-call.js';

/*
 * The JSON of a call of `/v1` → what it asks for. Embeddings are as OpenAI has them: `input` is a text, a list of texts, a list of tokens, or a
 * list of such. Reranking is as Cohere and Jina have it. Fields that are not known are ignored, as their servers do. Pure.
 */

/** Rows of tokens are as long as the longest: more would be made of a little JSON than was sent. */
const MOST_PADDED_TOKENS = 16 * 1024 ** 2;
export const MOST_TOKEN_ID = 2 ** 31 - 1;

/** @throws OipFailure `invalid` naming the field that is wrong, and what was expected */
export function readTextCall(route: TextRoute, json: unknown): TextCall {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw invalid('request body must be a JSON object');
  const fields = json as Readonly<Record<string, unknown>>;
  return route === 'embeddings' ? readEmbeddings(fields) : readRerank(fields);
}

function readEmbeddings(fields: Readonly<Record<string, unknown>>): EmbeddingsCall {
  const model = readModel(fields);
  const { encoding_format: format = 'float', dimensions = null, prompt_name: promptName = null } = fields;
  if (format !== 'float' && format !== 'base64') throw invalid("encoding_format: expected 'float' or 'base64'");
  if (dimensions !== null && !isCount(dimensions)) throw invalid('dimensions: expected an integer ≥ 1');
  if (promptName !== null && typeof promptName !== 'string') throw invalid('prompt_name: expected a string');
  return { kind: 'embeddings', model, encoding: format, dimensions, promptName, ...readInput(fields['input']) };
}

function readInput(input: unknown): Pick<EmbeddingsCall, 'inputs' | 'textCount' | 'tokens'> {
  if (typeof input === 'string') return ofTexts([input]);
  if (!Array.isArray(input) || input.length === 0) throw wrongInput();
  const [first] = input as readonly unknown[];
  if (typeof first === 'string') {
    if (!input.every((each) => typeof each === 'string')) throw wrongInput();
    return ofTexts(input);
  }
  return ofTokens(typeof first === 'number' ? [input] : input);
}

function ofTexts(texts: readonly string[]): ReturnType<typeof readInput> {
  return { inputs: [textTensor('text', texts)], textCount: texts.length, tokens: null };
}

/** Each list a row, behind whose end −1 stands; where there are tokens no text is read. */
function ofTokens(lists: readonly unknown[]): ReturnType<typeof readInput> {
  let longest = 0;
  let largestId = 0;
  for (const list of lists) {
    if (!Array.isArray(list) || list.length === 0) throw wrongInput();
    longest = Math.max(longest, list.length);
  }
  if (longest * lists.length > MOST_PADDED_TOKENS)
    throw invalid(`input: ${lists.length} lists of up to ${longest} tokens are too many for one request`);
  const rows = new Int32Array(longest * lists.length).fill(-1);
  lists.forEach((list, row) => {
    (list as readonly unknown[]).forEach((id, place) => {
      if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > MOST_TOKEN_ID) throw wrongInput();
      largestId = Math.max(largestId, id);
      rows[row * longest + place] = id;
    });
  });
  const shape = [lists.length, longest];
  const tokens: Tensor = { name: 'tokens', datatype: 'INT32', shape, data: new Uint8Array(rows.buffer) };
  const none = textTensor('text', new Array<string>(lists.length).fill(''));
  return { inputs: [none, tokens], textCount: lists.length, tokens: { longest, largestId } };
}

function wrongInput(): Error {
  return invalid(
    'input: expected a string, a list of strings, a list of token ids, or a list of such lists; none of them empty',
  );
}

function readRerank(fields: Readonly<Record<string, unknown>>): RerankCall {
  const model = readModel(fields);
  const { query, documents, top_n: topCount = null, return_documents: isWithDocuments = false } = fields;
  if (typeof query !== 'string') throw invalid('query: expected a string');
  if (!Array.isArray(documents) || documents.length === 0)
    throw invalid('documents: expected a list of strings, or of objects with a text, that is not empty');
  if (topCount !== null && !isCount(topCount)) throw invalid('top_n: expected an integer ≥ 1');
  if (typeof isWithDocuments !== 'boolean') throw invalid('return_documents: expected true or false');
  const texts = documents.map(textOfDocument);
  return {
    ...{ kind: 'rerank', model, topCount, textCount: texts.length },
    inputs: [textTensor('query', [query]), textTensor('documents', texts)],
    documents: isWithDocuments ? texts : null,
  };
}

function textOfDocument(document: unknown, index: number): string {
  if (typeof document === 'string') return document;
  const text = (document as { readonly text?: unknown } | null)?.text;
  if (typeof text !== 'string')
    throw invalid(`documents: number ${index} is neither a string nor an object with a text`);
  return text;
}

function readModel({ model }: Readonly<Record<string, unknown>>): string {
  if (typeof model !== 'string' || model === '') throw invalid('model: expected the name of a model, a string');
  return model;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 1;
}

/** What is no character by itself (half of a pair) becomes U+FFFD. */
function textTensor(name: string, texts: readonly string[]): Tensor {
  return { name, datatype: 'BYTES', shape: [texts.length], data: encodeStrings(texts) };
}
