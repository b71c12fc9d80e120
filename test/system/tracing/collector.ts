import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/*
 * A collector of spans as small as can be: OTLP over HTTP as protobuf (opentelemetry-proto, `ExportTraceServiceRequest`), decoded by field numbers,
 * and nothing of the SDK that wrote them. It can be as bad as collectors are.
 */

/** `slow`: takes what is sent, and answers a byte a second without an end. */
type Behaviour = 'well' | 'failing' | 'hanging' | 'slow';

export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** '' of a root. */
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly name: string;
  /** 1: internal, 2: server. */
  readonly kind: number;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly links: readonly { readonly traceId: string; readonly spanId: string }[];
  /** 0: unset, 2: error. */
  readonly statusCode: number;
  readonly resource: Readonly<Record<string, unknown>>;
}

export class Collector {
  readonly spans: CollectedSpan[] = [];
  readonly requests: { readonly path: string; readonly headers: IncomingMessage['headers'] }[] = [];
  behaviour: Behaviour = 'well';
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();

  private constructor() {
    this.#server = createServer((request, response) => this.#take(request, response));
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  static async start(port = 0): Promise<Collector> {
    const collector = new Collector();
    await new Promise<void>((resolve) => collector.#server.listen(port, '127.0.0.1', resolve));
    return collector;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Of one trace. */
  trace(traceId: string): readonly CollectedSpan[] {
    return this.spans.filter((span) => span.traceId === traceId);
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    this.requests.push({ path: request.url ?? '', headers: request.headers });
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (this.behaviour === 'hanging') return;
      if (this.behaviour === 'failing') {
        response.writeHead(500).end('no');
        return;
      }
      if (this.behaviour === 'slow') {
        response.writeHead(200);
        this.#timers.add(setInterval(() => response.write(' '), 1000));
        return;
      }
      const body = Buffer.concat(chunks);
      this.spans.push(...spansIn(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body));
      response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
    });
  }
}

/** A message's fields: each number's values, in order. */
type Fields = ReadonlyMap<number, readonly (Uint8Array | bigint)[]>;

function spansIn(body: Uint8Array): readonly CollectedSpan[] {
  return messages(fieldsOf(body), 1).flatMap((resourceSpans) => {
    const resource = attributesOf(messages(resourceSpans, 1)[0] ?? new Map(), 1);
    return messages(resourceSpans, 2).flatMap((scopeSpans) =>
      messages(scopeSpans, 2).map((span) => spanOf(span, resource)),
    );
  });
}

function spanOf(span: Fields, resource: Readonly<Record<string, unknown>>): CollectedSpan {
  return {
    traceId: hexOf(span, 1),
    spanId: hexOf(span, 2),
    traceState: textOf(span, 3),
    parentSpanId: hexOf(span, 4),
    name: textOf(span, 5),
    kind: Number(numberOf(span, 6)),
    startNs: numberOf(span, 7),
    endNs: numberOf(span, 8),
    attributes: attributesOf(span, 9),
    links: messages(span, 13).map((link) => ({ traceId: hexOf(link, 1), spanId: hexOf(link, 2) })),
    statusCode: messages(span, 15).map((status) => Number(numberOf(status, 3)))[0] ?? 0,
    resource,
  };
}

/** Of `KeyValue`s. */
function attributesOf(fields: Fields, number: number): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    messages(fields, number).map((pair) => [textOf(pair, 1), messages(pair, 2).map(valueOf)[0]]),
  );
}

/** Of an `AnyValue`: a string, a boolean, an integer or a double. */
function valueOf(any: Fields): unknown {
  if (any.has(1)) return textOf(any, 1);
  if (any.has(2)) return numberOf(any, 2) === 1n;
  if (any.has(3)) return Number(numberOf(any, 3));
  const [bits] = any.get(4) ?? [];
  return bits instanceof Uint8Array ? new DataView(bits.buffer, bits.byteOffset).getFloat64(0, true) : undefined;
}

function fieldsOf(bytes: Uint8Array): Fields {
  const fields = new Map<number, (Uint8Array | bigint)[]>();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    fields.set(number, [...(fields.get(number) ?? []), valueAt(reader, type)]);
  }
  return fields;
}

/** Eight bytes are given as they are: a `fixed64`, or a double. */
function valueAt(reader: BinaryReader, type: WireType): Uint8Array | bigint {
  switch (type) {
    case WireType.Varint:
      return BigInt(reader.int64());
    case WireType.LengthDelimited:
      return reader.bytes();
    case WireType.Bit64: {
      const [low, high] = [reader.fixed32(), reader.fixed32()];
      return new Uint8Array(Uint32Array.of(low, high).buffer);
    }
    case WireType.Bit32:
      return BigInt(reader.fixed32());
    case WireType.StartGroup:
    case WireType.EndGroup:
      throw new Error('there are no groups in OTLP');
  }
}

function messages(fields: Fields, number: number): readonly Fields[] {
  return bytesOf(fields, number).map(fieldsOf);
}

function hexOf(fields: Fields, number: number): string {
  return Buffer.from(bytesOf(fields, number)[0] ?? []).toString('hex');
}

function textOf(fields: Fields, number: number): string {
  return Buffer.from(bytesOf(fields, number)[0] ?? []).toString();
}

function numberOf(fields: Fields, number: number): bigint {
  const [value] = fields.get(number) ?? [];
  if (!(value instanceof Uint8Array)) return value ?? 0n;
  return new DataView(value.buffer, value.byteOffset).getBigUint64(0, true);
}

function bytesOf(fields: Fields, number: number): readonly Uint8Array[] {
  return (fields.get(number) ?? []).filter((value): value is Uint8Array => value instanceof Uint8Array);
}
