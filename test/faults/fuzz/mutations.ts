import fc from 'fast-check';

/*
 * What is done to valid requests, as values that fast-check draws from its seed, shrinks and prints: at the level of bytes, of
 * JSON's structure, of headers, and of protobuf's wire format.
 */

/** Numbers at which things break. */
const EDGE_NUMBERS = [
  0,
  -1,
  1,
  2,
  3,
  4,
  5,
  8,
  127,
  128,
  255,
  256,
  65_535,
  65_536,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  1e21,
  0.5,
  -0.1,
  1e308,
];

const edgeNumber = fc.oneof(fc.constantFrom(...EDGE_NUMBERS), fc.double(), fc.integer());

const edgeText = fc.oneof(
  fc.constantFrom(
    '',
    'NaN',
    '-Infinity',
    'true',
    '0x10',
    '__proto__',
    'constructor',
    '../../x',
    '\0',
    '%00',
    '\ud800',
    'ü'.repeat(300),
  ),
  fc.string({ maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
);

export type ByteMutation =
  | { readonly kind: 'overwrite' | 'insert'; readonly at: number; readonly bytes: Uint8Array }
  | { readonly kind: 'delete' | 'repeat'; readonly at: number; readonly length: number }
  | { readonly kind: 'truncate'; readonly at: number };

/** A place in bytes of any length, as a fraction. */
const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const fewBytes = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 8 }),
  fc
    .constantFrom('\r\n', '\r\n\r\n', '\0', '"', '{', '[', '}', ',', ':', ' ', '0\r\n\r\n')
    .map((text) => Buffer.from(text)),
);

export const byteMutation: fc.Arbitrary<ByteMutation> = fc.oneof(
  fc.record({ kind: fc.constantFrom('overwrite' as const, 'insert' as const), at: place, bytes: fewBytes }),
  fc.record({
    kind: fc.constantFrom('delete' as const, 'repeat' as const),
    at: place,
    length: fc.integer({ min: 1, max: 64 }),
  }),
  fc.record({ kind: fc.constant('truncate' as const), at: place }),
);

export function mutateBytes(bytes: Uint8Array, mutation: ByteMutation): Buffer {
  const at = Math.floor(mutation.at * (bytes.length + 1));
  const before = bytes.subarray(0, at);
  switch (mutation.kind) {
    case 'overwrite':
      return Buffer.concat([before, mutation.bytes, bytes.subarray(at + mutation.bytes.length)]);
    case 'insert':
      return Buffer.concat([before, mutation.bytes, bytes.subarray(at)]);
    case 'delete':
      return Buffer.concat([before, bytes.subarray(at + mutation.length)]);
    case 'repeat':
      return Buffer.concat([before, bytes.subarray(at, at + mutation.length), bytes.subarray(at)]);
    case 'truncate':
      return Buffer.from(before);
  }
}

export interface JsonMutation {
  /** Which of all values in the document, as a fraction, in the order in which they stand. */
  readonly at: number;
  readonly change: 'replace' | 'delete' | 'wrap' | 'repeat' | 'rename';
  readonly value: unknown;
  readonly name: string;
}

export const jsonMutation: fc.Arbitrary<JsonMutation> = fc.record({
  at: place,
  change: fc.constantFrom('replace', 'replace', 'replace', 'delete', 'wrap', 'repeat', 'rename'),
  value: fc.oneof(edgeNumber, edgeText, fc.jsonValue({ maxDepth: 3 }), fc.array(edgeNumber, { maxLength: 5 })),
  name: fc.oneof(
    fc.constantFrom(
      'binary_data_size',
      'shape',
      'data',
      'timeout',
      'priority',
      'binary_data_output',
      'classification',
      'sponge_client',
    ),
    edgeText,
  ),
});

type Json = unknown;

/** @returns JSON text */
export function mutateJson(document: Json, mutation: JsonMutation): string {
  const copy = structuredClone({ document });
  const places = [...placesIn(copy)];
  const { holder, key } = places[Math.floor(mutation.at * places.length)]!;
  const { change, value, name } = mutation;
  const values = holder as Record<string, Json>;
  switch (change) {
    case 'replace':
      values[key] = value;
      break;
    case 'delete':
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else Reflect.deleteProperty(holder, key);
      break;
    case 'wrap':
      values[key] = name.length % 2 === 0 ? [values[key]] : { [name]: values[key] };
      break;
    case 'repeat':
      if (Array.isArray(holder)) holder.splice(Number(key), 0, values[key]);
      else values[name] = values[key];
      break;
    case 'rename':
      if (!Array.isArray(holder)) {
        values[name] = values[key];
        Reflect.deleteProperty(holder, key);
      }
  }
  // Nothing is left where the whole document was deleted.
  return 'document' in copy ? JSON.stringify(copy.document) : '';
}

