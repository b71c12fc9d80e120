import type { Tensor } from '../../scheduler/domain/tensor.js';
import { JsonText } from '../json/text.js';
import { writeJsonData } from '../json/write-data.js';
import type { EmbeddingsAnswer, RerankAnswer, TextAnswer } from './text-call.js';

/*
 * An answer of `/v1` → its JSON. Pure, so that large ones can be written on another thread.
 */

/** In units of about 0.1 µs, as of `writingCost`. */
const FLOAT_COST = 0.5;
const BASE64_COST = 0.02;
const RESULT_COST = 20;

/** Of one that is not written yet. */
export function textWritingCost(answer: TextAnswer): number {
  if (answer.kind === 'rerank') return RESULT_COST * (answer.scores.shape[0] ?? 0);
  const values = answer.vectors.data.byteLength / 4;
  return values * (answer.encoding === 'float' ? FLOAT_COST : BASE64_COST);
}

export function writeTextAnswer(answer: TextAnswer): Uint8Array {
  return answer.kind === 'embeddings' ? writeEmbeddings(answer) : writeRerank(answer);
}

function writeEmbeddings({ model, vectors, encoding, dimensions, tokenCount }: EmbeddingsAnswer): Uint8Array {
  const [count = 0, dimension = 0] = vectors.shape;
  const text = new JsonText();
  text.write('{"object":"list","data":[');
  for (let index = 0; index < count; index++) {
    const whole = vectorOf(vectors, index, dimension);
    const vector = dimensions === null || dimensions === dimension ? whole : cut(whole, dimensions);
    text.write(`${index === 0 ? '' : ','}{"object":"embedding","index":${index},"embedding":`);
    if (encoding === 'base64') text.write(`"${Buffer.from(vector.data).toString('base64')}"`);
    else writeJsonData(text, vector);
    text.write('}');
  }
  text.write(`],"model":${JSON.stringify(model)},"usage":${usage(tokenCount)}}`);
  return text.bytes();
}

/** Its own copy: aligned for whoever reads its numbers. */
function vectorOf({ data }: Tensor, index: number, dimension: number): Tensor {
  const bytes = 4 * dimension;
  const own = new Uint8Array(data.subarray(index * bytes, (index + 1) * bytes));
  return { name: 'embedding', datatype: 'FP32', shape: [dimension], data: own };
}

/** Its first numbers, of length 1 again. */
function cut(vector: Tensor, dimensions: number): Tensor {
  const values = new Float32Array(vector.data.buffer, vector.data.byteOffset, dimensions);
  const length = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  const scaled = length > 0 ? values.map((value) => value / length) : values;
  return { ...vector, shape: [dimensions], data: new Uint8Array(scaled.buffer, scaled.byteOffset, scaled.byteLength) };
}

function writeRerank({ id, model, scores, topCount, documents, tokenCount }: RerankAnswer): Uint8Array {
  const view = new DataView(scores.data.buffer, scores.data.byteOffset, scores.data.byteLength);
  const ranked = Array.from({ length: scores.shape[0] ?? 0 }, (_, index) => ({
    index,
    relevance_score: view.getFloat32(4 * index, true),
  })).sort((a, b) => b.relevance_score - a.relevance_score || a.index - b.index);
  const results = ranked.slice(0, topCount ?? ranked.length).map((result) => ({
    ...result,
    ...(documents === null ? {} : { document: { text: documents[result.index] } }),
  }));
  const json = { id, object: 'list', model, results, usage: JSON.parse(usage(tokenCount)) as object };
  return Buffer.from(JSON.stringify(json));
}

function usage(tokenCount: number): string {
  return `{"prompt_tokens":${tokenCount},"total_tokens":${tokenCount}}`;
}
