import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { z } from 'zod';

/*
 * What of a model's configuration means something here, what is refused, because ignoring it would answer something else than it asks
 * for, and the rest, which is named and without effect. docs/models.md has the table.
 */

/** 64 bits, as protobuf's JSON has them. */
const long = z.string().transform(Number);
const sizes = z
  .array(long.refine((size) => size === -1 || (Number.isSafeInteger(size) && size >= 1), 'sizes are -1 or from 1 on'))
  .max(16)
  .default([]);
const reshape = z.object({ shape: sizes }).optional();
const datatype = z.templateLiteral(['TYPE_', z.string()], 'is no element type').optional();
const name = z.string({ error: 'is missing' }).min(1);

const queuePolicy = z.object({
  timeout_action: z.enum(['REJECT', 'DELAY']).default('REJECT'),
  default_timeout_microseconds: long.optional(),
  /** A request's own timeout always counts. */
  allow_timeout_override: z.boolean().optional(),
  max_queue_size: z.int().optional(),
});

/** A request that the model is tried with. */
const warmup = z.object({
  name: z.string().default(''),
  batch_size: z.int().default(0),
  inputs: z
    .record(
      z.string(),
      z.object({
        data_type: datatype,
        dims: sizes,
        zero_data: z.boolean().optional(),
        random_data: z.boolean().optional(),
        input_data_file: z.string().optional(),
      }),
    )
    .default({}),
});

const statedSchema = z.object({
  name: z.string().optional(),
  platform: z.string().optional(),
  backend: z.string().optional(),
  version_policy: z
    .object({
      latest: z.object({ num_versions: z.int().default(0) }).optional(),
      all: z.object({}).optional(),
      specific: z.object({ versions: z.array(z.string()).default([]) }).optional(),
    })
    .optional(),
  max_batch_size: z.int().min(0, 'is 0, or the most rows of a batch').optional(),
  input: z
    .array(
      z.object({
        name,
        data_type: datatype,
        dims: sizes,
        reshape,
        optional: z.boolean().optional(),
        /** For clients that make tensors of images. */
        format: z.string().optional(),
      }),
    )
    .default([]),
  output: z
    .array(z.object({ name, data_type: datatype, dims: sizes, reshape, label_filename: z.string().optional() }))
    .default([]),
  dynamic_batching: z
    .object({
      priority_levels: long.optional(),
      default_priority_level: long.optional(),
      default_queue_policy: queuePolicy.optional(),
    })
    .optional(),
  instance_group: z
    .array(
      z.object({
        kind: z.enum(['KIND_AUTO', 'KIND_GPU', 'KIND_CPU', 'KIND_MODEL']).default('KIND_AUTO'),
        count: z.int().min(1).default(1),
      }),
    )
    .default([]),
  default_model_filename: z.string().optional(),
  parameters: z
    .object({ intra_op_thread_count: z.object({ string_value: z.string().default('') }).optional() })
    .optional(),
  model_warmup: z.array(warmup).default([]),
});

export type StatedConfig = z.infer<typeof statedSchema>;
export type StatedTensor = Pick<StatedConfig['input'][number], 'name' | 'data_type' | 'dims' | 'reshape' | 'optional'>;
export type StatedWarmup = StatedConfig['model_warmup'][number];

export interface ReadConfig {
  readonly stated: StatedConfig;
  /** Of what was said, that which has an effect, as it was said. */
  readonly taken: JsonObject;
  /** Paths of the fields that have none, each once. */
  readonly ignored: readonly string[];
}

/** What would have to be served in another way than it can be. */
const REFUSED: readonly (readonly [path: readonly string[], reason: string])[] = [
  [['sequence_batching'], 'no state is kept from one request to the next'],
  [['ensemble_scheduling'], 'an ensemble is a folder of its own, beside its models'],
  [['batch_input'], 'a model gets the inputs that its requests have'],
  [['batch_output'], 'a batch is cut into the rows of its requests'],
  [['model_transaction_policy', 'decoupled'], 'each request gets one response'],
];

/** @throws Error of one line: what is wrong, or cannot be served */
export function statedIn(config: JsonObject): ReadConfig {
  for (const [path, reason] of REFUSED) {
    if (hasField(config, path)) throw new Error(`${path.join('.')} cannot be served: ${reason}; remove it`);
  }
  const parsed = statedSchema.safeParse(config);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new Error(`${pathText(config, issue.path)}: ${issue.message}`);
  }
  const ignored = new Set<string>();
  const taken = common(config, parsed.data, '', ignored) as JsonObject;
  return { stated: parsed.data, taken, ignored: [...ignored].sort() };
}

function hasField(value: JsonValue | undefined, [first, ...rest]: readonly string[]): boolean {
  if (first === undefined) return true;
  return isObject(value) && first in value && hasField(value[first], rest);
}

/** What of `said` is in `read` too; the paths of all else are added to `ignored`. */
function common(said: JsonValue, read: unknown, path: string, ignored: Set<string>): JsonValue {
  if (Array.isArray(said) && Array.isArray(read)) {
    return said.map((each, index) => common(each, read[index], path, ignored));
  }
  if (!isObject(said) || typeof read !== 'object' || read === null) return said;
  const kept: [string, JsonValue][] = [];
  for (const [field, value] of Object.entries(said)) {
    const own = path === '' ? field : `${path}.${field}`;
    const other = (read as Readonly<Record<string, unknown>>)[field];
    if (other === undefined) ignored.add(own);
    else kept.push([field, common(value, other, own, ignored)]);
  }
  return Object.fromEntries(kept);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `input 'x' dims`, where the element of a list has a name. */
function pathText(config: JsonObject, path: readonly PropertyKey[]): string {
  const words: string[] = [];
  let at: unknown = config;
  for (const key of path) {
    at = (at as Record<PropertyKey, unknown> | undefined)?.[key];
    if (typeof key !== 'number') words.push(String(key));
    else if (isObject(at) && typeof at['name'] === 'string') words.push(`'${at['name']}'`);
    else words.push(String(key + 1));
  }
  return words.join(' ');
}
