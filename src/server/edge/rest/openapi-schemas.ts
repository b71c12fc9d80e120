import { requiredInputs } from '../../../scheduler/domain/tensor.js';
import type { Datatype, ModelSignature, TensorSpec } from '../../../scheduler/domain/tensor.js';
import type { ModelEntry } from '../../../protocol/service.js';
import { TRACE_SETTINGS } from '../trace-settings.js';

/* The parts of the OpenAPI document that say what bodies look like (JSON Schema 2020-12). */

export type Schema = Readonly<Record<string, unknown>>;

const text: Schema = { type: 'string' };
const flag: Schema = { type: 'boolean' };
const count: Schema = { type: 'integer', minimum: 0 };
/** Of an axis, in what is sent. */
const size: Schema = { ...count, maximum: Number.MAX_SAFE_INTEGER };
/** RFC 4648, with its padding. */
const BASE64 = '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=))?$';

export function listOf(items: Schema): Schema {
  return { type: 'array', items };
}

/** An object that has all of these, and maybe more. */
export function objectOf(properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: 'object', properties, ...(required.length === 0 ? {} : { required }) };
}

export function named(schema: string): Schema {
  return { $ref: `#/components/schemas/${schema}` };
}

const parameters: Schema = { type: 'object', additionalProperties: { type: ['string', 'number', 'boolean'] } };
const shape: Schema = listOf({ type: 'integer', minimum: -1 });
const tensorMetadata = objectOf({ name: text, datatype: text, shape, parameters }, ['parameters']);
const duration = objectOf({ count, ns: count });
const computeDurations = { compute_input: duration, compute_infer: duration, compute_output: duration };

const logSettings = {
  log_file: { const: '' },
  log_info: flag,
  log_warning: flag,
  log_error: flag,
  log_verbose_level: count,
  log_format: { const: 'ISO8601' },
};

/** Each as it is, alone or in a list, or cleared: nothing else can be set. */
const traceSettings = [...TRACE_SETTINGS].map(([name, values]) => [name, { enum: [...values, values, [], null] }]);

/** What may be sent to change settings. */
export const CHANGES: Readonly<Record<'LogSettings' | 'TraceSettings', Schema>> = {
  LogSettings: { type: 'object', properties: logSettings, additionalProperties: false },
  TraceSettings: {
    type: 'object',
    properties: Object.fromEntries(traceSettings) as Schema,
    additionalProperties: false,
  },
};

/** Those that are the same for all models. */
export const SCHEMAS: Readonly<Record<string, Schema>> = {
  Error: objectOf({ error: text, reason: text }, ['reason']),
  ServerMetadata: objectOf({ name: text, version: text, extensions: listOf(text) }),
  ModelList: objectOf({ models: listOf(text) }),
  ModelMetadata: objectOf({
    name: text,
    versions: listOf(text),
    platform: text,
    inputs: listOf(tensorMetadata),
    outputs: listOf(tensorMetadata),
  }),
  ModelReady: objectOf({ name: text, ready: flag }),
  ModelConfig: { type: 'object', required: ['name', 'max_batch_size', 'input', 'output'] },
  ModelStatistics: objectOf({
    model_stats: listOf(
      objectOf({
        name: text,
        version: text,
        last_inference: count,
        inference_count: count,
        execution_count: count,
        inference_stats: objectOf({ success: duration, fail: duration, queue: duration, ...computeDurations }),
        batch_stats: listOf(objectOf({ batch_size: count, ...computeDurations })),
      }),
    ),
  }),
  RepositoryIndex: listOf(objectOf({ name: text, version: text, state: text, reason: text })),
  InferResponse: objectOf(
    {
      model_name: text,
      model_version: text,
      id: text,
      parameters,
      outputs: listOf(
        objectOf({ name: text, datatype: text, shape: listOf(count), data: { type: 'array' }, parameters }, [
          'data',
          'parameters',
        ]),
      ),
    },
    ['id', 'parameters'],
  ),
  LogSettings: objectOf(logSettings),
  TraceSettings: { type: 'object', additionalProperties: { anyOf: [text, listOf(text)] } },
};

