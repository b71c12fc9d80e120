import { elementCount, requiredInputs } from '../../../scheduler/domain/tensor.js';
import type { Datatype, TensorSpec } from '../../../scheduler/domain/tensor.js';
import type { InferenceService, ModelEntry } from '../../../protocol/service.js';
import {
  BINARY_REQUEST,
  CHANGES,
  CHANGING_SCHEMAS,
  SCHEMAS,
  hasJsonForm,
  inferRequestSchema,
  listOf,
  named,
  type Schema,
} from './openapi-schemas.js';
import { embeddingsBody, rerankBody, TEXT_SCHEMAS } from './openapi-text.js';
import { DEMAND_PATH, REPORT_PATH } from './report.js';

/*
 * The OpenAPI document of what is served now: the paths of the server, and of each model with the names, types and shapes of its own
 * inputs. What a path answers beyond that is in docs/protocol.md.
 */

type Operation = Readonly<Record<string, unknown>>;
type Path = Readonly<Record<string, Operation>>;

export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: Readonly<Record<string, string>>;
  readonly paths: Readonly<Record<string, Path>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

/** @param mayChangeModels whether whoever asks may load and unload models */
export function openApiDocument(service: InferenceService, mayChangeModels: boolean): OpenApiDocument {
  const models = service.models();
  const ofText = models.filter(({ text, signature }) => text !== undefined && signature !== null);
  const paths: Record<string, Path> = {
    ...serverPaths(),
    ...(ofText.length === 0 ? {} : textPaths(ofText)),
    ...(mayChangeModels ? changingPaths() : {}),
  };
  for (const model of models) {
    const own = `/v2/models/${encodeURIComponent(model.name)}`;
    Object.assign(
      paths,
      modelPaths(own, service.model(model.name)),
      modelPaths(`${own}/versions/${model.version}`, model),
    );
    Object.assign(paths, { [`${own}/trace/setting`]: settings('TraceSettings', `of model ${model.name}`) });
  }
  if (service.reports !== undefined) {
    paths[DEMAND_PATH] = get('what was asked of each model', { type: 'object' });
    paths[REPORT_PATH] = get('how much room there is for one more request', { type: 'object' }, 400, 503);
  }
  return {
    openapi: '3.1.0',
    info: {
      title: service.serverName,
      version: service.serverVersion,
      description:
        'Open Inference Protocol v2. A request says how much time it has, and is answered by then or told why not.',
    },
    paths,
    components: {
      schemas: {
        ...SCHEMAS,
        ...(ofText.length === 0 ? {} : TEXT_SCHEMAS),
        ...(mayChangeModels ? CHANGING_SCHEMAS : {}),
      },
    },
  };
}

function serverPaths(): Record<string, Path> {
  return {
    '/v2': get('metadata of the server', named('ServerMetadata')),
    '/v2/health/live': get('whether the server lives', { type: 'object' }, 503),
    '/v2/health/ready': get('whether the server is ready', { type: 'object' }, 503),
    '/v2/models': get('names of the models', named('ModelList')),
    '/v2/models/stats': get('statistics of all models', named('ModelStatistics')),
    '/v2/repository/index': {
      post: operation('models and their states', named('RepositoryIndex'), {
        refusals: [400, 413],
        body: { type: 'object', properties: { ready: { type: ['boolean', 'null'] } } },
        isBodyOptional: true,
      }),
    },
    '/v2/logging': settings('LogSettings', 'of the log'),
    '/v2/trace/setting': settings('TraceSettings', 'of the server'),
    '/v2/systemsharedmemory/status': get('regions of shared memory: none', listOf({ type: 'object' })),
    '/v2/cudasharedmemory/status': get('regions of CUDA shared memory: none', listOf({ type: 'object' })),
  };
}

/** As OpenAI, Cohere and Jina have them, errors included. */
function textPaths(models: readonly ModelEntry[]): Record<string, Path> {
  const ofTask = (task: 'embed' | 'rerank'): readonly ModelEntry[] => models.filter(({ text }) => text?.task === task);
  const [embedding, ranking] = [ofTask('embed'), ofTask('rerank')];
  const asked = (summary: string, answered: string, body: Schema, example: object): Path => ({
    post: operation(summary, named(answered), {
      ...{ refusals: [400, 404, 408, 413, 429, 500, 503, 504], body, example, error: 'TextError' },
      headers: { 'Request-Timeout-Ms': TIMEOUT_HEADER },
    }),
  });
  const looked = (summary: string, answered: string, ...refusals: readonly number[]): Path => ({
    get: operation(summary, named(answered), { refusals, error: 'TextError' }),
  });
  const paths: Record<string, Path> = { '/v1/models': looked('models that take text', 'TextModelList') };
  for (const { name } of models)
    paths[`/v1/models/${encodeURIComponent(name)}`] = looked(`the model ${name}`, 'TextModel', 404);
  const [first] = embedding;
  if (first !== undefined)
    paths['/v1/embeddings'] = asked('a vector for each text', 'Embeddings', embeddingsBody(embedding), {
      ...{ model: first.name, input: 'a text' },
    });
  const [judge] = ranking;
  if (judge !== undefined)
    paths['/v1/rerank'] = asked('documents by how well each answers a query', 'Ranking', rerankBody(ranking), {
      ...{ model: judge.name, query: 'a question', documents: ['an answer', 'another'] },
    });
  return paths;
}

/** Of any name: a model that is not there yet is loaded by it. */
function changingPaths(): Record<string, Path> {
  return {
    '/v2/repository/models/{model}/load': change('loads a model, or anew what has changed of it', 'LoadRequest', 429),
    '/v2/repository/models/{model}/unload': change('unloads a model', 'UnloadRequest'),
  };
}

