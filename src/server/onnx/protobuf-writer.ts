import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/**
 * A protobuf message being written, field by field, in the order of the calls; repeated fields are written one element a call. The
 * library's writer, as one that may be embedded in others, and asked for its bytes, more than once.
 */
export class ProtobufMessage {
  readonly #writer = new BinaryWriter();

  /** int32, int64, uint64, bool and enum fields. Negative numbers take ten bytes, as the format wants. */
  integer(field: number, value: number | bigint): this {
    this.#writer.tag(field, WireType.Varint);
    if (value < 0) this.#writer.int64(value);
    else this.#writer.uint64(value);
    return this;
  }

  /** The caller must not change `value` before `toBytes`. */
  bytes(field: number, value: Uint8Array): this {
    this.#writer.tag(field, WireType.LengthDelimited).bytes(value);
    return this;
  }

  text(field: number, value: string): this {
    this.#writer.tag(field, WireType.LengthDelimited).string(value);
    return this;
  }

  /** Embeds `value` as it is now; what is added to it later is not seen here. */
  message(field: number, value: ProtobufMessage): this {
    return this.bytes(field, value.toBytes());
  }

  toBytes(): Uint8Array<ArrayBuffer> {
    const bytes = this.#writer.finish();
    // It is empty then.
    this.#writer.raw(bytes);
    return bytes;
  }
}
