/**
 * A protobuf message being written, field by field, in the order of the calls.
 * Wire format: protobuf.dev/programming-guides/encoding. A field is a key, `number << 3 | wire type`, and a payload;
 * repeated fields are written one element a call.
 *
 * Byte payloads are kept by reference until `toBytes` copies everything once: model weights run to tens of megabytes and
 * sit several messages deep.
 */
export class ProtobufMessage {
  readonly #chunks: Uint8Array[] = [];
  #byteCount = 0;

  /** int32, int64, uint64, bool and enum fields. Negative numbers take ten bytes, as the format wants. */
  integer(field: number, value: number | bigint): this {
    return this.#key(field, WIRE_VARINT).#append(varint(BigInt(value)));
  }

  /** The caller must not change `value` before `toBytes`. */
  bytes(field: number, value: Uint8Array): this {
    return this.#key(field, WIRE_LENGTH_DELIMITED)
      .#append(varint(BigInt(value.byteLength)))
      .#append(value);
  }

  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  /** Embeds `value` as it is now; what is added to it later is not seen here. */
  message(field: number, value: ProtobufMessage): this {
    this.#key(field, WIRE_LENGTH_DELIMITED).#append(varint(BigInt(value.#byteCount)));
    for (const chunk of value.#chunks) this.#append(chunk);
    return this;
  }

  toBytes(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.#byteCount);
    let offset = 0;
    for (const chunk of this.#chunks) {
      bytes.set(chunk, offset);
      offset += chunk.byteLength;
    }
    return bytes;
  }

  #key(field: number, wireType: number): this {
    return this.#append(varint(BigInt((field << 3) | wireType)));
  }

  #append(chunk: Uint8Array): this {
    this.#chunks.push(chunk);
    this.#byteCount += chunk.byteLength;
    return this;
  }
}

const WIRE_VARINT = 0;
const WIRE_LENGTH_DELIMITED = 2;

/** Seven bits a byte, least significant first; the top bit says that more follow. Two's complement in 64 bits. */
function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
