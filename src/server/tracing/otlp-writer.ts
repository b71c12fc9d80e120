/*
 * Spans as OTLP has them (opentelemetry-proto `trace.proto`, `common.proto`), byte by byte: the entries of a `ScopeSpans`, one behind the
 * other. The SDK's serializer took three quarters of what spans cost, most of it for objects in which each span comes to it.
 */

/** Of `Span`: its fields, with the wire type. */
const SPAN = 0x12;
const TRACE_ID = 0x0a;
const SPAN_ID = 0x12;
const TRACE_STATE = 0x1a;
const PARENT_SPAN_ID = 0x22;
const NAME = 0x2a;
const KIND = 0x30;
const START = 0x39;
const END = 0x41;
const ATTRIBUTES = 0x4a;
const LINKS = 0x6a;
const STATUS = 0x7a;
/** `flags`, a fixed32, has a tag of two bytes. */
const FLAGS = [0x85, 0x01] as const;
/** Sampled; and whether the parent is remote is known, and whether it is. */
const SAMPLED = 0x001;
const IS_REMOTE_KNOWN = 0x100;
const IS_REMOTE = 0x200;

/** Of `KeyValue`, and of the `AnyValue` in it. */
const KEY = 0x0a;
const VALUE = 0x12;
const STRING_VALUE = 0x0a;
const BOOL_VALUE = 0x10;
const INT_VALUE = 0x18;
const DOUBLE_VALUE = 0x21;
const STATUS_MESSAGE = 0x12;
const STATUS_CODE = 0x18;
const STATUS_ERROR = 2;

/** Of a span's length, written before it is known: varints may be longer than they need. */
const LENGTH_BYTES = 4;
/** Names and values that come again and again. */
const MOST_KNOWN_TEXTS = 4096;
const MOST_COPIED_ONE_BY_ONE = 48;
/** Longer texts would be a stranger's to make. */
const MOST_TEXT_BYTES = 1024;

export const INTERNAL = 1;
export const SERVER = 2;

type Words = readonly number[];

interface SpanHead {
  readonly name: string;
  readonly kind: typeof INTERNAL | typeof SERVER;
  readonly traceId: Words;
  readonly spanId: Words;
  /** Null of a root. */
  readonly parentSpanId: Words | null;
  readonly isParentRemote: boolean;
  readonly traceState: string;
  /** Unix ms, fractional. */
  readonly startMs: number;
  readonly endMs: number;
}

export class OtlpWriter {
  #bytes = Buffer.alloc(16 * 1024);
  #at = 0;
  #spanStart = 0;
  #spanCount = 0;
  readonly #known = new Map<string, Uint8Array>();
  /** Of attributes, all before the value itself: by name, and by how long the value is. */
  readonly #heads = new Map<string, Uint8Array[]>();

  get spanCount(): number {
    return this.#spanCount;
  }

  /** Its attributes, links and status follow, and `end`. */
  begin(head: SpanHead): void {
    this.#room(256);
    this.#byte(SPAN);
    this.#spanStart = this.#at;
    this.#at += LENGTH_BYTES;
    this.#id(TRACE_ID, head.traceId);
    this.#id(SPAN_ID, head.spanId);
    if (head.traceState !== '') this.#text(TRACE_STATE, head.traceState);
    if (head.parentSpanId !== null) this.#id(PARENT_SPAN_ID, head.parentSpanId);
    this.#text(NAME, head.name);
    this.#room(64);
    this.#byte(KIND);
    this.#byte(head.kind);
    this.#nanoseconds(START, head.startMs);
    this.#nanoseconds(END, Math.max(head.startMs, head.endMs));
    this.#byte(FLAGS[0]);
    this.#byte(FLAGS[1]);
    this.#fixed32(SAMPLED | IS_REMOTE_KNOWN | (head.isParentRemote ? IS_REMOTE : 0));
  }

  end(): void {
    let length = this.#at - this.#spanStart - LENGTH_BYTES;
    for (let i = 0; i < LENGTH_BYTES; i++) {
      this.#bytes[this.#spanStart + i] = (length & 0x7f) | (i < LENGTH_BYTES - 1 ? 0x80 : 0);
      length >>>= 7;
    }
    this.#spanCount += 1;
  }

