import type * as Protobuf from '@bufbuild/protobuf';
import type { DescMessage, JsonObject } from '@bufbuild/protobuf';
import type * as ProtobufText from '@bufbuild/protobuf/txtpb';
import { FILE_DESCRIPTOR_SET_BASE64 } from '../../protocol/grpc/generated/descriptor-set.js';

/*
 * Triton's model configuration as text (config.pbtxt), as JSON (the `config` of a load call, and what REST answers) and as the bytes that
 * gRPC answers. By the descriptors of our own protocol files; what is needed for it is loaded when somebody needs it.
 *
 * In between it is JSON by protobuf's rules, with the field names of the .proto file: 64-bit integers are strings, so that they are
 * exact, and what was not said is not there.
 */

/** Written by hand, or by a program for one model. */
export const MOST_CONFIG_BYTES = 1024 * 1024;
/** Of messages in messages; the deepest field that there is lies in six. */
const DEEPEST = 16;

interface Codecs {
  readonly schema: DescMessage;
  readonly core: typeof Protobuf;
  readonly text: typeof ProtobufText;
}

let loading: Promise<Codecs> | null = null;

function codecs(): Promise<Codecs> {
  loading ??= load();
  return loading;
}

async function load(): Promise<Codecs> {
  const [core, text, wkt] = await Promise.all([
    import('@bufbuild/protobuf'),
    import('@bufbuild/protobuf/txtpb'),
    import('@bufbuild/protobuf/wkt'),
  ]);
  const files = core.fromBinary(wkt.FileDescriptorSetSchema, Buffer.from(FILE_DESCRIPTOR_SET_BASE64, 'base64'));
  const schema = core.createFileRegistry(files).getMessage('inference.ModelConfig');
  if (schema === undefined) throw new Error('the protocol files have no ModelConfig');
  return { schema, core, text };
}

/** @throws Error of one line, with the number of the line that is wrong */
export async function configFromText(text: string): Promise<JsonObject> {
  const { schema, core, text: format } = await codecs();
  const read = (part: string): JsonObject => {
    const message = format.fromText(schema, part, { recursionLimit: DEEPEST });
    return core.toJson(schema, message, { useProtoFieldName: true }) as JsonObject;
  };
  try {
    return read(text);
  } catch (error) {
    const message = messageOf(error);
    throw new Error(`line ${lineOfError(text, message, read)}: ${plain(message)}`, { cause: error });
  }
}

/** @throws Error of one line */
export async function configFromJson(text: string): Promise<JsonObject> {
  const { schema, core } = await codecs();
  try {
    const json: unknown = JSON.parse(text);
    if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new Error('expected a JSON object');
    const message = core.fromJson(schema, json as JsonObject, { recursionLimit: DEEPEST });
    return core.toJson(schema, message, { useProtoFieldName: true }) as JsonObject;
  } catch (error) {
    throw new Error(plain(messageOf(error)), { cause: error });
  }
}

/** As Triton answers it over REST: every field, whether it says something or not, and integers as numbers where JSON has them exactly. */
export async function configAsRest(config: JsonObject): Promise<unknown> {
  const { schema, core } = await codecs();
  const json = core.toJson(schema, core.fromJson(schema, config), {
    useProtoFieldName: true,
    alwaysEmitImplicit: true,
  });
  return withNumbers(json, '');
}

/** As gRPC has it: an encoded `ModelConfig`. */
export async function configAsBytes(config: JsonObject): Promise<Uint8Array> {
  const { schema, core } = await codecs();
  return core.toBinary(schema, core.fromJson(schema, config));
}

/** Fields of 64 bits, wherever they are. Of other fields digits are text. */
const LONG_FIELDS: ReadonlySet<string> = new Set([
  'dims',
  'shape',
  'versions',
  'default_timeout_microseconds',
  'max_queue_delay_microseconds',
  'priority_levels',
  'default_priority_level',
]);

function withNumbers(value: unknown, field: string): unknown {
  if (Array.isArray(value)) return value.map((each) => withNumbers(each, field));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, withNumbers(each, name)]));
  }
  if (typeof value !== 'string' || !LONG_FIELDS.has(field)) return value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** The first line by which the text is wrong in this way; the parser does not tell. */
function lineOfError(text: string, message: string, read: (part: string) => unknown): number {
  const lines = text.split('\n');
  const isWrongBy = (count: number): boolean => {
    try {
      read(lines.slice(0, count).join('\n'));
      return false;
    } catch (error) {
      return messageOf(error) === message;
    }
  };
  let low = 1;
  let high = lines.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isWrongBy(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Without the names of our own files and of the library. */
function plain(message: string): string {
  const line = message.replace(/\s+/g, ' ').replaceAll('message inference.', '').replaceAll('inference.', '');
  return line.replace(/^cannot decode (?:field )?(\S+) from (?:JSON|text format): /, '$1: ').slice(0, 300);
}
