import type { ModelEntry } from '../../../protocol/service.js';
import { MOST_TOKEN_ID } from '../../../protocol/text/read-call.js';
import { listOf, named, objectOf, type Schema } from './openapi-schemas.js';

/*
 * What `/v1` takes and gives, for the OpenAPI document: there only where a model takes text.
 */

const text: Schema = { type: 'string' };
const whole: Schema = { type: 'integer', minimum: 1 };
const count: Schema = { type: 'integer', minimum: 0 };
/** Ids that one of the models has. Longer lists would be drawn by who tries out everything that is allowed. */
function tokensOf(models: readonly ModelEntry[]): Schema {
  const maximum = Math.max(...models.map(({ text: own }) => (own?.vocabularySize ?? MOST_TOKEN_ID + 1) - 1));
  return { type: 'array', minItems: 1, maxItems: 8, items: { ...count, maximum } };
}

const usage = objectOf({ prompt_tokens: count, total_tokens: count });
const model = objectOf({ id: text, object: { const: 'model' }, created: count, owned_by: text });

export const TEXT_SCHEMAS: Readonly<Record<string, Schema>> = {
  TextError: objectOf({
    error: {
      type: 'object',
      required: ['message', 'type'],
      properties: {
        message: text,
        type: text,
        param: { type: ['string', 'null'] },
        code: { type: ['string', 'null'] },
      },
    },
  }),
  TextModel: model,
  TextModelList: objectOf({ object: { const: 'list' }, data: listOf(named('TextModel')) }),
  Embeddings: objectOf({
    object: { const: 'list' },
    model: text,
    data: listOf(
      objectOf({
        object: { const: 'embedding' },
        index: count,
        embedding: { oneOf: [listOf({ type: 'number' }), { type: 'string' }] },
      }),
    ),
    usage,
  }),
  Ranking: objectOf({
    id: text,
    object: { const: 'list' },
    model: text,
    results: listOf(
      objectOf({ index: count, relevance_score: { type: 'number' }, document: objectOf({ text }) }, ['document']),
    ),
    usage,
  }),
};

/** @param models of the task */
export function embeddingsBody(models: readonly ModelEntry[]): Schema {
  const tokens = tokensOf(models);
  const prompts = new Set(models.flatMap(({ text: own }) => Object.keys(own?.prompts.byName ?? {})));
  return {
    type: 'object',
    required: ['model', 'input'],
    properties: {
      model: { enum: models.map(({ name }) => name) },
      input: {
        oneOf: [
          text,
          { type: 'array', minItems: 1, maxItems: 64, items: text },
          tokens,
          { type: 'array', minItems: 1, maxItems: 8, items: tokens },
        ],
      },
      encoding_format: { enum: ['float', 'base64'] },
      user: text,
      ...(prompts.size === 0 ? {} : { prompt_name: { enum: [...prompts] } }),
    },
  };
}

export function rerankBody(models: readonly ModelEntry[]): Schema {
  return {
    type: 'object',
    required: ['model', 'query', 'documents'],
    properties: {
      model: { enum: models.map(({ name }) => name) },
      query: text,
      documents: { type: 'array', minItems: 1, maxItems: 64, items: { oneOf: [text, objectOf({ text })] } },
      top_n: whole,
      return_documents: { type: 'boolean' },
    },
  };
}