  /** '' says nothing. */
  string(key: string, value: string): void {
    if (value === '') return;
    const bytes = this.#bytesOf(value);
    this.#attribute(key, 1 + varintBytes(bytes.length) + bytes.length);
    this.#byte(STRING_VALUE);
    this.#lengthAndBytes(bytes);
  }

  boolean(key: string, value: boolean): void {
    this.#attribute(key, 2);
    this.#byte(BOOL_VALUE);
    this.#byte(Number(value));
  }

  /** ≥ 0; NaN says nothing. */
  integer(key: string, value: number): void {
    if (!(value >= 0)) return;
    const whole = Math.round(value);
    this.#attribute(key, 1 + varintBytes(whole));
    this.#byte(INT_VALUE);
    this.#varint(whole);
  }

  /** NaN says nothing. */
  double(key: string, value: number): void {
    if (Number.isNaN(value)) return;
    this.#attribute(key, 9);
    this.#byte(DOUBLE_VALUE);
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  link(traceId: Words, spanId: Words): void {
    this.#room(64);
    this.#byte(LINKS);
    this.#byte(2 + 4 * traceId.length + 2 + 4 * spanId.length);
    this.#id(TRACE_ID, traceId);
    this.#id(SPAN_ID, spanId);
  }

  error(message: string): void {
    const bytes = this.#bytesOf(message);
    this.#room(bytes.length + 16);
    this.#byte(STATUS);
    this.#varint(1 + varintBytes(bytes.length) + bytes.length + 2);
    this.#byte(STATUS_MESSAGE);
    this.#lengthAndBytes(bytes);
    this.#byte(STATUS_CODE);
    this.#byte(STATUS_ERROR);
  }

  /** All spans since the last call, in memory of their own. */
  take(): { readonly bytes: Uint8Array; readonly spanCount: number } {
    const taken = { bytes: Uint8Array.prototype.slice.call(this.#bytes, 0, this.#at), spanCount: this.#spanCount };
    this.#at = 0;
    this.#spanCount = 0;
    return taken;
  }

  /** Names are those of this program's own attributes: few. */
  #attribute(key: string, valueLength: number): void {
    let heads = this.#heads.get(key);
    if (heads === undefined) this.#heads.set(key, (heads = []));
    const head = (heads[valueLength] ??= attributeHead(Buffer.from(key), valueLength));
    this.#room(head.length + valueLength + 8);
    this.#copy(head);
  }

  #text(tag: number, text: string): void {
    const bytes = this.#bytesOf(text);
    this.#room(bytes.length + 8);
    this.#byte(tag);
    this.#lengthAndBytes(bytes);
  }

  #lengthAndBytes(bytes: Uint8Array): void {
    this.#varint(bytes.length);
    this.#copy(bytes);
  }