function change(summary: string, body: 'LoadRequest' | 'UnloadRequest', ...refusals: readonly number[]): Path {
  const { responses, ...parts } = operation(
    summary,
    {},
    {
      refusals: [400, 404, 413, ...refusals],
      body: named(body),
      isBodyOptional: true,
    },
  );
  const parameters = [{ in: 'path', name: 'model', required: true, schema: { type: 'string', minLength: 1 } }];
  // Without a body.
  const done = { 200: { description: 'done' } };
  return { post: { ...parts, parameters, responses: { ...(responses as object), ...done } } };
}

function modelPaths(path: string, model: ModelEntry): Record<string, Path> {
  const { name } = model;
  const answers = {
    [path]: get(`metadata of ${name}`, named('ModelMetadata'), 404),
    [`${path}/ready`]: get(`whether ${name} is ready`, named('ModelReady'), 404, 503),
    [`${path}/config`]: get(`configuration of ${name}`, named('ModelConfig'), 404),
    [`${path}/stats`]: get(`statistics of ${name}`, named('ModelStatistics'), 404, 503),
  };
  if (model.signature === null) return answers;
  const example = exampleRequest(model);
  const isJson = hasJsonForm(model.signature);
  const infer = operation(`inference by ${name}`, named('InferResponse'), {
    refusals: [400, 404, 408, 413, 429, 500, 503, 504],
    body: isJson ? inferRequestSchema(model) : BINARY_REQUEST,
    contentType: isJson ? 'application/json' : 'application/octet-stream',
    ...(example === null ? {} : { example }),
    headers: {
      'Request-Timeout-Ms': TIMEOUT_HEADER,
      ...(isJson
        ? {}
        : { 'Inference-Header-Content-Length': { description: 'bytes of the JSON', type: 'integer', minimum: 0 } }),
    },
  });
  return { ...answers, [`${path}/infer`]: { post: infer } };
}

const TIMEOUT_HEADER: Schema = {
  ...{ description: 'total time budget, milliseconds', type: 'number', exclusiveMinimum: 0 },
};

function get(summary: string, schema: Schema, ...refusals: readonly number[]): Path {
  return { get: operation(summary, schema, { refusals }) };
}

function settings(schema: 'LogSettings' | 'TraceSettings', whose: string): Path {
  return {
    get: operation(`settings ${whose}`, named(schema), { refusals: [404] }),
    post: operation(`changes settings ${whose}`, named(schema), {
      refusals: [400, 404, 413],
      body: CHANGES[schema],
      isBodyOptional: true,
    }),
  };
}

interface OperationParts {
  /** Statuses, each with an error in the body. Who has no token gets 401 and 403 on any path where tokens are asked for. */
  readonly refusals: readonly number[];
  readonly body?: Schema;
  readonly isBodyOptional?: boolean;
  readonly contentType?: string;
  readonly example?: unknown;
  readonly headers?: Readonly<Record<string, Schema>>;
  /** Of refusals; absent: `Error`. */
  readonly error?: string;
}

function operation(summary: string, schema: Schema, parts: OperationParts): Operation {
  const { refusals, body, isBodyOptional = false, contentType = 'application/json', example, headers, error } = parts;
  const refused = [...refusals, 401, 403]
    .sort((a, b) => a - b)
    .map((status) => [status, answer(STATUS_TEXTS[status]!, named(error ?? 'Error'))]);
  return {
    summary,
    ...(headers === undefined
      ? {}
      : {
          parameters: Object.entries(headers).map(([name, { description, ...rest }]) => ({
            in: 'header',
            name,
            description,
            schema: rest,
          })),
        }),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: !isBodyOptional,
            content: { [contentType]: { schema: body, ...(example === undefined ? {} : { example }) } },
          },
        }),
    responses: { 200: answer('OK', schema), ...Object.fromEntries(refused) },
  };
}

const STATUS_TEXTS: Readonly<Record<number, string>> = {
  400: 'the request is wrong',
  401: 'a token is needed',
  403: 'not with this token, or not from that page',
  404: 'no such model or version',
  408: 'the body did not come in time',
  413: 'the body is over the limit',
  429: 'not at the present load: Retry-After says when',
  500: 'the model failed',
  503: 'not ready',
  504: 'the deadline cannot be met, or has passed',
};

function answer(description: string, schema: Schema): Schema {
  return { description, content: { 'application/json': { schema } } };
}

/** Of one row, all zeros or empty strings; null where JSON cannot carry an input or its rank is not known. */
export function exampleRequest({ signature }: ModelEntry): object | null {
  if (signature === null) return null;
  const inputs = requiredInputs(signature).map(exampleInput);
  return inputs.includes(null) ? null : { inputs };
}

function exampleInput({ name, datatype, shape }: TensorSpec): object | null {
  if (shape === null || datatype === 'FP16' || datatype === 'BF16') return null;
  const sizes = shape.map((size) => Math.max(size, size === -1 ? 1 : 0));
  const count = elementCount(sizes);
  return count > MOST_EXAMPLE_ELEMENTS
    ? null
    : { name, datatype, shape: sizes, data: new Array(count).fill(exampleElement(datatype)) };
}

/** Who reads it reads no more. */
const MOST_EXAMPLE_ELEMENTS = 64;

function exampleElement(datatype: Datatype): string | number | boolean {
  if (datatype === 'BYTES') return '';
  return datatype === 'BOOL' ? false : 0;
}
