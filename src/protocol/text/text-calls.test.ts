import { describe, expect, it } from 'vitest';
import { encodeStrings } from '../../scheduler/domain/bytes-elements.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { describeBusy, describeError } from '../status.js';
import { textErrorBody, textErrorHeaders } from './error-body.js';
import { readTextCall } from './read-call.js';
import { writeTextAnswer } from './write-answer.js';

const embeddings = (fields: object) => readTextCall('embeddings', { model: 'm', ...fields });
const vectors: Tensor = {
  ...{ name: 'embedding', datatype: 'FP32', shape: [2, 2] },
  data: new Uint8Array(Float32Array.of(3, 4, 0.5, 0).buffer),
};
const json = (bytes: Uint8Array): Record<string, unknown> =>
  JSON.parse(Buffer.from(bytes).toString()) as Record<string, unknown>;

describe('calls of text', () => {
  it('are texts, or lists of tokens of any lengths', () => {
    expect(embeddings({ input: ['a', 'bc'] })).toEqual({
      ...{
        kind: 'embeddings',
        model: 'm',
        encoding: 'float',
        dimensions: null,
        promptName: null,
        textCount: 2,
        tokens: null,
      },
      inputs: [{ name: 'text', datatype: 'BYTES', shape: [2], data: encodeStrings(['a', 'bc']) }],
    });
    const lists = embeddings({ input: [[5, 6, 7], [8]], encoding_format: 'base64', user: 'somebody' });
    expect(lists).toMatchObject({ textCount: 2, encoding: 'base64', tokens: { longest: 3, largestId: 8 } });
    const tokens = lists.inputs.find(({ name }) => name === 'tokens')!;
    expect([tokens.shape, [...new Int32Array(tokens.data.slice().buffer)]]).toEqual([
      [2, 3],
      [5, 6, 7, 8, -1, -1],
    ]);
    expect(embeddings({ input: [5, 6] })).toMatchObject({ textCount: 1 });
  });

  it('make no more of a little JSON than was sent', () => {
    const lists = [new Array<number>(9000).fill(1), ...Array.from({ length: 2000 }, () => [1])];
    expect(() => embeddings({ input: lists })).toThrow('are too many for one request');
  });

  it('are documents for a query, as strings or as objects', () => {
    const call = readTextCall('rerank', {
      model: 'm',
      query: 'q',
      documents: ['a', { text: 'b' }],
      return_documents: true,
    });
    expect(call).toMatchObject({ kind: 'rerank', textCount: 2, topCount: null, documents: ['a', 'b'] });
  });

  it.each([[null], [[]], ['text'], [{ model: 3, input: 'a' }]])('are objects that name a model: %j', (body) => {
    expect(() => readTextCall('embeddings', body)).toThrow(/JSON object|model: expected/);
  });
});

describe('answers of text', () => {
  it('have the vectors in their order, as numbers or as their bytes', () => {
    const answer = { kind: 'embeddings', model: 'm', vectors, dimensions: null, tokenCount: 7 } as const;
    expect(json(writeTextAnswer({ ...answer, encoding: 'float' }))).toEqual({
      ...{ object: 'list', model: 'm', usage: { prompt_tokens: 7, total_tokens: 7 } },
      data: [
        { object: 'embedding', index: 0, embedding: [3, 4] },
        { object: 'embedding', index: 1, embedding: [0.5, 0] },
      ],
    });
    const coded = json(writeTextAnswer({ ...answer, encoding: 'base64' }))['data'] as { embedding: string }[];
    expect(Buffer.from(coded[0]!.embedding, 'base64')).toEqual(Buffer.from(Float32Array.of(3, 4).buffer));
    const cut = json(writeTextAnswer({ ...answer, encoding: 'float', dimensions: 1 }))['data'] as object[];
    expect(cut).toMatchObject([{ embedding: [1] }, { embedding: [1] }]);
  });

  it('have the best documents first, and equal ones in their order', () => {
    const scores: Tensor = {
      ...{ name: 'score', datatype: 'FP32', shape: [4] },
      data: new Uint8Array(Float32Array.of(1, 3, 1, 2).buffer),
    };
    const answer = { kind: 'rerank', id: 'i', model: 'm', scores, tokenCount: 1 } as const;
    const { results } = json(writeTextAnswer({ ...answer, topCount: null, documents: null }));
    expect((results as { index: number }[]).map(({ index }) => index)).toEqual([1, 3, 0, 2]);
    const best = json(writeTextAnswer({ ...answer, topCount: 1, documents: ['a', 'b', 'c', 'd'] }));
    expect(best['results']).toEqual([{ index: 1, relevance_score: 3, document: { text: 'b' } }]);
  });
});

describe('errors of text', () => {
  it('say what, which kind and why, and whether to try again', () => {
    const busy = describeBusy('queue_full', 'queue is full', 'none');
    expect(textErrorBody(busy)).toEqual({
      error: expect.objectContaining({
        type: 'rate_limit_error',
        code: 'queue_full',
        param: null,
        retry_after_ms: 1000,
      }) as object,
    });
    expect(textErrorHeaders(busy)).toEqual({});
    expect(textErrorBody(describeError({ kind: 'not_found', message: 'm' }, 'none'))).toEqual({
      error: { message: 'm', type: 'invalid_request_error', param: null, code: 'model_not_found' },
    });
  });
});