  #copy(bytes: Uint8Array): void {
    const { length } = bytes;
    const to = this.#bytes;
    let at = this.#at;
    // To copy so few one by one takes a third of what `set` does.
    if (length <= MOST_COPIED_ONE_BY_ONE) for (let i = 0; i < length; i++) to[at++] = bytes[i]!;
    else {
      to.set(bytes, at);
      at += length;
    }
    this.#at = at;
  }

  #id(tag: number, words: Words): void {
    this.#room(24);
    this.#byte(tag);
    this.#byte(4 * words.length);
    const to = this.#bytes;
    let at = this.#at;
    // Four stores take a third of what `writeUInt32BE` does, which first looks at what it was given.
    for (let i = 0; i < words.length; i++) {
      const word = words[i]!;
      to[at++] = word >>> 24;
      to[at++] = word >>> 16;
      to[at++] = word >>> 8;
      to[at++] = word;
    }
    this.#at = at;
  }

  /** A fixed64: too large for a double, so in two halves. */
  #nanoseconds(tag: number, unixMs: number): void {
    const seconds = Math.floor(unixMs / 1000);
    const rest = Math.round((unixMs - seconds * 1000) * 1e6);
    const upper = Math.floor(seconds / 2 ** 16) * 1e9;
    const lower = (upper % 2 ** 16) * 2 ** 16 + (seconds % 2 ** 16) * 1e9 + rest;
    this.#byte(tag);
    this.#fixed32(lower % 2 ** 32);
    this.#fixed32(Math.floor(upper / 2 ** 16) + Math.floor(lower / 2 ** 32));
  }

  #fixed32(value: number): void {
    const to = this.#bytes;
    const at = this.#at;
    to[at] = value;
    to[at + 1] = value >>> 8;
    to[at + 2] = value >>> 16;
    to[at + 3] = value >>> 24;
    this.#at = at + 4;
  }

  #varint(value: number): void {
    let left = value;
    while (left >= 0x80) {
      this.#byte((left % 0x80) | 0x80);
      left = Math.floor(left / 0x80);
    }
    this.#byte(left);
  }

  #byte(value: number): void {
    this.#bytes[this.#at++] = value;
  }

  #room(byteCount: number): void {
    if (this.#at + byteCount <= this.#bytes.length) return;
    const larger = Buffer.alloc(Math.max(2 * this.#bytes.length, this.#at + byteCount));
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = larger;
  }

  #bytesOf(text: string): Uint8Array {
    let bytes = this.#known.get(text);
    if (bytes === undefined) {
      bytes = Buffer.from(text.length > MOST_TEXT_BYTES ? text.slice(0, MOST_TEXT_BYTES) : text);
      if (this.#known.size >= MOST_KNOWN_TEXTS) this.#known.clear();
      this.#known.set(text, bytes);
    }
    return bytes;
  }
}

/** A `KeyValue` up to the value, of so many bytes, in its `AnyValue`. */
function attributeHead(key: Uint8Array, valueLength: number): Uint8Array {
  const value = [...varint(valueLength)];
  const keyLength = [...varint(key.length)];
  const length = 1 + keyLength.length + key.length + 1 + value.length + valueLength;
  return Uint8Array.from([ATTRIBUTES, ...varint(length), KEY, ...keyLength, ...key, VALUE, ...value]);
}

/** @param value ≥ 0, an integer */
function varint(value: number): readonly number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left >= 0x80; left = Math.floor(left / 0x80)) bytes.push((left % 0x80) | 0x80);
  return [...bytes, left];
}

/** @param value ≥ 0, an integer */
function varintBytes(value: number): number {
  let bytes = 1;
  for (let left = value; left >= 0x80; left = Math.floor(left / 0x80)) bytes += 1;
  return bytes;
}

/** Attributes of a resource: what is not text is told as text. */
export function resourceBytes(attributes: Readonly<Record<string, unknown>>): Uint8Array {
  const pairs = Object.entries(attributes).map(([key, value]) =>
    field(
      0x0a,
      Buffer.concat([field(KEY, Buffer.from(key)), field(VALUE, field(STRING_VALUE, Buffer.from(String(value))))]),
    ),
  );
  return Buffer.concat(pairs);
}

/** An `ExportTraceServiceRequest` of one resource and one scope. @param spans entries as `OtlpWriter` writes them */
export function exportRequest(
  resource: Uint8Array,
  scope: { readonly name: string; readonly version: string },
  spans: readonly Uint8Array[],
): Uint8Array {
  const named = field(
    0x0a,
    Buffer.concat([field(0x0a, Buffer.from(scope.name)), field(0x12, Buffer.from(scope.version))]),
  );
  // Spans are megabytes: their lengths are reckoned first, so that they are copied once.
  const scopeLength = spans.reduce((sum, { length }) => sum + length, named.length);
  const scopeHead = Uint8Array.from([0x12, ...varint(scopeLength)]);
  const resourceField = field(0x0a, resource);
  const length = resourceField.length + scopeHead.length + scopeLength;
  return Buffer.concat([Uint8Array.from([0x0a, ...varint(length)]), resourceField, scopeHead, named, ...spans]);
}

/** Of a length that is written before it. */
function field(tag: number, content: Uint8Array): Buffer {
  return Buffer.concat([Uint8Array.from([tag, ...varint(content.length)]), content]);
}