/** Of calls that load and unload models. */
export const CHANGING_SCHEMAS: Readonly<Record<string, Schema>> = {
  LoadRequest: {
    type: 'object',
    properties: {
      parameters: {
        type: 'object',
        properties: {
          config: { ...text, description: 'JSON of a ModelConfig, in place of the model’s config.pbtxt' },
        },
        patternProperties: {
          '^file:': {
            ...text,
            contentEncoding: 'base64',
            pattern: BASE64,
            description: 'a file in place of the model’s folder: file:<version>/model.onnx; needs config',
          },
        },
        additionalProperties: false,
        anyOf: [{ required: ['config'] }, { patternProperties: { '^file:': false } }],
      },
    },
  },
  UnloadRequest: {
    type: 'object',
    properties: {
      parameters: { type: 'object', properties: { unload_dependents: flag }, additionalProperties: false },
    },
  },
};

/** A JSON head and tensors in binary behind it, which no schema describes. */
export const BINARY_REQUEST: Schema = {
  description:
    'JSON as for other models, with `parameters.binary_data_size` in place of `data`, and the tensors behind it',
};

/** Whether every input of a model can be sent in JSON. */
export function hasJsonForm({ inputs }: ModelSignature): boolean {
  return inputs.every(({ datatype }) => ELEMENT_TYPES[datatype].length > 0);
}

/** A request to one model, in JSON. */
export function inferRequestSchema({ signature }: ModelEntry): Schema {
  const inputs = signature?.inputs ?? [];
  const outputs = signature?.outputs ?? [];
  const required = signature === null ? [] : requiredInputs(signature);
  return objectOf(
    {
      id: text,
      parameters: {
        ...parameters,
        properties: {
          timeout: { ...count, description: 'total time budget, microseconds; 0 is none' },
          priority: { ...count, description: '1 is the highest; breaks ties between equal deadlines' },
          sponge_least_accuracy: {
            ...{
              type: ['number', 'string'],
              description: 'of a model with variants: the least accuracy that the request takes',
            },
          },
          sponge_accuracy_weight: {
            ...{
              type: ['number', 'string'],
              description: 'of such a model: from 0, the soonest answer, to 1, the most accurate',
            },
          },
          best_effort: { ...flag, description: 'rather late than refused' },
        },
      },
      inputs: {
        type: 'array',
        minItems: required.length,
        maxItems: inputs.length,
        items: { oneOf: inputs.map(inputSchema) },
        // Each of them, in any order.
        ...(required.length < 2 ? {} : { allOf: required.map(({ name }) => ({ contains: hasName(name) })) }),
      },
      outputs: listOf(
        objectOf({ name: { enum: outputs.map(({ name }) => name) }, parameters: outputParameters }, ['parameters']),
      ),
    },
    ['id', 'parameters', 'outputs'],
  );
}

const outputParameters: Schema = {
  ...parameters,
  properties: {
    binary_data: flag,
    classification: { ...count, description: 'the largest of each row instead, as value:index:label' },
  },
};

function hasName(name: string): Schema {
  return { type: 'object', properties: { name: { const: name } }, required: ['name'] };
}

function inputSchema(spec: TensorSpec): Schema {
  const { name, datatype, shape: sizes } = spec;
  return objectOf(
    {
      name: { const: name },
      datatype: { const: datatype },
      shape: shapeSchema(sizes),
      data: dataSchema(datatype, sizes === null || sizes.length === 0),
      parameters,
    },
    ['parameters'],
  );
}

function shapeSchema(sizes: readonly number[] | null): Schema {
  if (sizes === null) return listOf(size);
  const prefixItems = sizes.map((each) => (each === -1 ? size : { const: each }));
  return {
    type: 'array',
    ...(sizes.length === 0 ? {} : { prefixItems }),
    minItems: sizes.length,
    maxItems: sizes.length,
  };
}

/** Flat, or nested as the shape says; of what may be a scalar also the bare element. */
function dataSchema(datatype: Datatype, mayBeScalar: boolean): Schema {
  return {
    description: `${datatype}, flat in row-major order or nested as the shape says, as many as the shape has`,
    type: mayBeScalar ? ['array', ...ELEMENT_TYPES[datatype]] : 'array',
  };
}

const LONG = ['integer', 'string'] as const;
const FLOAT = ['number', 'string'] as const;

/** As what an element comes in JSON; FP16 and BF16 come as binary data alone. */
const ELEMENT_TYPES: Readonly<Record<Datatype, readonly string[]>> = {
  BOOL: ['boolean'],
  UINT8: ['integer'],
  UINT16: ['integer'],
  UINT32: ['integer'],
  UINT64: LONG,
  INT8: ['integer'],
  INT16: ['integer'],
  INT32: ['integer'],
  INT64: LONG,
  FP16: [],
  BF16: [],
  FP32: FLOAT,
  FP64: FLOAT,
  BYTES: ['string'],
};