function* placesIn(holder: object): Generator<{ readonly holder: object; readonly key: string }> {
  for (const [key, value] of Object.entries(holder) as [string, unknown][]) {
    yield { holder, key };
    if (typeof value === 'object' && value !== null) yield* placesIn(value);
  }
}

export type HeaderMutation = readonly [name: string, value: string];

/** Of HTTP and of the protocol; values without line breaks: those are the bytes' affair. */
export const headerMutation: fc.Arbitrary<HeaderMutation> = fc.tuple(
  fc.constantFrom(
    'content-length',
    'transfer-encoding',
    'content-encoding',
    'content-type',
    'accept-encoding',
    'expect',
    'connection',
    'host',
    'upgrade',
    'inference-header-content-length',
    'request-timeout-ms',
    'sponge-upload-us',
    'sponge-sent-unix-us',
    'sponge-client',
    'x-request-id',
    'grpc-timeout',
    'grpc-encoding',
    'grpc-accept-encoding',
    'te',
  ),
  fc.oneof(
    edgeNumber.map(String),
    fc.constantFrom(
      'chunked',
      'gzip',
      'deflate',
      'br',
      'identity',
      '100-continue',
      'close',
      'h2c',
      '1S',
      '99999999H',
      '0n',
      'application/json',
    ),
    fc.string({ maxLength: 30 }).map((text) => text.replaceAll(/[^\x20-\x7e]/g, '')),
  ),
);

/** Of one field in a message, or in one nested in it. */
export interface WireMutation {
  readonly at: number;
  readonly change: 'drop' | 'repeat' | 'retag' | 'length' | 'integer' | 'bytes';
  readonly tag: number;
  readonly number: number;
  readonly bytes: Uint8Array;
}

export const wireMutation: fc.Arbitrary<WireMutation> = fc.record({
  at: place,
  change: fc.constantFrom('drop', 'repeat', 'retag', 'length', 'integer', 'bytes'),
  tag: fc.integer({ min: 0, max: 200 }),
  number: fc.oneof(fc.constantFrom(0, 1, 127, 128, 2 ** 31 - 1, 2 ** 32 - 1, 2 ** 53 - 1), fc.nat({ max: 300 })),
  bytes: fc.uint8Array({ maxLength: 12 }),
});

interface Field {
  /** Of the key. */
  readonly from: number;
  /** Of what follows the key, and the length where there is one. */
  readonly payloadFrom: number;
  readonly until: number;
}

/** Changes one field; the lengths around it stay as they were, so that most are then wrong. */
export function mutateWire(message: Uint8Array, { at, change, tag, number, bytes }: WireMutation): Buffer {
  const fields = [...fieldsIn(message, 0, message.length, 0)];
  const field = fields[Math.floor(at * fields.length)];
  if (field === undefined) return Buffer.from(bytes);
  const { from, payloadFrom, until } = field;
  const before = message.subarray(0, from);
  const after = message.subarray(until);
  const own = message.subarray(from, until);
  switch (change) {
    case 'drop':
      return Buffer.concat([before, after]);
    case 'repeat':
      return Buffer.concat([before, own, own, after]);
    case 'retag':
      return Buffer.concat([before, Buffer.of(tag), own.subarray(1), after]);
    case 'length':
      return Buffer.concat([before, own.subarray(0, 1), varint(number), message.subarray(payloadFrom)]);
    case 'integer':
      return Buffer.concat([before, Buffer.of(own[0]! & ~7), varint(number), after]);
    case 'bytes':
      return Buffer.concat([before, Buffer.of((own[0]! & ~7) | 2), varint(bytes.length), bytes, after]);
  }
}

/** As far as the bytes can be read as fields; what is length-delimited may be a message, so it is looked into. */
function* fieldsIn(bytes: Uint8Array, from: number, until: number, depth: number): Generator<Field> {
  for (let offset = from; offset < until;) {
    const key = readVarint(bytes, offset, until);
    if (key === null || key.value === 0) return;
    const wireType = key.value & 7;
    let payloadFrom = key.next;
    let end: number;
    if (wireType === 0) end = readVarint(bytes, payloadFrom, until)?.next ?? until + 1;
    else if (wireType === 1) end = payloadFrom + 8;
    else if (wireType === 5) end = payloadFrom + 4;
    else if (wireType === 2) {
      const length = readVarint(bytes, payloadFrom, until);
      if (length === null) return;
      payloadFrom = length.next;
      end = payloadFrom + length.value;
    } else return;
    if (end > until) return;
    yield { from: offset, payloadFrom, until: end };
    if (wireType === 2 && depth < 3) yield* fieldsIn(bytes, payloadFrom, end, depth + 1);
    offset = end;
  }
}

function readVarint(bytes: Uint8Array, from: number, until: number): { value: number; next: number } | null {
  let value = 0;
  for (let offset = from; offset < until && offset - from < 8; offset++) {
    value += (bytes[offset]! & 0x7f) * 2 ** (7 * (offset - from));
    if (bytes[offset]! < 0x80) return { value, next: offset + 1 };
  }
  return null;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}
